"""The real server as raw bytes meet it: on stdio, and over HTTP."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import anyio
import asyncpg
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from lessonbook.app import gateway_for
from lessonbook.classify.agent_roster import load_roster
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import ConfigError
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.access.host_guard import PROBES
from lessonbook.edges.transport.http import bind, serve_http
from lessonbook.edges.transport.lines import MAX_LINE_BYTES
from tests.contract.links import HANDSHAKE, STATELESS, Link, connected, in_a_task, linked
from tests.contract.processes import BOTH, PROJECT, HttpServer, command, environment, http_server
from tests.contract.test_tools import AGENT_TOOLS, OPERATOR_TOOLS, TOOLSET_MAX_BYTES
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def message(request_id: int | str, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {**params, "_meta": ENVELOPE}}


def call(request_id: int | str, tool: str, **arguments: Any) -> dict[str, Any]:
    return message(request_id, "tools/call", name=tool, arguments=arguments)


class Wire:
    """Raw lines to and from a server on stdio."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def send(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(line + b"\n")

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        await self.send(json.dumps(request).encode())
        return await self.receive()

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE_S):
            return json.loads(await self._answers.receive_until(b"\n", 64 * MAX_LINE_BYTES))


@contextlib.asynccontextmanager
async def wired(database_url: str) -> AsyncIterator[Wire]:
    async with await anyio.open_process(command(), env=environment(database_url), stderr=None) as process:
        try:
            yield Wire(process)
        finally:
            if process.returncode is None:
                process.kill()


MALFORMED: dict[str, tuple[bytes, int, int | None]] = {
    "words": (b"hello there", PARSE_ERROR, None),
    "a request cut off": (b'{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"na', PARSE_ERROR, 41),
    "invalid UTF-8": (b'{"jsonrpc":"2.0","id":42,"method":"tools/call","params":{"name":"\xff"}}', PARSE_ERROR, 42),
    "a batch": (b'[{"jsonrpc":"2.0","id":43,"method":"ping"}]', INVALID_REQUEST, None),
    "a null id": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', INVALID_REQUEST, None),
    "too long a line": (json.dumps(call(45, "get_lessons", task="x" * 2**21)).encode(), INVALID_REQUEST, 45),
}


async def test_each_malformed_line_gets_one_error_and_the_next_request_its_answer(sqlite_url):
    async with wired(sqlite_url) as wire:
        for line, code, request_id in MALFORMED.values():
            await wire.send(line)
            answer = await wire.receive()
            assert (answer["error"]["code"], answer["id"]) == (code, request_id)
            answer = await wire.ask(call("next", "get_stats"))
            assert answer["id"] == "next"
            assert answer["result"]["structuredContent"]["totals"]["runs"] == 0


async def test_on_stdio_both_toolsets_are_served_unless_asked_otherwise(sqlite_url):
    async with wired(sqlite_url) as wire:
        tools = (await wire.ask(message(1, "tools/list")))["result"]["tools"]
    assert [tool["name"] for tool in tools] == AGENT_TOOLS + OPERATOR_TOOLS
    shown = [
        {key: tool[key] for key in ("name", "description", "inputSchema")}
        for tool in tools
        if tool["name"] in AGENT_TOOLS
    ]
    assert len(json.dumps(shown, separators=(",", ":")).encode()) <= TOOLSET_MAX_BYTES


async def test_a_description_of_a_megabyte_is_refused_within_the_line_limit(sqlite_url):
    async with wired(sqlite_url) as wire:
        answer = await wire.ask(call(1, "report_issues", issues=[{"description": "x" * 1_000_000}]))
        assert answer["result"]["isError"] is True
        assert "20000 characters" in answer["result"]["content"][0]["text"]
        assert len(json.dumps(answer)) < 1_000
        assert (await wire.ask(call(2, "get_stats")))["result"]["structuredContent"]["totals"]["issues"] == 0


async def test_the_run_and_its_deliveries_are_stored_before_the_answer_is_out(either_url, agent_name):
    async with linked("memory", STATELESS, either_url) as link:
        lesson_id = await link.learn(agent_name)
    async with wired(either_url) as wire:
        answer = await wire.ask(call(1, "get_lessons", agent_name=agent_name, run_id="branch/x"))
        wire.process.kill()
        with anyio.fail_after(PATIENCE_S):
            await wire.process.wait()
    served = answer["result"]["structuredContent"]
    assert [lesson["id"] for lesson in served["lessons"]] == [lesson_id]
    columns = "project, run_id, agent_name"
    assert await select(either_url, f"SELECT {columns} FROM agent_runs") == [(PROJECT, "branch/x", agent_name)]
    columns = "project, run_id, lesson_id, shown, eligible"
    delivered = await select(either_url, f"SELECT {columns} FROM agent_lesson_deliveries")
    assert delivered == [(PROJECT, "branch/x", lesson_id, True, True)]


