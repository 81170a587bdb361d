"""How well lessons fit a task: an index over lessons and the issues behind them, held in memory."""

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from math import log
from typing import Final, Generic, NamedTuple, TypeVar

from lessonbook.learning.document import Fields, fields_of
from lessonbook.learning.fit import Compared, Fit, load_fit
from lessonbook.learning.meanings import Meanings, Vector, cosine, load_meanings
from lessonbook.learning.postings import Posting, Postings
from lessonbook.learning.words import words_of

K1: Final = 3.0
B: Final = 0.6
LEAD_WEIGHT: Final = 2.0
"""What each of a lesson's first words counts on top."""
ISSUE_WEIGHT: Final = 1.5
"""What each word of an issue counts, beside 1 for one of the lesson's own."""
KIN_WEIGHT: Final = 1.0
"""What a document that holds kin of a word is given, beside 1 for one that holds the word itself."""
LATER_WEIGHT: Final = 0.4
"""What each word after a query's first line counts: the first says what it is about."""
QUERY_WORDS_MAX: Final = 48
PARTS_MAX: Final = 5
PART_WORDS_MIN: Final = 2
_BREAK: Final = re.compile(r"[.;:!?](?:\s|$)|[,\n•]|\s(?:and|then)\s|\s[-–—]\s")
READ_MAX: Final = 4_000
"""Characters of a query that are read."""
COMMON_SHARE: Final = 0.5
COMMON_FROM: Final = 20
CANDIDATES: Final = 50
"""Documents that are compared in full: those with the highest word scores."""
SIMILAR: Final = 20
"""Documents that are compared because an embedding model finds them most similar."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Collection:
    """What is known of a collection that only some documents of are indexed.

    `size` is the number of all documents, `frequency` in how many of them a word stands.
    """

    size: int
    frequency: Mapping[str, int]


class _Asked(NamedTuple):
    """A query's words and pairs of neighbours, each with its weight."""

    words: dict[str, float]
    pairs: dict[tuple[str, str], float]


