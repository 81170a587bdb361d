"""Which rules a task is likely to break, by the kinds of task that are known to raise them.

An agent asks with a task ("add a search box over products"), not with a fault ("SQL built from strings"). A rule
therefore brings phrases of tasks that raise it; a task is compared with the phrases of all rules, and with phrases of
ordinary work that raises none.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import log, sqrt
from typing import Final, NamedTuple

from lessonbook.search.tokenizer import words_of

STEM_LETTERS: Final = 5
STEM_SHARE: Final = 0.6
"""Share of a word's weight that a word with the same first letters has in common with it."""
CANDIDATES: Final = 40
"""Rules that are compared in full: those with the best phrases."""
UNITS_MAX: Final = 16
UNIT_WORDS_MIN: Final = 2
_BREAK: Final = re.compile(r"[.;!?](?:\s|$)|\n")
ORDINARY: Final = ""
"""The id under which the phrases of ordinary work stand."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """What is known of a rule before anything was reported: `phrases` are tasks that raise it, `words` its own words.

    `languages` are those that it is about, any if empty. `common` says, from 0 to 3, how often a reviewer would name it
    for such a task.
    """

    id: str
    phrases: Sequence[str]
    words: str
    languages: Sequence[str] = ()
    common: int = 0


class HazardMatch(NamedTuple):
    """How a task compares with a rule, each about 0 to 2."""

    phrase: float
    """The best phrase within one sentence of the task: idf of the common words over √ of the phrase's."""
    more: float
    """The same, summed over the second and third best phrase."""
    share: float
    """The share of the best phrase, by idf, that the task holds."""
    own: float
    """BM25 of the rule's own words, in tens of the rarest word."""
    covered: float
    """The share of the task, by idf, that the rule's phrases hold."""
    language: float
    """1 if the rule is about the language at hand, −1 if it is about others, else 0."""
    common: float
    """A third of `Hazard.common`."""
    ordinary: float
    """`phrase` of the best phrase of ordinary work: the same for all rules."""
    length: float
    """The logarithm of the number of the task's words: the same for all rules."""


