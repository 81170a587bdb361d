"""Which words count as the same: inflections, synonyms, and what is written as one word or as two."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.tokenizer import stem

_MAX_WORD: Final = 40
_STOPS: Final = frozenset(".!?;")
_TOKEN: Final = lazy_pattern(r"[^\W_]+|[.!?;](?=\s)|[/\\]?\.{2,}[/\\]*|/\./|%[0-9a-f]{2}|\n\s*\n")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_WHOLE: Final = MappingProxyType(
    {"note": "note", "notes": "note", "noted": "note", "time": "time", "times": "time"}
    | {"pipe": "pipe", "pipes": "pipe", "https": "https"}
)
"""Words whose stem would be that of another word: "notes" of "not", "times" of "timing", "pipe" of "pip"."""

SENTENCE_END: Final = frozenset({"\n"})
"""Stands for the keys of a word where a sentence ends; compared by identity."""


@lru_cache(maxsize=1 << 14)
def root(word: str) -> str:
    """Return what the inflections of `word` have in common."""
    return _WHOLE.get(word) or stem(word)


def is_word(text: str) -> bool:
    """Return whether `text` is one word as `Spelling.words` returns them: in lower case, and not an article."""
    return text not in _ARTICLES and text == text.lower() and _TOKEN.fullmatch(text) is not None


class Spelling:
    """Which pairs of words are one word, and which words are synonyms."""

    def __init__(self, joined: Iterable[tuple[str, str]], synonyms: Mapping[str, Iterable[str]]) -> None:
        """Read each pair of `joined` as one word, and each variant in `synonyms` as the word it stands under."""
        self.joined: dict[str, dict[str, str]] = defaultdict(dict)
        for first, second in joined:
            self.joined[root(first)][root(second)] = first + second
        self._synonyms = {root(variant): root(word) for word, variants in synonyms.items() for variant in variants}

    def key(self, word: str) -> str:
        """Return what all inflections and synonyms of `word` have in common."""
        key = root(word)
        return self._synonyms.get(key, key)

    def words(self, text: str) -> list[str]:
        """Return the words and sentence ends of `text`, in lower case."""
        plain = text.lower().replace("\u2019", "'").replace("n't", " not").replace("cannot", "can not")
        tokens = _TOKEN.findall(plain.replace("'s", ""))
        return self.join([word[:_MAX_WORD] for word in tokens if word not in _ARTICLES])

    def join(self, words: Iterable[str]) -> list[str]:
        """Return `words` with the pairs that are one word put together."""
        joined = list(words)
        roots = list(map(root, joined))
        known = self.joined
        if known.keys().isdisjoint(roots):
            return joined
        pairs = [at for at, (one, other) in enumerate(pairwise(roots)) if one in known and other in known[one]]
        for at in pairs:
            joined[at + 1] = known[roots[at]][roots[at + 1]]
        for at in reversed(pairs):
            del joined[at]
        return joined

    def keys_of(self, word: str, prefixes: frozenset[str], exact: frozenset[str]) -> frozenset[str]:
        """Return those of `prefixes` and `exact` that mean `word`; `SENTENCE_END` for the end of a sentence."""
        if word in _STOPS or word.isspace():
            return SENTENCE_END
        key = self.key(word)
        found = {f"{form[:end]}*" for form in (word, key) for end in range(2, len(form) + 1)} & prefixes
        return frozenset(found | ({key} & exact))
