"""Announcements: whoever listens hears that lessons or figures changed, in whichever process that happened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ResourceUpdated, ServerEvent
from mcp_types import EmptyResult, SubscribeRequestParams, UnsubscribeRequestParams

from lessonbook.edges.desk import Desk
from lessonbook.errors import LessonbookError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.session import ServerSession

log = logging.getLogger(__name__)
RETRY_S = 5.0


class Announcer:
    """Watches the database while somebody listens, and tells them which resources changed.

    Both ways to listen are served: `subscriptions/listen` (2026-07-28) through `bus`, and `resources/subscribe`
    (2025-11-25) on connections that stay.
    """

    def __init__(self, desk: Desk) -> None:
        self.bus = _WatchedBus(self._wake)
        self._desk = desk
        self._subscribed: dict[str, set[ServerSession]] = {}
        self._wanted = anyio.Event()

    def accept_subscriptions(self, server: MCPServer[Any]) -> None:
        """Serve `resources/subscribe` and `resources/unsubscribe`."""
        lowlevel = server._lowlevel_server  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the SDK offers no other way
        lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def run(self) -> None:
        """Watch for ever: nothing happens before somebody listens."""
        await self._wanted.wait()
        while True:
            try:
                await self._watch()
            except LessonbookError as error:
                log.warning("changes cannot be followed now: %s", error)
            await anyio.sleep(RETRY_S)

    async def _watch(self) -> None:
        from lessonbook.services import watch  # noqa: PLC0415  # pulls in the store, which may never be needed

        workspace = await self._desk.workspace()
        async for changed in watch.changes(workspace, self._desk.caller()):
            for uri in _uris(self._desk.caller().project, changed):
                await self._tell(uri)

    async def _tell(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        for session in list(self._subscribed.get(uri, ())):
            try:
                await session.send_resource_updated(uri)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                self._subscribed[uri].discard(session)

    def _wake(self) -> None:
        self._wanted.set()

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        self._subscribed.setdefault(str(params.uri), set()).add(ctx.session)
        self._wake()
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._subscribed.get(str(params.uri), set()).discard(ctx.session)
        return EmptyResult()


class _WatchedBus(InMemorySubscriptionBus):
    """A bus that says when its first listener comes."""

    def __init__(self, woken: Callable[[], None]) -> None:
        super().__init__()
        self._woken = woken

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        self._woken()
        return super().subscribe(listener)


def _uris(project: str, changed: dict[str, list[str]]) -> list[str]:
    """Return the resources that changed lessons touch; `changed` holds lesson ids by agent name."""
    place = quote(project, safe="")
    uris = [f"stats://{place}"]
    for agent_name, lesson_ids in changed.items():
        agent = quote(agent_name, safe="")
        uris += [f"lessons://{place}/{agent}", f"stats://{place}/{agent}"]
        uris += [f"lesson://{lesson_id}" for lesson_id in lesson_ids]
    return uris
