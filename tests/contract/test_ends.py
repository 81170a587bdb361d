"""How servers end: whoever waits is answered, nothing is half done, no stack is shown, and the exit code says why."""

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from lessonbook.config.settings import Settings
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace
from tests.conftest import DATABASES
from tests.contract.processes import PROJECT, command, environment, url_of
from tests.patience import PATIENCE_S
from tests.store.obstacles import locked
from tests.store.scenario import counted

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CALLS = 12
SIGNALS = {signal.SIGTERM: 0, signal.SIGINT: 130}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def a_call(number: int) -> bytes:
    """Return a line that reports an issue of its own under a key of its own."""
    name = "abcdefghijklmnop"[number] * 6
    issue = {"description": f"{name} seen {name}", "lesson": f"Check the length of every {name} before reading it."}
    arguments = {"agent_name": "BackendDevelopmentAgent", "issues": [issue], "idempotency_key": name}
    return request(number, "tools/call", {"name": "report_issues", "arguments": arguments})


def request(number: int, method: str, params: dict[str, Any]) -> bytes:
    document = {"jsonrpc": "2.0", "id": number, "method": method, "params": {**params, "_meta": ENVELOPE}}
    return json.dumps(document).encode() + b"\n"


async def assert_sound(url: str, answered: int) -> None:
    """What was acknowledged is there, and nothing is there by halves."""
    work = await open_workspace(Settings.model_validate({"project": PROJECT, "database": {"url": url}}))
    rows = await counted(work.store)
    assert answered <= rows["agent_issues"] == rows["agent_lessons"] == rows["agent_refinement_runs"]
    assert (await diagnose(work)).faults == []
    await work.store.close()


class Served:
    """A server over stdio, in a process of its own."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.process, self.stdin, self.log = process, process.stdin, process.stderr
        self.lines = BufferedByteReceiveStream(process.stdout)

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE_S):
            return json.loads(await self.lines.receive_until(b"\n", 999_999))

    async def ended(self) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit code, and what was still answered; there was no stack in the log."""
        with anyio.fail_after(PATIENCE_S):
            rest = self.lines.buffer + b"".join([chunk async for chunk in self.lines])
            log = b"".join([chunk async for chunk in self.log])
            code = await self.process.wait()
        assert b"Traceback" not in log, log.decode()
        return code, [json.loads(line) for line in rest.splitlines()]


@contextlib.asynccontextmanager
async def stdio(url: str) -> AsyncIterator[Served]:
    """Start a server, and see that it has opened the database."""
    process = await anyio.open_process(command(), env=environment(url), stderr=subprocess.PIPE)
    async with process:
        try:
            served = Served(process)
            query = {"name": "get_lessons", "arguments": {"agent_name": "BackendDevelopmentAgent", "task": "begin"}}
            await served.stdin.send(request(99, "tools/call", query))
            assert (await served.receive())["id"] == 99
            yield served
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.parametrize(("dialect", "number"), list(zip(DATABASES, SIGNALS, strict=True)), indirect=["dialect"])
async def test_calls_in_flight_when_a_signal_comes_are_finished_or_refused_in_words_over_stdio(
    database_url: str, number: signal.Signals
) -> None:
    async with stdio(database_url) as served:
        await served.stdin.send(b"".join(map(a_call, range(CALLS))))
        served.process.send_signal(number)
        code, answers = await served.ended()
    assert code == SIGNALS[number]
    assert sorted(answer["id"] for answer in answers) == list(range(CALLS))
    done = [answer for answer in answers if "result" in answer and not answer["result"].get("isError")]
    assert [answer for answer in answers if answer not in done and "same idempotency_key" not in str(answer)] == []
    await assert_sound(database_url, len(done))


@pytest.mark.parametrize(
    ("dialect", "end"),
    [("sqlite", signal.SIGINT), ("postgresql", signal.SIGTERM), ("sqlite", None)],
    indirect=["dialect"],
)
async def test_calls_that_cannot_be_finished_when_the_server_ends_are_refused_in_words_over_stdio(
    database_url: str, end: signal.Signals | None
) -> None:
    async with stdio(database_url) as served, locked(database_url):
        await served.stdin.send(b"".join(map(a_call, range(CALLS))))
        if end is None:
            await served.stdin.aclose()
        else:
            served.process.send_signal(end)
        code, answers = await served.ended()
    assert code == SIGNALS.get(end, 0)
    assert sorted(answer["id"] for answer in answers) == list(range(CALLS))
    for answer in answers:
        assert "same idempotency_key" in answer["error"]["message"]
    await assert_sound(database_url, 0)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_server_that_waits_for_its_first_line_ends_with_the_code_of_its_signal(
    tmp_path: Any, number: signal.Signals
) -> None:
    async with stdio(f"sqlite:///{tmp_path / 'new.db'}") as served:
        served.process.send_signal(number)
        assert await served.ended() == (SIGNALS[number], [])


