"""Which of several texts say nearly the same: those whose words are the same to a large share."""

from collections.abc import Iterable
from math import ceil
from typing import Final, NamedTuple

from lessonbook.search.tokenizer import words_of

ALIKE: Final = 0.8
"""Texts whose words are the same to this share, of the longer one, say nearly the same."""
_NO_WORDS: Final = frozenset([""])
"""What texts without words say: all of them the same."""


class Wording(NamedTuple):
    """A text's different words, and so many of them that a text which says nearly the same has one of these, too.

    Of words in one order, whichever it is, two texts that share enough share one of the first of both (Chaudhuri, Ganti
    & Kaushik 2006, prefix filter). Long words come first here, as few texts hold them.
    """

    words: frozenset[str]
    telling: tuple[str, ...]


def wording_of(text: str) -> Wording:
    """Return the wording of a text."""
    words = frozenset(words_of(text)) or _NO_WORDS
    first = len(words) - ceil(ALIKE * len(words)) + 1
    return Wording(words, tuple(sorted(words, key=lambda word: (-len(word), word))[:first]))


def first_of_alike(wordings: Iterable[Wording]) -> list[int]:
    """Return the positions of the wordings that say nearly the same as none of those returned before them."""
    kept: list[int] = []
    said: dict[str, list[frozenset[str]]] = {}
    for position, (words, telling) in enumerate(wordings):
        near = () if said.keys().isdisjoint(telling) else {one for word in telling for one in said.get(word, ())}
        if not any(len(words & others) >= ALIKE * max(len(words), len(others)) for others in near):
            kept.append(position)
            for word in telling:
                said.setdefault(word, []).append(words)
    return kept
