"""How likely it is that an issue is an instance of what others described: features of two texts, and a small model."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from math import exp, log, log1p, sqrt
from sys import intern
from typing import Final, Self

from lessonbook.domain.documents import load_model_file
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.lexicon.weaknesses import weaknesses_in
from lessonbook.search.tokenizer import LIKENESS_READ_MAX, words_of

HEADLINE_MAX: Final = 240
"""Characters of a report that say what it is about."""

_SENTENCE_FROM: Final = 40
_SENTENCE_END: Final = lazy_pattern(r"[.!?:](?=\s)")
_CODE: Final = lazy_pattern(r"`[^`]*`|\"[^\"]*\"|'[^']*'")
_GRAM_SIZES: Final = (3, 4, 5)
_HEADING: Final = lazy_pattern(r"\A(?:#{1,6}\s|[-=_*#\s]+$|\*\*[^*]{1,60}\*\*:?$)")
"""A line of Markdown that names a part of a form, not a problem."""
_SHORT_HEADLINE: Final = 12
_BODY_MIN: Final = 15
_BODY_SHARE: Final = 0.25
_LEAST_IDF: Final = 0.05
_LAG: Final = 0.05
_LAG_MIN: Final = 8
_THEME_SHARE: Final = 0.4
_THEME_DAMPING: Final = 3.0
_LENGTHS_MAX: Final = 20_000

SURE_WEAKNESS: Final = 0.9
"""The least strength at which a lesson is chosen by the weakness that a text describes."""

FEATURES: Final = (
    "words",
    "characters",
    "words_x_characters",
    "plain",
    "centre",
    "mean_of_best",
    "sum",
    "theme",
    "information",
    "covered",
    "uncovered",
    "others_uncovered",
    "length",
    "has_code",
    "weakness",
    "same_weakness",
    "other_weakness",
)
"""What the model weighs, in order; see `Corpus.features`."""


@dataclass(slots=True, eq=False)
class Sketch:
    """What is compared of one text: its `headline`, the stemmed `words` and word pairs of that, and what it tells."""

    headline: str
    words: tuple[str, ...]
    _text: str
    _weaknesses: dict[str, float] | None = None

    @property
    def has_code(self) -> bool:
        """Whether the headline quotes code."""
        return _CODE.search(self.headline) is not None

    @property
    def weaknesses(self) -> dict[str, float]:
        """The CWEs that the beginning of the text tells, with their strength; looked for when first asked."""
        if self._weaknesses is None:
            self._weaknesses = {mention.cwe: mention.strength for mention in weaknesses_in(self._text)}
        return self._weaknesses

    def is_other_story(self, other: "Sketch") -> bool:
        """Tell whether two texts go on quite differently under short headlines: those of a form or a test, perhaps."""
        if max(len(self.words), len(other.words)) > _SHORT_HEADLINE:
            return False
        mine, others = self.body_words(), other.body_words()
        shortest = min(len(mine), len(others))
        return shortest >= _BODY_MIN and len(mine & others) < _BODY_SHARE * shortest

    def body_words(self) -> frozenset[str]:
        """Return the words of the text beyond its headline's."""
        return frozenset(words_of(self._text)) - frozenset(self.words)

    @property
    def surely_tells(self) -> str:
        """The CWE that the text describes beyond doubt, or nothing."""
        cwe = max(self.weaknesses, key=self.weaknesses.__getitem__, default="")
        return cwe if cwe and self.weaknesses[cwe] >= SURE_WEAKNESS else ""


@lru_cache(maxsize=512)
def sketch(text: str) -> Sketch:
    """Return what is compared of `text`."""
    head = headline(text)
    return Sketch(head, terms_of(head), text[:LIKENESS_READ_MAX])


def headline(text: str) -> str:
    """Return what a report says first: its first line that is no heading, of a long line the first sentence."""
    lines = (line.strip() for line in text.splitlines())
    line = next((line for line in lines if line and not _HEADING.match(line)), text.strip())
    if len(line) <= HEADLINE_MAX:
        return line
    end = _SENTENCE_END.search(line, _SENTENCE_FROM, HEADLINE_MAX)
    return line[: end.end() if end else HEADLINE_MAX]


