"""Breaking a request off once its token is not valid any more: a stream may last for hours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lessonbook.domain.errors import LessonbookError, Unauthorised


class Validity:
    """Looks at a request's token again at intervals, and cancels the request's task once the token is not valid.

    Args:
        check: raises `Unauthorised` where the token is not valid.
        every_s: the pause between two looks, in seconds.
    """

    def __init__(self, check: Callable[[], Awaitable[object]], every_s: float) -> None:
        self._check = check
        self._every_s = every_s
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.Task[None] | None = None
        self._is_over = False

    async def guard(self, work: Awaitable[None]) -> None:
        """Await `work`, and break it off when the token's validity ends."""
        self._task = asyncio.current_task()
        self._wait()
        try:
            await work
        except asyncio.CancelledError:
            if not self._is_over or self._task is None:
                raise
            self._task.uncancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            if self._look is not None:
                self._look.cancel()

    def _wait(self) -> None:
        # A timer costs a request of a millisecond less than a task would.
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._begin)

    def _begin(self) -> None:
        self._look = asyncio.ensure_future(self._checked())

    async def _checked(self) -> None:
        try:
            await self._check()
        except Unauthorised:
            self._is_over = True
            if self._task is not None:
                self._task.cancel()
        except LessonbookError:  # the database or the issuer does not answer now: the stream goes on
            self._wait()
        else:
            self._wait()
