"""A process forks with no SQLite connection open.

SQLite keeps its locks in the process's memory as well as in the file, and a fork copies them: if a thread was writing,
the file looks locked to the child for ever, and locks that the child takes are not its own
(https://sqlite.org/howtocorrupt.html, section 2.6).
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Generator
from typing import Final

PATIENCE_S: Final = 5.0
"""How long a fork waits for transactions to end; it cannot be refused."""


class ForkGate:
    """Lets transactions pass, and none while the process forks."""

    def __init__(self, close_connections: Callable[[], None]) -> None:
        self._close_connections = close_connections
        self.reset()
        _gates.add(self)

    @contextlib.contextmanager
    def passing(self) -> Generator[None]:
        """Keep forks waiting in the block; wait for one that is under way."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._passing += 1
        try:
            yield
        finally:
            with self._changed:
                self._passing -= 1
                self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody pass, and close the connections once nobody does."""
        with self._changed:
            self._is_shut = True
            if self._changed.wait_for(lambda: not self._passing, PATIENCE_S):
                self._close_connections()

    def reopen(self) -> None:
        """Let transactions pass again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()

    def reset(self) -> None:
        """Begin anew: in a child the other threads are gone, and with them whoever held the lock or was passing."""
        self._changed = threading.Condition()
        self._passing = 0
        self._is_shut = False


_gates: Final[weakref.WeakSet[ForkGate]] = weakref.WeakSet()


def _for_each(act: Callable[[ForkGate], None]) -> Callable[[], None]:
    def for_each() -> None:
        for gate in list(_gates):
            act(gate)

    return for_each


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_for_each(ForkGate.shut),
        after_in_parent=_for_each(ForkGate.reopen),
        after_in_child=_for_each(ForkGate.reset),
    )
