"""PostgreSQL through asyncpg: one pool per process, changes by LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Literal, TypeVar
from weakref import WeakSet

import anyio
import anyio.lowlevel
import asyncpg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from lessonbook.domain.errors import STOPPED, ConfigError, LessonbookError, Unavailable, Undecided
from lessonbook.store import walls
from lessonbook.store.database_clock import DatabaseClock
from lessonbook.store.dialect import CHANNEL
from lessonbook.store.engine import (
    ATTEMPTS,
    LOCK_TIMEOUT_S,
    POOL_TIMEOUT_S,
    STATEMENT_TIMEOUT_S,
    TRANSACTION_TIMEOUT_S,
    Load,
    Retry,
    Work,
    deadline,
    pause_s,
)
from lessonbook.store.turns import Claim, NotYet, Turns
from lessonbook.store.urls import PostgresAddress, without_password

T = TypeVar("T")

_connect: Any = asyncpg.connect  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped

MIGRATION_LOCK: Final = 0x1E550B00C
POOL_SIZE: Final = 8
CONNECT_TIMEOUT_S: Final = 10.0
SILENCE_S: Final = 20
"""Seconds without an acknowledgement after which the operating system gives a connection up."""
PROBE_S: Final = 5
CLOSE_TIMEOUT_S: Final = 3.0

_READING: Final[Mapping[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_WRITING: Final[Mapping[str, Any]] = {}

_AGAIN: Final = frozenset({"40001", "40P01"})
_READ_ONLY: Final = "25006"
_FULL: Final = "53100"
_NOT_ALLOWED: Final = "42501"
_SHUT_DOWN: Final = frozenset({"57P01", "57P02", "57P03", "53300"})
_SLOW: Final = frozenset({"57014", "55P03"})


def time_outs() -> dict[str, str]:
    """Return the time-outs that a connection asks the server for, in milliseconds."""
    return {
        "statement_timeout": f"{STATEMENT_TIMEOUT_S * 1000:.0f}",
        "lock_timeout": f"{LOCK_TIMEOUT_S * 1000:.0f}",
        # Releases the locks of a client that has gone silent.
        "idle_in_transaction_session_timeout": f"{TRANSACTION_TIMEOUT_S * 1000:.0f}",
    }


class PostgresStore:
    """A PostgreSQL database, shared by any number of replicas."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(self, address: PostgresAddress) -> None:
        self._dsn = address.dsn
        self._clock = DatabaseClock()
        self._turns = Turns()
        self._pool: AsyncEngine | None = None
        self._links: WeakSet[Any] = WeakSet()
        self._is_over = False
        self._names = _AdvisoryLocks(address.dsn)
        self._running = 0
        self._retried = 0

    def within(self, project: str) -> AbstractContextManager[None]:
        """Build a wall around the transactions of a block. See `Store.within`."""
        return walls.within(project)

    def now(self) -> datetime:
        """Return the database server's time."""
        return self._clock.now()

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that sees one snapshot. See `Store.read`."""
        return await self._transact(work, _READING)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction. See `Store.write`."""
        return await self._transact(work, _WRITING)

    async def write_briefly(self, work: Work[T]) -> T:
        """Run `work` in a transaction. See `Store.write_briefly`."""
        return await self.write(work)

    async def holds(self, name: str) -> bool:
        """Take an advisory lock on a connection of its own. See `Store.holds`."""
        with _translated(self._dsn):
            return await self._names.take(name)

    async def migrate(self, work: Work[T]) -> T:
        """Run `work` while holding the advisory lock of migrations, without time-outs."""

        def alone(connection: Connection) -> T:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            return work(connection)

        with walls.within(walls.EVERY_PROJECT):
            return await self._transact(alone, _WRITING, timeout_s=math.inf)

    def load(self) -> Load:
        """Return the load of the pool. See `Store.load`."""
        pool: Any = self._pool.pool if self._pool is not None else None
        in_use = pool.checkedout() if pool is not None else 0
        return Load(in_use, POOL_SIZE, max(0, self._running - in_use), self._retried)

    async def changes(self) -> AsyncIterator[None]:
        """Yield on every notification, and when a lost connection is restored. See `Store.changes`."""
        wake = asyncio.Event()

        def woken(*_: object) -> None:
            wake.set()

        while True:
            connection: Any = None
            try:
                connection = await _connect(self._dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)
                _notice_silence(connection)
                connection.add_termination_listener(woken)
                await connection.add_listener(CHANNEL, woken)
                wake.set()
                while True:
                    await wake.wait()
                    wake.clear()
                    if connection.is_closed():
                        break
                    yield
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await anyio.sleep(1)
            finally:
                if connection is not None:
                    connection.terminate()

    def give_up(self) -> None:
        """Break all connections off. See `Store.give_up`."""
        self._is_over = True
        self._names.close()
        self._turns.give_up()
        for link in list(self._links):
            link.terminate()

    async def scrub(self) -> None:
        """Do nothing: vacuuming, archives and backups are the server's and its owner's (SECURITY.md)."""

    async def close(self) -> None:
        """Close the pool: its connections by the protocol, unless the server is silent."""
        self._names.close()
        if self._pool is not None:
            with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
                await self._pool.dispose()
        for link in list(self._links):
            link.terminate()

    def engine(self) -> AsyncEngine:
        """Return the asynchronous engine; it connects on first use."""
        if self._pool is None:
            self._pool = create_async_engine(
                "postgresql+asyncpg://",
                async_creator=self._connect,
                pool_size=POOL_SIZE,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_S,
                pool_use_lifo=True,
                hide_parameters=True,  # they are words of issues and lessons, and errors are logged
            )
        return self._pool

    async def _connect(self) -> Any:
        if self._is_over:
            raise Undecided(STOPPED)
        try:
            link = await _connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_S,
                connection_class=_Walled,
                # The server stops a slow statement first; this is for a server that has gone silent.
                command_timeout=STATEMENT_TIMEOUT_S + 1,
                server_settings={
                    "application_name": "lessonbook",
                    **time_outs(),
                    "tcp_user_timeout": f"{SILENCE_S * 1000}",
                    "default_transaction_isolation": "read committed",
                    "timezone": "UTC",
                },
            )
        except (
            ValueError,
            OverflowError,
            asyncpg.SyntaxOrAccessError,
        ) as error:  # an invalid address or parameter
            raise ConfigError(
                "`database.url` is not understood: check the port, the parameters, and that special characters of "
                "the password are written as %40 and the like",
                place=without_password(self._dsn),
            ) from error
        _notice_silence(link)
        self._links.add(link)
        return link

    async def _transact(self, work: Work[T], options: Mapping[str, Any], timeout_s: float | None = None) -> T:
        await anyio.lowlevel.checkpoint_if_cancelled()
        until = deadline(TRANSACTION_TIMEOUT_S if timeout_s is None else timeout_s)
        claim = Claim(self._turns)
        attempt = 0
        try:
            while True:
                try:
                    with _translated(self._dsn):
                        return await self._in_time(work, {**options, "claim": claim}, until)
                except NotYet:  # in vain, but not for long: reading comes before, and nothing was written
                    await self._wait(claim, until)
                    continue
                except (Retry, _Again) as again:
                    attempt += 1
                    if attempt == ATTEMPTS:
                        raise Unavailable(_BUSY) from again
                self._retried += 1
                await anyio.sleep(pause_s(attempt - 1))
        finally:
            claim.end()

    async def _wait(self, claim: Claim, until: float) -> None:
        """Wait for a turn, without a connection; a caller that is cancelled goes at once."""
        with anyio.CancelScope(deadline=until) as scope:
            if await claim.wait():
                return
        raise Unavailable(_BUSY if scope.cancelled_caught else STOPPED)

    async def _in_time(self, work: Work[T], options: Mapping[str, Any], until: float) -> T:
        """Do `_once` until the deadline; then the connection is closed."""
        commit = _Commit()
        try:
            self._running += 1
            # Shielded: a cancelled caller must not leave a connection in the middle of the protocol.
            with anyio.CancelScope(deadline=until, shield=True):
                return await self._once(work, options, commit)
        except TimeoutError as error:  # the driver's own, for one statement
            raise self._late(commit) from error
        finally:
            self._running -= 1
        raise self._late(commit)

    def _late(self, commit: _Commit) -> Unavailable:
        if self._is_over:
            return Undecided(STOPPED)
        if commit.begun:
            return Undecided(_BROKE)
        return Unavailable("The database took too long; nothing was changed. Try again in a moment.")

    async def _once(self, work: Work[T], options: Mapping[str, Any], commit: _Commit) -> T:
        async with self.engine().connect() as connection:
            try:
                await connection.execution_options(**options)
                if self._clock.is_stale:
                    await connection.run_sync(self._clock.measure)
                result = await connection.run_sync(work)
            except TimeoutError:  # the state of the connection is unknown
                await connection.invalidate()
                raise
            except DBAPIError as error:
                if self._is_over:
                    raise Undecided(STOPPED) from error
                if error.connection_invalidated:  # lost before COMMIT was sent: nothing happened, so try again
                    raise _Again from error
                raise
            commit.begun = True
            try:
                await connection.commit()
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise Undecided(_BROKE) from error
                raise
            return result