class Corpus:
    """The texts among which words are rare or common.

    A background of other texts stands in while there are few. Frequencies may lag behind by one text in twenty.
    """

    def __init__(self, background: "Corpus | None" = None) -> None:
        self._counts: Counter[str] = Counter()
        self._before: Mapping[str, float] = {}
        """Counts to which `_counts` are added."""
        self._background = background
        self.size = 0 if background is None else background.size
        self._idfs: dict[str, float] = {}
        self._lengths: dict[Sketch, float] = {}
        self._fresh_until = self.size

    @classmethod
    def of_counts(cls, counts: Mapping[str, float], size: int) -> Self:
        """Return the corpus of `size` texts, of which `counts` says in how many a word or word pair stands."""
        corpus = cls()
        corpus.size = corpus._fresh_until = size  # its own
        corpus._before = counts
        return corpus

    def add(self, terms: Iterable[str], times: int = 1) -> None:
        """Count a text of these words and word pairs, each named once; `times` -1 takes it back."""
        self.size += times
        for term in terms:
            self._counts[term] += times
        if self.size > self._fresh_until:
            self._idfs.clear()
            self._lengths.clear()
            self._fresh_until = self.size + max(_LAG_MIN, int(self.size * _LAG))

    def idf(self, term: str) -> float:
        """Return the inverse document frequency of a word or word pair, in nats."""
        known = self._idfs.get(term)
        if known is None:
            known = max(log((self.size + 1) / (self._count(term) + 0.5)), _LEAST_IDF)
            self._idfs[term] = known
        return known

    def _count(self, term: str) -> float:
        before = 0 if self._background is None else self._background._count(term)  # noqa: SLF001  # its own kind
        return before + self._before.get(term, 0) + self._counts[term]

    def length(self, sketch: Sketch) -> float:
        """Return the length of a text's word vector."""
        known = self._lengths.get(sketch)
        if known is None:
            if len(self._lengths) >= _LENGTHS_MAX:
                self._lengths.clear()
            known = self._lengths[sketch] = self._length_of(sketch.words)
        return known

    def _length_of(self, terms: Iterable[str]) -> float:
        return sqrt(sum(self.idf(term) ** 2 for term in terms)) or 1.0

    def cosine(self, one: Sketch, other: Sketch) -> float:
        """Return the cosine of two word vectors, 0 to 1."""
        product = sum(self.idf(term) ** 2 for term in set(one.words).intersection(other.words))
        return product / (self.length(one) * self.length(other))

    def features(self, issue: Sketch, members: Sequence[Sketch]) -> list[float]:
        """Return how `issue` compares with the texts of one group, in the order of `FEATURES`.

        Beside the nearest member, the group as a whole tells: the cosine with its centre, the mean of the three best,
        and how much of what its members have in common the issue has, too.
        """
        cosines = [self.cosine(issue, member) for member in members]
        best = max(range(len(members)), key=cosines.__getitem__)
        nearest = members[best]
        words, characters = cosines[best], _character_cosine(issue.headline, nearest.headline)
        counts = Counter(term for member in members for term in member.words)
        known = {term for term in issue.words if " " not in term}
        whole = sum(map(self.idf, known)) or 1.0
        shared = sum(self.idf(term) for term in known if term in counts)
        missing = sum(self.idf(term) for term in nearest.words if " " not in term and term not in issue.words)
        top = sorted(cosines, reverse=True)[:3]
        return [
            words,
            characters,
            words * characters,
            self._plain_cosine(issue, nearest),
            self._centre(issue, members),
            sum(top) / len(top),
            log1p(sum(cosines)),
            self._theme(issue, counts, len(members)),
            min(shared, 40.0) / 10,
            shared / whole,
            min(whole - shared, 60.0) / 10,
            min(missing, 60.0) / 10,
            log1p(len(known)),
            float(issue.has_code or nearest.has_code),
            *_weakness_features(issue, members),
        ]

    def _plain_cosine(self, one: Sketch, other: Sketch) -> float:
        """Return the cosine of the headlines without the code they quote."""
        mine, others = _plain_terms(one.headline), _plain_terms(other.headline)
        product = sum(self.idf(term) ** 2 for term in mine & others)
        return product / (self._length_of(mine) * self._length_of(others))

    def _centre(self, issue: Sketch, members: Sequence[Sketch]) -> float:
        """Return the cosine of the issue with the mean of the members' vectors."""
        centre: dict[str, float] = {}
        for member in members:
            length = self.length(member)
            for term in member.words:
                centre[term] = centre.get(term, 0.0) + self.idf(term) / length
        length = sqrt(sum(value * value for value in centre.values())) or 1.0
        product = sum(self.idf(term) * centre[term] for term in issue.words if term in centre)
        return product / (self.length(issue) * length)

    def _theme(self, issue: Sketch, counts: Mapping[str, int], members: int) -> float:
        least = max(2.0, _THEME_SHARE * members)
        theme = {term: self.idf(term) * (count - 0.5) / members for term, count in counts.items() if count >= least}
        has = sum(weight for term, weight in theme.items() if term in issue.words)
        return has / (sum(theme.values()) + _THEME_DAMPING)


