"""The nearest known name to an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

_SHOWN_MAX: Final = 80
"""Characters of an unknown name that are compared and repeated."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the error for a `kind` of thing whose `name` does not exist; it names the nearest known, or all."""
    names = list(known)
    near = get_close_matches(name[:_SHOWN_MAX], names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}" if names else "there are none"
    return f"unknown {kind} {name[:_SHOWN_MAX]!r}: {hint}"
