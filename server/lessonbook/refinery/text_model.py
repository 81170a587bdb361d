"""Small linear text models whose weights ship as data: a label and its probability, from words alone."""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import exp, log, sqrt
from typing import Final, cast

from lessonbook.learning.words import words_of

MAX_CHARACTERS: Final = 4_000
"""A model reads the beginning of a text: what a report is about stands there, and time stays bounded."""

_VERSION: Final = 1


def terms_of(text: str) -> list[str]:
    """Return the terms of `text` that models weigh: its stemmed words and their pairs, in order."""
    words = words_of(text[:MAX_CHARACTERS])
    return words + [f"{one} {two}" for one, two in zip(words, words[1:], strict=False)]


def features_of(text: str) -> dict[str, float]:
    """Return the terms of `text`, each weighted 1 + ln(count)."""
    return {term: 1.0 + log(count) for term, count in Counter(terms_of(text)).items()}


@dataclass(frozen=True, slots=True)
class TextModel:
    """Multinomial logistic regression over `features_of`, scaled to unit length.

    `scale` is each term's inverse document frequency, `weights` its weight for each label, `bias` each label's own.
    """

    labels: tuple[str, ...]
    bias: tuple[float, ...]
    scale: dict[str, float]
    weights: dict[str, tuple[float, ...]]

    def probabilities(self, text: str) -> dict[str, float]:
        """Return the probability of each label; they add up to 1."""
        scores = list(self.bias)
        known = [(term, value * self.scale[term]) for term, value in features_of(text).items() if term in self.scale]
        length = sqrt(sum(value * value for _, value in known)) or 1.0
        for term, value in known:
            for label, weight in enumerate(self.weights[term]):
                scores[label] += weight * value / length
        top = max(scores)
        parts = [exp(score - top) for score in scores]
        total = sum(parts)
        return {label: part / total for label, part in zip(self.labels, parts, strict=True)}


@cache
def load_model(name: str) -> TextModel:
    """Return the packaged model `data/models/{name}.json`, written by `bench/train_{name}.py`."""
    text = (resources.files("lessonbook") / "data" / "models" / f"{name}.json").read_text(encoding="utf-8")
    content = cast("dict[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model {name}: version has to be {_VERSION}")
    terms = cast("dict[str, list[float]]", content["terms"])
    return TextModel(
        labels=tuple(cast("list[str]", content["labels"])),
        bias=tuple(cast("list[float]", content["bias"])),
        scale={term: values[0] for term, values in terms.items()},
        weights={term: tuple(values[1:]) for term, values in terms.items()},
    )