class Hazards:
    """An index over the phrases and the words of rules."""

    def __init__(self, hazards: Iterable[Hazard], ordinary: Sequence[str] = ()) -> None:
        """Index `hazards`, and phrases of `ordinary` work."""
        self._hazards = [*hazards, Hazard(ORDINARY, ordinary, "")]
        self._owner = array("I")
        phrases: dict[str, list[int]] = defaultdict(list)
        self._holders: dict[str, set[int]] = defaultdict(set)
        terms_of_phrases: list[set[str]] = []
        for number, hazard in enumerate(self._hazards):
            for phrase in hazard.phrases:
                terms = set(_terms(words_of(phrase)))
                for term in terms:
                    phrases[term].append(len(terms_of_phrases))
                    self._holders[term].add(number)
                terms_of_phrases.append(terms)
                self._owner.append(number)
        size = len(self._hazards)
        self._idf = {term: log(1 + size / len(holders)) for term, holders in self._holders.items()}
        self._rarest = log(1 + size)
        self._phrases = {term: array("I", numbers) for term, numbers in phrases.items()}
        self._weights = array("f", [sum(_shares(terms, self._idf)) or 1.0 for terms in terms_of_phrases])
        self._own = _OwnWords([hazard.words for hazard in self._hazards])

    def matches(self, task: str, language: str = "") -> dict[str, HazardMatch]:
        """Return the rules that a task may raise, by id, and how each compares with it. `language` as in `Hazard`."""
        words = words_of(task)
        asked = set(_terms(words))
        if not asked:
            return {}
        weights = {term: self._idf.get(term, self._rarest) * _share(term) for term in asked}
        whole = sum(weights.values()) or 1.0
        best = self._best_phrases(task, weights)
        own = self._own.scores(asked)
        chosen = nlargest(CANDIDATES, best, key=lambda number: best[number][0])
        chosen += [number for number in nlargest(CANDIDATES // 2, own, key=own.__getitem__) if number not in best]
        ordinary = best.get(len(self._hazards) - 1, _NO_PHRASE)[0]
        length = log(1 + len(words))
        found: dict[str, HazardMatch] = {}
        for number in chosen:
            hazard = self._hazards[number]
            if hazard.id == ORDINARY:
                continue
            phrase, more, share = best.get(number, _NO_PHRASE)
            holders = self._holders
            covered = sum([weight for term, weight in weights.items() if number in holders.get(term, ())])
            found[hazard.id] = HazardMatch(
                phrase,
                more,
                share,
                own.get(number, 0.0),
                covered / whole,
                _language(hazard.languages, language),
                hazard.common / 3,
                ordinary,
                length,
            )
        return found

    def _best_phrases(self, task: str, weights: Mapping[str, float]) -> dict[int, tuple[float, float, float]]:
        """Return by rule the score of its best phrase, of the next two together, and the best phrase's share."""
        ofphrase: dict[int, float] = {}
        for unit in _units(task):
            sums: dict[int, float] = {}
            for term in set(_terms(words_of(unit))):
                weight = weights.get(term, 0.0)
                for number in self._phrases.get(term, ()):
                    sums[number] = sums.get(number, 0.0) + weight
            for number, value in sums.items():
                if value > ofphrase.get(number, 0.0):
                    ofphrase[number] = value
        owner, total = self._owner, self._weights
        by_rule: dict[int, list[tuple[float, float]]] = {}
        scale = sqrt(10 * self._rarest)
        for number, value in ofphrase.items():
            by_rule.setdefault(owner[number], []).append((value / sqrt(total[number]) / scale, value / total[number]))
        best: dict[int, tuple[float, float, float]] = {}
        for rule, scores in by_rule.items():
            scores.sort(reverse=True)
            best[rule] = (scores[0][0], sum([score for score, _ in scores[1:3]]), scores[0][1])
        return best


_NO_PHRASE: Final = (0.0, 0.0, 0.0)


class _OwnWords:
    """BM25 over the rules' own words."""

    def __init__(self, texts: Sequence[str]) -> None:
        counts: dict[str, dict[int, int]] = defaultdict(dict)
        lengths: list[int] = []
        for number, text in enumerate(texts):
            terms = _terms(words_of(text))
            lengths.append(len(terms))
            for term in terms:
                counts[term][number] = counts[term].get(number, 0) + 1
        mean = sum(lengths) / max(1, len(lengths)) or 1.0
        size = len(texts)
        self._gains: dict[str, list[tuple[int, float]]] = {}
        scale = 10 * log(1 + size)
        for term, holders in counts.items():
            idf = log(1 + size / len(holders)) * _share(term)
            self._gains[term] = [
                (number, idf * 2.2 * count / (count + 1.2 * (0.25 + 0.75 * lengths[number] / mean)) / scale)
                for number, count in holders.items()
            ]

    def scores(self, terms: Iterable[str]) -> dict[int, float]:
        sums: dict[int, float] = {}
        for term in terms:
            for number, gain in self._gains.get(term, ()):
                sums[number] = sums.get(number, 0.0) + gain
        return sums


def _terms(words: Iterable[str]) -> list[str]:
    """Return words and, marked, what longer ones begin with, which related words share."""
    terms: list[str] = []
    for word in words:
        terms.append(word)
        if len(word) > STEM_LETTERS:
            terms.append(f"{word[:STEM_LETTERS]}*")
        else:
            terms.append(f"{word}*")
    return terms


def _share(term: str) -> float:
    return STEM_SHARE if term.endswith("*") else 1 - STEM_SHARE


def _shares(terms: Iterable[str], idf: Mapping[str, float]) -> list[float]:
    return [idf[term] * _share(term) for term in terms]


def _units(task: str) -> list[str]:
    """Return a task's sentences and lines; several words each, so many at most."""
    pieces = [piece.strip() for piece in _BREAK.split(task)]
    units = [piece for piece in pieces if len(piece.split()) >= UNIT_WORDS_MIN]
    return units[:UNITS_MAX] or [task]


def _language(languages: Sequence[str], language: str) -> float:
    if not languages or not language:
        return 0.0
    return 1.0 if language in languages else -1.0
