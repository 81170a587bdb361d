"""SQLite: several threads and processes on one file in WAL mode, one writer at a time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import anyio
import anyio.lowlevel
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from lessonbook.domain.errors import STOPPED, ConfigError, LessonbookError, Unavailable, Undecided
from lessonbook.machine import private_files
from lessonbook.store.engine import (
    ATTEMPTS,
    POOL_TIMEOUT_S,
    TRANSACTION_TIMEOUT_S,
    Load,
    Retry,
    Work,
    deadline,
    pause_s,
)
from lessonbook.store.filesystem import ByteLocks, network_filesystem, sole_owner
from lessonbook.store.fork_gate import ForkGate
from lessonbook.store.urls import SqliteAddress
from lessonbook.store.writer_queue import WriterQueue

T = TypeVar("T")

READERS: Final = 3
WAL_BYTES_MAX: Final = 4_000_000
WAL_CHECK_EVERY: Final = 64
POLL_S: Final = 0.25
GRACE_S: Final = 1.0
"""The time that a thread has after the deadline to report why it gave up, in seconds."""
BUSY_S: Final = 0.5
"""The time that SQLite waits for a lock in one attempt, in seconds; attempts end with the transaction's deadline."""
ASK_AGAIN_S: Final = 0.001
"""The pause before whoever is first in the queue asks for the lock again, in seconds; ten times that for others."""
UNORDERED_S: Final = 0.1
"""How long a writer asks for the lock before it queues, in seconds."""


