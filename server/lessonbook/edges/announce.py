"""Announcements: whoever listens hears that lessons or figures changed, in whichever process that happened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated, ServerEvent
from mcp.shared.exceptions import MCPError
from mcp_types import EmptyResult, SubscribeRequestParams, SubscriptionsListenRequestParams, UnsubscribeRequestParams

from lessonbook import services
from lessonbook.edges.desk import Desk, answer
from lessonbook.errors import LessonbookError
from lessonbook.models.vocabulary import SHARED_AGENT

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from mcp.server.session import ServerSession

    from lessonbook.services.watch import Changed

log = logging.getLogger(__name__)
RETRY_S: Final = 5.0


class Announcer:
    """Watches the database while somebody listens, and tells them which resources changed.

    Both ways to listen are served: `subscriptions/listen` (2026-07-28) through `bus`, and `resources/subscribe`
    (2025-11-25) on connections that stay. Only the desk's project is watched.
    """

    def __init__(self, desk: Desk) -> None:
        self.bus = _WatchedBus(self._wake)
        self._listeners = ListenHandler(self.bus)
        self._desk = desk
        self._subscribed: dict[str, set[ServerSession]] = {}
        self._wanted = anyio.Event()

    def attach(self, server: MCPServer[Any], *, stays_connected: bool) -> None:
        """Serve `subscriptions/listen`; where connections stay, `resources/subscribe` and `unsubscribe` as well."""
        lowlevel = server._lowlevel_server  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the SDK offers no other way
        # In the place of the SDK's own listeners, which nobody could end.
        lowlevel.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listeners)
        if stays_connected:
            lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
            lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def run(self) -> None:
        """Watch for ever: nothing happens before somebody listens."""
        await self._wanted.wait()
        while True:
            try:
                await answer(self._watch, timeout_s=None)
            except LessonbookError as error:  # a server that cannot watch can still serve
                log.warning("changes cannot be followed now: %s", error)
            await anyio.sleep(RETRY_S)

    def close(self) -> None:
        """End every open `subscriptions/listen` in good order, as a server does that is about to stop."""
        self._listeners.close()

    async def _watch(self) -> None:
        from lessonbook.services import watch  # noqa: PLC0415  # pulls in the store, which may never be needed

        workspace = await self._desk.workspace()
        async for changed in watch.changes(workspace, self._desk.caller()):
            for uri in _uris(self._desk.caller().project, await self._affected(changed)):
                await self._tell(uri)

    async def _affected(self, changed: Changed) -> Changed:
        """Return `changed` and, where a lesson shared by all changed, every other agent too: they all get it."""
        if SHARED_AGENT not in changed:
            return changed
        workspace = await self._desk.workspace()
        names = await services.browse.complete(workspace, self._desk.caller(), "agent_name", "")
        return {**{name: [] for name in names}, **changed}

    async def _tell(self, uri: str) -> None:
        await self.bus.publish(ResourceUpdated(uri=uri))
        for session in list(self._subscribed.get(uri, ())):
            try:
                await session.send_resource_updated(uri)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError, MCPError):
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


def _uris(project: str, changed: Changed) -> Iterable[str]:
    """Yield the resources that changed lessons touch."""
    place = quote(project, safe="")
    yield f"stats://{place}"
    for agent_name, lesson_ids in changed.items():
        agent = quote(agent_name, safe="")
        yield f"lessons://{place}/{agent}"
        yield f"stats://{place}/{agent}"
        for lesson_id in lesson_ids:
            yield f"lesson://{lesson_id}"
