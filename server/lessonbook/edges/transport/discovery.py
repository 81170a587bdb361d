"""Discovery on stdio: `server/discover` is answered beside the connection, so that asking it decides nothing.

In the SDK the first request decides which protocol a connection speaks. But a client sends `server/discover` to find
that out, and one that knows only the older protocol continues with `initialize`, which the SDK then refuses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import anyio
from anyio.streams.memory import MemoryObjectSendStream
from mcp.server.lowlevel.server import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.shared.message import SessionMessage
from mcp_types import PROTOCOL_VERSION_META_KEY, JSONRPCMessage, JSONRPCRequest

_BUFFER = 16
_METHOD = "server/discover"


class Stream:
    """A stream of messages as the SDK uses it: a context manager."""

    async def aclose(self) -> None:
        """Release nothing; streams that hold something override this."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> None:
        await self.aclose()


class Inbound(Stream, ABC):
    """A stream of messages from a client."""

    @abstractmethod
    async def receive(self) -> SessionMessage:
        """Wait for the next message.

        Raises:
            anyio.EndOfStream: there is none.
        """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None


class Outbound(Stream, ABC):
    """A stream of messages to a client."""

    @abstractmethod
    async def send(self, item: SessionMessage, /) -> None:
        """Write one message."""


async def serve_beside_discovery(server: Server[Any], inbound: Inbound, outbound: Outbound) -> None:
    """Serve one client until `inbound` ends. The first request other than a discovery decides the protocol."""
    options = server.create_initialization_options()
    questions, discoveries = anyio.create_memory_object_stream[SessionMessage | Exception](_BUFFER)
    async with server.lifespan(server) as state, anyio.create_task_group() as tasks:

        async def discover() -> None:
            await serve_dual_era_loop(
                server, discoveries, _Shared(outbound), lifespan_state=state, init_options=options
            )

        tasks.start_soon(discover)
        try:
            await serve_dual_era_loop(
                server, _Rest(inbound, questions), outbound, lifespan_state=state, init_options=options
            )
        finally:
            questions.close()


def _is_discovery(message: JSONRPCMessage) -> bool:
    """Return whether a message is `server/discover` of the protocol that has this method."""
    if not isinstance(message, JSONRPCRequest) or message.method != _METHOD:
        return False
    meta: object = (message.params or {}).get("_meta")
    return isinstance(meta, dict) and PROTOCOL_VERSION_META_KEY in meta


class _Rest(Inbound):
    """The messages from the client without its discoveries, which are sent to `questions`."""

    def __init__(self, inbound: Inbound, questions: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        self._inbound = inbound
        self._questions = questions

    async def receive(self) -> SessionMessage:
        while True:
            item = await self._inbound.receive()
            if not _is_discovery(item.message):
                return item
            await self._questions.send(item)

    async def aclose(self) -> None:
        await self._inbound.aclose()


class _Shared(Outbound):
    """A stream to the client that another loop closes."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def send(self, item: SessionMessage, /) -> None:
        await self._outbound.send(item)
