"""From how a query and a lesson compare to how probably the lesson is relevant; the weights ship with the package."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import exp
from operator import mul
from typing import Final, NamedTuple, cast

_VERSION: Final = 1


class Compared(NamedTuple):
    """How a query and a document compare, each from 0 to about 1.

    `words`: what the query's words that the document holds are worth, in tens of the rarest words there are, over the
    square root of what all of them are worth: between a sum and a share. `pairs`: the same of words that stand together
    in both. `meaning`: the cosine of both texts' meanings. `subjects`: that of the subjects they are about. `lead`: the
    share of the document's first words that the query holds. `issues`: the logarithm of how many issues are behind the
    document, a tenth of it.
    """

    words: float
    pairs: float
    meaning: float
    subjects: float = 0.0
    lead: float = 0.0
    issues: float = 0.0
    whole: float = 0.0
    """What all words of the query are worth: the same for all documents, so that it decides no order."""
    similar: float = 0.0
    """The cosine that an embedding model gives, where one is configured."""


@dataclass(frozen=True, slots=True)
class RelevanceModel:
    """Logistic regression over a comparison: weights for order, a line from there to a probability."""

    weights: Compared
    bias: float
    threshold: float
    embedded: tuple[Compared, float] | None = None
    """Weights and bias for comparisons in which an embedding model took part."""

    def probability(self, compared: Compared) -> float:
        """Return how probably a document that compares so with a query is relevant to it."""
        weights, bias = self.embedded if self.embedded and compared.similar else (self.weights, self.bias)
        return _logistic(bias + sum(map(mul, weights, compared)))

    def probabilities(self, columns: Sequence[Sequence[float]]) -> list[float]:
        """Return what `probability` returns for each of many, given the values by field, in a quarter of the time."""
        if any(columns[-1]):  # those of `similar`
            return [*map(self.probability, map(Compared._make, zip(*columns, strict=True)))]
        scores = [self.bias] * len(columns[0])
        for weight, values in zip(self.weights, columns, strict=True):
            if any(values):
                scores = [score + weight * value for score, value in zip(scores, values, strict=True)]
        return [*map(_logistic, scores)]


WORDS_ODDS: Final = 3.3535
"""How many times the odds are that words alone are worth: .05, their threshold, becomes .15."""


def likely_by_words(relevance: float) -> float:
    """Return how probably a task raises a lesson's issue where its words are all that tells, given its relevance."""
    odds = WORDS_ODDS * relevance
    return odds / (odds + 1.0 - relevance)


def relevance_for(probability: float) -> float:
    """Return the relevance for which `likely_by_words` returns a probability, less what rounding may take."""
    return probability / (probability + WORDS_ODDS * (1.0 - probability)) - _ROUNDING


_ROUNDING: Final = 1e-9
_FAR: Final = 500.0
"""Where e to the score is no float any more."""


def _logistic(score: float) -> float:
    return 1.0 / (1.0 + exp(-score)) if score > -_FAR else 0.0


@cache
def load_relevance_model() -> RelevanceModel:
    """Return the packaged weights, `data/models/relevance.json`, written by `bench/train_retrieval.py`."""
    text = (resources.files("lessonbook") / "data" / "models" / "relevance.json").read_text(encoding="utf-8")
    content = cast("Mapping[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model relevance: version has to be {_VERSION}")
    with_model = cast("Mapping[str, float]", content["embedded_weights"])
    return RelevanceModel(
        weights=Compared(**cast("Mapping[str, float]", content["weights"])),
        bias=cast("float", content["bias"]),
        threshold=cast("float", content["threshold"]),
        embedded=(Compared(**with_model), cast("float", content["embedded_bias"])),
    )