def _weakness_features(issue: Sketch, members: Sequence[Sketch]) -> tuple[float, float, float]:
    """Return how strongly both tell one weakness, whether they surely do, and whether they surely tell others."""
    if not issue.weaknesses:
        return 0.0, 0.0, 0.0
    products = [
        strength * member.weaknesses.get(cwe, 0.0) for member in members for cwe, strength in issue.weaknesses.items()
    ]
    told = {cwe for member in members if (cwe := member.surely_tells)}
    mine = issue.surely_tells
    return max(products, default=0.0), float(mine in told), float(bool(mine and told) and mine not in told)


def terms_of(text: str) -> tuple[str, ...]:
    """Return the stemmed words and word pairs of `text`, each once."""
    words = [intern(word) for word in words_of(text)]
    return tuple(dict.fromkeys([*words, *(intern(f"{one} {two}") for one, two in pairwise(words))]))


@lru_cache(maxsize=256)
def _plain_terms(text: str) -> frozenset[str]:
    return frozenset(terms_of(_CODE.sub(" ", text)))


@lru_cache(maxsize=128)
def _grams(text: str) -> tuple[dict[str, float], float]:
    """Return the character n-grams of `text`, each weighted 1 + ln(count), and the length of that vector."""
    padded = f" {' '.join(text.lower().split())} "
    counts = Counter(padded[at : at + size] for size in _GRAM_SIZES for at in range(len(padded) - size + 1))
    weights = {count: 1.0 + log(count) for count in set(counts.values())}  # few, so that most n-grams share theirs
    grams = {gram: weights[count] for gram, count in counts.items()}
    return grams, sqrt(sum(value * value for value in grams.values())) or 1.0


def _character_cosine(one: str, other: str) -> float:
    mine, length = _grams(one)
    others, other_length = _grams(other)
    small, large = (mine, others) if len(mine) < len(others) else (others, mine)
    return sum(value * large[gram] for gram, value in small.items() if gram in large) / (length * other_length)


@dataclass(frozen=True, slots=True)
class Likeness:
    """Logistic regression over `FEATURES`: the probability that an issue is an instance of what a group describes."""

    bias: float
    weights: tuple[float, ...]

    def probability(self, features: Sequence[float]) -> float:
        """Return a probability, 0 to 1."""
        score = self.bias + sum(weight * value for weight, value in zip(self.weights, features, strict=True))
        return 1 / (1 + exp(-max(min(score, 500.0), -500.0)))


@cache
def load_likeness() -> Likeness:
    """Return the packaged model `data/models/likeness.json`, written by `bench/train_likeness.py`."""
    content = load_model_file("likeness")
    return Likeness(content["bias"], tuple(content["weights"][name] for name in FEATURES))
