"""How well lessons fit a task: an index over lessons and the issues behind them, held in memory."""

from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nlargest
from itertools import compress, islice, pairwise
from math import log, sqrt
from operator import add, itemgetter
from sys import intern
from typing import Final, Generic, NamedTuple, TypeVar

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.document import Fields, Subjects, fields_of
from lessonbook.search.postings import Posting, Postings
from lessonbook.search.relevance import Compared, RelevanceModel, load_relevance_model
from lessonbook.search.tokenizer import READ_MAX, words_of
from lessonbook.search.vectors import Meanings, Vector, cosines, load_meanings

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
_BREAK: Final = lazy_pattern(r"[.;:!?](?:\s|$)|[,\n•]|\s(?:and|then)\s|\s[-–—]\s")
COMMON_SHARE: Final = 0.5
COMMON_FROM: Final = 20
CANDIDATES: Final = 50
"""Documents that are compared in full: those with the highest word scores."""
SIMILAR: Final = 20
"""Documents that are compared because an embedding model finds them most similar."""
KINDRED: Final = 10
"""Documents that are compared because they are most about the subjects that a query speaks of."""
GAINS_MAX: Final = 100_000
"""So many gains of documents by words are kept, each in 12 bytes."""
_TEN: Final = 10
_OF_WORK: Final = frozenset(
    words_of(
        "ok okay yes thanks thank great good nice job looks look fine perfect cool hello hi please go ahead continue "
        "proceed next try again retry more start stop do make fix run test check review commit push merge revert undo "
        "change update edit add remove clean explain show tell read write finish done work working think code another "
        "changelog readme typo other task issue bug problem error build deploy refactor implement improve help"
    )
)
"""Words that say what is to be done, or nothing, but not what it is about: people talk with assistants."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class DocumentFrequencies:
    """What is known of a collection that only some documents of are indexed.

    `size` is the number of all documents, `frequency` in how many of them a word stands.
    """

    size: int
    frequency: Mapping[str, int]


class _Asked(NamedTuple):
    """A query's words and pairs of neighbours, each with its weight."""

    words: dict[str, float]
    pairs: dict[tuple[str, str], float]


class _IndexedDocument:
    """What is kept of a document: all its words in one line, and what comparing it needs."""

    __slots__ = ("issues", "lead", "lead_as_of", "lead_words", "line", "seen", "subjects", "vector")

    def __init__(self, fields: Fields, seen: int) -> None:
        self.seen = seen
        self.line = _line_of(fields)
        self.lead_words = len(fields.lead)
        self.lead: Mapping[str, float] = {}
        """What each of its first words tells, as a share of all of them."""
        self.lead_as_of = -1
        self.issues = log(1 + len(fields.issues)) / _TEN
        self.subjects = _directed(fields.subjects)
        self.vector: Vector | None = None
        """The document's meaning, made when it is first compared."""


