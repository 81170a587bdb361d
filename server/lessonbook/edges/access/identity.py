"""Who calls over HTTP: set for each request once its token is verified, read by the gateway."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from lessonbook.domain.lesson import Caller


@dataclass(slots=True)
class Acting:
    """Who makes a request, and the scope that its token turned out to lack."""

    caller: Caller
    missing: str = ""


_ACTING: Final[ContextVar[Acting | None]] = ContextVar("acting", default=None)


def current() -> Caller | None:
    """Return who makes the request that is served now; None outside of one, and where no token is asked for."""
    acting = _ACTING.get()
    return acting.caller if acting else None


def note_missing(scope: str) -> None:
    """Note that the request was refused for want of a scope, for the status of its answer."""
    if (acting := _ACTING.get()) is not None:
        acting.missing = scope


@contextmanager
def acting_as(caller: Caller) -> Generator[Acting]:
    """Let `caller` be who calls, within the block."""
    acting = Acting(caller)
    before = _ACTING.set(acting)
    try:
        yield acting
    finally:
        _ACTING.reset(before)
