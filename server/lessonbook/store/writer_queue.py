"""Whose turn it is to write to a SQLite file: first come, first served, between threads and between processes.

SQLite itself has no queue: who waits asks again after ever longer pauses, so that those who have waited longest ask
most rarely, and late comers overtake them. Of 64 processes some then waited ten times as long as others.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Final

from lessonbook.machine import private_files

KEEPS_ORDER: Final = sys.platform != "win32"
"""Whether there is a lock that wakes its waiters in order."""


class WriterQueue:
    """A queue in front of `BEGIN IMMEDIATE`, by `flock` on a file beside the database: its holder is next to write.

    The kernel wakes waiters in the order in which they came, and lets the next one pass when a holder dies. SQLite's
    own lock decides all the same: where the file cannot be made, or on Windows, everybody passes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = threading.Lock()
        """One thread of this process at a time: `flock` does not tell apart those that share a file handle."""
        self._changed = threading.Condition()
        self._handle: int | None = None
        self._is_waiting = False
        self._is_wanted = False
        self._is_granted = False
        self._is_over = False

    @contextlib.contextmanager
    def turn(self, until: float) -> Generator[bool]:
        """Wait for a turn and hold it in the block; yield False if it did not come by `until`, on the monotonic clock.

        With an `until` in the past nothing is waited for.
        """
        if not self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
            yield False
            return
        try:
            handle = self._opened()
            if handle is None:
                yield True
                return
            if not self._pass(handle, until):
                yield False
                return
            try:
                yield True
            finally:
                _unlock(handle)
        finally:
            self._turn.release()

    @property
    def keeps_order(self) -> bool:
        """Whether whoever passes is alone until the turn ends."""
        return self._handle is not None

    def give_up(self) -> None:
        """Let everybody who waits here stop waiting."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def close(self) -> None:
        """Close the file, unless somebody still waits; then that thread closes it."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
            if not self._is_waiting:
                self._close()

    def _close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _opened(self) -> int | None:
        with self._changed:
            if self._handle is None and not self._is_over and KEEPS_ORDER:
                with contextlib.suppress(OSError):
                    self._handle = private_files.opener(str(self._path), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
            return self._handle

    def _pass(self, handle: int, until: float) -> bool:
        """Return whether the lock is held, now or by `until`."""
        with self._changed:
            if not self._is_waiting:
                if _lock(handle, waits=False):
                    return True
                if time.monotonic() >= until:
                    return False
                self._is_waiting = True
                # A call of `flock` has no time limit and cannot be broken off. A process that ends does not wait for
                # this thread.
                threading.Thread(target=self._wait, args=(handle,), name="lessonbook-queue", daemon=True).start()
            self._is_wanted = True
            self._changed.wait_for(lambda: self._is_granted or self._is_over, max(0.0, until - time.monotonic()))
            granted, self._is_granted, self._is_wanted = self._is_granted, False, False
            return granted

    def _wait(self, handle: int) -> None:
        """Wait for the lock, for whoever wants it when it comes."""
        _lock(handle)
        with self._changed:
            self._is_waiting = False
            if self._is_wanted and not self._is_over:
                self._is_granted = True
                self._changed.notify_all()
            else:
                _unlock(handle)
                if self._is_over:
                    self._close()


if sys.platform == "win32":

    def _lock(handle: int, *, waits: bool = True) -> bool:  # never called: see `KEEPS_ORDER`
        raise NotImplementedError(handle, waits)

    def _unlock(handle: int) -> None:
        raise NotImplementedError(handle)

else:
    import fcntl

    def _lock(handle: int, *, waits: bool = True) -> bool:
        """Return whether the lock is held; without `waits` at once."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)
