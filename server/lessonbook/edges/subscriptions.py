"""Announcements: subscribers are notified when lessons or figures change, in this process or another."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import anyio
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from lessonbook import services
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.principals import WATCH
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway
from lessonbook.edges.access.scopes_by_service import check_scope_of

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer

    from lessonbook.services.background.watch import Changed, Watch

log = logging.getLogger(__name__)
RETRY_S: Final = 5.0
READY_S: Final = 25.0
"""Maximum wait of a subscriber for the watch to begin; it also ends when the watch fails."""


class Announcer:
    """Watches the gateway's projects that have subscribers, and notifies them which resources changed.

    Both kinds of subscription are served: `subscriptions/listen` (2026-07-28), and `resources/subscribe` (2025-11-25)
    on connections that stay. Each project has a bus of its own, so that no subscriber hears of another's lessons.
    """

    def __init__(self, gateway: Gateway) -> None:
        self.bus = InMemorySubscriptionBus()
        self._listeners = ListenHandler(self.bus)
        self._others: dict[str, tuple[InMemorySubscriptionBus, ListenHandler]] = {}
        self._gateway = gateway
        self._subscribed: dict[str, set[Connection]] = {}
        self._watched: Watch | None = None
        self._listed: dict[str, set[str]] = {}
        """By project, the agents whose lessons were resources when this was last looked up."""
        self._wanted = anyio.Event()
        self._following = anyio.Event()
        self._awaited = False
        """Whether somebody subscribed, perhaps before the watch began: changes from then on must reach them."""

    def attach(self, server: MCPServer[Any], *, stays_connected: bool) -> None:
        """Serve `subscriptions/listen`; where connections stay, `resources/subscribe` and `unsubscribe` as well."""
        lowlevel = server._lowlevel_server  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the SDK offers no other way
        # Instead of the SDK's own listeners, which cannot be ended.
        lowlevel.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
        if stays_connected:
            lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
            lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    async def run(self) -> None:
        """Watch for ever, from the first subscription on."""
        await self._wanted.wait()
        while True:
            try:
                await self._watch()
            except LessonbookError as error:  # a server that cannot watch can still serve
                log.warning("watching for changes failed: %s", error)
            self._following.set()  # a subscription is acknowledged even where the database is down
            await anyio.sleep(RETRY_S)

    def close(self) -> None:
        """End every open `subscriptions/listen`, as a server does that is about to stop."""
        for listeners in (self._listeners, *(listeners for _, listeners in self._others.values())):
            listeners.close()

    async def _watch(self) -> None:
        # It is kept when watching fails, since it knows what it has announced.
        watched = self._watched = self._watched or services.background.Watch()
        if self._awaited:
            watched.report_all(self._gateway.project)
        await self._gateway.call_for(self._gateway.server(WATCH), None, watched.follow, self._announce)

    async def _announce(self, project: str, changed: Changed) -> None:
        self._following.set()
        if not changed:
            return
        for uri in _uris(project, await self._affected(project, changed)):
            await self._notify(project, uri)
        caller = self._gateway.server(WATCH, project)
        agents = set(await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.queries.agents_with_lessons))
        if agents != self._listed.get(project):
            self._listed[project] = agents
            bus, _ = self._channel(project)
            await bus.publish(ResourcesListChanged())

    async def _affected(self, project: str, changed: Changed) -> Changed:
        """Return `changed`, with every agent where a shared lesson changed, since all agents get it."""
        if SHARED_AGENT not in changed:
            return changed
        caller = self._gateway.server(WATCH, project)
        names = await self._gateway.call_for(caller, TOOL_TIMEOUT_S, services.queries.complete, "agent_name", "")
        return {**{name: [] for name in names}, **changed}

    async def _notify(self, project: str, uri: str) -> None:
        bus, _ = self._channel(project)
        await bus.publish(ResourceUpdated(uri=uri))
        for connection in list(self._subscribed.get(uri, ())):
            await connection.send_resource_updated(uri)  # never fails, also where the connection is lost

    async def _listen(
        self, ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        caller = self._gateway.caller()
        for uri in params.notifications.resource_subscriptions or ():
            try:
                check_scope_of(caller, str(uri).partition(":")[0])
            except LessonbookError as error:
                raise MCPError(INVALID_PARAMS, str(error)) from error
        await self._begin()
        await self._begin_project(caller.project)
        _, listeners = self._channel(caller.project)
        return await listeners(ctx, params)

    def _channel(self, project: str) -> tuple[InMemorySubscriptionBus, ListenHandler]:
        """Return the bus of a project and what listens on it."""
        if project == self._gateway.project:
            return self.bus, self._listeners
        if project not in self._others:
            bus = InMemorySubscriptionBus()
            self._others[project] = bus, ListenHandler(bus)
        return self._others[project]

    async def _begin(self) -> None:
        """Wait until the watch has begun, so that every change after the acknowledgement is announced."""
        self._wanted.set()
        with anyio.move_on_after(READY_S):
            await self._following.wait()
        self._awaited = True
        if self._watched is not None:
            self._watched.report_all(self._gateway.project)

    async def _begin_project(self, project: str) -> None:
        """Have a project watched that is not the server's own."""
        if project != self._gateway.project and self._watched is not None:
            try:
                await self._gateway.call_for(self._gateway.server(WATCH, project), READY_S, self._watched.begin)
            except LessonbookError as error:
                log.warning("watching for changes failed: %s", error)
                self._watched.report_all(project)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        connection = _connection_of(ctx)
        if not any(connection in others for others in self._subscribed.values()):
            connection.exit_stack.callback(self._forget, connection)
        self._subscribed.setdefault(str(params.uri), set()).add(connection)
        await self._begin()
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        self._subscribed.get(str(params.uri), set[Connection]()).discard(_connection_of(ctx))
        return EmptyResult()

    def _forget(self, connection: Connection) -> None:
        for connections in self._subscribed.values():
            connections.discard(connection)


def _connection_of(ctx: ServerRequestContext[Any, Any]) -> Connection:
    """Return the connection of a request: unlike the session, it outlives the request."""
    return ctx.session._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # the SDK offers no other way


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
