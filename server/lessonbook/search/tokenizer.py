"""Index terms of developer text: identifiers split, English endings removed, other scripts as they are written."""

from functools import lru_cache
from sys import intern
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.writing_systems import split_scripts

READ_MAX: Final = 4_000
"""Characters of a text that search and severity read, so that time stays bounded."""
MODEL_READ_MAX: Final = 2_000
"""Characters that models of categories and agents read: they were fitted to so much of each text."""
LIKENESS_READ_MAX: Final = 1_500
"""Characters in which likeness looks for weaknesses: it was fitted to so much of each text."""

_IDENTIFIER: Final = lazy_pattern(r"[A-Za-z][A-Za-z0-9_]*|\d{2,}")
_HUMP: Final = lazy_pattern(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_STOP: Final = frozenset(
    [
        "a",
        "about",
        "after",
        "all",
        "also",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "but",
        "by",
        "can",
        "could",
        "do",
        "does",
        "each",
        "either",
        "else",
        "every",
        "for",
        "from",
        "get",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "instead",
        "into",
        "is",
        "it",
        "its",
        "just",
        "like",
        "make",
        "may",
        "might",
        "more",
        "most",
        "must",
        "need",
        "never",
        "new",
        "no",
        "not",
        "of",
        "off",
        "on",
        "once",
        "one",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "per",
        "please",
        "rather",
        "shall",
        "should",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "use",
        "used",
        "user",
        "using",
        "very",
        "want",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "whether",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "without",
        "would",
        "write",
        "you",
        "your",
    ]
)
_WORD_MAX: Final = 40


def words_of(text: str) -> list[str]:
    """Return the index terms of `text`, in order: lower case, stemmed, without stop words.

    An identifier gives itself and its parts: `getUserName` → `getusername`, `user`, `name`. What is not written in
    ASCII comes last, as `search/writing_systems` cuts it.
    """
    ascii_text, others = split_scripts(text)
    terms: list[str] = []
    for identifier in _IDENTIFIER.findall(ascii_text):
        terms += _known_terms_of(identifier) if len(identifier) <= _WORD_MAX else _terms_of(identifier)
    return terms + others if others else terms


def _terms_of(identifier: str) -> tuple[str, ...]:
    humps = _HUMP.findall(identifier)
    whole = (identifier.replace("_", "").lower()[:_WORD_MAX],) if len(humps) > 1 else ()
    words = [hump.lower() for hump in humps]
    return whole + tuple(intern(stem(word[:_WORD_MAX])) for word in words if len(word) > 1 and word not in _STOP)


_known_terms_of: Final = lru_cache(maxsize=20_000)(_terms_of)
"""Text repeats its words: a kept answer takes a tenth of the time."""


def stem(word: str) -> str:
    """Return `word` without its commonest English endings: plural s, -ing, -ed, -ly, final e.

    Lighter than Porter's (1980): it joins what developers inflect and leaves names of things apart.
    """
    if len(word) > 4 and word.endswith("ies"):  # noqa: PLR2004  # shorter words are not inflected
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and word[-2] not in "sui":  # noqa: PLR2004
        word = word[:-1]
    for ending in ("ing", "edly", "ed", "ly"):
        base = word.removesuffix(ending)
        if base != word and len(base) > 2 and any(vowel in base for vowel in "aeiouy"):  # noqa: PLR2004
            word = base[:-1] if base[-1] == base[-2] and base[-1] not in "lsz" else base
            break
    return word.removesuffix("e") if len(word) > 3 else word  # noqa: PLR2004
