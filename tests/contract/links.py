"""Links to a server: a client, connected over any transport in either protocol."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from mcp.client import Client
from mcp_types import CallToolResult

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.mcp_server import build_server
from lessonbook.services import agents
from tests.contract.processes import BOTH, PROJECT, command, http_server, stdio_parameters
from tests.patience import PATIENCE_S

T = TypeVar("T")

HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"
Transport = Literal["memory", "stdio", "http"]
KINDS: list[tuple[Transport, str, str]] = [
    ("memory", HANDSHAKE, "postgresql"),
    ("memory", STATELESS, "sqlite"),
    ("stdio", HANDSHAKE, "sqlite"),
    ("stdio", STATELESS, "postgresql"),
    ("http", HANDSHAKE, "postgresql"),
    ("http", STATELESS, "sqlite"),
]


def mode_of(protocol: str) -> str:
    return "legacy" if protocol == HANDSHAKE else protocol


def connected(server: Any, protocol: str, **callbacks: Any) -> Client:
    """Return a client yet to be entered, that gives up where an answer takes too long."""
    return Client(server, mode=mode_of(protocol), read_timeout_seconds=PATIENCE_S, **callbacks)


def settings_for(database_url: str, **others: Any) -> Settings:
    return Settings.model_validate({"project": PROJECT, "database": {"url": database_url}, **others})


async def add_agents(database_url: str, *names: str) -> None:
    """Let names be agents', as a person does at the terminal."""
    gateway = gateway_for(settings_for(database_url), "cli", person=True)
    try:
        for name in names:
            await agents.add_agent(await gateway.workspace(), gateway.caller(), name)
    finally:
        await gateway.close()


@dataclass(frozen=True)
class Link:
    """A client that is connected to a server."""

    client: Client
    transport: Transport
    protocol: str
    database_url: str

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        return await self.client.call_tool(tool, arguments)

    async def do(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool that is expected to do its work, and return its structured result."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def refusal(self, tool: str, **arguments: Any) -> str:
        """Call a tool that is expected to refuse, and return what it says."""
        result = await self.call(tool, **arguments)
        assert result.is_error, result.content
        assert result.structured_content is None
        (said,) = result.content
        assert said.type == "text"
        return said.text

    async def learn(self, agent_name: str, rule_id: str = "bandit:B608", **fields: Any) -> str:
        """Report an issue of a catalogued rule, and return the id of its lesson."""
        issue = {"description": "Found by a scanner in the last build", "rule_id": rule_id, **fields}
        (line,) = (await self.do("report_issues", agent_name=agent_name, issues=[issue], source="ci"))["issues"]
        assert line["lesson_id"], line
        return line["lesson_id"]


@asynccontextmanager
async def linked(
    transport: Transport,
    protocol: str,
    url: str,
    started: Callable[..., list[str]] = command,
    limits: Mapping[str, float] = MappingProxyType({}),
    **callbacks: Any,
) -> AsyncIterator[Link]:
    """Start a server with both toolsets, and connect a client to it."""
    async with AsyncExitStack() as stack:
        match transport:
            case "memory":
                gateway = gateway_for(settings_for(url), "local")
                stack.push_async_callback(gateway.close)
                server: Any = build_server(gateway, ["agent", "operator"], stays_connected=True)
            case "stdio":
                server = stdio_parameters(url, started=started, **limits)
            case "http":
                server = (await stack.enter_async_context(http_server(url, *BOTH, started=started, **limits))).mcp
        client = await stack.enter_async_context(connected(server, protocol, **callbacks))
        assert client.protocol_version == protocol
        yield Link(client, transport, protocol, url)


@asynccontextmanager
async def in_a_task(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter `context` in a task of its own: fixtures end in any order, and cancel scopes of one task may not."""
    entered: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def host() -> None:
        try:
            async with context as value:
                entered.set_result(value)
                await done.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)

    task = asyncio.create_task(host())
    try:
        yield await entered
    finally:
        done.set()
        await task