class RelevanceIndex(Generic[Key]):
    """Finds candidates by BM25F (Robertson, Zaragoza & Taylor 2004) over words and kin of words, and compares them.

    Neighbouring words weigh as in the sequential dependence model (Metzler & Croft 2005). What is found by words or by
    subject is compared by meaning, too, and `search/relevance` tells how probable it is that a document so like a query
    is relevant.

    Built for thousands of documents that change seldom and are searched often: a search touches only the postings of
    the query's own words and their kin.
    """

    def __init__(
        self, meanings: Meanings | None = None, fit: RelevanceModel | None = None, only: Iterable[str] | None = None
    ) -> None:
        """Take the vectors of words and the weights of comparisons, by default the packaged ones.

        With `only` these words, and their kin, can be asked for: enough for an index that answers one query.
        """
        self._meanings = meanings or load_meanings()
        self._fit = fit or load_relevance_model()
        self._numbers: dict[Key, int] = {}
        self._keys: list[Key | None] = []
        self._documents: list[_IndexedDocument | None] = []
        self._lengths: list[float] = []
        self._free: list[int] = []
        self._about: dict[str, dict[int, float]] = {}
        self._leads: Counter[str] = Counter()
        self._changes = 0
        self._postings = Postings(only)
        self._gains: dict[str, tuple[int, array[int], array[float]]] = {}
        """What `_gains_by` returned, and after which of the changes."""
        self.kept_gains = 0
        """Of how many documents gains are kept, by any word."""
        self._total_length = 0.0

    def __len__(self) -> int:
        """Return how many documents are indexed."""
        return len(self._numbers)

    def put(self, key: Key, body: str) -> None:
        """Index the document `body` (see `search/document`) under `key`, in place of what was there."""
        number, seen = self._numbers.get(key), hash(body)
        if number is not None:
            held = self._documents[number]
            if held is not None and held.seen == seen:
                return
            self.discard(key)
        fields = fields_of(body)
        counts = _counts_of(fields)
        number = self._numbered(key)
        document = self._documents[number] = _IndexedDocument(fields, seen)
        self._lengths[number] = length = sum(counts.values())
        self._total_length += length
        self._postings.add(number, counts)
        self._leads.update(set(fields.lead))
        for subject, weight in document.subjects.items():
            self._about.setdefault(subject, {})[number] = weight
        self._changed()

    def _numbered(self, key: Key) -> int:
        """Return a number for a new document, one given up before if there is one."""
        if self._free:
            number = self._free.pop()
            self._keys[number] = key
        else:
            number = len(self._keys)
            self._keys.append(key)
            self._documents.append(None)
            self._lengths.append(0.0)
        self._numbers[key] = number
        return number

    def discard(self, key: Key) -> None:
        """Forget what is indexed under `key`, if anything."""
        number = self._numbers.pop(key, None)
        if number is None:
            return
        document = self._documents[number]
        if document is not None:
            self._postings.remove(number, _words_in(document.line))
            self._leads.subtract(_lead_of(document))
            for subject in document.subjects:
                del self._about[subject][number]
        self._total_length = self._total_length - self._lengths[number] if self._numbers else 0.0
        self._keys[number] = self._documents[number] = None
        self._free.append(number)
        self._changed()

    def _changed(self) -> None:
        self._changes += 1
        self._forget_gains()

    def scores(
        self,
        query: str,
        collection: DocumentFrequencies | None = None,
        *,
        similar: Mapping[Key, float] | None = None,
        subjects: Subjects | None = None,
        most: int = CANDIDATES,
        apart: Collection[Key] = (),
    ) -> dict[Key, float]:
        """Return how probably each of the best candidates is relevant, best first.

        Candidates are the `most` that share the most telling words, the `KINDRED` most about the same `subjects` and
        the `SIMILAR` most similar. Documents `apart` take no place of others: at most `most` more are compared.
        `collection` tells how frequent words are where the index holds only some of many documents, `similar` what an
        embedding model says, `subjects` what the query speaks of.
        """
        keys, columns = self._columns(query, collection, similar, subjects, most, apart)
        found = list(zip(self._fit.probabilities(columns), keys, strict=True))
        found.sort(key=itemgetter(0), reverse=True)
        return {key: probability for probability, key in found}

    def holding(self, query: str) -> set[Key]:
        """Return the documents that hold a word of the query which names a subject, or kin of it.

        Empty where no word does: "looks good" and "run it again" name none.
        """
        numbers: set[int] = set()
        for word in _asked(query).words:
            if word not in _OF_WORK:
                numbers.update(self._postings.kin(word).documents)
        return {key for number in numbers if (key := self._keys[number]) is not None}

    def compared(
        self,
        query: str,
        collection: DocumentFrequencies | None = None,
        *,
        similar: Mapping[Key, float] | None = None,
        subjects: Subjects | None = None,
        most: int = CANDIDATES,
        apart: Collection[Key] = (),
    ) -> list[tuple[Key, Compared]]:
        """Return the candidates for a query, as `scores` chooses them, and how each compares."""
        keys, columns = self._columns(query, collection, similar, subjects, most, apart)
        return [*zip(keys, map(Compared._make, zip(*columns, strict=True)), strict=True)]

    def _columns(
        self,
        query: str,
        collection: DocumentFrequencies | None,
        similar: Mapping[Key, float] | None,
        subjects: Subjects | None,
        most: int,
        apart: Collection[Key],
    ) -> tuple[Sequence[Key], Sequence[Sequence[float]]]:
        """Return the candidates, and for each field of `Compared` its values of all: one by one takes twice as long."""
        asked = _asked(query)
        size = collection.size if collection else len(self._numbers)
        if not asked.words or not self._numbers:
            return (), ((),) * len(Compared._fields)
        weights = self._weighed(asked.words, size, collection)
        sums = self._sums(weights, size, collection)
        about = self._sharing(subjects) if subjects else {}
        best = self._candidates(self._highest(sums, most, apart), about, similar)
        found = [(n, key, doc) for n in best if (key := self._keys[n]) is not None and (doc := self._documents[n])]
        numbers, keys, documents = zip(*found, strict=True) if found else ((), (), ())
        leading = [word for word in asked.words if self._leads.get(word)]
        holders = self._holders({*weights, *leading}, numbers)
        pairs = self._pairs(asked, weights, holders)
        leads = self._led(dict(zip(numbers, documents, strict=True)), leading, holders)
        meaning = tuple(self._meanings.vector(asked.words))
        unit = _TEN * (1 + KIN_WEIGHT) * _idf(1, size)  # what ten words of the rarest are worth
        whole = sum(weights.values()) * (1 + KIN_WEIGHT) / unit
        unit *= sqrt(whole)
        nothing = [0.0] * len(numbers)
        told: dict[str, Sequence[float]] = {
            "words": [sums[number] / unit for number in numbers],
            "pairs": [pairs.get(number, 0.0) / unit for number in numbers] if pairs else nothing,
            "meaning": cosines(meaning, [doc.vector or self._vector(doc) for doc in documents]),
            "subjects": [about.get(number, 0.0) for number in numbers] if about else nothing,
            "lead": [leads[number] for number in numbers],
            "issues": [doc.issues for doc in documents],
            "whole": [whole] * len(numbers),
            "similar": [similar.get(key, 0.0) for key in keys] if similar else nothing,
        }
        return keys, [told[name] for name in Compared._fields]

    def _highest(self, sums: list[float], most: int, apart: Collection[Key]) -> list[int]:
        """Return the numbers of the `most` documents with the highest sums; beside as many others, those `apart`."""
        order = sorted(compress(range(len(sums)), sums), key=sums.__getitem__, reverse=True)
        if not apart:
            return order[:most]
        keys = self._keys
        others = list(islice((at for at in order if keys[at] not in apart), most))
        return others + [at for at in order[: 4 * most] if keys[at] in apart][:most]

    def _candidates(
        self, best: list[int], about: Mapping[int, float], similar: Mapping[Key, float] | None
    ) -> list[int]:
        """Return the numbers of the documents that are compared in full: `best` by words, and others."""
        chosen = set(best)
        if about:
            nearest = nlargest(KINDRED, [(value, -number) for number, value in about.items()])
            best += [-negative for _, negative in nearest if -negative not in chosen]
            chosen.update(best)
        if similar:
            indexed = [(value, -self._numbers[key]) for key, value in similar.items() if key in self._numbers]
            best += [-negative for _, negative in nlargest(SIMILAR, indexed) if -negative not in chosen]
        return best

    def _sharing(self, subjects: Subjects) -> dict[int, float]:
        """Return the documents that are about any of `subjects`, each with the cosine of what both are about."""
        shared: dict[int, float] = {}
        for subject, weight in _directed(subjects).items():
            for number, other in self._about.get(subject, _NOWHERE).items():
                shared[number] = shared.get(number, 0.0) + weight * other
        return shared

    def _weighed(
        self, words: Mapping[str, float], size: int, collection: DocumentFrequencies | None
    ) -> dict[str, float]:
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

    def _frequency(self, word: str, collection: DocumentFrequencies | None) -> int:
        if collection is not None:
            return collection.frequency.get(word, 0)
        posting = self._postings.family(word).get(word)
        return len(posting) if posting is not None else 0

    def _sums(self, weights: Mapping[str, float], size: int, collection: DocumentFrequencies | None) -> list[float]:
        """Return each document's BM25F over the query's words and their kin, by number."""
        sums = [0.0] * len(self._keys)
        for word, weight in weights.items():
            documents, gains = self._gains_by(word, size, collection)
            for number, gain in zip(documents, gains, strict=True):
                sums[number] += weight * gain
        return sums

    def _gains_by(
        self, word: str, size: int, collection: DocumentFrequencies | None
    ) -> tuple[Sequence[int], Sequence[float]]:
        """Return the documents that hold a word or kin of it, and what each gains by a query's word of weight 1.

        It is kept until a document changes, unless a collection has a say in it.
        """
        changes = self._changes
        known = self._gains.get(word) if collection is None else None
        if known is not None and known[0] == changes:
            return known[1:]
        family = self._postings.family(word)
        if not family:
            return (), ()
        posting = family.get(word)
        if posting is not None and len(family) == 1:
            documents, gains = posting.documents, self._gains_of(posting, 1 + KIN_WEIGHT)
        else:
            kin, rare = self._postings.kin(word), KIN_WEIGHT
            if collection is None and posting is not None:
                rare *= _idf(len(kin), size) / (_idf(len(posting), size) or 1.0)
            documents, gains = kin.documents, self._gains_of(kin, rare)
            if posting is not None:
                own = dict(zip(posting.documents, self._gains_of(posting, 1.0), strict=True))
                gains = array("d", map(add, gains, (own.get(number, 0.0) for number in documents)))
        if collection is None:
            if self.kept_gains + len(gains) > GAINS_MAX:
                self._forget_gains()
            self.kept_gains += len(gains)
            self._gains[word] = changes, documents, gains
        return documents, gains

    def _gains_of(self, posting: Posting, weight: float) -> "array[float]":
        """Return what holding one word of a weight is worth to each document of a posting."""
        lengths = self._lengths
        mean = self._total_length / len(self._numbers) or 1.0
        base, slope, gain = K1 * (1 - B), K1 * B / mean, weight * (K1 + 1)
        return array("d", [gain * count / (count + base + slope * lengths[number]) for number, count in posting])

    def _forget_gains(self) -> None:
        self._gains.clear()
        self.kept_gains = 0

    def _holders(self, words: Iterable[str], numbers: Iterable[int]) -> dict[str, set[int]]:
        """Return for each word that any document holds those of `numbers` that do."""
        among, family = set(numbers), self._postings.family
        postings = ((word, family(word).get(word)) for word in words)
        return {word: among.intersection(posting.documents) for word, posting in postings if posting is not None}

    def _pairs(self, asked: _Asked, weights: Mapping[str, float], holders: Mapping[str, Set[int]]) -> dict[int, float]:
        """Return what the query's pairs of words that stand in each of some documents are worth, by number."""
        gains: dict[int, float] = {}
        for (one, other), weight in asked.pairs.items():
            if one in weights and other in weights and one in holders and other in holders:
                both = holders[one] & holders[other]  # searching the lines of all would take ten times as long
                pair, gain = f" {one} {other} ", weight * (weights[one] + weights[other])
                for number in both:
                    if (document := self._documents[number]) is not None and pair in document.line:
                        gains[number] = gains.get(number, 0.0) + gain
        return gains

    def _led(
        self, documents: Mapping[int, _IndexedDocument], words: Iterable[str], holders: Mapping[str, Iterable[int]]
    ) -> dict[int, float]:
        """Return the share of each document's first words that some words are, given which documents hold these."""
        changes = self._changes
        leads = {
            number: doc.lead if doc.lead_as_of == changes else self._weigh_lead(doc)
            for number, doc in documents.items()
        }
        shares = dict.fromkeys(leads, 0.0)
        for word in words:
            for number in holders[word]:
                if word in leads[number]:
                    shares[number] += leads[number][word]
        return shares

    def _vector(self, document: _IndexedDocument) -> Vector:
        document.vector = vector = self._meanings.vector(_words_in(document.line))
        return vector

    def _weigh_lead(self, document: _IndexedDocument) -> Mapping[str, float]:
        """Weigh a document's first words: by what each means at all, and by how few others begin with it."""
        size, leads, tells = len(self._numbers), self._leads, self._meanings.telling
        weights = {word: tells(word) * _idf(leads[word], size) for word in _lead_of(document)}
        total = sum(weights.values()) or 1.0
        document.lead = {word: weight / total for word, weight in weights.items()}
        document.lead_as_of = self._changes
        return document.lead


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


def _directed(subjects: Subjects) -> Subjects:
    """Return subjects as a vector of length 1."""
    length = sqrt(sum(weight * weight for weight in subjects.values()))
    return {subject: weight / length for subject, weight in subjects.items()} if length else subjects


_NOWHERE: Final[Mapping[int, float]] = {}


def _lead_of(document: _IndexedDocument) -> set[str]:
    return set(map(intern, document.line.split(None, document.lead_words)[: document.lead_words]))


def _words_in(line: str) -> set[str]:
    return {word for word in line.split() if word != "|"}


def _idf(frequency: int, size: int) -> float:
    """Return the inverse document frequency, never below 0 (Robertson & Zaragoza 2009, eq. 3.15)."""
    return log(1 + (size - frequency + 0.5) / (frequency + 0.5)) if frequency < size else log(1 + 0.5 / (size + 0.5))
