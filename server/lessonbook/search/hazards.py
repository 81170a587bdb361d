"""Which rules a task is likely to break, before anything was reported: what kinds of task raise which issue.

An agent asks with a task ("add a search box over products"), not with a fault ("SQL built from strings"). A rule
therefore brings phrases of tasks that raise it. A task is compared with the phrases of all rules and with phrases of
ordinary work that raises none; `search/hazard_model` turns the comparison into a probability.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from itertools import chain, compress
from math import log, sqrt
from typing import Final, NamedTuple

from lessonbook.machine.packed_words import PackedRows, RowsByWord, pack_rows
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.context import Place
from lessonbook.search.hazard_model import SHARE, THRESHOLD, HazardModel, Need, load_hazard_model
from lessonbook.search.tokenizer import words_of

STEM_LETTERS: Final = 5
STEM_SHARE: Final = 0.6
"""Share of a word's weight that a word with the same first letters has in common with it."""
CANDIDATES: Final = 40
"""Rules that are compared in full: those with the best phrases."""
COMMON_PHRASES: Final = 60
"""A term that more phrases hold finds a phrase only together with others."""
COMMON_SHARED: Final = 4
"""So many common terms find a phrase: two words, each with what it begins with."""
UNITS_MAX: Final = 16
WEAKNESSES_MAX: Final = 8
"""CWE names of a rule by which a weakness leads to it."""
COMMON_MAX: Final = 3
K1: Final = 1.2
B: Final = 0.75
_BREAK: Final = lazy_pattern(r"[.;!?](?:\s|$)|\n")
POSSIBLE: Final = THRESHOLD / 32
"""From this probability on: `context.recurring` raises odds 32-fold with two thousand million issues."""
ORDINARY: Final = ""
"""The id under which the phrases of ordinary work stand."""


PackedIndex = tuple[bytes, bytes, PackedRows, PackedRows]
"""The rule of each phrase and the scale of its score; the phrases of each term, and a weight for each term; the rules
whose own words hold a term, and a score for each."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """What the catalogue knows of a rule: `phrases` are tasks that raise its issue, `words` its own words.

    `languages` are those that it is about, any if empty. `common`, from 0 to 3, is how often a reviewer would name it
    first for such a task. `weaknesses` are the CWE names that it answers to.
    """

    id: str
    phrases: Sequence[str]
    words: str
    languages: Sequence[str] = ()
    common: int = 0
    weaknesses: Sequence[str] = ()


class HazardMatch(NamedTuple):
    """How a task compares with a rule; each is about 0 to 2 unless said otherwise."""

    phrase: float
    """The best phrase within one sentence of the task: idf of the common words over √ of the phrase's."""
    more: float
    """The same, summed over the second and third best phrase."""
    own: float
    """BM25 of the rule's own words, in tens of the rarest word."""
    covered: float
    """The share of the task, by idf, that the rule's phrases hold."""
    language: float
    """1 if the rule is about the language at hand, −1 if it is about others, else 0."""
    common: float
    """A third of `Hazard.common`."""


class TaskMatches(NamedTuple):
    """A task compared with the rules that share most with it, and what is so of the task itself."""

    names: Sequence[str]
    """The ids of the rules that are compared."""
    columns: Sequence[Sequence[float]]
    """For each field of `HazardMatch` its values of all these rules: one by one takes three times as long."""
    words: Sequence[str] = ()
    """The task's words."""
    ordinary: float = 0.0
    """`phrase` of the best phrase of ordinary work."""
    length: float = 0.0
    """The logarithm of 1 + the number of the task's words."""

    @property
    def rules(self) -> dict[str, HazardMatch]:
        """How the task compares with each rule."""
        rows = map(HazardMatch._make, zip(*self.columns, strict=True))
        return dict(zip(self.names, rows, strict=True))


@dataclass(frozen=True, slots=True)
class LikelyRules:
    """The rules whose issue a task is likely to raise, by id, each with its probability; and whether it needs any."""

    rules: Mapping[str, float]
    considered: Mapping[str, float]
    """The same of all rules that were compared in full, the unlikely ones among them."""
    need: float = 0.0

    @property
    def possible(self) -> list[str]:
        """The rules among `considered` that may be likely enough where their issue came in the project."""
        return [name for name, value in self.considered.items() if value >= POSSIBLE]


NOWHERE: Final = Place()
NOTHING_LIKELY: Final = LikelyRules({}, {})


