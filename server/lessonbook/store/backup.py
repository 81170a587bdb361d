"""Copies of the whole database: taken while it is in use, checked, and put back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from sqlalchemy import Connection, func, inspect, select, text

from lessonbook.domain.errors import ConfigError, InvalidInput, Unavailable
from lessonbook.machine import private_files
from lessonbook.store import migrate, postgres_tools, row_security
from lessonbook.store.engine import TRANSACTION_TIMEOUT_S, Store, connect
from lessonbook.store.urls import Address, PostgresAddress, SqliteAddress

if TYPE_CHECKING:
    from collections.abc import Iterable

_SQLITE: Final = b"SQLite format 3\0"
_POSTGRESQL: Final = b"PGDMP"
_OWN_ROWS: Final = frozenset({"server_secrets"})
"""Tables in which an opened database has rows though nobody has used it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a database holds: its schema's revision (None: no tables of ours), and rows by table where counted."""

    schema: str | None
    rows: dict[str, int]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not any(count for table, count in self.rows.items() if table not in _OWN_ROWS)

    def __str__(self) -> str:
        """Return a phrase for people."""
        if self.schema is None:
            return "nothing"
        lessons, issues = self.rows.get("agent_lessons"), self.rows.get("agent_issues")
        counted = "" if lessons is None else f", {lessons} lessons, {issues or 0} issues"
        return f"schema {self.schema}{counted}"


@dataclass(frozen=True, slots=True)
class Restored:
    """What is in the database after a restore, and where the former content was kept (None: there was none)."""

    content: Content
    kept: Path | None


async def content_of(address: Address) -> Content:
    """Return what a database holds; one that does not exist yet holds nothing.

    Raises:
        Unavailable: it does not answer.
    """
    if isinstance(address, SqliteAddress) and (address.path is None or not address.path.exists()):
        return Content(None, {})
    async with _opened(address) as store:
        return await store.read(_content)


def _content(connection: Connection) -> Content:
    from lessonbook.store.tables import metadata  # noqa: PLC0415  # of these commands alone

    seen = set(inspect(connection).get_table_names())
    if "alembic_version" not in seen:
        return Content(None, {})
    schema = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    ours = (table for name, table in sorted(metadata.tables.items()) if name in seen)
    counted = {one.name: connection.execute(select(func.count()).select_from(one)).scalar_one() for one in ours}
    return Content(schema, counted)


async def content_of_backup(address: Address, file: Path) -> Content:
    """Return what a backup of the kind of `address` holds, checked as a whole. Rows are counted on SQLite alone.

    Raises:
        InvalidInput: it is no backup of such a database, or is damaged, or of a newer version.
    """
    content = await anyio.to_thread.run_sync(_checked_sqlite if _is_sqlite(address) else _checked_dump, file)
    if content.schema is None:
        raise InvalidInput(f"{file} holds no database of Lessonbook")
    if content.schema not in migrate.known():
        raise InvalidInput(
            f"{file} has schema {content.schema}, which this version of Lessonbook does not know (it knows "
            f"{migrate.HEAD}): update Lessonbook"
        )
    return content


def _is_sqlite(address: Address) -> bool:
    if isinstance(address, SqliteAddress) and address.path is None:
        raise InvalidInput("A database in memory has no backups: name a file in `database.url`")
    return isinstance(address, SqliteAddress)