class RelevanceIndex(Generic[Key]):
    """Finds candidates by BM25F (Robertson, Zaragoza & Taylor 2004) over words and kin of words, and compares them.

    Neighbouring words weigh as in the sequential dependence model (Metzler & Croft 2005). What is found by words is
    compared by meaning, and `learning/fit` tells how probable it is that a document so like a query is relevant.

    Built for thousands of documents that change seldom and are searched often: a search touches only the postings of
    the query's own words and their kin.
    """

    def __init__(
        self, meanings: Meanings | None = None, fit: Fit | None = None, only: Iterable[str] | None = None
    ) -> None:
        """Take the vectors of words and the weights of comparisons, by default the packaged ones.

        With `only` these words, and their kin, can be asked for: enough for an index that answers one query.
        """
        self._meanings = meanings or load_meanings()
        self._fit = fit or load_fit()
        self._numbers: dict[Key, int] = {}
        self._keys: list[Key | None] = []
        self._seen: list[int] = []
        self._texts: list[str] = []
        self._lengths: list[float] = []
        self._vectors: list[Vector | None] = []
        self._free: list[int] = []
        self._postings = Postings(only)
        self._total_length = 0.0

    def __len__(self) -> int:
        """Return how many documents are indexed."""
        return len(self._numbers)

    def put(self, key: Key, body: str) -> None:
        """Index the document `body` (see `learning/document`) under `key`, in place of what was there."""
        number, seen = self._numbers.get(key), hash(body)
        if number is not None:
            if self._seen[number] == seen:
                return
            self.discard(key)
        fields = fields_of(body)
        counts = _counts_of(fields)
        number = self._numbered(key)
        self._seen[number] = seen
        self._texts[number] = _line_of(fields)
        self._lengths[number] = length = sum(counts.values())
        self._total_length += length
        self._postings.add(number, counts)

    def _numbered(self, key: Key) -> int:
        """Return a number for a new document, one given up before if there is one."""
        if self._free:
            number = self._free.pop()
            self._keys[number] = key
        else:
            number = len(self._keys)
            self._keys.append(key)
            self._seen.append(0)
            self._texts.append("")
            self._lengths.append(0.0)
            self._vectors.append(None)
        self._numbers[key] = number
        return number

    def discard(self, key: Key) -> None:
        """Forget what is indexed under `key`, if anything."""
        number = self._numbers.pop(key, None)
        if number is None:
            return
        self._postings.remove(number, _words_in(self._texts[number]))
        self._total_length = self._total_length - self._lengths[number] if self._numbers else 0.0
        self._keys[number], self._texts[number], self._vectors[number] = None, "", None
        self._free.append(number)

    def scores(
        self,
        query: str,
        collection: Collection | None = None,
        similar: Mapping[Key, float] | None = None,
        most: int = CANDIDATES,
    ) -> dict[Key, float]:
        """Return how probably each of the best candidates is relevant, best first: `most` and those most `similar`.

        What is left out shares no telling word with the query, or less than those given. `collection` tells how
        frequent words are where the index holds only some of many documents, `similar` what an embedding model says.
        """
        fit = self._fit
        found = [(fit.probability(compared), key) for key, compared in self.compared(query, collection, similar, most)]
        found.sort(key=lambda pair: -pair[0])
        return {key: probability for probability, key in found}

    def compared(
        self,
        query: str,
        collection: Collection | None = None,
        similar: Mapping[Key, float] | None = None,
        most: int = CANDIDATES,
    ) -> list[tuple[Key, Compared]]:
        """Return the candidates for a query, the documents most `similar` among them, and how each compares."""
        asked = _asked(query)
        size = collection.size if collection else len(self._numbers)
        if not asked.words or not self._numbers:
            return []
        weights = self._weighed(asked.words, size, collection)
        total = sum(weights.values()) * (1 + KIN_WEIGHT)
        sums = self._sums(weights, size, collection)
        best = nlargest(most, [(value, -number) for number, value in enumerate(sums) if value])
        if similar:
            best += self._most_similar(similar, sums, {-negative for _, negative in best})
        pairs = self._pairs(asked, weights)
        meaning = self._meanings.vector(asked.words)
        found: list[tuple[Key, Compared]] = []
        for value, negative in best:
            key, line = self._keys[-negative], self._texts[-negative]
            together = sum([gain for pair, gain in pairs if pair in line])
            if key is not None:
                like = cosine(meaning, self._vector(-negative))
                told = similar.get(key, 0.0) if similar else 0.0
                found.append((key, Compared(value / total, together / total, like, told)))
        return found

    def _most_similar(
        self, similar: Mapping[Key, float], sums: list[float], chosen: set[int]
    ) -> list[tuple[float, int]]:
        """Return the documents most similar by meaning that words did not find, as they found the others."""
        indexed = [(value, self._numbers[key]) for key, value in similar.items() if key in self._numbers]
        return [(sums[number], -number) for _, number in nlargest(SIMILAR, indexed) if number not in chosen]

    def _weighed(self, words: Mapping[str, float], size: int, collection: Collection | None) -> dict[str, float]:
        """Return the most telling words of a query, each with its weight · its inverse document frequency.

        Words in most documents tell nothing and are left out, unless there are no others.
        """
        frequency = {word: self._frequency(word, collection) for word in words}
        most = COMMON_SHARE * size if size >= COMMON_FROM else size
        telling = [word for word in words if frequency[word] <= most] or list(words)
        weights = {word: words[word] * _idf(frequency[word], size) for word in telling}
        known = max((weights[word] for word in telling if frequency[word]), default=0.0)
        if known:  # in a small collection most words are unknown: that must not drown those which are not
            weights = {word: weight if frequency[word] else min(weight, known) for word, weight in weights.items()}
        if len(weights) <= QUERY_WORDS_MAX:
            return weights
        return {word: weights[word] for word in nlargest(QUERY_WORDS_MAX, weights, key=weights.__getitem__)}

    def _frequency(self, word: str, collection: Collection | None) -> int:
        if collection is not None:
            return collection.frequency.get(word, 0)
        posting = self._postings.family(word).get(word)
        return len(posting) if posting is not None else 0

    def _sums(self, weights: Mapping[str, float], size: int, collection: Collection | None) -> list[float]:
        """Return each document's BM25F over the query's words and their kin, by number."""
        sums = [0.0] * len(self._keys)
        for word, weight in weights.items():
            family = self._postings.family(word)
            posting = family.get(word)
            if posting is not None and len(family) == 1:
                self._add(sums, posting, weight * (1 + KIN_WEIGHT))
            elif family:
                if posting is not None:
                    self._add(sums, posting, weight)
                kin = _united(family.values())
                rare = weight
                if collection is None and posting is not None:
                    rare *= _idf(len(kin), size) / (_idf(len(posting), size) or 1.0)
                self._add(sums, kin.items(), rare * KIN_WEIGHT)
        return sums

    def _add(self, sums: list[float], documents: Iterable[tuple[int, float]], gain: float) -> None:
        """Add what holding one word is worth to each document's sum."""
        lengths = self._lengths
        mean = self._total_length / len(self._numbers) or 1.0
        base, slope, gain = K1 * (1 - B), K1 * B / mean, gain * (K1 + 1)
        for number, count in documents:
            sums[number] += gain * count / (count + base + slope * lengths[number])

    def _pairs(self, asked: _Asked, weights: Mapping[str, float]) -> list[tuple[str, float]]:
        """Return the query's pairs of words as they stand in a document's line, each with its weight."""
        none: Mapping[str, Posting] = {}
        known = {word for word in weights if word in (self._postings.family(word) or none)}
        return [
            (f" {one} {other} ", weight * (weights[one] + weights[other]))
            for (one, other), weight in asked.pairs.items()
            if one in known and other in known
        ]

    def _vector(self, number: int) -> Vector:
        """Return the meaning of a document, made when it is first compared."""
        vector = self._vectors[number]
        if vector is None:
            vector = self._vectors[number] = self._meanings.vector(_words_in(self._texts[number]))
        return vector


