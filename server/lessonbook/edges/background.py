"""Background tasks of a process that serves: upkeep once an hour, refinement and embedding where models are configured.

They begin when the store is open, whoever opened it: an MCP client, a REST call, a page, a hook or the facade. A server
opens it itself: over HTTP when it starts, on stdio once its client has been answered, so that the first call does not
wait for it. Commands do none of this: they end before there is anything to do again, and a person waits for them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, Concatenate, Final, TypeVar

import anyio
import anyio.to_thread

from lessonbook import services
from lessonbook.domain.errors import STOPPED, ConfigError, LessonbookError
from lessonbook.domain.principals import CENSUS, REFINER, UPKEEP
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from lessonbook.domain.lesson import Caller
    from lessonbook.edges.access.running_call import Watcher
    from lessonbook.services.workspace import Workspace

T = TypeVar("T")

WARM_AFTER_S: Final = 0.5
"""Pause after the first answer: loading the store takes 0.2 s of processor time."""
EVERY_S: Final = 3_600.0
"""Pause between two rounds of upkeep."""
CENSUS_EVERY_S: Final = 60.0
"""Pause between two counts of what the database holds, where figures are served."""
AGAIN_S: Final = 60.0
"""Pause after a failure."""
PAUSE_MAX_S: Final = 3_600.0
"""Longest pause between two rounds of refinement; while the model fails, the pause doubles up to it."""
log = logging.getLogger(__name__)


class Housekeeper:
    """Keeps up the gateway's projects: expiry, rollups, old idempotency keys, refinement and embeddings.

    Where several processes serve a project, one of them does this for it. `at_once`: begin when `run` is called, not
    when a client has been answered or the store is open.
    """

    def __init__(self, gateway: Gateway, *, at_once: bool = False) -> None:
        self._gateway = gateway
        self._wanted = anyio.Event()
        if at_once:
            self._wanted.set()

    async def notice(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Note, as middleware, that a client has been answered."""
        result = await call_next(ctx)
        self._wanted.set()
        return result

    async def run(self) -> None:
        """Run for ever."""
        self._gateway.when_open(self._wanted.set)
        await self._wanted.wait()
        await anyio.sleep(WARM_AFTER_S)
        await anyio.to_thread.run_sync(import_module, "lessonbook.services.opening")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep_up)
            tasks.start_soon(self._refine)
            tasks.start_soon(self._embed)
            if self._gateway.watcher is not None:
                tasks.start_soon(self._count, self._gateway.watcher)

    async def _call(
        self,
        principal: str,
        project: str,
        timeout_s: float | None,
        service: Callable[Concatenate[Workspace, Caller, ...], Awaitable[T]],
        *args: Any,
    ) -> T | None:
        """Call a service for a project, and return its result; None where another process does this for the project."""
        caller = self._gateway.server(principal, project)
        if not await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.background.does_upkeep):
            return None
        try:
            result = await self._gateway.call_for(caller, timeout_s, service, *args)
        except LessonbookError:
            self._gateway.job_ended(service.__name__, well=False)
            raise
        self._gateway.job_ended(service.__name__, well=True)
        return result

    async def _count(self, watcher: Watcher) -> None:
        """Count what the database holds, in each process that serves figures."""
        caller = self._gateway.server(CENSUS)
        while True:
            try:
                watcher.counted(await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.background.take_census))
            except LessonbookError as error:
                _warn("counting for the figures failed: %s", error)
            await anyio.sleep(CENSUS_EVERY_S)

    async def _keep_up(self) -> None:
        while True:
            pause_s = EVERY_S
            for project in self._gateway.projects:
                try:
                    await self._call(UPKEEP, project, TOOL_TIMEOUT_S, services.background.keep_up)
                except LessonbookError as error:  # a server that cannot keep up can still serve
                    _warn("upkeep of the database failed: %s", error)
                    pause_s = AGAIN_S
            await anyio.sleep(pause_s)

    async def _embed(self) -> None:
        """Embed lessons as they change, where an embedding model is configured."""
        while (settings := await self._settings(services.background.semantic_settings)).model:
            pause_s = settings.every_s
            for project in self._gateway.projects:
                try:
                    await self._call(UPKEEP, project, None, services.background.embed_lessons)
                except LessonbookError as error:
                    _warn("embedding lessons failed: %s", error)
                    pause_s = AGAIN_S
            await anyio.sleep(pause_s)

    async def _refine(self) -> None:
        """Refine pending issues, where a language model is configured; without it the server serves on."""
        rules, pause_s = True, 0.0
        settings = await self._settings(services.background.refiner_settings)
        while settings.model and settings.background:
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

    async def _settings(self, service: Callable[[Workspace, Caller], Awaitable[T]]) -> T:
        """Return settings as soon as the database answers."""
        while True:
            try:
                return await self._gateway.call_for(self._gateway.server(UPKEEP), None, service)
            except LessonbookError:  # `_keep_up` logs it
                await anyio.sleep(AGAIN_S)

    async def _refine_project(self, project: str, *, rules: bool) -> bool:
        """Refine the pending issues of a project, and return whether that went well.

        Raises:
            ConfigError: the model cannot be used as configured.
        """
        wanted = services.triage.Wanted(rules=rules)
        try:
            report = await self._call(REFINER, project, None, services.triage.refine_backlog, wanted)
        except ConfigError:
            raise
        except LessonbookError as error:
            log.warning("pending issues cannot be refined now: %s", error)
            return False
        if report is not None and report.stopped:
            log.warning("refining pending issues stopped: %s", report.stopped)
        return report is None or not report.failed


def _warn(text: str, error: LessonbookError) -> None:
    """Log that a round failed, but not because the process ends: a program that uses the Python API may just end."""
    if not str(error).startswith(STOPPED):
        log.warning(text, error)
