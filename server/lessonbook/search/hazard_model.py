"""From how a task compares with a rule to the probability that the task raises the rule's issue.

Three logistic regressions, trained by `bench/train_hazards.py` and shipped as data: whether the task needs any lesson,
which rule it needs if so, and which weaknesses code for such a task is known to show.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, sqrt
from operator import mul
from typing import Any, Final, NamedTuple

from lessonbook.domain.documents import prepared_model
from lessonbook.machine.packed_words import (
    NumbersByWord,
    PackedNumbers,
    PackedRows,
    RowsByWord,
    pack_numbers,
    pack_rows,
)

_FAR: Final = 30.0
THRESHOLD: Final = 0.15
"""From this probability on a task is said to need a lesson, whatever the probability comes from."""
SHARE: Final = 0.5
"""Beside a likelier rule another needs this share of that one's probability."""


class Need(NamedTuple):
    """What tells whether a task needs a lesson: the best values over all rules, and two of the task itself."""

    phrase: float
    more: float
    own: float
    covered: float
    ordinary: float
    length: float


class Fit(NamedTuple):
    """How a rule compares with a task that needs a lesson; see `search/hazards.HazardMatch`."""

    phrase: float
    more: float
    own: float
    covered: float
    language: float
    common: float
    length: float
    behind: float
    """`phrase` less that of the best rule, at most 0."""


@dataclass(frozen=True, slots=True)
class Line:
    """A logistic regression: a weight for each feature, and a bias."""

    weights: Sequence[float]
    bias: float

    def probability(self, features: Sequence[float]) -> float:
        """Return the probability for `features`, in the order of the weights."""
        return logistic(self.bias + sum(map(mul, self.weights, features)))

    def probabilities(self, columns: Iterable[Sequence[float]]) -> list[float]:
        """Return the probability for each of many, given each feature's values of all: in a third of the time."""
        scores: list[float] = []
        for weight, values in zip(self.weights, columns, strict=True):
            scores = scores or [self.bias] * len(values)
            scores = [score + weight * value for score, value in zip(scores, values, strict=True)]
        return [*map(logistic, scores)]


@dataclass(frozen=True, slots=True)
class WeaknessModel:
    """Which weaknesses code for a task shows, by the task's words: one logistic regression for each weakness.

    Words weigh by their inverse document frequency, and a task's weights have length 1.
    """

    names: Sequence[str]
    biases: Sequence[float]
    idf: Mapping[str, float]
    weights: Callable[[str], Iterable[tuple[int, float]]]
    """The numbers of the weaknesses that a word speaks of, each with its weight."""

    def scores(self, words: Iterable[str], language: str) -> dict[str, float]:
        """Return the log odds of each weakness, by CWE name; empty for a task none of whose words is known."""
        terms = {word for word in words if word in self.idf}
        if not terms:
            return {}
        if (of_language := f"lang_{language}") in self.idf:
            terms.add(of_language)
        length = sqrt(sum([self.idf[term] ** 2 for term in terms])) or 1.0
        scores = list(self.biases)
        for term in terms:
            value = self.idf[term] / length
            for number, weight in self.weights(term):
                scores[number] += value * weight
        return dict(zip(self.names, scores, strict=True))


@dataclass(frozen=True, slots=True)
class HazardModel:
    """The weights that ship with the package."""

    need: Line
    fit: Line
    weakness: WeaknessModel
    weakness_shift: float

    def of_weakness(self, score: float) -> float:
        """Return the probability of a weakness, given its log odds, on the scale of `fit`: one threshold serves."""
        return logistic(score + self.weakness_shift)


def logistic(score: float) -> float:
    """Return the logistic function of `score`."""
    if -_FAR < score < _FAR:
        return 1.0 / (1.0 + exp(-score))
    return 1.0 / (1.0 + exp(_FAR if score < 0 else -_FAR))


def model_from(content: Mapping[str, Any]) -> HazardModel:
    """Return the model that `bench/train_hazards.py` wrote."""
    return _unpacked(_packed(content))


def _packed(content: Mapping[str, Any]) -> tuple[Mapping[str, Any], PackedNumbers, PackedRows]:
    """Return a model without the words of its weaknesses, and these packed."""
    weakness = content["weakness"]
    rows = {
        term: ([int(number) for number, _ in pairs], [weight for _, weight in pairs])
        for term, pairs in weakness["weights"].items()
    }
    rest = {**content, "weakness": {"names": weakness["names"], "biases": weakness["biases"]}}
    return rest, pack_numbers(weakness["idf"], "d"), pack_rows(rows, "d")


def _unpacked(packed: tuple[Mapping[str, Any], PackedNumbers, PackedRows]) -> HazardModel:
    content, idf, weights = packed
    weakness = content["weakness"]
    return HazardModel(
        need=_line(content["need"], Need._fields),
        fit=_line(content["fit"], Fit._fields),
        weakness=WeaknessModel(
            names=weakness["names"],
            biases=weakness["biases"],
            idf=NumbersByWord(idf, "d"),
            weights=RowsByWord(weights, "d").pairs,
        ),
        weakness_shift=content["weakness_shift"],
    )


def _line(content: Mapping[str, float], names: Sequence[str]) -> Line:
    return Line([content[name] for name in names], content["bias"])


@cache
def load_hazard_model() -> HazardModel:
    """Return the packaged weights, `data/models/hazards.json`."""
    return _unpacked(prepared_model("hazards", _packed, __file__))