class SqliteStore:
    """A SQLite file. Writes take turns on one thread, and between processes in a queue before `BEGIN IMMEDIATE`."""

    dialect: Literal["sqlite"] = "sqlite"

    def __init__(self, address: SqliteAddress) -> None:
        self._path = address.path
        self._engine: Engine | None = None
        self._gate = ForkGate(self._close_connections)
        self._queue = WriterQueue(Path(f"{self._path}.queue")) if self._path else None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="lessonbook-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="lessonbook-read")
        self._writes = 0
        self._checkpoint_due = False
        self._opening = threading.Lock()
        self._is_over = False
        self._running = 0
        self._retried = 0
        """Not exact: two threads may count at once."""
        self._names = None if address.path is None else ByteLocks(Path(f"{address.path}.upkeep"))

    def within(self, project: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002  # the queries name their project
        """Do nothing: SQLite has no row-level security. See `Store.within`."""
        return contextlib.nullcontext()

    def now(self) -> datetime:
        """Return this machine's time, which all processes on the file share."""
        return datetime.now(UTC)

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a deferred transaction. See `Store.read`."""
        pool = self._readers if self._path else self._writer
        return await self._on_thread(pool, work, READING)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction. See `Store.write`."""
        return await self._on_thread(self._writer, work, "BEGIN IMMEDIATE")

    async def write_briefly(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction on this thread if nobody else writes. See `Store.write_briefly`.

        On another thread the interpreter's lock would let nothing else run either, and changing threads takes a tenth
        of such a call's time. Where a checkpoint is due, work takes its turn on the writer's thread, since the log
        starts over only when nobody writes meanwhile.
        """
        if self._path is not None and not self._checkpoint_due:
            try:
                with _translated(self._path):
                    result = self._once(work, "BEGIN IMMEDIATE", NOW)
            except (Retry, _Busy):
                pass
            else:
                self._count_write()
                return result
        return await self.write(work)

    async def holds(self, name: str) -> bool:
        """Lock a byte of a file beside the database's. See `Store.holds`."""
        try:
            return self._names is None or self._names.take(name)
        except OSError as error:
            raise Unavailable(
                f"No file can be made beside the database ({error.strerror}): make its folder writable.",
                place=str(self._path),
            ) from error

    async def migrate(self, work: Work[T]) -> T:
        """Run `work` in an immediate transaction without foreign keys, which would break the rebuild of a table."""
        return await self._on_thread(self._writer, work, "BEGIN IMMEDIATE", foreign_keys=False)

    async def scrub(self) -> None:
        """Move the whole write-ahead log into the file and cut it, so that erased words are in neither.

        Readers of other processes may keep a part of the log until they end; a later checkpoint cuts it then.
        """
        if self._path is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._truncate_log)

    def _truncate_log(self) -> None:
        with (
            contextlib.suppress(OSError, DatabaseError, PoolTimeoutError),
            sole_owner(Path(f"{self._path}.checkpoint")) as owned,
        ):
            if owned:
                with self._gate.passing(), self.engine().connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def load(self) -> Load:
        """Return the load of the threads, which have a connection each. See `Store.load`."""
        pool: Any = self._engine.pool if self._engine is not None else None
        in_use = pool.checkedout() if pool is not None else 0
        return Load(in_use, 1 if self._path is None else READERS + 2, max(0, self._running - in_use), self._retried)

    async def changes(self) -> AsyncIterator[None]:
        """Yield when the file's change counter has changed, checked every `POLL_S`. See `Store.changes`."""
        watching = None if self._path is None else _open(self._path)  # the counter is of commits by other connections
        try:
            seen = self._version(watching)
            yield
            while True:
                await anyio.sleep(POLL_S)
                if (now := self._version(watching)) != seen:
                    seen = now
                    yield
        finally:
            if watching is not None:
                watching.close()

    async def view(self, work: Work[T]) -> T:
        """Run `work` as `read` does: there are no replicas."""
        return await self.read(work)

    async def warnings(self) -> list[str]:
        """Return nothing: see `Store.warnings`."""
        return []

    def _version(self, watching: sqlite3.Connection | None) -> int:
        """Return a number that changes with each commit; in memory, where only this store commits, of its writes."""
        return self._writes if watching is None else int(watching.execute("PRAGMA data_version").fetchone()[0])

    async def close(self) -> None:
        """Close all connections."""
        self.give_up()
        self._checkpoint_due = True  # so that `write_briefly` no longer opens the engine on this thread
        with anyio.CancelScope(shield=True):
            if self._engine is not None:
                await asyncio.get_running_loop().run_in_executor(self._writer, self._dispose)
        if self._names is not None:
            self._names.close()
        self._writer.shutdown(wait=False)
        self._readers.shutdown(wait=False)
        if self._queue is not None:
            self._queue.close()

    def give_up(self) -> None:
        """Stop waiting for locks. See `Store.give_up`."""
        self._is_over = True
        if self._queue is not None:
            self._queue.give_up()

    async def _on_thread(self, pool: ThreadPoolExecutor, work: Work[T], begin: str, *, foreign_keys: bool = True) -> T:
        """Do `work` on a thread of `pool`.

        A cancelled caller waits for the end, so that a transaction is complete or absent, but not past its deadline.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        until = deadline(TRANSACTION_TIMEOUT_S)
        turn = _Turn(time.monotonic() + until - anyio.current_time())

        def call() -> T:
            return self._transact(work, begin, turn, foreign_keys=foreign_keys)

        try:
            future = asyncio.get_running_loop().run_in_executor(pool, contextvars.copy_context().run, call)
        except RuntimeError as error:  # the process ends, and its threads take no more work
            raise Unavailable(STOPPED) from error
        # A migration may take as long as it takes, once its turn has come.
        self._running += 1
        try:
            with anyio.CancelScope(deadline=until + GRACE_S if foreign_keys else math.inf, shield=True):
                return await future
        finally:
            self._running -= 1
        turn.is_over = True
        if begin == READING:
            raise Unavailable("The database took too long; nothing was changed. Try again in a moment.")
        raise Undecided("The database took too long")

    def engine(self) -> Engine:
        """Return the synchronous engine; it opens the file on first use."""
        with self._opening:  # several threads may be the first
            if self._engine is None:
                self._engine = _make_engine(self._path)
            return self._engine

    def _dispose(self) -> None:
        with self._gate.passing():
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.dispose()

    def _close_connections(self) -> None:
        """Close the connections to a file, until they are needed again. In memory the only one is the database."""
        if self._engine is not None and self._path is not None:
            self._engine.dispose()

    def _transact(self, work: Work[T], begin: str, turn: _Turn, *, foreign_keys: bool = True) -> T:
        """Do a transaction: again after a lost race, and while others hold the lock, until its deadline."""
        races = 0
        while races < ATTEMPTS:
            if self._is_over:  # many may queue for one lock: each would ask for it in vain
                raise Undecided(STOPPED)
            try:
                with _translated(self._path):
                    result = self._once(self._unless_over(work, turn), begin, turn.ends_at, foreign_keys=foreign_keys)
                if begin != READING:
                    self._count_write()
                    if self._checkpoint_due:
                        self._checkpoint()
            except Retry:
                self._retried += 1
                time.sleep(pause_s(races))
                races += 1
            except _Busy as busy:
                if time.monotonic() >= turn.ends_at:
                    raise Unavailable(_BUSY) from busy
                if self._is_over:
                    raise Undecided(STOPPED) from busy
                self._retried += 1
                time.sleep(pause_s(0))
            else:
                return result
        raise Unavailable(_BUSY)

    def _unless_over(self, work: Work[T], turn: _Turn) -> Work[T]:
        """Return `work`, made to fail and roll back if its caller has stopped waiting meanwhile."""

        def act(connection: Connection) -> T:
            result = work(connection)
            if self._is_over or turn.is_over:
                raise Undecided(STOPPED)
            return result

        return act

    def _once(self, work: Work[T], begin: str, until: float, *, foreign_keys: bool = True) -> T:
        with self._gate.passing(), self.engine().connect() as connection:
            raw: Any = connection.connection.driver_connection
            if not foreign_keys:
                raw.execute("PRAGMA foreign_keys = OFF")
            try:
                if begin == READING:
                    raw.execute(begin)
                else:
                    self._begin_to_write(raw, until)
                with connection.begin():
                    return work(connection)
            finally:
                if not foreign_keys:
                    raw.execute("PRAGMA foreign_keys = ON")

    def _begin_to_write(self, raw: Any, until: float) -> None:
        """Begin a writing transaction; with `NOW` only if nobody else writes.

        For a moment everybody takes the lock who finds it free: on a busy machine it would lie idle while the system
        wakes the one whose turn it is. Whoever has waited longer queues, and the first in the queue asks more often
        than all who come later. The queue is left once the transaction has begun, so that the next in it is awake
        when it ends.

        Raises:
            _Busy: it was not this one's turn by `until`, on the monotonic clock.
        """
        if self._queue is None:
            raw.execute("BEGIN IMMEDIATE")
            return
        if _has_begun(raw, min(until, time.monotonic() + UNORDERED_S), 10 * ASK_AGAIN_S):
            return
        with self._queue.turn(until) as came:
            until = min(until, time.monotonic() + BUSY_S)
            if not came or not _has_begun(raw, until, ASK_AGAIN_S if self._queue.keeps_order else 10 * ASK_AGAIN_S):
                raise _Busy

    def _count_write(self) -> None:
        """Decide after each write whether a checkpoint is due: every `WAL_CHECK_EVERY` writes, or when the log is long.

        The size is checked as well because many processes may write a little each.
        """
        self._writes += 1
        if self._path is not None and (self._writes % WAL_CHECK_EVERY == 0 or _is_long(f"{self._path}-wal")):
            self._checkpoint_due = True

    def _checkpoint(self) -> None:
        """Move the log into the file, one process at a time: see `installation.SAFE_SQLITE`.

        Failures are left to the next checkpoint: the transaction is committed already.
        """
        with (
            contextlib.suppress(OSError, DatabaseError, PoolTimeoutError),
            sole_owner(Path(f"{self._path}.checkpoint")) as owned,
        ):
            if owned:
                with self._gate.passing(), self.engine().connect() as connection:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")
        self._checkpoint_due = False


def _is_long(log: str) -> bool:
    try:
        return os.stat(log).st_size > WAL_BYTES_MAX  # noqa: PTH116  # a Path would take as long to make as the look
    except OSError:
        return False


def _has_begun(raw: Any, until: float, pause_s: float) -> bool:
    """Begin a writing transaction on a driver's connection, asking for the lock after each pause; False: it is held.

    SQLite's own waiting grows to a tenth of a second, in which nobody would write: the others wait behind this one.
    """
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() >= until:
                    return False
                time.sleep(pause_s)
            else:
                return True
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")


@dataclass(slots=True)
class _Turn:
    """The deadline of a transaction, on the monotonic clock in seconds, and whether its caller has stopped waiting."""

    ends_at: float
    is_over: bool = False


_BUSY: Final = "The database is busy; nothing was changed. Try again in a moment."


class _Busy(Exception):  # a signal to try again
    """Another process holds the lock."""


def _make_engine(path: Path | None) -> Engine:
    if path is not None:
        if (kind := network_filesystem(path)) is not None:
            raise ConfigError(
                f"The database is on a network file system ({kind}), where SQLite loses data: put it on a local disk, "
                "or use PostgreSQL",
                place=str(path),
            )
        try:
            private_files.make_folder(path.parent)
        except OSError as error:
            raise Unavailable(
                f"The database's folder cannot be made ({error.strerror}): name another place in `database.url`.",
                place=str(path.parent),
            ) from error

    # The driver stays in autocommit mode: `SqliteStore` begins transactions itself, since writers need BEGIN IMMEDIATE.
    return create_engine(
        "sqlite://",
        creator=lambda: _open(path),
        poolclass=QueuePool,
        pool_size=1 if path is None else READERS + 2,  # the writer's, and one for `write_briefly`
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,  # they are words of issues and lessons, and errors are logged
    )


NOW: Final = -math.inf
"""A moment that has passed: for whoever does not wait."""
READING: Final = "BEGIN"
"""How a transaction begins that only reads."""
_PAGES_KB: Final = 1_000
"""Most that a connection keeps of the file, half of SQLite's own: there are five, and the system keeps it as well."""
_PRAGMAS: Final = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "foreign_keys = ON",
    "secure_delete = ON",
    f"cache_size = {-_PAGES_KB}",
    "wal_autocheckpoint = 0",
    f"journal_size_limit = {WAL_BYTES_MAX}",
)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        with contextlib.suppress(OSError):  # SQLite's own error is more specific
            private_files.make_file(path)  # the log and its index get the mode of the file
    connection = sqlite3.connect(path or ":memory:", timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _translated(path: Path | None) -> Generator[None]:
    try:
        yield
    except LessonbookError:
        raise
    except PoolTimeoutError as error:
        raise Unavailable("All database connections are busy; nothing was changed. Try again in a moment.") from error
    except (OperationalError, sqlite3.OperationalError, DatabaseError, sqlite3.DatabaseError) as error:
        raw = error.orig if isinstance(error, DatabaseError) else error
        code = getattr(raw, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise _Busy from error
        if (sentence := _SENTENCES.get(code)) is None:
            raise
        raise Unavailable(f"{sentence} Nothing was changed.", place=str(path)) from error


_SENTENCES: Final[dict[int, str]] = {
    sqlite3.SQLITE_FULL: "The disk is full: free some space and try again.",
    sqlite3.SQLITE_READONLY: "The database file is read-only: make it and its folder writable.",
    sqlite3.SQLITE_CANTOPEN: "The database file cannot be opened: check that its folder exists and is writable.",
    sqlite3.SQLITE_IOERR: "The disk does not answer: check it, then try again.",
    sqlite3.SQLITE_NOTADB: "This file is not a SQLite database: name another file in `database.url`.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged: restore it from a backup, or run `lessonbook doctor`.",
    sqlite3.SQLITE_PERM: "The database file may not be opened: check its permissions.",
}
