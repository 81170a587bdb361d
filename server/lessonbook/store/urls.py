"""Database addresses as people write them."""

import re
from dataclasses import dataclass
from pathlib import Path

from lessonbook.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class SqliteAddress:
    """A SQLite file, or a private database in memory where `path` is None."""

    path: Path | None


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """A PostgreSQL address; `dsn` is what libpq would accept, parameters included."""

    dsn: str


Address = SqliteAddress | PostgresAddress


def parse_address(url: str) -> Address:
    """Read a database URL: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…`, `postgres://…`.

    A driver in the scheme (`postgresql+asyncpg`, `sqlite+aiosqlite`) is accepted and ignored.

    Raises:
        ConfigError: the scheme is neither SQLite's nor PostgreSQL's.
    """
    scheme, separator, rest = url.partition("://")
    match scheme.lower().split("+", 1)[0] if separator else "":
        case "sqlite":
            path, _, parameters = rest.removeprefix("/").partition("?")
            if parameters:
                raise ConfigError(
                    "`database.url` has parameters: leave them out, SQLite takes none here",
                    place=without_password(url),
                )
            return SqliteAddress(None if path in {"", ":memory:"} else Path(path).expanduser())
        case "postgresql" | "postgres":
            return PostgresAddress(f"postgresql://{rest}")
        case _:
            raise ConfigError(
                "`database.url` is not understood: write sqlite:///path/to/file.db or postgresql://user@host/database",
                place=without_password(url),
            )


def without_password(url: str) -> str:
    """Return `url` with asterisks for its password, in the authority or the parameters."""
    user, at, place = url.rpartition("@")
    shown = re.sub(r"(://[^:@]*):.*", r"\1:***", user, count=1, flags=re.DOTALL) + at + place
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)
