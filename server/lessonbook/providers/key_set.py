"""The public keys with which an issuer signs its tokens (JWKS, RFC 7517): from a file or an address, rotated."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread

from lessonbook.domain.documents import is_object, list_of, object_of
from lessonbook.domain.errors import Unavailable

log = logging.getLogger(__name__)

REREAD_EVERY_S: Final = 600.0
"""How old the keys may be: one that the issuer withdrew is believed no longer."""
ASKED_EVERY_S: Final = 10.0
"""Pause between two requests for the keys: tokens with made-up key ids cause no more."""
BELIEVED_FOR_S: Final = 86_400.0
"""How long the keys are used although the issuer does not answer."""
TIMEOUT_S: Final = 5.0
BYTES_MAX: Final = 256 * 1024
KEYS_MAX: Final = 100
_OK: Final = 200
_FAULTS = (OSError, ValueError, RecursionError)
"""What reading a file or its JSON may raise."""

Jwk = Mapping[str, Any]


class KeySet:
    """An issuer's public keys, read at first use and again when they are old or lack a key that a token names.

    Args:
        place: the absolute path of a file, or an address.
        monotonic: a clock that is never set, in seconds.
    """

    def __init__(self, place: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._monotonic = monotonic
        self._keys: list[Jwk] = []
        self._read_at: float | None = None
        self._asked_at: float | None = None
        self._turn = anyio.Lock()

    async def candidates(self, key_id: str | None) -> list[Jwk]:
        """Return the keys of this id, or all where none is named.

        Raises:
            Unavailable: no keys could be read yet, or lately.
        """
        if not self._is_fresh() or not self._named(key_id):
            async with self._turn:
                if not self._is_fresh() or not self._named(key_id):
                    await self._ask()
        if self._read_at is None or self._monotonic() - self._read_at > BELIEVED_FOR_S:
            raise Unavailable("Tokens cannot be verified now: the issuer's keys (auth.jwks) cannot be read. Try again.")
        return self._named(key_id)

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self._monotonic() - self._read_at < REREAD_EVERY_S

    def _named(self, key_id: str | None) -> list[Jwk]:
        return [key for key in self._keys if key_id is None or key.get("kid") == key_id]

    async def _ask(self) -> None:
        """Read the keys, unless that was tried a moment ago. Where it fails, the known ones stay."""
        now = self._monotonic()
        if self._asked_at is not None and now - self._asked_at < ASKED_EVERY_S:
            return
        self._asked_at = now
        try:
            text = await self._fetched() if "://" in self._place else await anyio.to_thread.run_sync(self._file)
            self._keys = _signing_keys(text)
            self._read_at = now
        except (*_FAULTS, _NotFetched) as error:
            log.warning("the keys at auth.jwks cannot be read: %s", error or type(error).__name__)

    def _file(self) -> bytes:
        with Path(self._place).open("rb") as file:
            return file.read(BYTES_MAX + 1)

    async def _fetched(self) -> bytes:
        import httpx2  # noqa: PLC0415  # only where keys have an address

        read = bytearray()
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with (
                    httpx2.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
                    client.stream("GET", self._place, headers={"Accept": "application/json"}) as answer,
                ):
                    if answer.status_code != _OK:
                        raise _NotFetched(f"the answer is {answer.status_code}")
                    async for chunk in answer.aiter_bytes():
                        read += chunk
                        if len(read) > BYTES_MAX:
                            break
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            raise _NotFetched(type(error).__name__) from error
        return bytes(read)


class _NotFetched(Exception):
    """The address did not give the keys."""


def _signing_keys(text: bytes) -> list[Jwk]:
    """Return the keys of a JWKS that can verify signatures; secret (symmetric) ones are none of them.

    Raises:
        ValueError: it is not a JWKS.
    """
    if len(text) > BYTES_MAX:
        raise ValueError(f"there are more than {BYTES_MAX} bytes")
    keys = list_of(object_of(json.loads(text)).get("keys"))[:KEYS_MAX]
    usable: list[Jwk] = [
        key for key in keys if is_object(key) and key.get("kty") != "oct" and key.get("use", "sig") == "sig"
    ]
    if not usable:
        raise ValueError("there is no public key for signatures in it")
    return usable