class Hazards:
    """An index over the phrases and the words of rules. It is not changed after it was made."""

    def __init__(
        self,
        hazards: Iterable[Hazard],
        ordinary: Sequence[str] = (),
        model: HazardModel | None = None,
        index: PackedIndex | None = None,
    ) -> None:
        """Index `hazards` and phrases of `ordinary` work.

        `model` is the packaged one unless given. `index` is what `packed_index` made of the same, which saves the work.
        """
        self._model = model
        self._hazards = _with_ordinary(hazards, ordinary)
        self._ordinary = len(self._hazards) - 1
        self._rarest = log(1 + len(self._hazards))
        owner, scales, terms, own = index or packed_index(self._hazards[:-1], ordinary)
        self._hazards = [replace(hazard, words="") for hazard in self._hazards]  # a megabyte, which is in the index now
        self._owner, self._scales = array("I", owner), array("f", scales)
        self._terms = RowsByWord(terms, "d")
        self._unpacked: dict[str, _Term] = {}
        self._own = _OwnWords(own, len(self._hazards))
        self._languages = [frozenset(hazard.languages) for hazard in self._hazards]
        self._common = [hazard.common / COMMON_MAX for hazard in self._hazards]
        self._of_weakness: dict[str, list[str]] = defaultdict(list)
        for hazard in self._hazards:
            for weakness in hazard.weaknesses[:WEAKNESSES_MAX]:
                self._of_weakness[weakness].append(hazard.id)

    def likely(self, task: str, place: Place = NOWHERE) -> LikelyRules:
        """Return the rules whose issue `task` is likely to raise at `place`.

        Probabilities are calibrated on tasks of which at least four in five need no lesson or few; those below
        `THRESHOLD` are left out.
        """
        return self.judged(self.matches(task, place), place, self._model or load_hazard_model())

    def judged(self, matches: TaskMatches, place: Place, model: HazardModel) -> LikelyRules:
        """Return what `model` makes of how a task compares with the rules."""
        if not matches.length:
            return NOTHING_LIKELY
        need = model.need.probability(need_of(matches))
        likely = model.fit.probabilities(fits_of(matches))
        found = {name: need * value for name, value in zip(matches.names, likely, strict=True)}
        for weakness, score in model.weakness.scores(matches.words, place.language).items():
            names = self._of_weakness.get(weakness, ())
            of_weakness = need * model.of_weakness(score) if names else 0.0
            for name in names:
                if of_weakness > found.get(name, 0.0):
                    found[name] = of_weakness
        least = max(THRESHOLD, SHARE * max(found.values(), default=0.0))
        return LikelyRules({name: value for name, value in found.items() if value >= least}, found, need)

    def matches(self, task: str, place: Place = NOWHERE) -> TaskMatches:
        """Return how a task compares with the rules that share words with it."""
        words = words_of(task)
        asked = dict.fromkeys(_terms(words))
        known = self._known(asked)
        if not known:
            return TaskMatches((), ((),) * len(HazardMatch._fields))
        unknown = [self._rarest * _share(name) for name in asked if name not in known]
        whole = sum(unknown) + sum([term.weight for term in known.values()])
        phrases = self._scores_of_phrases(task, words, known)
        own, holders = self._own.scores(asked)
        ordinary = max(phrases.pop(self._ordinary, _NO_PHRASE))
        best = {number: max(scores) for number, scores in phrases.items()}
        chosen = _highest(best, best, CANDIDATES)
        chosen += [number for number in _highest(holders, own, CANDIDATES // 2) if number not in best]
        held = _weights_held(known.values(), chosen)
        about, languages, common, hazards = place.about, self._languages, self._common, self._hazards
        scores = [phrases.get(number, _NO_PHRASE) for number in chosen]
        columns = (
            [best.get(number, 0.0) for number in chosen],
            [sum(sorted(one, reverse=True)[1:3]) if len(one) > 1 else 0.0 for one in scores],
            [own[number] for number in chosen],
            [held[number] / whole for number in chosen],
            [about(languages[number]) for number in chosen] if place.languages else [0.0] * len(chosen),
            [common[number] for number in chosen],
        )
        names = [hazards[number].id for number in chosen]
        return TaskMatches(names, columns, words, ordinary, log(1 + len(words)))

    def nearest_phrase(self, rule_id: str, task: str) -> str:
        """Return the phrase of a rule that shares most with a task, for explanations; empty where none does."""
        asked = set(_terms(words_of(task)))
        phrases = next((hazard.phrases for hazard in self._hazards if hazard.id == rule_id), ())

        def common(phrase: str) -> float:
            shared = map(self._term, asked.intersection(_terms(words_of(phrase))))
            return sum([term.weight for term in shared if term is not None])

        best = max(phrases, key=common, default="")
        return best if best and common(best) else ""

    def _term(self, name: str) -> "_Term | None":
        """Return what is known of a term, unpacked when first asked for: a process needs few of them."""
        term = self._unpacked.get(name)
        if term is None and (place := self._terms.place(name)) is not None:
            term = self._unpacked[name] = _Term(
                self._terms.numbers(place), self._owner, len(self._hazards), self._terms.values[place]
            )
        return term

    def _known(self, names: Iterable[str]) -> dict[str, "_Term"]:
        """Return those of the terms that a phrase holds."""
        return {name: term for name in names if (term := self._term(name)) is not None}

    def _scores_of_phrases(
        self, task: str, words: Sequence[str], known: Mapping[str, "_Term"]
    ) -> dict[int, list[float]]:
        """Return by rule the scores of its phrases, each the best over the sentences of a task, given what it says."""
        of_phrase: dict[int, float] = {}
        for unit in _units(task):
            said = words_of(unit)
            terms = known if said == words else self._known(dict.fromkeys(_terms(said)))
            sums = self._sums(terms.values())
            if not of_phrase:
                of_phrase = sums
                continue
            for number, value in sums.items():
                if value > of_phrase.get(number, 0.0):
                    of_phrase[number] = value
        owner, scales = self._owner, self._scales
        by_rule: dict[int, list[float]] = {}
        for number, value in of_phrase.items():
            by_rule.setdefault(owner[number], []).append(value * scales[number])
        return by_rule

    def _sums(self, terms: Collection["_Term"]) -> dict[int, float]:
        """Return what each phrase has in common with a sentence of these terms.

        A phrase that shares only common terms with it is looked at if it shares several.
        """
        sums: dict[int, float] = {}
        for term in terms:
            if term.common is None:
                weight = term.weight
                for number in term.phrases:
                    sums[number] = sums.get(number, 0.0) + weight
        common = [term for term in terms if term.common is not None]
        for number in set_bits(shared_bits([term.bits for term in common], COMMON_SHARED)):
            sums.setdefault(number, 0.0)
        looked_at = set(sums)
        for term in common:
            for number in looked_at & (term.common or set()):
                sums[number] += term.weight
        return sums


def packed_index(hazards: Iterable[Hazard], ordinary: Sequence[str] = ()) -> PackedIndex:
    """Return the index over phrases and words that `Hazards` searches. It takes a quarter of a second."""
    every = _with_ordinary(hazards, ordinary)
    owner = array("I")
    phrases_with: dict[str, list[int]] = {}
    phrases = [(number, phrase) for number, hazard in enumerate(every) for phrase in hazard.phrases]
    terms_of_phrases = [dict.fromkeys(_terms(words_of(phrase))) for _, phrase in phrases]
    for at, ((number, _), terms) in enumerate(zip(phrases, terms_of_phrases, strict=True)):
        owner.append(number)
        for name in terms:
            phrases_with.setdefault(name, []).append(at)
    size = len(every)
    rules_with = {name: len({owner[at] for at in numbers}) for name, numbers in phrases_with.items()}
    weight_of = {name: log(1 + size / count) * _share(name) for name, count in rules_with.items()}
    weights = [sum([weight_of[name] for name in terms]) or 1.0 for terms in terms_of_phrases]
    scale = sqrt(10 * log(1 + size))
    scales = array("f", [1 / (sqrt(weight) * scale) for weight in weights])
    packed = pack_rows({name: (numbers, [weight_of[name]]) for name, numbers in phrases_with.items()}, "d")
    return owner.tobytes(), scales.tobytes(), packed, _packed_words([hazard.words for hazard in every])


def _with_ordinary(hazards: Iterable[Hazard], ordinary: Sequence[str]) -> list[Hazard]:
    return [*hazards, Hazard(ORDINARY, ordinary, "")]


class _Term:
    """What is known of a term: the phrases that hold it, the rules of these, and its weight."""

    __slots__ = ("bits", "common", "mask", "phrases", "rules", "weight")

    def __init__(self, phrases: "array[int]", owner: "array[int]", size: int, weight: float) -> None:
        """Take the phrases that hold a term, and which of `size` rules each phrase is of."""
        self.phrases = phrases
        self.rules = array("H", dict.fromkeys(map(owner.__getitem__, phrases)))
        self.weight = weight
        self.common: frozenset[int] | None = None
        """The phrases of a term that many hold."""
        self.bits = 0
        """The same as the bits of a number."""
        self.mask = b""
        """A byte for each rule: 1 for those that hold it."""
        if len(phrases) > COMMON_PHRASES:
            self.common = frozenset(phrases)
            self.bits = sum([1 << number for number in phrases])
            mask = bytearray(size)
            for number in self.rules:
                mask[number] = 1
            self.mask = bytes(mask)


def _weights_held(terms: Iterable[_Term], rules: Collection[int]) -> dict[int, float]:
    """Return by rule what those of the terms weigh that its phrases hold."""
    sums = dict.fromkeys(rules, 0.0)
    for term in terms:
        weight, mask = term.weight, term.mask
        if mask:
            for number in compress(rules, map(mask.__getitem__, rules)):
                sums[number] += weight
        else:
            for number in term.rules:
                if number in sums:
                    sums[number] += weight
    return sums


def set_bits(bits: int) -> Iterator[int]:
    """Yield the places of the bits that are set in a number, lowest first."""
    digits = f"{bits:b}"[::-1]
    place = digits.find("1")
    while place >= 0:
        yield place
        place = digits.find("1", place + 1)


def shared_bits(sets: Iterable[int], least: int) -> int:
    """Return the bits that are set in at least so many of the numbers: of sets as bits, what so many of them hold."""
    reached = [0] * least  # by how many more than one of the sets so far
    for bits in sets:
        for more in range(least - 1, 0, -1):
            reached[more] |= reached[more - 1] & bits
        reached[0] |= bits
    return reached[-1]


def _highest(rules: Iterable[int], scores: Mapping[int, float] | Sequence[float], most: int) -> list[int]:
    """Return the rules with the `most` highest scores, of equal ones the first; faster than `nlargest` for so few."""
    return sorted(rules, key=scores.__getitem__, reverse=True)[:most]


_NO_PHRASE: Final = (0.0,)


def need_of(matches: TaskMatches) -> Need:
    """Return what tells whether a task needs any lesson."""
    phrase, more, own, covered, *_ = [max(values, default=0.0) for values in matches.columns]
    return Need(phrase, more, own, covered, matches.ordinary, matches.length)


def fits_of(matches: TaskMatches) -> Sequence[Sequence[float]]:
    """Return what tells which rules a task needs: for each field of `Fit` its values of all rules."""
    phrases = matches.columns[0]
    best = max(phrases, default=0.0)
    return *matches.columns, [matches.length] * len(phrases), [phrase - best for phrase in phrases]


@cache
def ordinary_tasks() -> tuple[str, ...]:
    """Return phrases of work, and of talk, that need no lesson: `data/ordinary_tasks.txt`, one a line."""
    text = (resources.files("lessonbook") / "data" / "ordinary_tasks.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def _packed_words(texts: Sequence[str]) -> PackedRows:
    """Return for each term the numbers of the texts that hold it, and what it adds to the score of each."""
    counts: dict[str, dict[int, int]] = defaultdict(dict)
    lengths: list[int] = []
    for number, text in enumerate(texts):
        terms = _terms(words_of(text))
        lengths.append(len(terms))
        for term in terms:
            counts[term][number] = counts[term].get(number, 0) + 1
    mean = sum(lengths) / max(1, len(lengths)) or 1.0
    size = len(texts)
    scale = 10 * log(1 + size)
    rows: dict[str, tuple[Collection[int], Sequence[float]]] = {}
    for term, holders in counts.items():
        idf = log(1 + size / len(holders)) * _share(term)
        gains = [
            idf * (K1 + 1) * count / (count + K1 * (1 - B + B * lengths[number] / mean)) / scale
            for number, count in holders.items()
        ]
        rows[term] = holders, gains
    return pack_rows(rows, "f")


class _OwnWords:
    """BM25 over the rules' own words."""

    def __init__(self, packed: PackedRows, size: int) -> None:
        """Take what `_packed_words` made of `size` texts."""
        self._terms = RowsByWord(packed, "f")
        self._size = size

    def scores(self, names: Iterable[str]) -> tuple[list[float], list[int]]:
        """Return the score of each text, by number, and the numbers of those that hold any of the terms."""
        terms = self._terms
        places = [place for name in names if (place := terms.place(name)) is not None]
        holders = [terms.numbers(place) for place in places]
        sums = [0.0] * self._size  # adding to a list takes half of adding to a dictionary
        for numbers, place in zip(holders, places, strict=True):
            start, end = terms.span(place)
            for number, gain in zip(numbers, terms.values[start:end], strict=True):
                sums[number] += gain
        return sums, [*dict.fromkeys(chain.from_iterable(holders))]


def _terms(words: Iterable[str]) -> list[str]:
    """Return words and, marked, what each begins with: related words share that."""
    return [term for word in words for term in (word, f"{word[:STEM_LETTERS]}*")]


def _share(term: str) -> float:
    return STEM_SHARE if term.endswith("*") else 1 - STEM_SHARE


def _units(task: str) -> list[str]:
    """Return a task's sentences and lines of several words, so many at most; where there are none, all of it."""
    pieces = [piece.strip() for piece in _BREAK.split(task)]
    units = [piece for piece in pieces if " " in piece]
    return units[:UNITS_MAX] or [task]
