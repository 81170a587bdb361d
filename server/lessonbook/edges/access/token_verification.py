"""Verified tokens, kept for a short time, so that a call does not wait for the database or a signature."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cachetools import LRUCache

from lessonbook.domain.errors import Unauthorised
from lessonbook.edges.access.grants import Grant, GrantVerifier

KNOWN_FOR_S: Final = 30.0
"""How long a verified token is believed without another look: a revoked one works no longer than that."""
KNOWN_MAX: Final = 10_000
TOKEN_MAX: Final = 16_384
"""Characters of a token; a longer one is refused unread."""
BAD: Final = "The token is not valid here: check that it was copied whole and is meant for this server"


@dataclass(frozen=True, slots=True)
class _KnownGrant:
    grant: Grant
    until: float


class Verification:
    """Verifies tokens of the kinds that are accepted, each at most every `KNOWN_FOR_S` seconds.

    Args:
        verifiers: one for each kind.
        wall: the time since 1970 in seconds, for the expiry of tokens.
        monotonic: a clock that is never set, in seconds.
    """

    def __init__(
        self,
        verifiers: Sequence[GrantVerifier],
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifiers = verifiers
        self._wall = wall
        self._monotonic = monotonic
        self._known: LRUCache[bytes, _KnownGrant] = LRUCache(KNOWN_MAX)

    async def verify_token(self, token: str) -> Grant:
        """Return what a token grants.

        Raises:
            Unauthorised: it is not valid, or not any more.
            Unavailable: it cannot be verified now.
        """
        if len(token) > TOKEN_MAX:
            raise Unauthorised(BAD)
        key = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(key)
        if known is not None and self._monotonic() < known.until:
            grant = known.grant
        else:
            self._known.pop(key, None)
            began = self._monotonic()
            grant = await self._look_up(token)
            self._known[key] = _KnownGrant(grant, began + KNOWN_FOR_S)
        if grant.expires_at is not None and grant.expires_at <= self._wall():
            raise Unauthorised("The token has expired: get a new one")
        return grant

    async def _look_up(self, token: str) -> Grant:
        for verifier in self._verifiers:
            if verifier.recognises(token):
                grant = await verifier.verify_token(token)
                if grant is not None:
                    return grant
        raise Unauthorised(BAD)