class _Walled(asyncpg.Connection):  # pyright: ignore[reportMissingTypeArgument, reportUntypedBaseClass]  # untyped
    """A connection whose transactions begin with the wall of the block in which they begin."""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # the driver's
        """Execute a statement; BEGIN takes the wall along, in the same round trip."""
        if query.startswith("BEGIN"):
            query = f"{query} {walls.opening()}"
        return await super().execute(query, *args, timeout=timeout)  # pyright: ignore[reportUnknownMemberType]


class _AdvisoryLocks:
    """Names that this process holds against other replicas: advisory locks of one session."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._link: Any = None
        self._names: set[str] = set()
        self._taking = anyio.Lock()

    async def take(self, name: str) -> bool:
        """Hold `name` unless another session does, and return whether this one does. Without a name no link is kept."""
        async with self._taking:
            if self._link is None or self._link.is_closed():
                self._names.clear()
                self._link = await _connect(self._dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S)
                _notice_silence(self._link)
            if name not in self._names:
                key = int.from_bytes(sha256(f"lessonbook {name}".encode()).digest()[:8], signed=True)
                if await self._link.fetchval("SELECT pg_try_advisory_lock($1)", key):
                    self._names.add(name)
            if not self._names:
                self.close()
            return name in self._names

    def close(self) -> None:
        """Let go of all names."""
        link, self._link = self._link, None
        self._names.clear()
        if link is not None:
            link.terminate()


class _Again(Exception):  # a signal to try again
    """The transaction was not committed, and may succeed when it is run again."""


@dataclass(slots=True)
class _Commit:
    """Whether a transaction's COMMIT has been sent: from then on it may be done, even if no answer comes."""

    begun: bool = False


