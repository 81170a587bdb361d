"""Migrations: the first process of a new version brings the database to the schema it needs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, inspect, text

from lessonbook.domain.errors import ConfigError, InvalidInput
from lessonbook.store.engine import Store

if TYPE_CHECKING:
    from alembic.config import Config

_VERSION = text("SELECT version_num FROM alembic_version")


def migrations_folder() -> Path:
    """Return where the migrations are: beside the package when installed, at the checkout's root otherwise."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parents[1] / "migrations"


HEAD: Final = max(file.name[:4] for file in migrations_folder().glob("versions/[0-9]*.py"))
"""The newest migration, by the names of the files: a current database is recognised by one query, without Alembic."""


async def current(store: Store) -> str | None:
    """Return the database's migration, or None for a database without one."""
    return await store.read(_current)


async def ensure(store: Store) -> None:
    """Migrate the database if it is new or behind.

    Raises:
        ConfigError: the database was migrated by a newer version, or has tables of another program.
        Unavailable: it does not answer.
    """
    if await current(store) != HEAD:
        await store.migrate(_ensure)


def known() -> set[str]:
    """Return all revisions that this version has."""
    from alembic.config import Config  # noqa: PLC0415  # heavy, and needed only when something is to be migrated

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return _known(config)


async def upgrade(store: Store, revision: str = "head") -> None:
    """Migrate up to `revision`."""
    await store.migrate(lambda connection: _run(connection, "upgrade", revision))


async def downgrade(store: Store, revision: str) -> None:
    """Migrate down to `revision` (`base`: nothing left)."""
    await store.migrate(lambda connection: _run(connection, "downgrade", revision))


async def check(store: Store) -> list[str]:
    """Return the differences between the database and what the code expects, a line each; empty if there are none."""
    return await store.read(_differences)


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(_VERSION).scalar_one_or_none()


def _ensure(connection: Connection) -> None:
    found = _current(connection)  # again, now that nobody else migrates
    if found == HEAD:
        return
    if found is not None and found not in _known(_config(connection)):
        raise ConfigError(
            f"The database has schema {found}, which this version of Lessonbook does not know (it knows {HEAD}): "
            "update Lessonbook, or name another database"
        )
    if found is None and (foreign := _taken_names(connection)):
        raise ConfigError(
            f"The database already has a table {foreign[0]} that Lessonbook did not make: name another database"
        )
    _run(connection, "upgrade", "head")


def _taken_names(connection: Connection) -> list[str]:
    """Return those of our tables' names that exist in a database without our migrations."""
    from lessonbook.store.tables import STATS_VIEW, metadata  # noqa: PLC0415  # as below

    seen = inspect(connection)
    return sorted({*metadata.tables, STATS_VIEW} & {*seen.get_table_names(), *seen.get_view_names()})


def _config(connection: Connection) -> Config:
    from alembic.config import Config  # noqa: PLC0415  # heavy, and needed only when something is to be migrated

    from lessonbook.store.tables import whole_metadata  # noqa: PLC0415  # as above

    config = Config(attributes={"connection": connection, "metadata": whole_metadata()})
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _known(config: Config) -> set[str]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # as above

    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _run(connection: Connection, direction: str, revision: str) -> None:
    from alembic import command  # noqa: PLC0415  # as above
    from alembic.util.exc import CommandError  # noqa: PLC0415  # as above

    try:
        getattr(command, direction)(_config(connection), revision)
    except CommandError as error:
        raise InvalidInput(f"Migration {revision!r}: {error}") from error


def _differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  # as above
    from alembic.migration import MigrationContext  # noqa: PLC0415  # as above

    from lessonbook.store.tables import whole_metadata  # noqa: PLC0415  # as above

    found = _current(connection)
    lines = [] if found == HEAD else [f"schema is {found or 'missing'}, this version needs {HEAD}"]
    context = MigrationContext.configure(connection, opts={"include_object": _ours, "compare_type": True})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # full-text expression indexes cannot be reflected, and are checked elsewhere
        differences = compare_metadata(context, whole_metadata())
    return lines + [str(difference) for difference in differences]


def _ours(_thing: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:  # alembic's own
    """Return whether to compare an object: not what full-text search adds on one database only, nor partitions."""
    if kind == "table" and (name or "").startswith("agent_lesson_deliveries_"):
        return False
    return not (reflected and kind in {"table", "column", "index"} and "search" in (name or "")) and name not in {
        "body_vector",
        "alembic_version",
    }
