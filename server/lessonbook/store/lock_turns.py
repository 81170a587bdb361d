"""Whose turn it is to write on PostgreSQL: who wants a lock that others of the process want waits without a connection.

A transaction that waits for a lock of the database keeps its connection. Without this, the writers of one agent would
take all connections of the pool to wait for each other, and nobody else would be served meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Final

AT_ONCE: Final = 2
"""Transactions that may want one lock at once: one that has it, and one that reads what it needs before it."""


class NotYet(Exception):  # a signal to wait
    """Others want the same locks: the transaction is to end, to wait for its turn, and to run again."""


class Turns:
    """The transactions of a process that want locks, by name, in the order in which they came.

    It belongs to one event loop. Transactions wait here for all their names at once and with nothing in hand, so they
    cannot wait for each other in a circle.
    """

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[bool], frozenset[str]] = {}

    def take(self, names: frozenset[str]) -> bool:
        """Take all of `names` unless others have them, or wait for one of them; return whether they were taken."""
        if not self._are_free(names) or any(not names.isdisjoint(wanted) for wanted in self._waiting.values()):
            return False
        self._taken.update(names)
        return True

    def let_go(self, names: frozenset[str]) -> None:
        """Give names back, and let those pass who waited for them."""
        self._taken.subtract(names)
        self._admit()

    async def wait(self, names: frozenset[str]) -> bool:
        """Take all of `names` once that is possible; return False if the process ends before."""
        admitted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[admitted] = names
        self._admit()
        try:
            return await admitted
        except asyncio.CancelledError:
            if self._waiting.pop(admitted, None) is None and not admitted.cancelled() and admitted.result():
                self._taken.subtract(names)  # it was admitted and cancelled in the same turn of the loop
            self._admit()
            raise

    def give_up(self) -> None:
        """Let everybody who waits stop waiting."""
        for admitted in self._waiting:
            if not admitted.done():
                admitted.set_result(False)
        self._waiting.clear()

    def _are_free(self, names: frozenset[str]) -> bool:
        return all(self._taken[name] < AT_ONCE for name in names)

    def _admit(self) -> None:
        """Let waiting transactions pass in their order; none overtakes one that wants the same name."""
        wanted_before: set[str] = set()
        for admitted, names in list(self._waiting.items()):
            if not admitted.done() and self._are_free(names) and wanted_before.isdisjoint(names):
                del self._waiting[admitted]
                self._taken.update(names)
                admitted.set_result(True)
            else:
                wanted_before |= names
        self._taken += Counter[str]()  # forgets names that nobody has


class Claim:
    """What one transaction has taken, through all its attempts."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._held: frozenset[str] = frozenset()
        self._wanted: frozenset[str] = frozenset()

    def take(self, names: Iterable[str]) -> None:
        """Take further names.

        Raises:
            NotYet: others have them or wait for them.
        """
        more = frozenset(names) - self._held
        if more and not self._turns.take(more):
            self._wanted = self._held | more
            raise NotYet
        self._held |= more

    async def wait(self) -> bool:
        """Wait for all that the transaction is known to want; return False if the process ends before."""
        self.end()
        admitted = await self._turns.wait(self._wanted)
        self._held = self._wanted if admitted else frozenset()
        return admitted

    def end(self) -> None:
        """Give back all that was taken."""
        held, self._held = self._held, frozenset()
        self._turns.let_go(held)
