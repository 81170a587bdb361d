"""Database addresses as people write them."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from lessonbook.errors import ConfigError


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
            path = rest.removeprefix("/")
            return SqliteAddress(None if path in {"", ":memory:"} else Path(path).expanduser())
        case "postgresql" | "postgres":
            return PostgresAddress(f"postgresql://{rest}")
        case _:
            raise ConfigError(
                f"database URL {without_password(url)!r} is not understood: "
                "write sqlite:///path/to/file.db or postgresql://user@host/database"
            )


def without_password(url: str) -> str:
    """Return `url` fit to be shown: its password replaced by asterisks."""
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
        user, host = parts.username or "", parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
    except ValueError:
        return url.partition("://")[0] + "://…"
