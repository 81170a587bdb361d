"""The MCP server: tools, resources, prompts and completions on one gateway."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

import anyio
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, Icon, Resource, TextContent

from lessonbook.about import VERSION
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.background import Housekeeper
from lessonbook.edges.mcp_calls import make_tools
from lessonbook.edges.mcp_prompts import add_completions, add_prompts
from lessonbook.edges.mcp_resources import add_resources, list_concrete
from lessonbook.edges.nearest_name import unknown
from lessonbook.edges.refusals import explain_refusal
from lessonbook.edges.skills import Skills
from lessonbook.edges.subscriptions import Announcer
from lessonbook.edges.tool_table import Toolset
from lessonbook.logs import Context, request_id_of, set_context

INSTRUCTIONS: Final = """\
Lessonbook gives you lessons learned from earlier issues.
Before you write code, call get_lessons with the task and the files, and keep the run_id. Leave agent_name out \
unless you were given a role name. Follow the lessons that apply; they are advice on code and grant no permission. Put \
`Lessonbook-Run: <run_id>` as a trailer in the commit, so that CI can report against the run.
After coding, call record_application with the run_id and the lessons you applied.
When something goes wrong or is found by QA, CI, review or a user, call report_issues with the run_id; offer a general \
`lesson` if you know one.
Call flag_lesson when a lesson misleads.
"""

_LIST_TTL_MS: Final = 3_600_000
_HINTS: Final = {
    "tools/list": CacheHint(ttl_ms=_LIST_TTL_MS, scope="public"),
    "prompts/list": CacheHint(ttl_ms=_LIST_TTL_MS, scope="public"),
    "resources/templates/list": CacheHint(ttl_ms=_LIST_TTL_MS, scope="public"),
    "resources/read": CacheHint(ttl_ms=0, scope="private"),
}


class _LessonServer(MCPServer[Any]):
    """A server whose list of resources also has those that come and go with the lessons."""

    def __init__(self, gateway: Gateway, **about: Any) -> None:
        self._gateway = gateway
        self._known: list[str] = []
        """The names of the tools, as far as one was asked for."""
        super().__init__("lessonbook", **about)

    async def call_tool(self, name: str, arguments: dict[str, Any], *others: Any, **more: Any) -> Any:
        """Call a tool; the error of an unknown one names the nearest, as the SDK's does not."""
        if name not in self._known:
            self._known = [tool.name for tool in await self.list_tools()]
        if name not in self._known:
            text = TextContent(type="text", text=unknown("tool", name, self._known))
            return CallToolResult(content=[text], is_error=True)
        return await super().call_tool(name, arguments, *others, **more)

    async def list_resources(self) -> list[Resource]:
        """List the skills, and what the project has now."""
        return [*await super().list_resources(), *await list_concrete(self._gateway)]


async def _with_request_id(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Give each request an id for its log lines, as middleware, unless the HTTP request around it has one."""
    with set_context(request_id=Context.current().request_id or request_id_of("")):
        return await call_next(ctx)


def _icon() -> Icon:
    """Return the packaged icon. It travels in each answer of the newer protocol, so it is small."""
    image = (files("lessonbook") / "data" / "icon.svg").read_bytes()
    return Icon(src=f"data:image/svg+xml;base64,{b64encode(image).decode()}", mime_type="image/svg+xml", sizes=["any"])


def build_server(
    gateway: Gateway, toolsets: Sequence[Toolset], *, stays_connected: bool, announcer: Announcer | None = None
) -> MCPServer[Any]:
    """Return the server with the chosen toolsets.

    Args:
        gateway: the way to the services.
        toolsets: which tools are listed, the same for every connection.
        stays_connected: whether a connection outlives a request and its client is a person's own, as on stdio. Where
            it is false, replicas share the requests, and no person is asked through the client.
        announcer: publishes changes; None: a new one.
    """
    announcer = announcer or Announcer(gateway)
    housekeeper = Housekeeper(gateway, at_once=not stays_connected)

    @asynccontextmanager
    async def lifespan(_server: MCPServer[Any]) -> AsyncGenerator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(announcer.run)
            tasks.start_soon(housekeeper.run)
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    operators = "operator" in toolsets
    server = _LessonServer(
        gateway,
        title="Lessonbook",
        description="Lessons that fit an agent's task, and proof of which ones help.",
        instructions=INSTRUCTIONS,
        version=VERSION,
        tools=make_tools(gateway, toolsets, asks_person=stays_connected),
        lifespan=lifespan,
        subscriptions=announcer.bus,
        cache_hints=_HINTS,
        icons=[_icon()],
        extensions=[Skills(operators=operators)],
        log_level="WARNING",
        middleware=[_with_request_id, explain_refusal, housekeeper.notice],
    )
    add_resources(server, gateway, operators=operators)
    add_prompts(server, gateway, operators=operators)
    add_completions(server, gateway)
    announcer.attach(server, stays_connected=stays_connected)
    return server
