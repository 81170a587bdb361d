"""How well lessons fit a task: an inverted index over one agent's lessons, held in memory."""

from collections import Counter
from collections.abc import Hashable, Iterable
from math import log
from typing import Final, Generic, TypeVar

from lessonbook.learning.words import words_of

K1: Final = 1.2
B: Final = 0.75
COMMON_SHARE: Final = 0.5
COMMON_FROM: Final = 20

HALF: Final = 6.0
"""The BM25 score that counts as half a perfect fit."""
RELEVANT: Final = 0.02

Key = TypeVar("Key", bound=Hashable)


def is_relevant(score: float) -> bool:
    """Tell whether a document of this score speaks of the query's subject at all."""
    return score >= RELEVANT


class RelevanceIndex(Generic[Key]):
    """Okapi BM25 (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.15) over short documents.

    Built for a few thousand documents that change seldom and are searched often: a search touches only the postings of
    the query's own words.
    """

    def __init__(self) -> None:
        self._postings: dict[str, dict[Key, int]] = {}
        self._texts: dict[Key, int] = {}
        self._terms: dict[Key, Counter[str]] = {}
        self._lengths: dict[Key, int] = {}
        self._total_length = 0

    def __len__(self) -> int:
        """Return how many documents are indexed."""
        return len(self._terms)

    def put(self, key: Key, text: str) -> None:
        """Index `text` under `key`, in place of what was there."""
        if self._texts.get(key) == (seen := hash(text)):
            return
        self.discard(key)
        self._texts[key] = seen
        terms = Counter(words_of(text))
        self._terms[key] = terms
        self._lengths[key] = length = terms.total()
        self._total_length += length
        for term, count in terms.items():
            self._postings.setdefault(term, {})[key] = count

    def discard(self, key: Key) -> None:
        """Forget what is indexed under `key`, if anything."""
        self._texts.pop(key, None)
        for term in self._terms.pop(key, ()):
            posting = self._postings[term]
            del posting[key]
            if not posting:
                del self._postings[term]
        self._total_length -= self._lengths.pop(key, 0)

    def scores(self, query: str) -> dict[Key, float]:
        """Return the relevance, from 0 to 1, of every document that shares a telling word with `query`."""
        scores: dict[Key, float] = {}
        count = len(self._terms)
        if not count:
            return scores
        mean_length = self._total_length / count or 1.0
        lengths = self._lengths
        base, slope = K1 * (1 - B), K1 * B / mean_length
        for _, posting in self._telling(words_of(query), count):
            idf = log(1 + (count - len(posting) + 0.5) / (len(posting) + 0.5)) * (K1 + 1)
            for key, tf in posting.items():
                scores[key] = scores.get(key, 0.0) + idf * tf / (tf + base + slope * lengths[key])
        return {key: score / (score + HALF) for key, score in scores.items()}

    def _telling(self, words: Iterable[str], count: int) -> list[tuple[str, dict[Key, int]]]:
        """Return the query's words that are indexed; those in most documents are left out, as they tell nothing."""
        found = [(word, self._postings[word]) for word in dict.fromkeys(words) if word in self._postings]
        if count < COMMON_FROM:
            return found
        return [(word, posting) for word, posting in found if len(posting) <= COMMON_SHARE * count] or found
