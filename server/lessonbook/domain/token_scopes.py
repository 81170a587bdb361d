"""What a token allows: its scopes, and how they are written."""

from collections.abc import Iterable
from typing import Final, Literal, get_args

from lessonbook.domain.errors import InvalidInput

Scope = Literal[
    "lessons:read",
    "issues:write",
    "applications:write",
    "lessons:propose",
    "lessons:approve",
    "evidence:write",
    "stats:read",
    "admin",
]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

USUAL: Final[tuple[Scope, ...]] = ("lessons:read", "issues:write", "applications:write", "stats:read")
"""The scopes of a token that is created without any named: what an agent needs."""

NOT_FOR_AGENTS: Final[frozenset[Scope]] = frozenset({"evidence:write"})
"""Scopes that a token bound to an agent never has: nobody's own word is independent evidence."""


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return scopes by their names, each once, in the order of `SCOPES`.

    Raises:
        InvalidInput: a name is unknown; the message has all of them.
    """
    wanted = set(names)
    if unknown := sorted(wanted.difference(SCOPES)):
        raise InvalidInput(f"There is no scope {unknown[0]!r}: choose from {', '.join(SCOPES)}")
    return known_scopes(wanted)


def known_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return those of `names` that are scopes of ours, each once, in the order of `SCOPES`."""
    wanted = set(names)
    return tuple(scope for scope in SCOPES if scope in wanted)
