"""Upkeep: once a client is there, the store is opened before it is needed, and looked after once an hour.

Where a language model is configured, pending issues are worked on in the background, one round at a time.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any, Final

import anyio
import anyio.to_thread
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

from lessonbook import services
from lessonbook.domain.errors import ConfigError, LessonbookError
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway

WARM_AFTER_S: Final = 0.5
"""The first answers go out before the store is loaded, which takes a fifth of a second of the processor."""
EVERY_S: Final = 3_600.0
AGAIN_S: Final = 60.0
PAUSE_MAX_S: Final = 3_600.0
"""While the model fails its rounds come ever more seldom, until they are this far apart."""
log = logging.getLogger(__name__)


class Housekeeper:
    """Expires what is overdue, folds old deliveries into counts and forgets old keys of the gateway's project."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
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
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_up)
            tasks.start_soon(self._refine)
            tasks.start_soon(self._embed)

    async def _keep_up(self) -> None:
        caller = Caller(self._gateway.caller().project, "upkeep")
        while True:
            try:
                await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.background.keep_up)
            except LessonbookError as error:  # a server that cannot keep up can still serve
                log.warning("the database cannot be looked after now: %s", error)
            await anyio.sleep(EVERY_S)

    async def _embed(self) -> None:
        """Let the configured embedding model, if there is one, take in lessons as they change."""
        while True:
            pause_s = AGAIN_S
            try:
                again_s = await self._gateway.call_for(self._gateway.caller(), None, services.background.embed_lessons)
                if again_s is None:
                    return
                pause_s = again_s
            except LessonbookError as error:
                log.warning("lessons cannot be embedded now: %s", error)
            await anyio.sleep(pause_s)

    async def _refine(self) -> None:
        """Let the configured model, if there is one, work on pending issues; a server without it serves on."""
        caller = Caller(self._gateway.caller().project, "refiner")
        rules, pause_s = True, 0.0
        while True:
            try:
                settings = await self._gateway.call_for(caller, None, services.background.refiner_settings)
            except LessonbookError:  # told by whoever keeps up
                await anyio.sleep(AGAIN_S)
                continue
            if not settings.model or not settings.background:
                return
            try:
                services.triage.check_extra(settings)
                wanted = services.triage.Wanted(rules=rules)
                report = await self._gateway.call_for(caller, None, services.triage.refine_backlog, wanted)
                if report.stopped:
                    log.warning("refining pending issues stopped: %s", report.stopped)
                went_well = not report.failed
            except ConfigError as error:
                log.warning("pending issues wait, all else goes on: %s", error)
                return
            except LessonbookError as error:
                log.warning("pending issues cannot be refined now: %s", error)
                went_well = False
            rules = False
            pause_s = settings.every_s if went_well else max(min(2 * pause_s, PAUSE_MAX_S), settings.every_s)
            await anyio.sleep(pause_s)