async def back_up(address: Address, target: Path) -> Content:
    """Copy the whole database as it is at one moment into a new file of mode 0600, and check the copy.

    Nobody who reads or writes meanwhile is held up. On SQLite the file is a database, on PostgreSQL an archive of
    `pg_dump`.

    Raises:
        InvalidInput: the file exists, or the database has no tables of Lessonbook.
        ConfigError: the programs of PostgreSQL are not there, or do not fit.
        Unavailable: the database does not answer, or the file cannot be written.
    """
    _refuse_existing(target)
    is_sqlite = _is_sqlite(address)
    content = await content_of(address)
    if content.schema is None:
        raise InvalidInput("There is nothing to back up: the database has no tables of Lessonbook yet")
    with _new_file(target) as fresh:
        if isinstance(address, PostgresAddress):
            await anyio.to_thread.run_sync(postgres_tools.dump, address.dsn, fresh, ["alembic_version", *content.rows])
        else:
            assert address.path is not None  # noqa: S101  # `_is_sqlite` has refused
            await anyio.to_thread.run_sync(_copied, address.path, fresh)
        checked = await anyio.to_thread.run_sync(_checked_sqlite if is_sqlite else _checked_dump, fresh)
    return checked if checked.rows else Content(checked.schema, content.rows)


async def restore(address: Address, file: Path, *, replace: bool, now: datetime) -> Restored:
    """Put a backup in the place of a database, migrated to this version's schema.

    What the database held is backed up first, beside the database on SQLite and beside `file` on PostgreSQL. On SQLite
    the content changes in one transaction; on PostgreSQL the tables are made anew, so servers must be stopped.

    Raises:
        InvalidInput: the backup cannot be used; or the database is not empty, and not to be replaced.
        ConfigError: the programs of PostgreSQL are not there, or do not fit.
        Unavailable: the database does not answer, or the disk is full.
    """
    held = await content_of_backup(address, file)
    present = await content_of(address)
    if not present.is_empty and not replace:
        raise InvalidInput(f"The database is not empty ({present}): `--force` replaces it, and keeps what it holds")
    kept: Path | None = None
    beside = address.path if isinstance(address, SqliteAddress) and address.path else file
    if not present.is_empty:
        kept = beside.with_name(f"{beside.name}.before-{now:%Y%m%dT%H%M%S%f}")
        await back_up(address, kept)
    if isinstance(address, PostgresAddress):
        await _restore_dump(address, file, held, kept)
    else:
        await _restore_file(beside, file)
    content = await content_of(address)
    if content.schema != migrate.HEAD or (held.rows and not _same_rows(held, content)):
        raise Unavailable(f"What was restored ({content}) is not what {file} holds ({held})")
    return Restored(content, kept)


def _same_rows(held: Content, restored: Content) -> bool:
    names = ("agent_lessons", "agent_issues", "agent_lesson_deliveries", "audit_log")
    return all(held.rows.get(name, 0) == restored.rows.get(name, 0) for name in names)


# SQLite


async def _restore_file(path: Path, file: Path) -> None:
    """Migrate a copy of the backup, and copy that over the database, which stays the file that servers have open."""
    private_files.make_folder(path.parent)
    staged = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    try:
        private_files.make_file(staged)
        await anyio.to_thread.run_sync(_copied, file, staged)
        async with _opened(SqliteAddress(staged)) as store:
            await migrate.ensure(store)
        private_files.make_file(path)
        await anyio.to_thread.run_sync(_copied, staged, path)
    finally:
        _remove(staged)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", ".checkpoint", ".queue"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _copied(source: Path, target: Path) -> None:
    """Copy one database over another, in one transaction of each."""
    with _understood(target), _connected(source) as there, _connected(target) as here:
        is_new = not here.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        there.backup(here, progress=_limit())
        if is_new:
            here.execute("PRAGMA journal_mode = DELETE")  # one file, whose log is in it


