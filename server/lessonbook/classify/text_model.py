"""Small linear text models whose weights ship as data: a label and its probability, or a number, from words alone."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from math import exp, log, sqrt
from typing import Final, cast

from lessonbook.search.tokenizer import stem, words_of

MAX_CHARACTERS: Final = 2_000
"""A model reads the beginning of a text: what a report is about stands there, and time stays bounded."""

LEAD_WORDS: Final = 30
"""The first words of a report, mostly its title: a phrase there is what it is about."""

_VERSION: Final = 1
_MOST_OF_A_PHRASE: Final = 1.5
"""A phrase that is repeated says more, up to this: ln(1 + 3.5)."""
_TOKEN = re.compile(r"[a-z0-9_]+")


def terms_of(text: str) -> list[str]:
    """Return the terms of `text` that models weigh: its stemmed words and their pairs, in order."""
    words = words_of(text[:MAX_CHARACTERS])
    return words + [f"{one} {two}" for one, two in pairwise(words)]


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
        return self.probabilities_of(features_of(text))

    def probabilities_of(self, features: Mapping[str, float]) -> dict[str, float]:
        """Return the probability of each label, given `features_of` a text."""
        scores = list(self.bias)
        for term, value in _unit(features, self.scale):
            for label, weight in enumerate(self.weights[term]):
                scores[label] += weight * value
        return softmax(dict(zip(self.labels, scores, strict=True)))

    def known_words(self, features: Mapping[str, float]) -> int:
        """Return how many different words among `features_of` a text have a weight."""
        return sum(" " not in term and term in self.scale for term in features)


class Phrases:
    """Finds groups of phrases in texts, in time that does not grow with their number."""

    __slots__ = ("_groups", "_longest")

    def __init__(self, groups: Mapping[str, Iterable[str]]) -> None:
        self._groups: dict[str, list[str]] = {}
        for group, phrases in groups.items():
            for phrase in dict.fromkeys(" ".join(_tokens(phrase)) for phrase in phrases):
                self._groups.setdefault(phrase, []).append(group)
        self._longest = max((phrase.count(" ") + 1 for phrase in self._groups), default=0)

    def counts(self, text: str) -> tuple[Counter[str], set[str]]:
        """Return how often each group's phrases stand in `text`, and the groups found among its first words."""
        tokens = _tokens(text[:MAX_CHARACTERS])
        found: Counter[str] = Counter()
        leading: set[str] = set()
        for start in range(len(tokens)):
            for end in range(start + 1, min(start + self._longest, len(tokens)) + 1):
                groups = self._groups.get(" ".join(tokens[start:end]))
                if groups:
                    found.update(groups)
                    if start < LEAD_WORDS:
                        leading.update(groups)
        return found, leading


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A line from what a general model expects, and from groups of phrases, to a number of one's own, and its classes.

    `cuts` part the numbers into classes, ascending.
    """

    bias: float
    slope: float
    group_weights: dict[str, float]
    cuts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ScoreModel:
    """Ridge regression onto a number: `features_of`, scaled to unit length, and groups of phrases an expert chose.

    `group_weights` and those of `adjustment` go by the names that `group_features` gives.
    """

    bias: float
    scale: dict[str, float]
    weights: dict[str, float]
    phrases: Phrases
    group_weights: dict[str, float]
    adjustment: Adjustment

    def general_score(self, features: Mapping[str, float], groups: Mapping[str, float]) -> float:
        """Return what the model expects before it is adjusted, of `features_of` and `group_features` of a text."""
        words = sum(self.weights[term] * value for term, value in _unit(features, self.scale))
        return self.bias + words + _weighed(groups, self.group_weights)

    def score(self, text: str) -> float:
        """Return the number the model expects of `text`."""
        groups = group_features(self.phrases, text)
        general = self.general_score(features_of(text), groups)
        own = self.adjustment
        return own.bias + own.slope * general + _weighed(groups, own.group_weights)

    def class_of(self, text: str) -> int:
        """Return the class of `text`: how many of the cuts lie below its number."""
        score = self.score(text)
        return sum(score > cut for cut in self.adjustment.cuts)


def group_features(phrases: Phrases, text: str) -> dict[str, float]:
    """Return what a text says by groups of phrases: `group` → its capped count, `group@lead` → 1 at the beginning."""
    found, leading = phrases.counts(text)
    counted = {group: min(log(1.0 + count), _MOST_OF_A_PHRASE) for group, count in found.items()}
    return counted | {f"{group}@lead": 1.0 for group in leading}


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the probabilities proportional to e to the scores; empty for none."""
    top = max(scores.values(), default=0.0)
    parts = {label: exp(score - top) for label, score in scores.items()}
    total = sum(parts.values())
    return {label: part / total for label, part in parts.items()}


@cache
def load_model(name: str) -> TextModel:
    """Return the packaged model `data/models/{name}.json`, written by `bench/train_{name}.py`."""
    return text_model_of(_read(name))


def text_model_of(content: Mapping[str, object]) -> TextModel:
    """Return the model that a file of weights holds, read as JSON."""
    terms = cast("dict[str, list[float]]", content["terms"])
    return TextModel(
        labels=tuple(cast("list[str]", content["labels"])),
        bias=tuple(cast("list[float]", content["bias"])),
        scale={term: values[0] for term, values in terms.items()},
        weights={term: tuple(values[1:]) for term, values in terms.items()},
    )


@cache
def load_score_model(name: str) -> ScoreModel:
    """Return the packaged model of a number, `data/models/{name}.json`, written by `bench/train_{name}.py`."""
    content = _read(name)
    terms = cast("dict[str, list[float]]", content["terms"])
    own = cast("dict[str, object]", content["adjustment"])
    return ScoreModel(
        bias=cast("float", content["bias"]),
        scale={term: scale for term, (scale, _) in terms.items()},
        weights={term: weight for term, (_, weight) in terms.items()},
        phrases=Phrases(cast("dict[str, list[str]]", content["phrases"])),
        group_weights=cast("dict[str, float]", content["groups"]),
        adjustment=Adjustment(
            bias=cast("float", own["bias"]),
            slope=cast("float", own["slope"]),
            group_weights=cast("dict[str, float]", own["groups"]),
            cuts=tuple(cast("list[float]", own["cuts"])),
        ),
    )


@cache
def load_table(name: str, key: str) -> dict[str, float]:
    """Return the numbers that the packaged model `name` keeps under `key`."""
    return cast("dict[str, float]", _read(name)[key])


def _read(name: str) -> dict[str, object]:
    text = (resources.files("lessonbook") / "data" / "models" / f"{name}.json").read_text(encoding="utf-8")
    content = cast("dict[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model {name}: version has to be {_VERSION}")
    return content


def _weighed(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    return sum(weights.get(name, 0.0) * value for name, value in values.items())


def _unit(features: Mapping[str, float], scale: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the features that `scale` knows, as a vector of length 1."""
    known = [(term, value * scale[term]) for term, value in features.items() if term in scale]
    length = sqrt(sum(value * value for _, value in known)) or 1.0
    return [(term, value / length) for term, value in known]


def _tokens(text: str) -> list[str]:
    return [_stemmed(word) for word in _TOKEN.findall(text.lower())]


@lru_cache(maxsize=20_000)
def _stemmed(word: str) -> str:
    return stem(word[:40])
