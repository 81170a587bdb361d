"""Connections and transactions: one way to read and one to write, the same on both databases.

Work is a plain function of a SQLAlchemy `Connection`, so that a query is written once. On SQLite it runs on a worker
thread, a whole transaction in one hop; on PostgreSQL it runs in a greenlet over asyncpg.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, assert_never

import anyio
from sqlalchemy import Connection

from lessonbook.store.urls import Address, PostgresAddress, SqliteAddress

if TYPE_CHECKING:
    from lessonbook.store.changes import Changes

T = TypeVar("T")
Work = Callable[[Connection], T]

STATEMENT_TIMEOUT_S = 8.0
LOCK_TIMEOUT_S = 10.0
POOL_TIMEOUT_S = 15.0
TRANSACTION_TIMEOUT_S = 25.0
"""One transaction with all its waits and tries. Each of these is less than the next, the least a tool's time-out."""
ATTEMPTS = 4


class Retry(Exception):  # a signal to run the transaction again, not an error
    """Raised by work that lost a race for a unique key: run the transaction again, it will now see the winner."""


class Store(Protocol):
    """A migrated database."""

    @property
    def dialect(self) -> Literal["sqlite", "postgresql"]:
        """Which database this is."""
        ...

    async def read(self, work: Work[T]) -> T:
        """Run `work` in a transaction that only reads.

        Raises:
            Unavailable: the database does not answer, or not in time.
        """
        ...

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a writing transaction and commit it before returning.

        `work` may run again after a lost race or a broken connection, so it must have no other effects.

        Raises:
            Unavailable: the database does not answer in time, is read-only or full; the sentence tells whether
                something may have been changed.
        """
        ...

    async def write_briefly(self, work: Work[T]) -> T:
        """Do as `write` does for work of a millisecond or two: on SQLite without a change of thread where it can be.

        Raises:
            Unavailable: as `write`.
        """
        ...

    def changes(self) -> Changes:
        """Return a stream that wakes up once it has begun, then after commits, this process's and others'."""
        ...

    async def migrate(self, work: Work[T]) -> T:
        """Run `work`, a migration, while no other process migrates."""
        ...

    def give_up(self) -> None:
        """Let all work that is under way fail at once, and whatever comes after it: the process ends."""
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...


def connect(address: Address) -> Store:
    """Return the store at `address`; nothing is opened before its first use."""
    match address:
        case SqliteAddress():
            from lessonbook.store.sqlite import SqliteStore  # noqa: PLC0415  # only the driver that is used

            return SqliteStore(address)
        case PostgresAddress():
            from lessonbook.store.postgres import PostgresStore  # noqa: PLC0415  # only the driver that is used

            return PostgresStore(address)
        case _:
            assert_never(address)


def deadline(timeout_s: float) -> float:
    """Return until when a transaction that begins now may take: `timeout_s`, or as long as its caller waits.

    It is a moment of the event loop's clock. A transaction is shielded from its caller's going away, so it would not
    notice its caller's own time-out otherwise.
    """
    return min(anyio.current_time() + timeout_s, anyio.current_effective_deadline())


def pause_s(attempt: int) -> float:
    """Return how long to wait before try number `attempt` + 1: exponential from 20 ms, with full jitter."""
    return random.uniform(0, 0.02 * 2**attempt)  # noqa: S311  # jitter is no secret
