"""Half of a surrogate pair in JSON: the SDK refuses such a message whole, so a stand-in takes the half's place.

The tool then refuses what holds it in words: of a report only the issue, not the others.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from lessonbook.domain.vocabulary import SURROGATE_STAND_IN

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_STAND_IN: Final = b"\\u%04x" % ord(SURROGATE_STAND_IN)
_PAIR: Final = rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF: Final = rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
_ESCAPE: Final = re.compile(rb"%s|(%s)|\\." % (_PAIR, _HALF), re.DOTALL)
"""Whole pairs and other escapes match as well, so that a half is never found inside of one."""


def replaced(message: bytes) -> bytes:
    """Return JSON with a stand-in, of the same length, for each half of a surrogate pair."""
    if b"\\ud" not in message and b"\\uD" not in message:
        return message
    return _ESCAPE.sub(lambda escape: _STAND_IN if escape[1] else escape[0], message)


class HalfPairs:
    """ASGI middleware that puts the stand-ins into bodies. It holds a body whole, as the SDK does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def whole() -> Message:
            message = await receive()
            body = bytearray(message.get("body", b""))
            while message.get("more_body"):
                message = await receive()
                body += message.get("body", b"")
            return {**message, "body": replaced(bytes(body))} if message["type"] == "http.request" else message

        await self._app(scope, whole, send)
