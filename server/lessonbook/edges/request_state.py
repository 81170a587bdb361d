"""Sealing what travels through a client between a question and its answer, so that any replica can go on."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from functools import cache
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.request_state import AESGCMRequestStateCodec, InvalidRequestState

from lessonbook.edges.desk import Desk
from lessonbook.errors import LessonbookError


class SharedStateCodec:
    """Seals under a key that every replica derives from the secret kept in the database.

    The key is asked for when it is first needed, so that a server starts while its database is down; as long as it is,
    no state is taken, and the client is asked anew.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open_first(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Have the key at hand, as outermost middleware, when a state comes back that another replica may have made."""
        if (ctx.params or {}).get("requestState") and self._desk.opened is None:
            with suppress(LessonbookError):  # then the state is refused below
                await self._desk.workspace()
        return await call_next(ctx)

    def seal(self, payload: bytes) -> str:
        """Return a token that only replicas can read.

        Raises:
            InvalidRequestState: the database has not been reached yet.
        """
        return self._codec().seal(payload)

    def unseal(self, token: str) -> bytes:
        """Return what `seal` was given.

        Raises:
            InvalidRequestState: no replica made the token, or the database has not been reached yet.
        """
        return self._codec().unseal(token)

    def _codec(self) -> AESGCMRequestStateCodec:
        workspace = self._desk.opened
        if workspace is None:
            raise InvalidRequestState("the database has not been reached yet")
        return _codec_of(workspace.secret)


@cache
def _codec_of(secret: bytes) -> AESGCMRequestStateCodec:
    return AESGCMRequestStateCodec([hmac.new(secret, b"request-state", hashlib.sha256).digest()])