async def select(database_url: str, query: str) -> list[tuple[Any, ...]]:
    if database_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            return [tuple(row) for row in connection.execute(query)]
    connection = await asyncpg.connect(database_url)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def http_url(new_database) -> str:
    return new_database("sqlite")


@pytest.fixture(scope="module")
async def http(anyio_backend, http_url) -> AsyncIterator[tuple[HttpServer, httpx2.AsyncClient]]:
    """A server over HTTP as it comes, and a plain HTTP client."""

    @contextlib.asynccontextmanager
    async def served() -> AsyncIterator[tuple[HttpServer, httpx2.AsyncClient]]:
        async with http_server(http_url) as server, httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web:
            yield server, web

    async with in_a_task(served()) as both:
        yield both


JSON_TYPES = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
HEADERS = {
    HANDSHAKE: {**JSON_TYPES, "MCP-Protocol-Version": HANDSHAKE},
    STATELESS: {**JSON_TYPES, "MCP-Protocol-Version": STATELESS},
}


def posted(protocol: str, request: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a POST of `request` to /mcp."""
    headers = dict(HEADERS[protocol])
    if protocol == STATELESS:
        headers["MCP-Method"] = request["method"]
        if "name" in request["params"]:
            headers["MCP-Name"] = request["params"]["name"]
    return {"headers": headers, "content": json.dumps(request)}


async def test_over_http_the_agents_toolset_alone_is_served_unless_asked_otherwise(http, protocol):
    _, web = http
    answer = await web.post("/mcp", **posted(protocol, message(1, "tools/list")))
    assert answer.headers["content-type"] == "application/json"
    assert [tool["name"] for tool in answer.json()["result"]["tools"]] == AGENT_TOOLS
    answer = await web.post("/mcp", **posted(protocol, call(1, "review_lesson", lesson_id="L1", action="suspend")))
    assert answer.json()["result"]["isError"] is True


BAD_BODIES: dict[str, tuple[str, dict[str, str], set[int]]] = {
    "invalid JSON": ('{"jsonrpc": "2.0", "id": 1', {}, {400}),
    "no JSON at all": ("hello", {}, {400}),
    "nothing": ("", {}, {400}),
    "a batch": (json.dumps([message(1, "tools/list")]), {}, {400}),
    "a number": ("17", {}, {400}),
    "deep nesting": ("[" * 100_000, {}, {400}),
    "a text": (json.dumps(message(1, "tools/list")), {"Content-Type": "text/plain"}, {400, 415}),
    "a form": ("jsonrpc=2.0", {"Content-Type": "application/x-www-form-urlencoded"}, {400, 415}),
    "an unknown protocol": (json.dumps(message(1, "tools/list")), {"MCP-Protocol-Version": "1999-01-01"}, {400}),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_that_is_not_mcp_is_refused_and_the_server_goes_on(http, protocol, name):
    _, web = http
    body, headers, statuses = BAD_BODIES[name]
    answer = await web.post("/mcp", headers={**HEADERS[protocol], **headers}, content=body)
    assert answer.status_code in statuses
    assert "Traceback" not in answer.text
    answer = await web.post("/mcp", **posted(protocol, call(1, "get_stats")))
    assert answer.json()["result"]["isError"] is False


async def test_values_that_nest_without_end_are_refused_in_words(http, protocol):
    _, web = http
    for depth in (20, 150):
        deep = json.loads("[" * depth + "]" * depth)
        answer = await web.post("/mcp", **posted(protocol, call(1, "get_lessons", task=deep)))
        assert "task: nested more than 8 levels deep" in answer.json()["result"]["content"][0]["text"]
    for body in ("[" * 900 + "]" * 900, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000):
        for path in ("/api/get_lessons", "/api/rework", "/api/hooks"):
            answer = await web.post(path, headers=JSON_TYPES, content=f'{{"ask": "lessons", "task": {body}}}')
            if path == "/api/hooks" and len(body) < 2_000:
                assert answer.status_code == 200  # what is no task is none
                continue
            assert (answer.status_code, answer.json()["error"]) == (422, "invalid_input"), path
            assert "levels deep" in answer.json()["message"]


HALF = "It broke \ud800"


def check_half(result: dict[str, Any]) -> None:
    """Check that of three issues the one with half of a surrogate pair was refused, and only it."""
    assert result["isError"] is False, result
    lines = result["structuredContent"]["issues"]
    assert [line["action"] for line in lines] == ["pending", "rejected", "pending"]
    assert "half of a surrogate pair at position 9" in lines[1]["reason"]
    assert lines[1].keys() == {"action", "reason"}


async def test_half_a_surrogate_pair_over_http_refuses_one_issue_of_a_report(http, protocol):
    _, web = http

    async def reported() -> int:
        answer = await web.post("/mcp", **posted(protocol, call(1, "get_stats")))
        return answer.json()["result"]["structuredContent"]["totals"]["issues"]

    before = await reported()
    issues = [{"description": "Odd thing one"}, {"description": HALF}, {"description": "\U0001f600 \\ud800 another"}]
    answer = await web.post("/mcp", **posted(protocol, call(1, "report_issues", issues=issues)))
    check_half(answer.json()["result"])
    answer = await web.post("/mcp", **posted(protocol, call(1, "report_issues", issues=[{"description": HALF}])))
    assert "surrogate" in answer.json()["result"]["content"][0]["text"]
    answer = await web.post("/mcp", **posted(protocol, call(1, "get_lessons", task=HALF)))
    assert "task has half of a surrogate pair" in answer.json()["result"]["content"][0]["text"]
    assert await reported() == before + 2


async def test_half_a_surrogate_pair_on_stdio_refuses_one_issue_of_a_report(sqlite_url):
    async with wired(sqlite_url) as wire:
        issues = [
            {"description": "Odd thing one"},
            {"description": HALF},
            {"description": "\U0001f600 \\ud800 another"},
        ]
        check_half((await wire.ask(call(1, "report_issues", issues=issues)))["result"])
        refused = (await wire.ask(call(2, "report_issues", issues=[{"description": HALF}])))["result"]
        assert "surrogate" in refused["content"][0]["text"]


@pytest.mark.parametrize("path", ["/mcp", "/api/get_lessons", "/api/rework", "/nowhere"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_refused_whether_or_not_it_tells_its_length(http, path, declared):
    _, web = http

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x" * 2**20

    body: Any = b"x" * 5 * 2**20 if declared else chunks()
    answer = await web.post(path, headers=HEADERS[STATELESS], content=body)
    if path != "/nowhere" or declared:
        assert answer.status_code == 413
        assert answer.json()["error"] == "too_large"
    else:
        assert answer.status_code == 404  # nobody reads the body
    assert (await web.get("/healthz")).status_code == 200


async def test_connections_over_the_bound_are_refused(sqlite_url, tmp_path):
    config = tmp_path / "bounds.toml"
    config.write_text("[server]\nmax_connections = 2\n")
    async with (
        http_server(sqlite_url, "--config", str(config)) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web,
    ):
        assert (await web.get("/healthz")).status_code == 200
        host, port = server.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as another:
            await another.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 503 " in await another.receive()


ROUTES = [
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/"),
    ("GET", "/nowhere"),
    ("POST", "/api/rework"),
    ("POST", "/api/get_lessons"),
    ("POST", "/api/review_lesson"),
    ("POST", "/api/reports/sarif"),
    ("GET", "/api/agent-learning/health"),
    ("GET", "/api/agent-learning/health/details"),
    ("GET", "/api/agent-learning/lessons"),
    ("GET", "/api/agent-learning/lessons/by-category"),
    ("GET", "/api/agent-learning/stats"),
    ("GET", "/api/agent-learning/stats/BackendDevelopmentAgent"),
    ("POST", "/api/agent-learning/maintenance/cleanup-low-effectiveness"),
    ("OPTIONS", "/api/get_lessons"),
]
FOREIGN: dict[str, dict[str, str]] = {
    "host": {"Host": "evil.example"},
    "host with our port": {"Host": "evil.example:8642"},
    "host that begins like ours": {"Host": "127.0.0.1.evil.example"},
    "user before our host": {"Host": "evil.example@127.0.0.1"},
    "origin": {"Origin": "https://evil.example"},
    "origin that begins like ours": {"Origin": "http://localhost.evil.example"},
    "origin that is hidden": {"Origin": "null"},
    "origin of a file": {"Origin": "file://"},
    "origin of another program of this machine": {"Origin": "http://localhost:3000"},
}


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_foreign_host_or_origin_is_refused_on_every_route(http, method, path, foreign):
    _, web = http
    answer = await web.request(method, path, headers=FOREIGN[foreign])
    if path in PROBES and "Host" in FOREIGN[foreign]:  # an orchestrator's probe sends the address of a pod
        assert answer.status_code == 200
        return
    assert answer.status_code == 403
    assert answer.json().keys() == {"error", "message"}
    assert answer.json()["error"] == "forbidden"
    assert "evil" not in answer.text


@pytest.mark.parametrize("header", [{"Host": "localhost:1"}, {"Host": "[::1]"}])
async def test_hosts_of_this_machine_are_served(http, header):
    _, web = http
    assert (await web.get("/healthz", headers=header)).status_code == 200


async def test_pages_of_the_server_itself_are_served(http):
    server, web = http
    assert (await web.get("/healthz", headers={"Origin": server.url})).status_code == 200


async def test_two_host_headers_are_refused(http):
    server, _ = http
    with anyio.fail_after(PATIENCE_S):
        host, port = server.url.removeprefix("http://").split(":")
        async with await anyio.connect_tcp(host, int(port)) as stream:
            await stream.send(b"GET /docs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
            assert (await stream.receive()).split()[1] in {b"400", b"403"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/api/no_such_tool", 404),
        ("GET", "/api/get_lessons", 405),
        ("DELETE", "/api/agent-learning/lessons", 405),
    ],
)
async def test_what_is_not_there_is_told_as_json(http, method, path, status):
    _, web = http
    answer = await web.request(method, path)
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "message"}
    assert "/openapi.json" in answer.json()["message"]


def unopened_gateway() -> Gateway:
    return gateway_for(Settings.model_validate({"database": {"url": "sqlite:////nonexistent/x.db"}}), "local")


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.0.1", "example.org"])
async def test_an_address_of_the_network_is_refused_with_the_reason(host):
    settings = Settings.model_validate({"server": {"host": host}})
    with pytest.raises(ConfigError, match="without authorisation"):
        await serve_http(unopened_gateway(), settings)


async def test_a_port_that_is_taken_is_named():
    with bind("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on"):
            await serve_http(unopened_gateway(), Settings.model_validate({"server": {"port": port}}))


async def test_answers_are_not_held_back_until_the_client_acknowledges():
    with bind("127.0.0.1", 0) as listener:  # asyncio sets TCP_NODELAY only where the protocol is named
        assert listener.proto == 6


async def test_the_command_refuses_the_network_in_one_sentence(sqlite_url):
    with anyio.fail_after(PATIENCE_S):
        arguments = command("--http", "--port", "0", "--host", "0.0.0.0")
        done = await anyio.run_process(arguments, env=environment(sqlite_url), check=False)
    assert done.returncode == 2
    assert b"without authorisation" in b" ".join(done.stderr.split())
    assert b"Traceback" not in done.stderr


async def test_a_chosen_toolset_is_all_that_is_served(sqlite_url):
    async with http_server(sqlite_url, *BOTH) as server, httpx2.AsyncClient(base_url=server.url) as web:
        answer = await web.post("/mcp", **posted(STATELESS, message(1, "tools/list")))
    assert len(answer.json()["result"]["tools"]) == len(AGENT_TOOLS + OPERATOR_TOOLS)


async def test_answers_of_simultaneous_callers_are_not_mixed_up(http):
    server, _ = http
    async with linked_to(server) as one, linked_to(server) as other, anyio.create_task_group() as tasks:

        async def ask(link: Link, names: list[str]) -> None:
            for agent_name in names:
                assert (await link.do("get_lessons", agent_name=agent_name))["agent_name"] == agent_name

        names = [agent.name for agent in load_roster().agents]
        tasks.start_soon(ask, one, names[::2])
        tasks.start_soon(ask, other, names[1::2])


@contextlib.asynccontextmanager
async def linked_to(server: HttpServer) -> AsyncIterator[Link]:
    async with connected(server.mcp, STATELESS) as client:
        yield Link(client, "http", STATELESS, "")


async def test_a_server_starts_without_its_database_and_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way of the folder")
    url = f"sqlite:///{tmp_path / 'file' / 'lessonbook.db'}"
    async with http_server(url) as server, httpx2.AsyncClient(base_url=server.url) as web:
        answer = await web.post("/mcp", **posted(STATELESS, message(1, "tools/list")))
        assert len(answer.json()["result"]["tools"]) == len(AGENT_TOOLS)
        assert (await web.get("/healthz")).status_code == 503
        answer = await web.post("/mcp", **posted(STATELESS, call(1, "get_lessons")))
        assert answer.json()["result"]["isError"] is True
        assert (await web.post("/api/get_lessons", json={})).status_code == 503
        (tmp_path / "file").unlink()
        assert (await web.post("/api/get_lessons", json={})).status_code == 200
        assert (await web.get("/healthz")).status_code == 200
