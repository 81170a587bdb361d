"""From how a query and a lesson compare to how probably the lesson is relevant; the weights ship with the package."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import exp
from typing import Final, NamedTuple, cast

_VERSION: Final = 1


class Compared(NamedTuple):
    """How a query and a document compare, each from 0 to about 1.

    `words`: the share of the query's weight in words that the document holds; `pairs`: that of its pairs of words that
    stand together in both; `meaning`: the cosine of both texts' meanings.
    """

    words: float
    pairs: float
    meaning: float


@dataclass(frozen=True, slots=True)
class Fit:
    """Logistic regression over a comparison: weights for order, a line from there to a probability.

    Adding up is enough: what is right for one query is right for another, since comparisons are shares.
    """

    weights: Compared
    bias: float
    threshold: float

    def probability(self, compared: Compared) -> float:
        """Return how probably a document that compares so with a query is relevant to it."""
        words, pairs, meaning = self.weights
        score = self.bias + words * compared.words + pairs * compared.pairs + meaning * compared.meaning
        return 1.0 / (1.0 + exp(-score)) if score > -_FAR else 0.0


_FAR: Final = 500.0
"""Where e to the score is no float any more."""


def is_relevant(score: float) -> bool:
    """Return whether a score of `RelevanceIndex.scores` is high enough for a lesson to count as fitting the query."""
    return score >= load_fit().threshold


@cache
def load_fit() -> Fit:
    """Return the packaged weights, `data/models/relevance.json`, written by `bench/train_retrieval.py`."""
    text = (resources.files("lessonbook") / "data" / "models" / "relevance.json").read_text(encoding="utf-8")
    content = cast("Mapping[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model relevance: version has to be {_VERSION}")
    weights = cast("Mapping[str, float]", content["weights"])
    return Fit(Compared(**weights), cast("float", content["bias"]), cast("float", content["threshold"]))