@contextlib.asynccontextmanager
async def http(url: str, **limits: float) -> AsyncIterator[tuple[Process, BufferedByteReceiveStream, str]]:
    """Start a server over HTTP, and see that it has opened the database."""
    arguments = command("--http", "--port", "0")
    async with await anyio.open_process(arguments, env=environment(url, **limits), stdin=None) as process:
        assert process.stderr is not None
        log = BufferedByteReceiveStream(process.stderr)
        try:
            with anyio.fail_after(PATIENCE_S):
                address = await url_of(log)
            async with httpx2.AsyncClient(base_url=address, timeout=PATIENCE_S) as client:
                assert (await client.get("/healthz")).status_code == 200
            yield process, log, address
        finally:
            if process.returncode is None:
                process.kill()


class Post:
    """A request that the server is at work on before its body is sent: it has asked for the body."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self.reader, self.writer, self.body = reader, writer, body

    @classmethod
    async def begin(cls, address: str, path: str, body: bytes) -> "Post":
        place = urlsplit(address)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        headers = {**HEADERS, "Host": place.netloc, "Content-Length": str(len(body))}
        writer.write(f"POST {path} HTTP/1.1\r\n".encode())
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n")
        with anyio.fail_after(PATIENCE_S):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        return cls(reader, writer, body)

    def send(self) -> None:
        self.writer.write(self.body)

    async def answer(self) -> tuple[int, str, str]:
        """Return status, headers and body."""
        with anyio.fail_after(PATIENCE_S):
            head, _, body = (await self.reader.read()).decode().partition("\r\n\r\n")
        self.writer.close()
        await self.writer.wait_closed()
        return int(head.split()[1]), head.lower(), body


HEADERS = {
    "Expect": "100-continue",
    "Connection": "close",
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "MCP-Method": "tools/call",
    "MCP-Name": "report_issues",
}


async def begun(address: str) -> list[Post]:
    """Begin requests, over REST and MCP."""
    bodies = [json.dumps(json.loads(a_call(number))["params"]["arguments"]).encode() for number in range(3)]
    posts = [await Post.begin(address, "/api/report_issues", body) for body in bodies]
    return [*posts, await Post.begin(address, "/mcp", a_call(3))]


@pytest.mark.parametrize(("dialect", "number"), list(zip(DATABASES, SIGNALS, strict=True)), indirect=["dialect"])
async def test_requests_in_flight_when_a_signal_comes_are_finished_or_refused_in_words_over_http(
    database_url: str, number: signal.Signals
) -> None:
    async with http(database_url) as (process, log, address):
        posts = await begun(address)
        process.send_signal(number)
        for post in posts:
            post.send()
        answers = [await post.answer() for post in posts]
        assert await ended(process, log) == SIGNALS[number]
    assert [body for status, _, body in answers if status != 200 and "same idempotency_key" not in body] == []
    await assert_sound(database_url, sum(status == 200 for status, _, _ in answers))


@pytest.mark.parametrize(
    ("dialect", "number"), list(zip(reversed(DATABASES), SIGNALS, strict=True)), indirect=["dialect"]
)
async def test_requests_that_cannot_be_finished_when_the_server_ends_are_refused_in_words_over_http(
    database_url: str, number: signal.Signals
) -> None:
    async with http(database_url, GRACE_S=0.1) as (process, log, address), locked(database_url):
        posts = await begun(address)
        for post in posts:
            post.send()
        process.send_signal(number)
        for post in posts:
            status, head, body = await post.answer()
            assert status == 503
            assert "content-type: application/json" in head
            assert "same idempotency_key" in json.loads(body)["message"]
        assert await ended(process, log) == SIGNALS[number]
    await assert_sound(database_url, 0)


async def ended(process: Process, log: BufferedByteReceiveStream) -> int:
    """Return the exit code; there was no stack in the log."""
    with anyio.fail_after(PATIENCE_S):
        rest = log.buffer + b"".join([chunk async for chunk in log])
        code = await process.wait()
    assert b"Traceback" not in rest, rest.decode()
    return code


@pytest.fixture(autouse=True)
def _as_a_person_starts_it() -> Iterator[None]:
    """Let a child take SIGINT, even where the tests themselves run in the background and ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
