"""Telling what somebody probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_TOLD_MAX: Final = 80


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a `kind` of thing whose `name` does not exist: it tells the nearest, or all there are."""
    names = list(known)
    near = get_close_matches(name[:_TOLD_MAX], names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}" if names else "there are none"
    return f"unknown {kind} {name[:_TOLD_MAX]!r}: {hint}"
