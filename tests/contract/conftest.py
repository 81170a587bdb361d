"""Links to a server: every transport, both protocols, both databases. The same tests run over each."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg
import pytest
from mcp.client import Client
from mcp_types import CallToolResult
from processes import BOTH, DEADLINE_S, PROJECT, http_server, stdio_parameters

from lessonbook.app import desk_for
from lessonbook.config import Settings
from lessonbook.edges.mcp_server import build_server

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


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def new_database(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, postgres_url: str, postgres_template: str
) -> Iterator[Callable[[str], str]]:
    """Return a function that makes a migrated database and returns its URL."""
    made: list[str] = []

    def make(dialect: str) -> str:
        name = f"contract_{uuid.uuid4().hex[:12]}"
        if dialect == "sqlite":
            path = tmp_path_factory.mktemp("contract") / f"{name}.db"
            shutil.copy(sqlite_template, path)
            return f"sqlite:///{path}"
        asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {postgres_template}"))
        made.append(name)
        return _renamed(postgres_url, name)

    yield make
    for name in made:
        asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def _renamed(url: str, name: str) -> str:
    """Return the URL of database `name` on the server of `url`, which may have a socket for its host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


def mode_of(protocol: str) -> str:
    return "legacy" if protocol == HANDSHAKE else protocol


def connected(server: Any, protocol: str, **callbacks: Any) -> Client:
    """Return a client yet to be entered, that gives up where an answer takes too long."""
    return Client(server, mode=mode_of(protocol), read_timeout_seconds=DEADLINE_S, **callbacks)


def settings_for(database_url: str, **others: Any) -> Settings:
    return Settings.model_validate({"project": PROJECT, "database": {"url": database_url}, **others})


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


@pytest.fixture(scope="session", params=KINDS, ids=["-".join(kind) for kind in KINDS])
def kind(request: pytest.FixtureRequest) -> tuple[Transport, str, str]:
    return request.param


@pytest.fixture(scope="session")
def link_url(kind: tuple[Transport, str, str], new_database: Callable[[str], str]) -> str:
    return new_database(kind[2])


@pytest.fixture(scope="session")
async def link(anyio_backend: str, kind: tuple[Transport, str, str], link_url: str) -> AsyncIterator[Link]:
    """A link of each kind to a server with both toolsets."""
    transport, protocol, _ = kind
    async with AsyncExitStack() as stack:
        match transport:
            case "memory":
                desk = desk_for(settings_for(link_url), "local")
                stack.push_async_callback(desk.close)
                server: Any = build_server(desk, ["agent", "operator"], stays_connected=True)
            case "stdio":
                server = stdio_parameters(link_url)
            case "http":
                server = (await stack.enter_async_context(http_server(link_url, *BOTH))).mcp
        client = await stack.enter_async_context(connected(server, protocol))
        assert client.protocol_version == protocol
        yield Link(client, transport, protocol, link_url)


@pytest.fixture
def agent_name() -> str:
    """An agent nobody has used yet."""
    return f"Agent{uuid.uuid4().hex[:10]}"


@pytest.fixture(params=[HANDSHAKE, STATELESS])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def sqlite_url(new_database: Callable[[str], str]) -> Iterator[str]:
    return new_database("sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
def either_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A database of the test's own, of each kind."""
    return new_database(request.param)


@pytest.fixture
def fixtures() -> Path:
    return Path(__file__).parents[1] / "fixtures"
