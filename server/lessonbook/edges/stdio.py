"""MCP over stdin and stdout: lines of bounded length, and an answer to every line that may be waiting for one."""

import asyncio
import json
import os
import re
import select
import stat
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

MAX_LINE_BYTES: Final = 1024 * 1024
"""A longer line is refused. No more than this and one chunk is ever held of it."""

GRACE_S: Final = 1.0
"""How long requests in flight may go on after stdin has ended. Clients kill a server after about two seconds."""

_FLUSH_S = 0.5
_CHUNK_BYTES = 64 * 1024
_END_BYTES = 1024
_MAX_ID_LENGTH = 256
_MAX_ID = 2**63
_POLLS = hasattr(select, "poll")  # False on Windows, whose pipes cannot be polled: there threads do the waiting

# The scalar members at either end of an object that cannot be parsed: some clients write the id first, some last.
_MEMBER = rb'"(?:jsonrpc|id|method)"\s*:\s*(?:"[^"\\]{0,256}"|-?\d{1,18})\s*'
_FIRST_MEMBERS = re.compile(rb"\s*\{\s*((?:" + _MEMBER + rb"[,}]\s*)+)")
_LAST_MEMBERS = re.compile(rb"((?:,\s*" + _MEMBER + rb")+)\}\s*$")
_METHOD = re.compile(rb'"method"\s*:')
_ID = re.compile(rb'"id"\s*:\s*("[^"]*"|-?\d+)')

