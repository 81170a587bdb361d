"""Upkeep: once a client is there, the store is opened before it is needed, and looked after once a day."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from lessonbook import services
from lessonbook.edges.desk import Desk, answer
from lessonbook.errors import LessonbookError
from lessonbook.models.lesson import Caller

WARM_AFTER_S: Final = 0.5
"""The first answers go out before the store is loaded, which takes a fifth of a second of the processor."""
EVERY_S: Final = 86_400.0
log = logging.getLogger(__name__)


class Housekeeper:
    """Expires what is overdue, folds old deliveries into counts and forgets old keys of the desk's project."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._met = anyio.Event()

    async def notice(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Notice, as middleware, that a client has been answered."""
        result = await call_next(ctx)
        self._met.set()
        return result

    async def run(self) -> None:
        """Keep up for ever: nothing happens before a client has been answered."""
        await self._met.wait()
        await anyio.sleep(WARM_AFTER_S)
        await anyio.to_thread.run_sync(import_module, "lessonbook.services.opening")
        caller = Caller(self._desk.caller().project, "upkeep")
        while True:
            try:
                workspace = await self._desk.workspace()
                await answer(lambda: services.maintain.keep_up(workspace, caller))  # noqa: B023  # awaited at once
            except LessonbookError as error:  # a server that cannot keep up can still serve
                log.warning("the database cannot be looked after now: %s", error)
            await anyio.sleep(EVERY_S)
