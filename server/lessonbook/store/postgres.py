"""PostgreSQL through asyncpg: one pool per process, changes by LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
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
from lessonbook.store import row_security
from lessonbook.store.advisory_locks import AdvisoryLocks
from lessonbook.store.database_clock import DatabaseClock
from lessonbook.store.dialect import CHANNEL, announce
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
from lessonbook.store.lock_turns import Claim, NotYet, Turns
from lessonbook.store.postgres_links import Link, hears, listen, open_link
from lessonbook.store.urls import PostgresAddress, without_password

T = TypeVar("T")

log = logging.getLogger(__name__)

MIGRATION_LOCK: Final = 0x1E550B00C
POOL_SIZE: Final = 8
CLOSE_TIMEOUT_S: Final = 3.0
POLL_S: Final = 0.5
"""How often changes are looked for, in seconds, where a connection pooler passes no notifications on."""
UNHEARD: Final = (
    "The connection pooler in front of PostgreSQL passes no notifications on (pgbouncer in transaction mode does not), "
    f"so changes are looked for every {POLL_S} s."
)

REPLICA_TIMEOUT_S: Final = 5.0
REPLICA_REST_S: Final = 30.0
"""How long a replica that failed or lagged is not asked again, in seconds."""
UNUSED_REPLICA: Final = "Views are read from the primary, since the replica at `database.replica_url` is not usable."
LAGS: Final = "It is more than 10 s behind, or not connected to its primary."
# Whatever has arrived is applied, or what was applied last is young. A replica that archives alone feed always lags.
_IS_CURRENT: Final = text("""
    SELECT NOT pg_is_in_recovery() OR (EXISTS (SELECT FROM pg_stat_wal_receiver) AND (
        pg_last_wal_receive_lsn() IS NOT DISTINCT FROM pg_last_wal_replay_lsn()
        OR clock_timestamp() - pg_last_xact_replay_timestamp() < interval '10 seconds'))""")

_READING: Final[Mapping[str, Any]] = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_WRITING: Final[Mapping[str, Any]] = {}

_AGAIN: Final = frozenset({"40001", "40P01"})
_READ_ONLY: Final = "25006"
_FULL: Final = "53100"
_NOT_ALLOWED: Final = "42501"
_SHUT_DOWN: Final = frozenset({"57P01", "57P02", "57P03", "53300"})
_SLOW: Final = frozenset({"57014", "55P03"})


class PostgresStore:
    """A PostgreSQL database, shared by any number of replicas."""

    dialect: Literal["postgresql"] = "postgresql"

    def __init__(
        self, address: PostgresAddress, replica: PostgresAddress | None = None, *, is_patient: bool = False
    ) -> None:
        self._replica = None if replica is None else PostgresStore(replica)
        self._rests_until_s = 0.0
        """Until when the replica is not asked, by the clock of the event loop."""
        self._address = address
        self._dsn = address.dsn
        self._is_patient = is_patient
        self._migrating: PostgresStore | None = None
        self._clock = DatabaseClock()
        self._turns = Turns()
        self._pool: AsyncEngine | None = None
        self._is_shared = False
        """Whether a pooler shared the server's sessions among its clients, when the last link was opened."""
        self._links: WeakSet[Link] = WeakSet()
        self._is_over = False
        self._is_polled = False
        self._names = AdvisoryLocks(address.dsn)
        self._running = 0
        self._retried = 0

    def within(self, project: str) -> AbstractContextManager[None]:
        """Build a wall around the transactions of a block. See `Store.within`."""
        return row_security.within(project)

    def now(self) -> datetime:
        """Return the database server's time."""
        return self._clock.now()

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that sees one snapshot. See `Store.read`."""
        return await self._transact(work, _READING)

    async def view(self, work: Work[T]) -> T:
        """Run `work` on the replica, or here where that fails or lags, which is logged. See `Store.view`."""
        if self._replica is None or anyio.current_time() < self._rests_until_s:
            return await self.read(work)

        def currently(connection: Connection) -> T:
            if not connection.execute(_IS_CURRENT).scalar_one():
                raise Unavailable(LAGS)
            return work(connection)

        cause = "It does not answer in time."
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + REPLICA_TIMEOUT_S):
                return await self._replica.read(currently)
        except (Unavailable, ConfigError) as error:
            cause = str(error)
        self._rests_until_s = anyio.current_time() + REPLICA_REST_S
        log.warning("%s %s", UNUSED_REPLICA, cause)
        return await self.read(work)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction. See `Store.write`."""
        return await self._transact(work, _WRITING)

    async def write_briefly(self, work: Work[T]) -> T:
        """Run `work` in a transaction. See `Store.write_briefly`."""
        return await self.write(work)

    async def holds(self, name: str) -> bool:
        """Take an advisory lock on a connection of its own. See `Store.holds`."""
        with _translated(self._dsn):
            return await self._names.take(name, as_shared=self._is_shared)

    async def migrate(self, work: Work[T]) -> T:
        """Run `work` while holding the advisory lock of migrations, without time-outs."""

        def alone(connection: Connection) -> T:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            return work(connection)

        patient = self._migrating = PostgresStore(self._address, is_patient=True)
        try:
            with row_security.within(row_security.EVERY_PROJECT):
                return await patient._transact(alone, _WRITING, timeout_s=math.inf)
        finally:
            self._migrating = None
            await patient.close()

    def load(self) -> Load:
        """Return the load of the pool. See `Store.load`."""
        pool: Any = self._pool.pool if self._pool is not None else None
        in_use = pool.checkedout() if pool is not None else 0
        return Load(in_use, POOL_SIZE, max(0, self._running - in_use), self._retried)

    async def changes(self) -> AsyncIterator[None]:
        """Yield on every notification, and when a lost connection is restored. See `Store.changes`.

        Where a pooler keeps notifications back, yield every `POLL_S`.
        """
        wake = asyncio.Event()

        def woken(*_: object) -> None:
            wake.set()

        while True:
            link: Any = None
            try:
                link = await open_link(self._dsn, as_shared=self._is_shared)
                if link.is_shared and not await hears(link, self._notify):
                    break
                link.add_termination_listener(woken)
                await listen(link, CHANNEL, woken)
                wake.set()
                while True:
                    await wake.wait()
                    wake.clear()
                    if link.is_closed():
                        break
                    yield
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await anyio.sleep(1)
            finally:
                if link is not None:
                    link.terminate()
        if not self._is_polled:
            self._is_polled = True
            log.warning("%s", UNHEARD)
        while True:
            yield
            await anyio.sleep(POLL_S)

    async def warnings(self) -> list[str]:
        """Return that notifications do not arrive, where that is so. See `Store.warnings`."""
        found: list[str] = []
        with _translated(self._dsn):
            link = await open_link(self._dsn, as_shared=self._is_shared)
            try:
                if link.is_shared and not await hears(link, self._notify):
                    found.append(UNHEARD)
            finally:
                link.terminate()
        if self._replica is not None:
            try:
                if not await self._replica.read(lambda connection: connection.execute(_IS_CURRENT).scalar_one()):
                    found.append(f"{UNUSED_REPLICA} {LAGS}")
            except (Unavailable, ConfigError) as error:
                found.append(f"{UNUSED_REPLICA} {error}")
        return found

    async def _notify(self, channel: str) -> None:
        await self.write(lambda connection: announce(connection, "", channel=channel))

    def give_up(self) -> None:
        """Break all connections off. See `Store.give_up`."""
        self._is_over = True
        self._names.close()
        self._turns.give_up()
        if self._migrating is not None:
            self._migrating.give_up()
        if self._replica is not None:
            self._replica.give_up()
        for link in list(self._links):
            link.terminate()

    async def scrub(self) -> None:
        """Do nothing: vacuuming, archives and backups are the server's and its owner's (SECURITY.md)."""

    async def close(self) -> None:
        """Close the pool: its connections by the protocol, unless the server is silent."""
        self._names.close()
        if self._replica is not None:
            await self._replica.close()
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

    async def _connect(self) -> Link:
        if self._is_over:
            raise Undecided(STOPPED)
        link = await open_link(self._dsn, as_shared=self._is_shared, is_patient=self._is_patient)
        self._is_shared = link.is_shared
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


class _Again(Exception):  # a signal to try again
    """The transaction was not committed, and may succeed when it is run again."""


@dataclass(slots=True)
class _Commit:
    """Whether a transaction's COMMIT has been sent: from then on it may be done, even if no answer comes."""

    begun: bool = False


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