# The answers never repeat what was sent.
_TOO_LONG = "line longer than 1 MiB; send less"
_NO_JSON = "line is not JSON in UTF-8; send one JSON-RPC message a line"
_NO_OBJECT = "line is not an object; send one JSON-RPC message a line, no batch"
_NO_REQUEST = (
    'line is no JSON-RPC request; send jsonrpc "2.0", id a string or an integer, method a string, params an object, '
    "all in valid Unicode and neither huge nor deeply nested"
)


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Serve one MCP client over stdin and stdout until stdin ends or nobody reads stdout any more.

    Meanwhile file descriptor 0 reads as empty and 1 is stderr, so that a stray print, here or in a child process,
    never reaches the client. A line that is not MCP is answered by a JSON-RPC error; the SDK's own transport drops it
    and leaves the client waiting. What is in flight when stdin ends has `GRACE_S` seconds to be answered.

    Raises:
        OSError: stdin or stdout is not open.
    """
    lowlevel = server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way to it
    with _claim_wire() as (stdin_fd, stdout_fd):
        outbound = _Outbound(stdout_fd, on_break=partial(anyio.notify_closing, stdin_fd))
        with _watch_for_hangup(stdout_fd, outbound.break_off):
            inbound = _Inbound(stdin_fd, outbound)
            await lowlevel.run(inbound, outbound, lowlevel.create_initialization_options())


@contextmanager
def _claim_wire() -> Generator[tuple[int, int]]:
    """Move stdin and stdout to descriptors of our own, and leave harmless ones in their place until the end."""
    stdin_fd, stdout_fd = _duplicate(0), _duplicate(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(nothing, 0)
        try:
            os.dup2(2, 1)
        except OSError:  # stderr is closed
            os.dup2(nothing, 1)
        yield stdin_fd, stdout_fd
    finally:
        with suppress(AttributeError, OSError, ValueError):
            sys.stdout.flush()  # what was printed and is still in the buffer belongs on stderr too
        os.dup2(stdin_fd, 0)
        os.dup2(stdout_fd, 1)
        os.close(nothing)
        if _POLLS:  # else a thread may still be reading
            os.close(stdin_fd)
            os.close(stdout_fd)


def _duplicate(fd: int) -> int:
    """Duplicate a descriptor to beyond the standard three, also where some of those are closed."""
    copies = [os.dup(fd)]
    while copies[-1] <= 2:  # noqa: PLR2004 - stderr
        copies.append(os.dup(fd))
    for copy in copies[:-1]:
        os.close(copy)
    return copies[-1]


@contextmanager
def _watch_for_hangup(stdout_fd: int, on_hangup: Callable[[], None]) -> Generator[None]:
    """Notice that the client has gone even while another process still holds stdin open.

    A pipe's writing end becomes "readable" when nobody reads it. Other kinds of stdout show it at the next write.
    """
    if not (_POLLS and stat.S_ISFIFO(os.fstat(stdout_fd).st_mode)):
        yield
        return
    loop = asyncio.get_running_loop()
    errors = select.poll()
    errors.register(stdout_fd, 0)

    def look() -> None:
        loop.remove_reader(stdout_fd)
        if errors.poll(0):  # else it is open for reading too, and what became readable is our own message
            on_hangup()

    loop.add_reader(stdout_fd, look)
    try:
        yield
    finally:
        loop.remove_reader(stdout_fd)


class _Stream:
    """What the SDK asks of a stream besides passing messages."""

    async def aclose(self) -> None:
        """Nothing to release: `_claim_wire` owns the descriptors."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class _Outbound(_Stream):
    """The messages to the client, written whole and in order, and the requests that still want one.

    A message is written at once where stdout takes it, without a change of task or thread. What does not fit stays in
    `_backlog` while its sender waits, so a sender that is cancelled never leaves half a line behind.
    """

    def __init__(self, fd: int, on_break: Callable[[], None]) -> None:
        self.broken = False
        self._fd = fd
        self._on_break = on_break
        self._backlog = bytearray()
        self._draining = anyio.Lock()
        self._closed = False
        self._unanswered: set[object] = set()
        self._idle = anyio.Event()
        if _POLLS:
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    async def send(self, item: SessionMessage, /) -> None:
        """Write one message.

        Raises:
            anyio.ClosedResourceError: after `aclose`.
            anyio.BrokenResourceError: nobody reads stdout any more.
        """
        message = item.message
        await self.write(_encode(message))
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self.settle(message.id)

    async def write(self, line: bytes) -> None:
        """Write one encoded message; raises as `send` does."""
        if self._closed:
            raise anyio.ClosedResourceError
        self._backlog += line
        try:
            if self._draining.locked() or not self._push():
                await self._drain()
        except OSError as error:
            self.break_off()
            raise anyio.BrokenResourceError from error

    def expect(self, request_id: object) -> None:
        """Note that a request waits for its answer."""
        self._unanswered.add(request_id)

    def settle(self, request_id: object) -> None:
        """Note that a request is answered, or wants no answer any more."""
        self._unanswered.discard(request_id)
        if not self._unanswered:
            self._idle.set()

    async def settled(self) -> None:
        """Wait until every request is settled, at most `GRACE_S` seconds."""
        with anyio.move_on_after(GRACE_S):
            while self._unanswered and not self.broken:
                self._idle = anyio.Event()
                await self._idle.wait()

    def break_off(self) -> None:
        """Give up: nobody reads stdout any more."""
        self.broken = True
        self._idle.set()
        self._on_break()

    async def aclose(self) -> None:
        """Write what a cancelled sender left behind, unless the client does not take it."""
        if not self._closed:
            self._closed = True
            with suppress(OSError), anyio.move_on_after(_FLUSH_S, shield=True):
                await self._drain()

    async def _drain(self) -> None:
        async with self._draining:
            while not self._push():
                if _POLLS:
                    await anyio.wait_writable(self._fd)
                else:
                    chunk = bytes(self._backlog[:_CHUNK_BYTES])
                    del self._backlog[: await anyio.to_thread.run_sync(os.write, self._fd, chunk)]

    def _push(self) -> bool:
        """Write as much as can be written without waiting; True once nothing is left."""
        while self._backlog:
            # A pipe that polls as writable takes PIPE_BUF bytes without blocking, even in blocking mode. The other
            # mode is no option: it would be set for every process that shares the pipe.
            if not (_POLLS and self._poll.poll(0)):
                return False
            try:
                del self._backlog[: os.write(self._fd, self._backlog[: select.PIPE_BUF])]
            except BlockingIOError:  # it was set all the same
                return False
        return True


class _LongLine(NamedTuple):
    """The two ends of a line that was too long to keep."""

    first: bytes
    last: bytes


class _Splitter:
    """Cuts a stream of bytes into lines and holds at most one line and one chunk."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._first = b""

    def split(self, chunk: bytes) -> Iterator[bytes | _LongLine]:
        """Yield the lines that end within this chunk."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            line = bytes(self._line)
            yield _LongLine(self._first, line) if self._first else line
            self._line.clear()
            self._first = b""
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._line += piece
        if self._first or len(self._line) > MAX_LINE_BYTES:
            self._first = self._first or bytes(self._line[:_END_BYTES])
            del self._line[:-_END_BYTES]