def _notice_silence(link: Any) -> None:
    """Let the operating system detect that the server or the network has gone."""
    transport = getattr(link, "_transport", None)  # the driver has no public access to it
    wire = transport.get_extra_info("socket") if transport is not None else None
    if wire is None or wire.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {
        "TCP_KEEPIDLE": PROBE_S,
        "TCP_KEEPINTVL": PROBE_S,
        "TCP_KEEPCNT": SILENCE_S // PROBE_S,
        "TCP_USER_TIMEOUT": SILENCE_S * 1000,
    }.items():
        if (option := getattr(socket, name, None)) is not None:  # not every system has each
            wire.setsockopt(socket.IPPROTO_TCP, option, value)


_BUSY: Final = "The database is busy; nothing was changed. Try again in a moment."
_BROKE: Final = "The connection broke while the answer was being committed"


@contextlib.contextmanager
def _translated(dsn: str) -> Generator[None]:
    try:
        yield
    except (LessonbookError, Retry, NotYet, _Again):
        raise
    except PoolTimeoutError as error:
        raise Unavailable("All database connections are busy; nothing was changed. Try again in a moment.") from error
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise _meaning(error, dsn) from error


def _meaning(error: Exception, dsn: str) -> Exception:
    """Return the error for the caller; an error in our own SQL is returned as it is."""
    state = _sqlstate(error)
    where = without_password(dsn)
    if state in _AGAIN:
        return _Again()
    if state == _READ_ONLY:
        return Unavailable("The database is read-only; nothing was changed. Point `database.url` at the primary.")
    if state == _FULL:
        return Unavailable("The database's disk is full; nothing was changed. Free some space and try again.")
    if state in _SLOW:
        return Unavailable("The database took too long; nothing was changed. Try again in a moment.")
    if state[:2] == "3D":
        return Unavailable("There is no such database. Make it, or check `database.url`.", place=where)
    if state == _NOT_ALLOWED and "row-level security" not in str(error):
        return ConfigError(
            "The database role lacks a right that this needs. Let the owner of the tables run "
            "`lessonbook db upgrade`, and what `lessonbook db grant ROLE` prints."
        )
    if state[:2] == "28":
        return Unavailable("The database refuses the login. Check `database.url`.", place=where)
    if state in _SHUT_DOWN or isinstance(error, (OSError, InterfaceError)) or not state or state[:2] == "08":
        return Unavailable("The database does not answer; nothing was changed. Is it running?", place=where)
    return error


def _sqlstate(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        state = getattr(seen, "sqlstate", None) or getattr(getattr(seen, "orig", None), "sqlstate", None)
        if state:
            return str(state)
        seen = seen.__cause__
    return ""
