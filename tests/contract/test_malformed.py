"""Malformed messages, hundreds and thousands of them, on stdio and over HTTP: each is answered, and nothing is left."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from lessonbook.edges.transport.lines import MAX_LINE_BYTES
from tests.contract.links import HANDSHAKE, STATELESS
from tests.contract.malformed import malformed_messages
from tests.contract.processes import BOTH, HttpServer, afresh, command, environment, http_server
from tests.contract.test_wire import call, message
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NOTIFIED = json.dumps(
    {key: value for key, value in message(1, "prompts/get", name="nobody").items() if key != "id"}
).encode()
"""A request without an id, so that nobody waits for its refusal; the log has no stack of it (see `http_server`)."""
FEW, MANY = 300, 20_000
WARM_UP = 2_000
GROWTH_MAX_MB = 48.0
"""Most megabytes that a server may grow by over 18,000 messages; what it keeps of each would be far more."""
CALLERS = 8
PATHS = ("/mcp", "/mcp", "/mcp", "/api/get_lessons", "/api/report_issues", "/api/rework", "/api/reports/sarif")


def resident_mb(process: Process) -> float:
    """Return the resident memory of a process, in megabytes."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def assert_bounded(before: float, after: float) -> None:
    """See that a server has not grown, and say how far it has (`pytest -m long -rA` shows it)."""
    sys.stderr.write(f"{before:.1f} MB after {WARM_UP} messages, {after:.1f} MB after {MANY}\n")
    assert after - before < GROWTH_MAX_MB


async def answered(answers: BufferedByteReceiveStream, last: str) -> int:
    """Read answers until that to the request `last`, and return how many came; each is a JSON-RPC message."""
    count = 0
    while True:
        answer = json.loads(await answers.receive_until(b"\n", 64 * MAX_LINE_BYTES))
        assert answer["jsonrpc"] == "2.0", answer
        assert "Traceback" not in str(answer), answer
        count += 1
        if answer.get("id") == last:
            assert "result" in answer, answer
            return count


def opening(protocol: str) -> bytes:
    """Return a right first message: it decides which protocol a connection speaks."""
    if protocol == STATELESS:
        return json.dumps(call("first", "get_stats")).encode()
    about = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return json.dumps({"jsonrpc": "2.0", "id": "first", "method": "initialize", "params": about}).encode()


async def sent_on_stdio(process: Process, messages: Iterator[bytes], last: str, protocol: str = STATELESS) -> int:
    """Send messages between two right ones, read meanwhile, and return how many answers came."""
    assert process.stdin is not None
    assert process.stdout is not None
    answers = BufferedByteReceiveStream(process.stdout)
    stdin, counts = process.stdin, list[int]()

    async def read() -> None:
        counts.append(await answered(answers, last))

    with anyio.fail_after(PATIENCE_S * 20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            for line in itertools.chain([opening(protocol)], messages):
                await stdin.send(line + b"\n")
            right = (
                call(last, "get_stats") if protocol == STATELESS else {"jsonrpc": "2.0", "id": last, "method": "ping"}
            )
            await stdin.send(json.dumps(right).encode() + b"\n")
    return counts[0]


async def test_malformed_lines_are_answered_and_the_next_call_is_served(sqlite_url: str, protocol: str) -> None:
    async with await anyio.open_process(command(), env=environment(sqlite_url), stderr=None) as process:
        try:
            assert await sent_on_stdio(process, malformed_messages(FEW, 1), "last", protocol) > FEW // 2
        finally:
            process.kill()


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="memory is read from /proc")
async def test_twenty_thousand_malformed_lines_leave_nothing_behind(sqlite_url: str) -> None:
    async with await anyio.open_process(afresh(), env=environment(sqlite_url), stderr=None) as process:
        try:
            await sent_on_stdio(process, malformed_messages(WARM_UP, 1), "warm")
            before = resident_mb(process)
            await sent_on_stdio(process, malformed_messages(MANY - WARM_UP, 2), "last")
            after = resident_mb(process)
        finally:
            process.kill()
    assert_bounded(before, after)


async def sent_over_http(server: HttpServer, messages: Iterator[bytes]) -> None:
    """Send messages from several callers, and see that each is answered in JSON and not by an error of the server's."""

    async def post() -> None:
        async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web:
            for number, body in enumerate(messages):
                version = (STATELESS, HANDSHAKE, "1999-01-01", "")[number % 4]
                headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
                if version:
                    headers["mcp-protocol-version"] = version
                answer = await web.post(PATHS[number % len(PATHS)], content=body, headers=headers)
                assert answer.status_code < 500, (body[:500], answer.text)
                assert "Traceback" not in answer.text
                if answer.content:
                    answer.json()

    async with anyio.create_task_group() as tasks:
        for _ in range(CALLERS):
            tasks.start_soon(post)
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web:
        assert (await web.get("/healthz")).status_code == 200


async def test_malformed_bodies_are_answered_and_the_server_stays_well(sqlite_url: str) -> None:
    async with http_server(sqlite_url, *BOTH) as server:
        await sent_over_http(server, itertools.chain([NOTIFIED] * len(PATHS) * 4, malformed_messages(FEW, 3)))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="memory is read from /proc")
async def test_twenty_thousand_malformed_bodies_leave_nothing_behind(sqlite_url: str) -> None:
    async with http_server(sqlite_url, *BOTH, started=afresh) as server:
        await sent_over_http(server, malformed_messages(WARM_UP, 3))
        before = resident_mb(server.process)
        await sent_over_http(server, malformed_messages(MANY - WARM_UP, 4))
        after = resident_mb(server.process)
    assert_bounded(before, after)