class _Inbound(_Stream):
    """The messages from the client. A line that is none is answered here and not passed on."""

    def __init__(self, fd: int, outbound: _Outbound) -> None:
        mode = os.fstat(fd).st_mode
        self._fd = fd
        self._waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)  # a file is always readable
        self._outbound = outbound
        self._splitter = _Splitter()
        self._lines: deque[bytes | _LongLine] = deque()
        self._ended = False

    async def receive(self) -> SessionMessage:
        """Wait for the next message.

        Raises:
            anyio.EndOfStream: stdin has ended and what was in flight is answered, or nobody reads stdout any more.
        """
        while not self._outbound.broken:
            while self._lines:
                message = await self._examine(self._lines.popleft())
                if message is not None:
                    return SessionMessage(message)
            if self._ended:
                await self._outbound.settled()
                break
            chunk = await self._read()
            self._ended = not chunk
            self._lines.extend(self._splitter.split(chunk or b"\n"))  # the last line may lack its end
        raise anyio.EndOfStream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def _read(self) -> bytes:
        """Wait for some bytes; none at the end of stdin."""
        while not self._outbound.broken:
            try:
                if not _POLLS:
                    return await anyio.to_thread.run_sync(os.read, self._fd, _CHUNK_BYTES, abandon_on_cancel=True)
                await (anyio.wait_readable(self._fd) if self._waits else anyio.lowlevel.checkpoint())
                return os.read(self._fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            except (OSError, anyio.ClosedResourceError):  # hung up, at either end
                break
        return b""

    async def _examine(self, line: bytes | _LongLine) -> JSONRPCMessage | None:
        """Return the message on a line, or answer the line and return nothing."""
        if isinstance(line, bytes):
            if not line or line.isspace():
                return None
            message = _parse(line)
            if message is not None:
                self._note(message)
                return message
        refusal = _refuse(line)
        if refusal is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._outbound.write(refusal)
            await anyio.lowlevel.checkpoint()  # a flood of such lines must not starve the rest
        return None

    def _note(self, message: JSONRPCMessage) -> None:
        """Keep the account of requests in flight; a subscription stays open for good and does not count."""
        if isinstance(message, JSONRPCRequest):
            if message.method != "subscriptions/listen":
                self._outbound.expect(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = (message.params or {}).get("requestId")
            if isinstance(cancelled, str | int):
                self._outbound.settle(cancelled)


def _parse(line: bytes) -> JSONRPCMessage | None:
    with suppress(ValidationError):  # most lines are requests, and one model is twice as fast as the union
        return JSONRPCRequest.model_validate_json(line, by_name=False)
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return None
    # A request whose id is null or a fraction passes for a notification, and its sender would wait for ever.
    if isinstance(message, JSONRPCNotification) and "id" in json.loads(line):
        return None
    return message


def _refuse(line: bytes | _LongLine) -> bytes | None:
    """Encode the error that answers a line which is no message; nothing where no answer is wanted."""
    if isinstance(line, _LongLine):
        return _encode_error(_find_id(*line), INVALID_REQUEST, _TOO_LONG)
    try:
        value: object = json.loads(line.decode())  # unlike the parser above it reads half a surrogate pair
    except (ValueError, RecursionError):
        found = _find_id(line[:_END_BYTES], line[-_END_BYTES:])
        return _encode_error(found, PARSE_ERROR, _NO_JSON)
    if not isinstance(value, dict):
        return _encode_error(None, INVALID_REQUEST, _NO_OBJECT)
    members = cast("dict[str, object]", value)
    is_notification = "method" in members and "id" not in members
    is_response = "method" not in members and ("result" in members or "error" in members)
    if is_notification or is_response:
        return None
    return _encode_error(_admit_id(members.get("id")), INVALID_REQUEST, _NO_REQUEST)


def _find_id(first: bytes, last: bytes) -> RequestId | None:
    """Find the id of a request in the two ends of its line, among the members before and after `params`."""
    matches = (_FIRST_MEMBERS.match(first), _LAST_MEMBERS.search(last))
    members = b"".join(match[1] for match in matches if match)
    ids: set[bytes] = set(_ID.findall(members))
    if len(ids) != 1 or not _METHOD.search(members):  # ids of responses are our own
        return None
    try:
        return _admit_id(json.loads(ids.pop().decode()))
    except ValueError:
        return None


def _admit_id(value: object) -> RequestId | None:
    """Return an id that is fit to be sent back, else None."""
    if isinstance(value, str) and len(value) <= _MAX_ID_LENGTH and value.isprintable():
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID else None


def _encode(message: JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except ValueError:  # a tool's answer may hold what JSON cannot, and its caller waits all the same
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            raise
        return _encode_error(message.id, INTERNAL_ERROR, "the answer cannot be written as JSON")


def _encode_error(request_id: RequestId | None, code: int, message: str) -> bytes:
    answer = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