def parts_of(task: str) -> list[str]:
    """Return the parts of a task that speak of one thing each, where it has several: sentences, clauses, items."""
    pieces = map(str.strip, _BREAK.split(task[:READ_MAX]))
    parts = [part for part in pieces if len(words_of(part)) >= PART_WORDS_MIN]
    return parts[:PARTS_MAX] if len(parts) > 1 else []


def asked_words(query: str) -> list[str]:
    """Return the different words of a query that are looked at, in order."""
    return list(_asked(query).words)


def _asked(query: str) -> _Asked:
    """Return a query's words and pairs; those of its first line weigh 1, others less."""
    first, _, rest = query.strip()[:READ_MAX].partition("\n")
    words: dict[str, float] = {}
    pairs: dict[tuple[str, str], float] = {}
    for text, weight in ((first, 1.0), (rest, LATER_WEIGHT)):
        terms = words_of(text)
        for term in terms:
            words.setdefault(term, weight)
        for pair in pairwise(terms):
            pairs.setdefault(pair, weight)
    return _Asked(words, pairs)


def _counts_of(fields: Fields) -> dict[str, float]:
    """Return how often each word stands in a document, weighted by field."""
    counts: dict[str, float] = dict(Counter(fields.own))
    for word in fields.lead:
        counts[word] = counts.get(word, 0.0) + LEAD_WEIGHT
    for issue in fields.issues:
        for word in issue:
            counts[word] = counts.get(word, 0.0) + ISSUE_WEIGHT
    return counts


def _line_of(fields: Fields) -> str:
    """Return all words of a document in order, a bar between fields."""
    return f" {' | '.join(' '.join(field) for field in (fields.own, *fields.issues))} "


def _words_in(line: str) -> set[str]:
    return {word for word in line.split() if word != "|"}


def _united(postings: Iterable[Posting]) -> dict[int, float]:
    """Return the documents that hold any of several words, and how often all of them together."""
    counts: dict[int, float] = {}
    for posting in postings:
        for number, count in posting:
            counts[number] = counts.get(number, 0.0) + count
    return counts


def _idf(frequency: int, size: int) -> float:
    """Return the inverse document frequency, never below 0 (Robertson & Zaragoza 2009, eq. 3.15)."""
    return log(1 + (size - frequency + 0.5) / (frequency + 0.5)) if frequency < size else log(1 + 0.5 / (size + 0.5))
