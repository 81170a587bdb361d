"""The body of a request, within a size and a time."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.types import Message, Receive

MIB: Final = 1024 * 1024
PAUSE_S: Final = 20.0
"""Seconds between two pieces of a body."""


class BodyRefusedError(Exception):
    """The body is over a limit: what to answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def too_large(most: int) -> BodyRefusedError:
    """Return the refusal of a body of more than `most` bytes."""
    return BodyRefusedError(413, "too_large", f"The body is over {most // MIB} MiB: send less at a time.")


class BoundedBody:
    """Receives a request's messages; once the body is whole, it waits for the client's going away without end.

    Args:
        receive: what it receives from.
        most: the largest body, in bytes; its length may be undeclared.
        whole_s: the time in which it has to arrive, in seconds.
        pause_s: the time between two of its pieces.
    """

    def __init__(self, receive: Receive, most: int, whole_s: float, pause_s: float = PAUSE_S) -> None:
        self._receive = receive
        self._most = most
        self._left_s = whole_s
        self._pause_s = pause_s
        self._received = 0
        self._is_whole = False

    async def __call__(self) -> Message:
        """Return the next message.

        Raises:
            BodyRefusedError: the body is too large, or too slow.
        """
        if self._is_whole:
            return await self._receive()
        began = anyio.current_time()
        try:
            with anyio.fail_after(max(0.0, min(self._pause_s, self._left_s))):
                message = await self._receive()
        except TimeoutError:
            slow = "The body did not arrive in time: send the request again."
            raise BodyRefusedError(408, "timeout", slow) from None
        self._left_s -= anyio.current_time() - began
        self._received += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._received > self._most:
            raise too_large(self._most)
        return message
