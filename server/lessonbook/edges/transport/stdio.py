"""MCP over stdin and stdout: lines of bounded length, and an answer to every line that may be a request."""

import asyncio
import os
import select
import signal
import stat
import sys
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from mcp_types import (
    CONNECTION_CLOSED,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from lessonbook.domain.errors import STOPPED, Undecided
from lessonbook.edges.tool_table import takes_key
from lessonbook.edges.transport.discovery import Inbound, Outbound, serve_beside_discovery
from lessonbook.edges.transport.lines import LongLine, Splitter, encode, parse, refuse

GRACE_S: Final = 1.0
"""Seconds for requests in flight after stdin has ended. Clients kill a server after about two seconds."""

LEAVE_S: Final = 0.3
"""Seconds for calls to end once all requests are answered; after them the database's waits are broken off."""

_FLUSH_S = 0.5
_CHUNK_BYTES = 64 * 1024
_POLLS = hasattr(select, "poll")  # False on Windows, whose pipes cannot be polled: there threads wait


async def serve_stdio(server: MCPServer[Any], give_up: Callable[[], None] = lambda: None) -> int | None:
    """Serve one MCP client until stdin ends, nobody reads stdout any more, or SIGINT or SIGTERM arrives.

    Returns the signal, if there was one.

    Meanwhile file descriptor 0 reads as empty and 1 is stderr, so that a stray print, here or in a child process,
    never reaches the client. A line that is not MCP is answered by a JSON-RPC error; the SDK's own transport drops it
    and leaves the client waiting. Requests in flight at the end have `GRACE_S` seconds; then they are answered by an
    error.

    Args:
        server: the server.
        give_up: called at the end when calls still run: it makes them fail.

    Raises:
        OSError: stdin or stdout is not open.
    """
    lowlevel = server._lowlevel_server  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - no public way to it
    with _claim_wire() as (stdin_fd, stdout_fd):
        outbound = _OutboundStream(stdout_fd, on_break=partial(anyio.notify_closing, stdin_fd))
        with _watch_for_hangup(stdout_fd, outbound.break_off):
            inbound = _InboundStream(stdin_fd, outbound)
            with _watch_for_signals(inbound.stop):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(_give_up_at_end, outbound, give_up)
                    await serve_beside_discovery(lowlevel, inbound, outbound)
                    tasks.cancel_scope.cancel()
            return inbound.stopped_by


async def _give_up_at_end(outbound: "_OutboundStream", give_up: Callable[[], None]) -> None:
    """Call `give_up` when calls still run `LEAVE_S` seconds after all requests were answered."""
    await outbound.ended.wait()
    await anyio.sleep(LEAVE_S)
    give_up()


@contextmanager
def _claim_wire() -> Generator[tuple[int, int]]:
    """Move stdin and stdout to other descriptors, with harmless ones in their place until the end."""
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
            sys.stdout.flush()  # what is still in the buffer belongs on stderr
        os.dup2(stdin_fd, 0)
        os.dup2(stdout_fd, 1)
        os.close(nothing)
        if _POLLS:  # else a thread may still be reading
            os.close(stdin_fd)
            os.close(stdout_fd)


def _duplicate(fd: int) -> int:
    """Duplicate a descriptor to a number above 2, also where some of the standard three are closed."""
    copies = [os.dup(fd)]
    while copies[-1] <= 2:  # noqa: PLR2004 - stderr
        copies.append(os.dup(fd))
    for copy in copies[:-1]:
        os.close(copy)
    return copies[-1]


@contextmanager
def _watch_for_hangup(stdout_fd: int, on_hangup: Callable[[], None]) -> Generator[None]:
    """Call `on_hangup` when the client has gone, even while another process still holds stdin open.

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
        if errors.poll(0):  # else it is also open for reading, and our own message became readable
            on_hangup()

    loop.add_reader(stdout_fd, look)
    try:
        yield
    finally:
        loop.remove_reader(stdout_fd)


@contextmanager
def _watch_for_signals(on_signal: Callable[[int], None]) -> Generator[None]:
    """Call `on_signal` at SIGINT and SIGTERM, where the event loop can handle signals."""
    loop = asyncio.get_running_loop()
    watched: list[int] = []
    try:
        with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, on_signal, number)
                watched.append(number)
        yield
    finally:
        for number in watched:
            loop.remove_signal_handler(number)


class _OutboundStream(Outbound):
    """The messages to the client, written whole and in order, and the requests that are not answered yet.

    A message is written at once where stdout accepts it, without a change of task or thread. The rest stays in
    `_backlog` while its sender waits, so a sender that is cancelled never leaves half a line behind.
    """

    def __init__(self, fd: int, on_break: Callable[[], None]) -> None:
        self.broken = False
        self._fd = fd
        self._on_break = on_break
        self._backlog = bytearray()
        self._draining = anyio.Lock()
        self._closed = False
        self._unanswered: dict[RequestId, bool] = {}
        """The requests in flight, and whether each may take an idempotency key."""
        self._refused: set[object] = set()
        self.ended = anyio.Event()
        """Set once stdin has ended and all requests are answered."""
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
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id in self._refused:
            return  # too late: the request was answered by an error
        await self.write(encode(message))
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

    def expect(self, request: JSONRPCRequest) -> None:
        """Note that a request waits for its answer."""
        self._unanswered[request.id] = request.method == "tools/call" and _may_take_key(request.params)

    def settle(self, request_id: object) -> None:
        """Note that a request is answered or cancelled."""
        with suppress(KeyError, TypeError):
            del self._unanswered[request_id]  # pyright: ignore[reportArgumentType]  # a client may cancel any id
        if not self._unanswered:
            self._idle.set()

    async def settled(self) -> None:
        """Wait until every request is answered, at most `GRACE_S` seconds, and answer the rest by an error."""
        with anyio.move_on_after(GRACE_S):
            while self._unanswered and not self.broken:
                self._idle = anyio.Event()
                await self._idle.wait()
        for request_id, may_take_key in list(self._unanswered.items()):
            self._refused.add(request_id)
            stopped = Undecided(STOPPED, takes_key=may_take_key)
            error = ErrorData(code=CONNECTION_CLOSED, message=str(stopped))
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError), anyio.move_on_after(_FLUSH_S):
                await self.write(encode(JSONRPCError(jsonrpc="2.0", id=request_id, error=error)))
        self._unanswered.clear()
        self.ended.set()

    def break_off(self) -> None:
        """Stop: nobody reads stdout any more."""
        self.broken = True
        self._idle.set()
        self._on_break()

    async def aclose(self) -> None:
        """Write what cancelled senders left, for `_FLUSH_S` seconds at most."""
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
        """Write as much as possible without waiting; returns whether nothing is left."""
        while self._backlog:
            # A pipe that polls as writable takes PIPE_BUF bytes without blocking, even in blocking mode. Non-blocking
            # mode would be set for every process that shares the pipe.
            if not (_POLLS and self._poll.poll(0)):
                return False
            try:
                del self._backlog[: os.write(self._fd, self._backlog[: select.PIPE_BUF])]
            except BlockingIOError:  # another process set non-blocking mode
                return False
        return True


def _may_take_key(params: dict[str, Any] | None) -> bool:
    """Return whether the tool that is called may take an idempotency key."""
    name = (params or {}).get("name")
    return not isinstance(name, str) or takes_key(name)


class _InboundStream(Inbound):
    """The messages from the client. A line that is not a message is answered by an error and not passed on."""

    def __init__(self, fd: int, outbound: _OutboundStream) -> None:
        mode = os.fstat(fd).st_mode
        self._fd = fd
        self._waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)  # a file is always readable
        self._outbound = outbound
        self._splitter = Splitter()
        self._lines: deque[bytes | LongLine] = deque()
        self._ended = False
        self._until = 0.0
        self.stopped_by: int | None = None
        """The signal that stopped the server."""

    def stop(self, number: int) -> None:
        """End because of a signal: what stdin holds by now is still read."""
        if self.stopped_by is None:
            self.stopped_by = number
            self._until = anyio.current_time() + GRACE_S
            anyio.notify_closing(self._fd)  # wakes `_read`

    async def receive(self) -> SessionMessage:
        """Wait for the next message.

        Raises:
            anyio.EndOfStream: stdin has ended and all requests are answered, or nobody reads stdout any more.
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
            self._lines.extend(self._splitter.split(chunk or b"\n"))  # the last line may have no line break
        raise anyio.EndOfStream

    async def _read(self) -> bytes:
        """Wait for bytes; returns none at the end of stdin."""
        while not self._outbound.broken:
            try:
                if self.stopped_by is not None and not self._has_more():
                    break
                if not _POLLS:
                    return await anyio.to_thread.run_sync(os.read, self._fd, _CHUNK_BYTES, abandon_on_cancel=True)
                await (anyio.wait_readable(self._fd) if self._waits else anyio.lowlevel.checkpoint())
                return os.read(self._fd, _CHUNK_BYTES)
            except BlockingIOError:
                continue
            except anyio.ClosedResourceError:
                if self._outbound.broken or self.stopped_by is None:  # the client has gone
                    break
            except OSError:
                break
        return b""

    def _has_more(self) -> bool:
        """Return whether stdin holds something that was sent before the signal."""
        if not (self._waits and _POLLS) or anyio.current_time() >= self._until:
            return False
        arrived = select.poll()
        arrived.register(self._fd, select.POLLIN)
        return bool(arrived.poll(0))

    async def _examine(self, line: bytes | LongLine) -> JSONRPCMessage | None:
        """Return the message on a line, or answer the line and return nothing."""
        if isinstance(line, bytes):
            if not line or line.isspace():
                return None
            message = parse(line)
            if message is not None:
                self._note(message)
                return message
        refusal = refuse(line)
        if refusal is not None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await self._outbound.write(refusal)
            await anyio.lowlevel.checkpoint()  # many such lines must not starve the other tasks
        return None

    def _note(self, message: JSONRPCMessage) -> None:
        """Count the requests in flight, without subscriptions, which stay open until the end."""
        if isinstance(message, JSONRPCRequest):
            if message.method != "subscriptions/listen":
                self._outbound.expect(message)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            cancelled = (message.params or {}).get("requestId")
            if isinstance(cancelled, str | int):
                self._outbound.settle(cancelled)
