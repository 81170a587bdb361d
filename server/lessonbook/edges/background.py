"""Background tasks of a server: upkeep once an hour, refinement and embedding where a model is configured.

They begin after the first answer to a client. Upkeep opens the store, so that the first call does not wait for it.
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
from lessonbook.domain.principals import REFINER, UPKEEP
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway

WARM_AFTER_S: Final = 0.5
"""Pause after the first answer: loading the store takes 0.2 s of processor time."""
EVERY_S: Final = 3_600.0
"""Pause between two rounds of upkeep."""
AGAIN_S: Final = 60.0
"""Pause after a failure."""
PAUSE_MAX_S: Final = 3_600.0
"""Longest pause between two rounds of refinement; while the model fails, the pause doubles up to it."""
log = logging.getLogger(__name__)


class Housekeeper:
    """Keeps up the gateway's projects: expiry, rollups, old idempotency keys, refinement and embeddings."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._met = anyio.Event()

    async def notice(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Note, as middleware, that a client has been answered."""
        result = await call_next(ctx)
        self._met.set()
        return result

    async def run(self) -> None:
        """Run for ever, from the first answer to a client on."""
        await self._met.wait()
        await anyio.sleep(WARM_AFTER_S)
        await anyio.to_thread.run_sync(import_module, "lessonbook.services.opening")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_up)
            tasks.start_soon(self._refine)
            tasks.start_soon(self._embed)

    async def _keep_up(self) -> None:
        while True:
            for project in self._gateway.projects:
                caller = self._gateway.server(UPKEEP, project)
                try:
                    await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.background.keep_up)
                except LessonbookError as error:  # a server that cannot keep up can still serve
                    log.warning("upkeep of the database failed: %s", error)
            await anyio.sleep(EVERY_S)

    async def _embed(self) -> None:
        """Embed lessons as they change, where an embedding model is configured."""
        while True:
            pause_s: float | None = None
            for project in self._gateway.projects:
                caller = self._gateway.server(UPKEEP, project)
                try:
                    pause_s = await self._gateway.call_for(caller, None, services.background.embed_lessons)
                except LessonbookError as error:
                    log.warning("embedding lessons failed: %s", error)
                    pause_s = AGAIN_S
            if pause_s is None:
                return
            await anyio.sleep(pause_s)

    async def _refine(self) -> None:
        """Refine pending issues, where a language model is configured; without it the server serves on."""
        rules, pause_s = True, 0.0
        while True:
            caller = self._gateway.server(REFINER)
            try:
                settings = await self._gateway.call_for(caller, None, services.background.refiner_settings)
            except LessonbookError:  # `_keep_up` logs it
                await anyio.sleep(AGAIN_S)
                continue
            if not settings.model or not settings.background:
                return
            try:
                services.triage.check_extra(settings)
                went_well = True
                for project in self._gateway.projects:
                    went_well &= await self._refine_project(project, rules=rules)
            except ConfigError as error:
                log.warning("pending issues are not refined: %s", error)
                return
            rules = False
            pause_s = settings.every_s if went_well else max(min(2 * pause_s, PAUSE_MAX_S), settings.every_s)
            await anyio.sleep(pause_s)

    async def _refine_project(self, project: str, *, rules: bool) -> bool:
        """Refine the pending issues of a project, and return whether that went well.

        Raises:
            ConfigError: the model cannot be used as configured.
        """
        wanted = services.triage.Wanted(rules=rules)
        caller = self._gateway.server(REFINER, project)
        try:
            report = await self._gateway.call_for(caller, None, services.triage.refine_backlog, wanted)
        except ConfigError:
            raise
        except LessonbookError as error:
            log.warning("pending issues cannot be refined now: %s", error)
            return False
        if report.stopped:
            log.warning("refining pending issues stopped: %s", report.stopped)
        return not report.failed
