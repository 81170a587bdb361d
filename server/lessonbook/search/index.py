"""How well lessons fit a task: an index over lessons and the issues behind them, held in memory."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest
from itertools import compress, islice, pairwise, repeat
from math import log, sqrt
from operator import itemgetter
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
        self._changes += 1

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
        self._changes += 1

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
        compared = self.compared(query, collection, similar=similar, subjects=subjects, most=most, apart=apart)
        found = list(zip(self._fit.probabilities([one for _, one in compared]), compared, strict=True))
        found.sort(key=itemgetter(0), reverse=True)
        return {key: probability for probability, (key, _) in found}

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
        asked = _asked(query)
        size = collection.size if collection else len(self._numbers)
        if not asked.words or not self._numbers:
            return []
        weights = self._weighed(asked.words, size, collection)
        sums = self._sums(weights, size, collection)
        about = self._sharing(subjects) if subjects else {}
        best = self._candidates(self._highest(sums, most, apart), about, similar)
        pairs = self._pairs(asked, weights, best)
        meaning = tuple(self._meanings.vector(asked.words))
        unit = _TEN * (1 + KIN_WEIGHT) * _idf(1, size)  # what ten words of the rarest are worth
        whole = sum(weights.values()) * (1 + KIN_WEIGHT) / unit
        unit *= sqrt(whole)
        leading = {word for word in asked.words if self._leads[word]}
        found = [(n, key, doc) for n in best if (key := self._keys[n]) is not None and (doc := self._documents[n])]
        numbers, keys, documents = zip(*found, strict=True) if found else ((), (), ())
        leads = [doc.lead if doc.lead_as_of == self._changes else self._weigh_lead(doc) for doc in documents]
        told: dict[str, Iterable[float]] = {  # by field, each for all documents: one by one takes twice as long
            "words": [sums[number] / unit for number in numbers],
            "pairs": [pairs.get(number, 0.0) / unit for number in numbers] if pairs else repeat(0.0),
            "meaning": cosines(meaning, [doc.vector or self._vector(doc) for doc in documents]),
            "subjects": [about.get(number, 0.0) for number in numbers] if about else repeat(0.0),
            "lead": [sum([lead[word] for word in leading & lead.keys()]) for lead in leads],
            "issues": [doc.issues for doc in documents],
            "whole": repeat(whole),
            "similar": [similar.get(key, 0.0) for key in keys] if similar else repeat(0.0),
        }
        rows = zip(*(told[name] for name in Compared._fields), strict=False)  # some never end
        return [*zip(keys, map(Compared._make, rows), strict=True)]

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
            family = self._postings.family(word)
            posting = family.get(word)
            if posting is not None and len(family) == 1:
                self._add(sums, posting, weight * (1 + KIN_WEIGHT))
            elif family:
                if posting is not None:
                    self._add(sums, posting, weight)
                kin = self._postings.kin(word)
                rare = weight
                if collection is None and posting is not None:
                    rare *= _idf(len(kin), size) / (_idf(len(posting), size) or 1.0)
                self._add(sums, kin, rare * KIN_WEIGHT)
        return sums

    def _add(self, sums: list[float], posting: Posting, gain: float) -> None:
        """Add what holding one word is worth to each document's sum."""
        lengths = self._lengths
        mean = self._total_length / len(self._numbers) or 1.0
        base, slope, gain = K1 * (1 - B), K1 * B / mean, gain * (K1 + 1)
        for number, count in posting:
            sums[number] += gain * count / (count + base + slope * lengths[number])

    def _pairs(self, asked: _Asked, weights: Mapping[str, float], numbers: Collection[int]) -> dict[int, float]:
        """Return what the query's pairs of words that stand in each of some documents are worth, by number."""
        among, holders = set(numbers), dict[str, set[int]]()
        for word in weights:
            if (posting := self._postings.family(word).get(word)) is not None:
                holders[word] = among.intersection(posting.documents)
        gains: dict[int, float] = {}
        for (one, other), weight in asked.pairs.items():
            if one in holders and other in holders:
                pair, gain = f" {one} {other} ", weight * (weights[one] + weights[other])
                for number in holders[one] & holders[other]:  # searching the lines of all would take ten times as long
                    if (document := self._documents[number]) is not None and pair in document.line:
                        gains[number] = gains.get(number, 0.0) + gain
        return gains

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
