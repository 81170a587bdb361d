"""Connections and transactions: one way to read and one to write, the same on both databases.

Work is a plain function of a SQLAlchemy `Connection`, so that a query is written once. On SQLite it runs on a worker
thread, a whole transaction in one hop; on PostgreSQL it runs in a greenlet over asyncpg.
"""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeVar, assert_never

import anyio
from sqlalchemy import Connection

from lessonbook.store.urls import Address, PostgresAddress, SqliteAddress

T = TypeVar("T")
Work = Callable[[Connection], T]

STATEMENT_TIMEOUT_S = 8.0
LOCK_TIMEOUT_S = 10.0
POOL_TIMEOUT_S = 15.0
TRANSACTION_TIMEOUT_S = 25.0
"""One transaction with all its waits and attempts. Each of these is less than the next, and less than a tool's."""
ATTEMPTS = 4


class Retry(Exception):  # a signal, not an error
    """Work lost a race for a unique key: run the transaction again, so that it sees the winner."""


@dataclass(frozen=True, slots=True)
class Load:
    """Connections in use and how many there may be, transactions that wait for one, and transactions run again."""

    in_use: int
    limit: int
    waiting: int
    retried: int


class Store(Protocol):
    """A migrated database."""

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database this is."""
        ...

    def within(self, project: str) -> AbstractContextManager[None]:
        """Let transactions that begin within the block touch rows of one project alone, or of `EVERY_PROJECT`.

        PostgreSQL enforces it by row-level security; SQLite leaves it to the queries.
        """
        ...

    def now(self) -> datetime:
        """Return the time by the clock that all processes on this database share."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that only reads.

        Raises:
            Unavailable: the database does not answer, or not in time.
        """
        ...

    async def view(self, work: Work[T]) -> T:
        """Run `work` as `read` does, on a replica where there is one that is current: for what people look at.

        It may miss what was written within the last seconds.

        Raises:
            Unavailable: as `read`.
        """
        ...

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a writing transaction and commit it before returning.

        `work` may run again after a lost race or a broken connection, so it must have no other effects.

        Raises:
            Unavailable: the database does not answer in time, is read-only or full; the message says whether something
                may have been changed.
        """
        ...

    async def write_briefly(self, work: Work[T]) -> T:
        """Do as `write` for work of a millisecond or two: on SQLite without a change of thread where possible.

        Raises:
            Unavailable: as `write`.
        """
        ...

    def load(self) -> Load:
        """Return the load of this process's connections now."""
        ...

    def changes(self) -> AsyncIterator[None]:
        """Yield once at the beginning, then for ever when something may have been committed by any process.

        What changed is read from `agent_revisions`.
        """
        ...

    async def holds(self, name: str) -> bool:
        """Take `name` for this process unless another process has it, and return whether this one has it.

        It is kept until `close`, until the process ends, or until its connection is lost. A wrong answer does no harm
        but double work: what is done under a name is correct in any number of processes.
        """
        ...

    async def warnings(self) -> list[str]:
        """Return what works less well on this database than it could, a sentence each, for the doctor.

        Raises:
            Unavailable: the database does not answer.
        """
        ...

    async def migrate(self, work: Work[T]) -> T:
        """Run `work`, a migration, while no other process migrates."""
        ...

    def give_up(self) -> None:
        """Let all work, current and later, fail at once, because the process ends."""

    async def scrub(self) -> None:
        """Leave nothing of erased words in the database's own files, as far as this process can see to it."""
        ...

    async def close(self) -> None:
        """Close all connections."""


def connect(address: Address, replica: PostgresAddress | None = None) -> Store:
    """Return the store at `address`, with a replica for views; nothing is opened before its first use."""
    match address:
        case SqliteAddress():
            from lessonbook.store.sqlite import SqliteStore  # noqa: PLC0415  # only the driver that is used

            return SqliteStore(address)
        case PostgresAddress():
            from lessonbook.store.postgres import PostgresStore  # noqa: PLC0415  # only the driver that is used

            return PostgresStore(address, replica)
        case _:
            assert_never(address)


def deadline(timeout_s: float) -> float:
    """Return the deadline of a transaction that begins now: `timeout_s` from now, or its caller's if that is earlier.

    It is a time of the event loop's clock, in seconds. A transaction is shielded from its caller's cancellation, so it
    would not notice its caller's own time-out.
    """
    return min(anyio.current_time() + timeout_s, anyio.current_effective_deadline())


def pause_s(attempt: int) -> float:
    """Return the pause before attempt number `attempt` + 1, in seconds: exponential from 20 ms, with full jitter."""
    return random.uniform(0, 0.02 * 2**attempt)  # noqa: S311  # jitter needs no secrecy
