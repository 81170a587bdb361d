"""Whether two lessons say nearly the same, or nearly the opposite: the words they share, and which of them forbid."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.tokenizer import stem

ALIKE_MIN: Final = 0.6
"""Share of words in common (Dice) from which two texts are alike."""
OPPOSITE_COVERED_MIN: Final = 0.8
"""Share of the shorter text's words that the other has, from which the two may contradict each other."""
OPPOSITE_MIN: Final = 0.5
"""Share of the common words that one text asks for and the other forbids, from which they contradict each other."""
_READ_MAX: Final = 2_000
_COMMON_MIN: Final = 2
"""Words in common: one is too few to say what a text is about."""

_TOKEN: Final = lazy_pattern(r"[^\W_][\w.-]*[^\W_]|[^\W_]|[;.:,!?]")
_SHORT_FORM: Final = lazy_pattern(r"n['’]t\b", re.IGNORECASE)
_FORBIDDING: Final = frozenset(
    {"not", "never", "avoid", "stop", "no", "cannot", "neither", "refrain", "ban"}
    | {"disable", "forbid", "disallow", "prohibit", "deny", "refuse", "reject", "exclude", "hide"}
)
_REPLACING: Final = frozenset({"instead", "rather", "over", "than"})
"""`X instead of Y`, `X rather than Y`, `prefer X over Y`: what follows is forbidden, up to the purpose."""
_PURPOSE: Final = frozenset({"for", "when", "where", "if", "in", "on", "to", "so", "because", "while"})
_TWICE: Final = frozenset({"without", "unless", "until", "except"})
"""`Do not X without Y` asks for Y."""
_ASKING: Final = frozenset(
    {
        "use",
        "prefer",
        "always",
        "but",
        "do",
        "keep",
        "let",
        "pass",
        "write",
        "give",
        "call",
        "instead",
        "enable",
        "allow",
    }
)
_STOPS: Final = frozenset({";", ".", ":", "!", "?"})
_EMPTY: Final = (
    _FORBIDDING | _REPLACING | _PURPOSE | _TWICE | _ASKING
    | {"a", "an", "the", "of", "and", "or", "with", "by", "as", "at", "from", "into", "is", "are", "be", "it", "its"}
    | {"that", "this", "these", "those", "any", "all", "each", "every", "must", "should", "can", "may", "you", "your"}
    | {"include", "accept", "permit", "show", "using", "used", "there", "them", "they", "only", "does", "will", "has"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Alike:
    """How alike another text is (Dice, 0 to 1), and whether it says the opposite."""

    key: str
    score: float
    opposite: bool


class AlikeTexts:
    """Texts by key, among which the one is found that is most like another, or its opposite."""

    __slots__ = ("_owners", "_signs")

    def __init__(self, texts: Iterable[tuple[str, str]] = ()) -> None:
        self._signs: dict[str, Mapping[str, bool]] = {}
        self._owners: dict[str, list[str]] = {}
        for key, text in texts:
            self.add(key, text)

    def add(self, key: str, text: str) -> None:
        """Take a text in, under a key of its own."""
        self._signs[key] = _signs_of(text)
        for word in self._signs[key]:
            self._owners.setdefault(word, []).append(key)

    def most_alike(self, text: str) -> Alike | None:
        """Return the text that says nearly the same as `text`, or the opposite; None where there is none.

        Where several do, the most alike; of equals the first.
        """
        mine = _signs_of(text)
        shared = Counter(key for word in mine for key in self._owners.get(word, ()))
        found = (_compared(key, mine, self._signs[key]) for key, common in shared.items() if common >= _least(mine))
        return max(filter(None, found), key=lambda one: one.score, default=None)


def _least(signs: Mapping[str, bool]) -> int:
    return min(_COMMON_MIN, len(signs))


def _compared(key: str, mine: Mapping[str, bool], others: Mapping[str, bool]) -> Alike | None:
    """Return how alike two texts are, or None where they are neither alike nor opposite."""
    common = mine.keys() & others.keys()
    if len(common) < max(_least(mine), _least(others)):
        return None
    score = 2 * len(common) / (len(mine) + len(others))
    if sum(mine[word] != others[word] for word in common) >= OPPOSITE_MIN * len(common):
        covered = len(common) / min(len(mine), len(others))
        return Alike(key, score, opposite=True) if covered >= OPPOSITE_COVERED_MIN else None
    return Alike(key, score, opposite=False) if score >= ALIKE_MIN else None


@lru_cache(maxsize=2_000)
def _signs_of(text: str) -> Mapping[str, bool]:
    """Return the stems of a text's words, true for those that it asks for, false for those that it forbids."""
    tokens = _TOKEN.findall(_SHORT_FORM.sub(" not", text[:_READ_MAX]).casefold())
    signs: dict[str, bool] = {}
    start = 0
    for at in range(len(tokens) + 1):
        if at == len(tokens) or tokens[at] in _STOPS or _begins_anew(tokens, at):
            _read_clause(tokens[start:at], signs)
            start = at + 1
    return signs


def _begins_anew(tokens: list[str], at: int) -> bool:
    """Return whether a comma or `but` ends what was forbidden: a list of forbidden things goes on over commas."""
    if tokens[at] == "but":
        return True
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    return tokens[at] == "," and (following in _ASKING or following in _FORBIDDING)


def _read_clause(tokens: list[str], signs: dict[str, bool]) -> None:
    asks, replaced = True, False
    twice = not _TWICE.isdisjoint(tokens)
    for token in tokens:
        if token in _FORBIDDING:
            asks = twice
        elif token in _REPLACING:
            replaced = True
        elif token in _PURPOSE:
            replaced = False
        elif token not in _EMPTY and token[0].isalnum():
            signs.setdefault(intern(stem(token)), asks != replaced)  # lessons share most of their words
