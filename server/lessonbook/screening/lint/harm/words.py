"""The words of data/harm.toml, and where a text has them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from sys import intern
from typing import Final

from lessonbook.domain.documents import load_toml
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.tokenizer import stem

_PIECE: Final = lazy_pattern(
    r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+(?:['’][a-z]+)?|[A-Z]+|\d+(?:\.\d+)*|>=|≥|\|\||[*=|@!]|:(?= ?[\w'\"\[*])"
)
_SIGNS: Final = {":": "=", "≥": ">="}
_IRREGULAR: Final = {"using": "use", "used": "use", "taken": "take", "left": "leave", "kept": "keep", "given": "give"}


@dataclass(frozen=True, slots=True)
class TermClass:
    """Words of one class; `family` is empty where they are about no one thing."""

    name: str
    words: tuple[str, ...]
    family: str = ""


@dataclass(frozen=True, slots=True)
class _File:
    terms: tuple[TermClass, ...]


@dataclass(frozen=True, slots=True)
class WordSpan:
    """A phrase of some class in a row of stems: `start` is its first, `end` is behind its last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HarmWords:
    """Phrases, as tuples of stems, with the names of their classes, by their first stem."""

    phrases: dict[str, tuple[tuple[tuple[str, ...], frozenset[str]], ...]]

    def mentions(self, stems: Sequence[str]) -> dict[str, list[WordSpan]]:
        """Return where `stems` have phrases of each class, in order; a phrase may lie inside another."""
        found: dict[str, list[WordSpan]] = defaultdict(list)
        for at, first in enumerate(stems):
            for phrase, classes in self.phrases.get(first, ()):
                if tuple(stems[at : at + len(phrase)]) == phrase:
                    for name in classes:
                        found[name].append(WordSpan(at, at + len(phrase)))
        return found


def pieces_of(text: str) -> list[str]:
    """Return the words and signs of `text` in order, identifiers in parts."""
    return _PIECE.findall(text)


def stems_of(text: str) -> list[str]:
    """Return the stems of `text` in order: identifiers in parts, numbers with their dots, `:` before a value as `=`."""
    return [stem_of(piece) for piece in pieces_of(text)]


def term_classes() -> tuple[TermClass, ...]:
    """Return what data/harm.toml holds.

    Raises:
        ConfigError: the file is not of its form.
    """
    return load_toml(resources.files("lessonbook") / "data" / "harm.toml", _File).terms


def vocabulary_of(terms: Sequence[TermClass]) -> HarmWords:
    """Return the vocabulary that `terms` make."""
    classes: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for one in terms:
        for word in one.words:
            classes[tuple(map(intern, stems_of(word)))].add(one.name)
    same: dict[frozenset[str], frozenset[str]] = {}  # most words are of a class or two, of which there are few
    by_first: dict[str, list[tuple[tuple[str, ...], frozenset[str]]]] = defaultdict(list)
    for phrase, names in classes.items():
        held = frozenset(names)
        by_first[phrase[0]].append((phrase, same.setdefault(held, held)))
    return HarmWords({first: tuple(phrases) for first, phrases in by_first.items()})


@cache
def vocabulary() -> HarmWords:
    """Return the packaged vocabulary."""
    return vocabulary_of(term_classes())


def stem_of(piece: str) -> str:
    """Return the stem of one of `pieces_of` a text."""
    lower = piece.lower().replace("’", "'").removesuffix("'s").removesuffix("'")
    return _SIGNS.get(lower) or _IRREGULAR.get(lower) or stem(lower)
