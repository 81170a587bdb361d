"""The stdio edge, as a client in another process sees it."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters

from lessonbook.edges.transport.lines import MAX_LINE_BYTES
from tests.forks import forked
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
SERVER = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "server")}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # prints must be able to linger in the buffer
HANDSHAKE, STATELESS = "2025-11-25", "2026-07-28"
INITIALIZE = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
PARSE_ERROR, INVALID_REQUEST, CONNECTION_CLOSED = -32700, -32600, -32000
HALF_PAIR = b'"\\ud800"'


class Wire:
    """Raw lines to and from a server in a process of its own."""

    def __init__(self, process: Process, protocol: str) -> None:
        self.process = process
        self.protocol = protocol
        self.calls = 0
        assert process.stdout is not None
        self.answers = BufferedByteReceiveStream(process.stdout)

    async def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        with anyio.fail_after(PATIENCE_S):
            await self.process.stdin.send(data)

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(PATIENCE_S):
            return json.loads(await self.answers.receive_until(b"\n", 64 * MAX_LINE_BYTES))

    async def end(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def exit_code(self) -> int:
        with anyio.fail_after(PATIENCE_S):
            return await self.process.wait()

    def encode(self, request_id: int | str, method: str, params: dict[str, Any]) -> bytes:
        if self.protocol == STATELESS:
            params = {**params, "_meta": ENVELOPE}
        return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"

    def encode_call(self, request_id: int | str, tool: str, **arguments: object) -> bytes:
        return self.encode(request_id, "tools/call", {"name": tool, "arguments": arguments})

    async def call(self, tool: str, **arguments: object) -> str:
        self.calls += 1
        request_id = f"call {self.calls}"
        await self.send(self.encode_call(request_id, tool, **arguments))
        answer = await self.receive()
        assert answer["id"] == request_id, answer
        return text_of(answer)


def text_of(answer: dict[str, Any]) -> str:
    return answer["result"]["content"][0]["text"]


@asynccontextmanager
async def serving(protocol: str = STATELESS, *modes: str, **streams: Any) -> AsyncIterator[Wire]:
    """Start a server, greet it, and see to it that it is gone afterwards."""
    command = forked(SERVER[-1], *modes)
    async with await anyio.open_process(command, env=ENVIRONMENT, **{"stderr": None, **streams}) as process:
        try:
            wire = Wire(process, protocol)
            if protocol == HANDSHAKE:
                await wire.send(wire.encode("hello", "initialize", INITIALIZE))
                assert (await wire.receive())["result"]["protocolVersion"] == HANDSHAKE
                await wire.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
            yield wire
        finally:
            if process.returncode is None:
                process.kill()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", params=[HANDSHAKE, STATELESS])
async def shared(anyio_backend, request) -> AsyncIterator[Wire]:
    async with serving(request.param) as wire:
        yield wire


def request_line(request_id: bytes, params: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":' + request_id + b',"method":"tools/call","params":' + params + b"}"


MALFORMED = {
    "words": (b"hello there", PARSE_ERROR, None),
    "an open object": (b'{"jsonrpc":"2.0"', PARSE_ERROR, None),
    "a request cut off": (b'{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"na', PARSE_ERROR, 41),
    "a broken request with its id last": (b'{"method":"x","params":{]},"jsonrpc":"2.0","id":"z"}', PARSE_ERROR, "z"),
    "a broken response, whose id is not ours": (b'{"jsonrpc":"2.0","id":41,"result":{]}', PARSE_ERROR, None),
    "an id inside the params of a broken request": (b'{"method":"x","params":{"id":41}]}', PARSE_ERROR, None),
    "invalid UTF-8": (request_line(b"42", b'{"name":"\xff\xfe"}'), PARSE_ERROR, 42),
    "an encoded surrogate": (request_line(b"42", b'{"name":"\xed\xa0\x80"}'), PARSE_ERROR, 42),
    "UTF-16": ('{"jsonrpc":"2.0"}'.encode("utf-16-be"), PARSE_ERROR, None),
    "NUL bytes": (b"\0\0\0", PARSE_ERROR, None),
    "a batch": (b'[{"jsonrpc":"2.0","id":43,"method":"ping"}]', INVALID_REQUEST, None),
    "an empty batch": (b"[]", INVALID_REQUEST, None),
    "null": (b"null", INVALID_REQUEST, None),
    "a number": (b"17", INVALID_REQUEST, None),
    "half a surrogate pair as the id": (request_line(HALF_PAIR, b"{}"), INVALID_REQUEST, None),
    "no members": (b"{}", INVALID_REQUEST, None),
    "only an id": (b'{"id":45}', INVALID_REQUEST, 45),
    "no version": (b'{"id":"46","method":"ping"}', INVALID_REQUEST, "46"),
    "another version": (b'{"jsonrpc":"1.0","id":46,"method":"ping"}', INVALID_REQUEST, 46),
    "a method that is a number": (b'{"jsonrpc":"2.0","id":47,"method":5}', INVALID_REQUEST, 47),
    "params that are a list": (request_line(b"48", b"[1]"), INVALID_REQUEST, 48),
    "params that are a string": (request_line(b"48", b'"x"'), INVALID_REQUEST, 48),
    "a null id": (request_line(b"null", b"{}"), INVALID_REQUEST, None),
    "a fraction as the id": (request_line(b"1.5", b"{}"), INVALID_REQUEST, None),
    "a boolean as the id": (request_line(b"true", b"{}"), INVALID_REQUEST, None),
    "a list as the id": (request_line(b"[]", b"{}"), INVALID_REQUEST, None),
    "an id too long to send back": (request_line(b'"' + b"i" * 9999 + b'"', b"[]"), INVALID_REQUEST, None),
    "deep nesting": (request_line(b"49", b'{"a":' + b"[" * 400 + b"]" * 400 + b"}"), INVALID_REQUEST, 49),
    "very deep nesting": (request_line(b"49", b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), PARSE_ERROR, 49),
    "endless nesting": (b"[" * 200_000, PARSE_ERROR, None),
    "a huge integer": (request_line(b"50", b'{"a":' + b"9" * 500_000 + b"}"), PARSE_ERROR, 50),
    "a huge integer as the id": (request_line(b"9" * 500_000, b"{}"), PARSE_ERROR, None),
    "a huge integer for a line": (b"9" * 500_000, PARSE_ERROR, None),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_line_gets_one_error_and_the_next_request_its_answer(shared, name):
    line, code, request_id = MALFORMED[name]
    await shared.send(line + b"\n")
    answer = await shared.receive()
    assert answer.keys() == {"jsonrpc", "id", "error"}
    assert (answer["error"]["code"], answer["id"]) == (code, request_id)
    assert answer["error"].keys() == {"code", "message"}
    assert "Traceback" not in answer["error"]["message"]
    assert await shared.call("echo", text=name) == name


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"   \t\r",
        b'{"jsonrpc":"2.0","method":"notifications/x","params":[1]}',
        b'{"jsonrpc":"2.0","method":"notifications/x","params":{"a":' + HALF_PAIR + b"}}",
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}',
        b'{"method":"notifications/x"}',
        b'{"jsonrpc":"2.0","id":1,"result":[]}',
        b'{"jsonrpc":"2.0","id":1,"result":{"a":' + HALF_PAIR + b"}}",
        b'{"jsonrpc":"2.0","id":1,"error":"no"}',
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
    ],
)
async def test_blank_line_notification_or_response_is_not_answered(shared, line):
    await shared.send(line + b"\n")
    assert await shared.call("echo", text="next") == "next"


FILLER = b'{"text":"' + b"x" * (2 * MAX_LINE_BYTES) + b'","id":7}'


@pytest.mark.parametrize(
    ("line", "request_id"),
    [
        (request_line(b"51", FILLER), 51),
        (request_line(b'"fifty-one"', FILLER), "fifty-one"),
        (b'{"method":"tools/call","params":' + FILLER + b',"jsonrpc":"2.0","id":52}', 52),
        (b'{ "method" : "tools/call", "params" : ' + FILLER + b', "id" : -53 }\r', -53),
        (b'{"params":' + FILLER + b"}", None),
        (b'{"jsonrpc":"2.0","id":54,"result":' + FILLER + b"}", None),
        (b'{"jsonrpc":"2.0","method":"x","params":' + FILLER + b"}", None),
        (b"x" * (MAX_LINE_BYTES + 1), None),
        (b'"\\' * MAX_LINE_BYTES, None),
    ],
)
async def test_line_over_the_limit_is_refused_with_the_id_of_its_request(shared, line, request_id):
    await shared.send(line + b"\n")
    answer = await shared.receive()
    assert answer["id"] == request_id
    assert answer["error"] == {"code": INVALID_REQUEST, "message": "line longer than 1 MiB; send less"}
    assert await shared.call("echo", text="next") == "next"


async def test_line_of_exactly_the_limit_is_served(shared):
    room = MAX_LINE_BYTES + 1 - len(shared.encode_call("full", "echo", text=""))
    await shared.send(shared.encode_call("full", "echo", text="y" * room))
    assert text_of(await shared.receive()) == "y" * room


@pytest.mark.parametrize("mebibytes", [2, 128])
async def test_long_line_takes_bounded_memory(shared, mebibytes):
    before = int(await shared.call("peak_kib"))
    for _ in range(mebibytes):
        await shared.send(b"x" * MAX_LINE_BYTES)
    await shared.send(b"\n")
    assert (await shared.receive())["error"]["code"] == INVALID_REQUEST
    assert int(await shared.call("peak_kib")) - before < 4 * 1024


async def test_character_split_across_writes_arrives_whole(shared):
    line = shared.encode_call("split", "echo", text="?").replace(b"?", "\N{SNOWMAN}\U0001f600".encode())
    for byte in line:
        await shared.send(bytes([byte]))
    assert text_of(await shared.receive()) == "\N{SNOWMAN}\U0001f600"


async def test_messages_of_one_write_are_all_answered(shared):
    wanted = {f"many {number}": str(number) for number in range(200)}
    await shared.send(b"".join(shared.encode_call(key, "echo", text=text) for key, text in wanted.items()))
    answers = [await shared.receive() for _ in wanted]
    assert {answer["id"]: text_of(answer) for answer in answers} == wanted


async def test_answer_that_json_cannot_hold_is_an_error(shared):
    await shared.send(shared.encode_call("unsayable", "unsayable"))
    answer = await shared.receive()
    assert answer["id"] == "unsayable"
    assert "error" in answer or answer["result"]["isError"]
    assert await shared.call("echo", text="next") == "next"


def garbage(draw: random.Random, wire: Wire) -> bytes:
    """Draw a line: noise, JSON of some kind, or a request with a few bytes changed."""
    request = bytearray(wire.encode_call(draw.randrange(9), "echo", text="\N{SNOWMAN} \\ud800 \\u0000")[:-1])
    match draw.randrange(4):
        case 0:
            line = draw.randbytes(draw.randrange(200))
        case 1:
            line = bytes(draw.choice(b'{}[]":,\\u0d8id1-e. ntf') for _ in range(draw.randrange(100)))
        case 2:
            line = bytes(request[: draw.randrange(len(request))])
        case _:
            for _ in range(draw.randrange(1, 4)):
                request[draw.randrange(len(request))] = draw.randrange(256)
            line = bytes(request)
    return line.replace(b"\n", b" ") + b"\n"


@pytest.mark.parametrize("seed", range(3))
async def test_garbage_never_kills_it(shared, seed):
    draw = random.Random(seed)
    for number in range(300):
        await shared.send(garbage(draw, shared) + shared.encode_call(f"after {number}", "echo", text=str(number)))
        while (answer := await shared.receive())["id"] != f"after {number}":
            assert answer["id"] is None or answer["id"] in range(9) or "error" in answer
        assert text_of(answer) == str(number)


@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_it_exits_with_0_when_stdin_ends(protocol):
    async with serving(protocol) as wire:
        assert await wire.call("echo", text="hello") == "hello"
        await wire.end()
        assert await wire.exit_code() == 0


@pytest.mark.parametrize("sent", [b"", b"\n", b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'])
async def test_it_exits_with_0_when_stdin_ends_before_a_request(sent):
    async with serving() as wire:
        await wire.send(sent)
        await wire.end()
        assert await wire.exit_code() == 0


@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_what_is_in_flight_when_stdin_ends_is_finished(protocol):
    async with serving(protocol) as wire:
        await wire.send(wire.encode_call(1, "slow", seconds=0.2))
        await wire.end()
        assert text_of(await wire.receive()) == "slept"
        assert await wire.exit_code() == 0


@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_what_takes_too_long_after_stdin_ended_is_broken_off(protocol):
    async with serving(protocol, "hasty") as wire:
        await wire.send(wire.encode_call(1, "slow", seconds=3600))
        await wire.end()
        assert (await wire.receive())["error"]["code"] == CONNECTION_CLOSED
        assert await wire.exit_code() == 0


async def test_cancelled_request_does_not_delay_the_end():
    async with serving(HANDSHAKE) as wire:
        await wire.send(wire.encode_call(1, "slow", seconds=3600))
        await wire.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}\n')
        assert await wire.call("echo", text="still here") == "still here"
        await wire.end()
        assert await wire.exit_code() == 0
        with pytest.raises((anyio.EndOfStream, anyio.IncompleteRead)):  # whoever is waited for is refused at last
            await wire.receive()


@pytest.mark.parametrize(("cut", "answered"), [(1, "result"), (9, "error")])
async def test_last_line_needs_no_newline(cut, answered):
    async with serving() as wire:
        await wire.send(wire.encode_call(1, "echo", text="last")[:-cut])
        await wire.end()
        answer = await wire.receive()
        assert answer["id"] == 1
        assert answered in answer
        assert await wire.exit_code() == 0


async def test_it_exits_when_nobody_reads_stdout_though_stdin_is_held_open():
    reader, writer = os.pipe()
    process = await anyio.open_process(SERVER, env=ENVIRONMENT, stdout=writer, stderr=None)
    os.close(writer)
    async with process:
        assert process.stdin is not None
        with anyio.fail_after(PATIENCE_S):
            await process.stdin.send(b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}\n')
            await anyio.wait_readable(reader)
            os.close(reader)
            assert await process.wait() == 0


async def test_stdout_that_is_open_for_reading_too_is_not_taken_for_abandoned(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    fifo = os.open(tmp_path / "fifo", os.O_RDWR)
    async with await anyio.open_process(SERVER, env=ENVIRONMENT, stdout=fifo, stderr=None) as process:
        assert process.stdin is not None
        with anyio.fail_after(PATIENCE_S):
            for number in range(3):
                await process.stdin.send(b'{"jsonrpc":"2.0","id":%d,"method":"nonsense"}\n' % number)
                await anyio.wait_readable(fifo)
                assert json.loads(os.read(fifo, 9999))["id"] == number
            await process.stdin.aclose()
            assert await process.wait() == 0
    os.close(fifo)


async def test_it_does_not_outlive_its_parent():
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdin.write(b'" + '{"jsonrpc":"2.0","id":1,"method":"ping"}' + "\\n'); child.stdin.flush()\n"
        "child.stdout.readline(); print('up', flush=True); child.wait()\n"
    )
    with anyio.fail_after(PATIENCE_S):
        async with await anyio.open_process([sys.executable, "-c", parent, *SERVER], env=ENVIRONMENT) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert await process.stdout.receive() == b"up\n"
            process.send_signal(signal.SIGKILL)
            with pytest.raises(anyio.EndOfStream):  # the child holds this pipe as its stderr, and closes it by exiting
                await process.stderr.receive()


@pytest.mark.parametrize("mode", ["polls", "threads"])
async def test_only_mcp_goes_to_stdout(mode):
    async with serving(STATELESS, mode, stderr=subprocess.PIPE) as wire:
        assert await wire.call("litter") == "child read 0 bytes"
        await wire.end()
        assert await wire.exit_code() == 0
        with pytest.raises((anyio.EndOfStream, anyio.IncompleteRead)):
            await wire.receive()
        assert wire.process.stderr is not None
        litter = b"".join([chunk async for chunk in wire.process.stderr])
        assert litter.split(b"\n")[:-1] == [b"stray print", b"stray child", b"stray print left in the buffer"]


@pytest.mark.parametrize("mode", ["polls", "threads"])
async def test_client_that_does_not_read_neither_blocks_nor_tears(mode):
    async with serving(HANDSHAKE, mode, stderr=subprocess.PIPE) as wire:
        assert wire.process.stderr is not None
        await wire.send(wire.encode_call("a", "big", size=3_000_000) + wire.encode_call("b", "big", size=1_000_000))
        await wire.send(wire.encode_call("c", "shout"))
        assert await wire.process.stderr.receive() == b"heard\n"
        await wire.send(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}\n')
        await wire.send(wire.encode_call("d", "shout"))
        assert await wire.process.stderr.receive() == b"heard\n"
        answers = {answer["id"]: answer for answer in [await wire.receive() for _ in range(4)]}
        assert answers.keys() == {"a", "b", "c", "d"}
        assert text_of(answers["a"]) == "x" * 3_000_000
        assert await wire.call("echo", text="next") == "next"
        await wire.end()
        assert await wire.exit_code() == 0


async def test_client_that_never_reads_does_not_keep_it_from_exiting():
    async with serving(STATELESS, "hasty") as wire:
        await wire.send(wire.encode_call("a", "big", size=3_000_000))
        await wire.end()
        assert await wire.exit_code() == 0


async def test_threads_do_where_pipes_cannot_be_polled():
    async with serving(STATELESS, "threads") as wire:
        assert await wire.call("echo", text="hello") == "hello"
        await wire.send(b"nonsense\n")
        assert (await wire.receive())["error"]["code"] == PARSE_ERROR
        assert len(await wire.call("big", size=1_000_000)) == 1_000_000
        await wire.end()
        assert await wire.exit_code() == 0


@pytest.mark.parametrize("number_of_calls", [0, 3])
async def test_files_do_for_stdin_and_stdout(tmp_path, number_of_calls):
    encode = Wire.encode_call
    async with serving() as wire:
        calls = [encode(wire, number, "echo", text="x") for number in range(number_of_calls)]
    (tmp_path / "in").write_bytes(b"".join(calls))
    with anyio.fail_after(PATIENCE_S), (tmp_path / "in").open() as stdin, (tmp_path / "out").open("wb") as stdout:
        assert (await anyio.run_process(SERVER, env=ENVIRONMENT, stdin=stdin, stdout=stdout)).returncode == 0
    answers = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert sorted(answer["id"] for answer in answers) == list(range(number_of_calls))


async def test_sockets_do_for_stdin_and_stdout():
    ours, theirs = socket.socketpair()
    async with await anyio.open_process(SERVER, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=None) as process:
        theirs.close()
        async with await anyio.abc.SocketStream.from_socket(ours) as stream:
            with anyio.fail_after(PATIENCE_S):
                answers = BufferedByteReceiveStream(stream)
                await stream.send(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\nnonsense\n')
                found = {json.loads(await answers.receive_until(b"\n", 9999))["id"] for _ in range(2)}
                assert found == {1, None}
                await stream.send_eof()
                assert await process.wait() == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
async def test_terminal_does_for_stdin_and_stdout():
    ours, theirs = os.openpty()
    async with await anyio.open_process(SERVER, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=None) as process:
        os.close(theirs)
        seen = b""
        with anyio.fail_after(PATIENCE_S):
            os.write(ours, b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}\n')
            while b'"error"' not in seen:
                await anyio.wait_readable(ours)
                seen += os.read(ours, 9999)
            os.write(ours, b"\x04")
            assert await process.wait() == 0
        os.close(ours)


async def test_closed_stdin_is_an_error_rather_than_a_hang():
    with anyio.fail_after(PATIENCE_S):
        result = await anyio.run_process(["sh", "-c", 'exec "$@" <&-', "sh", *SERVER], env=ENVIRONMENT, check=False)
    assert result.returncode == 1
    assert result.stdout == b""


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_the_client_of_the_sdk_is_served(mode):
    parameters = StdioServerParameters(
        command=SERVER[0], args=SERVER[1:], env={"PYTHONPATH": ENVIRONMENT["PYTHONPATH"]}
    )
    with anyio.fail_after(PATIENCE_S):
        async with Client(parameters, mode=mode) as client:
            assert client.protocol_version == (HANDSHAKE if mode == "legacy" else STATELESS)
            assert {"echo", "constant"} <= {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("echo", {"text": "\N{SNOWMAN}\n"})
            assert result.structured_content == {"result": "\N{SNOWMAN}\n"}


# --- what the client asks first ---------------------------------------------------------------------------------------


def plain(request_id: int | str, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).encode() + b"\n"


def enveloped(request_id: int | str, method: str, **params: object) -> bytes:
    return plain(request_id, method, {**params, "_meta": ENVELOPE})


@asynccontextmanager
async def ungreeted() -> AsyncIterator[Wire]:
    async with serving(STATELESS) as wire:  # in this protocol there is no greeting
        yield wire


@pytest.mark.parametrize("discoveries", [1, 3])
@pytest.mark.parametrize("waits", [True, False], ids=["after the answer", "in one write"])
async def test_initialize_after_discover_is_served(discoveries, waits):
    async with ungreeted() as wire:
        answers = {}
        for number in range(discoveries):
            await wire.send(enveloped(f"discover {number}", "server/discover"))
            if waits:
                answer = await wire.receive()
                answers[answer["id"]] = answer
        await wire.send(plain("hello", "initialize", INITIALIZE))
        while "hello" not in answers or len(answers) <= discoveries:
            answer = await wire.receive()
            answers[answer["id"]] = answer
        assert answers["hello"]["result"]["protocolVersion"] == HANDSHAKE
        assert all("supportedVersions" in answers[f"discover {number}"]["result"] for number in range(discoveries))
        await wire.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        wire.protocol = HANDSHAKE
        assert await wire.call("echo", text="served") == "served"
        await wire.end()
        assert await wire.exit_code() == 0


async def test_discover_after_initialize_is_answered_and_the_handshake_stands():
    async with serving(HANDSHAKE) as wire:
        await wire.send(enveloped("discover", "server/discover"))
        assert "supportedVersions" in (await wire.receive())["result"]
        assert await wire.call("echo", text="served") == "served"
        await wire.send(enveloped("other", "tools/list"))
        assert (await wire.receive())["error"]["code"] == INVALID_REQUEST


async def test_initialize_is_refused_once_more_than_discover_was_asked():
    async with ungreeted() as wire:
        await wire.send(enveloped("discover", "server/discover"))
        assert "result" in await wire.receive()
        assert await wire.call("echo", text="served") == "served"
        await wire.send(plain("hello", "initialize", INITIALIZE))
        assert "error" in await wire.receive()
        assert await wire.call("echo", text="still served") == "still served"


async def test_a_discover_in_flight_when_stdin_ends_is_answered():
    async with ungreeted() as wire:
        await wire.send(enveloped("discover", "server/discover"))
        await wire.end()
        assert "result" in await wire.receive()
        assert await wire.exit_code() == 0
