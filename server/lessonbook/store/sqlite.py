"""SQLite: several threads and processes on one file in WAL mode, one writer at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import anyio
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import QueuePool

from lessonbook.errors import ConfigError, LessonbookError, Unavailable
from lessonbook.store.engine import ATTEMPTS, LOCK_TIMEOUT_S, POOL_TIMEOUT_S, Retry, Work, pause_s
from lessonbook.store.filesystem import network_filesystem, sole_owner
from lessonbook.store.urls import SqliteAddress

T = TypeVar("T")

READERS: Final = 3
WAL_PAGES_MAX: Final = 1000
WAL_CHECK_EVERY: Final = 64
POLL_S: Final = 0.25


class SqliteStore:
    """A SQLite file. Writes take turns on one thread, and between processes by `BEGIN IMMEDIATE`."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, address: SqliteAddress) -> None:
        self._path = address.path
        self._engine: Engine | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lessonbook-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="lessonbook-read")
        self._writes = 0

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a deferred transaction. See `Store.read`."""
        pool = self._readers if self._path else self._writer
        return await _on_thread(pool, lambda: self._transact(work, "BEGIN"))

    async def write(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction. See `Store.write`."""
        return await _on_thread(self._writer, lambda: self._transact(work, "BEGIN IMMEDIATE"))

    async def migrate(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction without foreign keys, which a table rebuild would trip over."""
        return await _on_thread(self._writer, lambda: self._transact(work, "BEGIN IMMEDIATE", foreign_keys=False))

    def changes(self) -> _Polling:
        """Return a stream that looks at the file's change counter. See `Store.changes`."""
        return _Polling(self)

    async def close(self) -> None:
        """Close all connections."""
        with anyio.CancelScope(shield=True):
            if self._engine is not None:
                await _on_thread(self._writer, self._engine.dispose)
            self._writer.shutdown(wait=False)
            self._readers.shutdown(wait=False)

    def engine(self) -> Engine:
        """Return the synchronous engine; it opens the file on first use."""
        if self._engine is None:
            self._engine = _make_engine(self._path)
        return self._engine

    def _transact(self, work: Work[T], begin: str, *, foreign_keys: bool = True) -> T:
        for attempt in range(ATTEMPTS):
            try:
                with _translated(self._path):
                    result = self._once(work, begin, foreign_keys=foreign_keys)
                if begin != "BEGIN":
                    self._bound_wal()
            except (Retry, _Busy) as again:
                if attempt + 1 == ATTEMPTS:
                    raise Unavailable("The database is busy; nothing was changed. Try again in a moment.") from again
                time.sleep(pause_s(attempt))
            else:
                return result
        raise Unavailable

    def _once(self, work: Work[T], begin: str, *, foreign_keys: bool) -> T:
        with self.engine().connect() as connection:
            raw: Any = connection.connection.driver_connection
            if not foreign_keys:
                raw.execute("PRAGMA foreign_keys = OFF")
            try:
                raw.execute(begin)
                with connection.begin():
                    return work(connection)
            finally:
                if not foreign_keys:
                    raw.execute("PRAGMA foreign_keys = ON")

    def _bound_wal(self) -> None:
        """Move the log into the file now and then. One process at a time: see R1 in the README's notes on SQLite."""
        self._writes += 1
        if self._path is None or self._writes % WAL_CHECK_EVERY:
            return
        with contextlib.suppress(OSError, DatabaseError), sole_owner(Path(f"{self._path}.checkpoint")) as owned:
            if owned:
                with self.engine().connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def data_version(self, connection: Connection) -> int:
        """Return a number that changes when another connection has committed."""
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())


class _Busy(Exception):  # a signal to try again
    """Another process held the write lock for longer than the busy timeout."""


class _Polling:
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def __aiter__(self) -> AsyncIterator[None]:
        """Yield when the file changed, looking every quarter of a second on a connection of its own."""
        store = self._store
        connection = await store.read(lambda _: store.engine().connect().execution_options(isolation_level=None))
        try:
            seen = store.data_version(connection)
            while True:
                await anyio.sleep(POLL_S)
                now = store.data_version(connection)
                if now != seen:
                    seen = now
                    yield
        finally:
            connection.close()


def _make_engine(path: Path | None) -> Engine:
    if path is None:
        target = ":memory:"
    else:
        if (kind := network_filesystem(path)) is not None:
            raise ConfigError(
                f"{path} is on a network file system ({kind}), where SQLite loses data: "
                "put the database on a local disk, or use PostgreSQL"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The folder {path.parent} cannot be made: {error.strerror}.") from error
        target = str(path)

    def opened() -> sqlite3.Connection:
        connection = sqlite3.connect(target, timeout=LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "wal_autocheckpoint = 0"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    # The driver stays in autocommit mode: `SqliteStore` says BEGIN itself, since writers need BEGIN IMMEDIATE.
    return create_engine(
        "sqlite://",
        creator=opened,
        poolclass=QueuePool,
        pool_size=1 if path is None else READERS + 2,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
    )


@contextlib.contextmanager
def _translated(path: Path | None) -> Iterator[None]:
    try:
        yield
    except LessonbookError:
        raise
    except (OperationalError, sqlite3.OperationalError, DatabaseError, sqlite3.DatabaseError) as error:
        raw = error.orig if isinstance(error, DatabaseError) else error
        code = getattr(raw, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise _Busy from error
        if (sentence := _SENTENCES.get(code)) is None:
            raise
        raise Unavailable(f"{sentence} ({path}) Nothing was changed.") from error


_SENTENCES: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and try again.",
    sqlite3.SQLITE_READONLY: "The database file is read-only: make it and its folder writable.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened: check that its folder exists and is writable.",
    sqlite3.SQLITE_IOERR: "The disk does not answer: check it, then try again.",
    sqlite3.SQLITE_NOTADB: "This file is no SQLite database: name another file in `database.url`.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged: restore it from a backup, or run `lessonbook doctor`.",
    sqlite3.SQLITE_PERM: "The database file may not be opened: check its permissions.",
}


async def _on_thread(pool: ThreadPoolExecutor, call: Any) -> Any:
    """Run `call` on `pool`. A cancelled caller waits for the end, so that a transaction is whole or not there."""
    future = asyncio.get_running_loop().run_in_executor(pool, call)
    with anyio.CancelScope(shield=True):
        return await future