def _limit() -> Callable[[int, int, int], None]:
    """Return what ends a copy that waits for a lock too long: the driver itself would wait for ever."""
    waits = [0]

    def look(status: int, _left: int, _all: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            waits[0] += 1
            if waits[0] > 1:  # each after the whole of the connection's own time
                raise Unavailable("The database is busy; nothing was changed. Try again in a moment.")

    return look


@contextlib.contextmanager
def _connected(path: Path) -> Generator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=rw"  # a reader of a log needs to write its index
    connection = sqlite3.connect(uri, uri=True, timeout=TRANSACTION_TIMEOUT_S, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def _checked_sqlite(file: Path) -> Content:
    _expect(file, _SQLITE, "a SQLite database")
    try:
        with _connected(file) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchone()
            names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if faults != ["ok"] or orphans:
                raise InvalidInput(f"{file} is damaged: {faults[0] if faults != ['ok'] else 'rows point at nothing'}")
            if "alembic_version" not in names:
                return Content(None, {})
            (schema,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            counted = {name: _count(connection, name) for name in _ours(names)}
    except sqlite3.Error as error:
        raise InvalidInput(f"{file} is damaged: {error}") from error
    return Content(schema, counted)


def _ours(names: Iterable[str]) -> list[str]:
    from lessonbook.store.tables import metadata  # noqa: PLC0415  # of these commands alone

    return sorted(set(names) & set(metadata.tables))


def _count(connection: sqlite3.Connection, name: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # noqa: S608  # one of our tables


@contextlib.contextmanager
def _understood(target: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"The copy cannot be made ({error}).", place=str(target)) from error


# PostgreSQL


def _checked_dump(file: Path) -> Content:
    _expect(file, _POSTGRESQL, "an archive of pg_dump")
    return Content(postgres_tools.schema_of(file), {})


async def _restore_dump(address: PostgresAddress, file: Path, held: Content, kept: Path | None) -> None:
    """Make the tables anew at the backup's revision, fill them, and migrate them."""
    async with _opened(address) as store:
        if await migrate.current(store) is not None:
            await migrate.downgrade(store, "base")
        await migrate.upgrade(store, held.schema or "")
        tables = list((await store.read(_content)).rows)
        await store.migrate(lambda connection: _clear(connection, tables))
        try:
            await anyio.to_thread.run_sync(postgres_tools.load, address.dsn, file)
        except (ConfigError, InvalidInput, Unavailable) as error:
            told = f" What it held is in {kept}." if kept else ""
            raise Unavailable(f"{error} The database is empty now.{told}") from error
        await store.migrate(lambda connection: _set_triggers(connection, tables, "ENABLE"))
        await migrate.ensure(store)


def _clear(connection: Connection, tables: Iterable[str]) -> None:
    """Take out what migrations have put in, and let nothing be added beside what the backup has."""
    connection.execute(text("DELETE FROM alembic_version"))
    _set_triggers(connection, tables, "DISABLE")


def _set_triggers(connection: Connection, tables: Iterable[str], switch: str) -> None:
    for name in tables:
        connection.execute(text(f"ALTER TABLE {name} {switch} TRIGGER USER"))


# Both


@contextlib.asynccontextmanager
async def _opened(address: Address) -> AsyncGenerator[Store]:
    store = connect(address)
    try:
        with store.within(row_security.EVERY_PROJECT):
            yield store
    finally:
        await store.close()


def _expect(file: Path, magic: bytes, kind: str) -> None:
    try:
        with file.open("rb") as handle:
            begins = handle.read(len(magic))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
    if begins != magic:
        found = {_SQLITE[:5]: "a SQLite database", _POSTGRESQL: "an archive of pg_dump"}.get(begins[:5])
        told = f" but {found}, and `database.url` names the other database" if found else ""
        raise InvalidInput(f"{file} is not {kind}{told}")


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise InvalidInput(f"{target} exists: name a new file")


@contextlib.contextmanager
def _new_file(target: Path) -> Generator[Path]:
    """Yield a file beside `target`, of mode 0600, that takes its name at the end; on an error nothing is left."""
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    try:
        private_files.make_file(fresh)
        yield fresh
        handle = os.open(fresh, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.link(fresh, target)  # never over a file that has come meanwhile
    except FileExistsError as error:
        raise InvalidInput(f"{target} exists: name a new file") from error
    except OSError as error:
        raise Unavailable(f"{target} cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
