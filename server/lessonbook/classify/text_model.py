"""Small linear text models whose weights ship as data: a label and its probability from words alone."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp, log, sqrt
from typing import Any

from lessonbook.domain.documents import prepared_model
from lessonbook.machine.packed_words import NumbersByWord, PackedNumbers, PackedWords, WordTable, pack_numbers
from lessonbook.search.tokenizer import MODEL_READ_MAX, words_of

_PackedModel = tuple[Sequence[str], Sequence[float], PackedNumbers, bytes]
"""Labels, the bias of each, the scale of each term, and the weights of all terms in order, one for each label."""


def terms_of(text: str) -> list[str]:
    """Return the terms of `text` that models weigh: its stemmed words, then their pairs, in order."""
    words = words_of(text[:MODEL_READ_MAX])
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
    scale: Mapping[str, float]
    weights: Mapping[str, Sequence[float]]

    def probabilities(self, features: Mapping[str, float]) -> dict[str, float]:
        """Return the probability of each label, given `features_of` a text; they add up to 1."""
        scores = list(self.bias)
        for term, value in _unit(features, self.scale):
            for label, weight in enumerate(self.weights[term]):
                scores[label] += weight * value
        return softmax(dict(zip(self.labels, scores, strict=True)))

    def known_words(self, features: Mapping[str, float]) -> int:
        """Return how many different words among `features_of` a text have a weight."""
        return sum(" " not in term and term in self.scale for term in features)


def softmax(scores: Mapping[str, float]) -> dict[str, float]:
    """Return the probabilities proportional to e to the scores; an empty mapping for no scores."""
    top = max(scores.values(), default=0.0)
    parts = {label: exp(score - top) for label, score in scores.items()}
    total = sum(parts.values())
    return {label: part / total for label, part in parts.items()}


@cache
def load_model(name: str) -> TextModel:
    """Return the packaged model `data/models/{name}.json`, written by `bench/train_{name}.py`."""
    return _unpacked(prepared_model(name, _packed, __file__))


def text_model_of(content: Mapping[str, Any]) -> TextModel:
    """Return the model that a file of weights holds, read as JSON."""
    return _unpacked(_packed(content))


def _packed(content: Mapping[str, Any]) -> _PackedModel:
    terms: dict[str, list[float]] = content["terms"]
    weights = array("d", [weight for term in sorted(terms) for weight in terms[term][1:]])
    scale = pack_numbers({term: values[0] for term, values in terms.items()}, "d")
    return content["labels"], content["bias"], scale, weights.tobytes()


def _unpacked(packed: _PackedModel) -> TextModel:
    labels, bias, scale, weights = packed
    return TextModel(
        tuple(labels), tuple(bias), NumbersByWord(scale, "d"), _WeightsByTerm(scale[0], weights, len(labels))
    )


class _WeightsByTerm(Mapping[str, Sequence[float]]):
    """The weights of each term, in one array."""

    def __init__(self, terms: PackedWords, weights: bytes, size: int) -> None:
        """Take the terms, and their weights in the same order, `size` for each."""
        self._table = WordTable(terms)
        self._weights = array("d", weights)
        self._size = size

    def __getitem__(self, term: str) -> Sequence[float]:
        place = self._table.place(term)
        if place is None:
            raise KeyError(term)
        return self._weights[place * self._size : (place + 1) * self._size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._weights) // self._size


def _unit(features: Mapping[str, float], scale: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the features that `scale` knows, as a vector of length 1."""
    known = [(term, value * idf) for term, value in features.items() if (idf := scale.get(term)) is not None]
    length = sqrt(sum(value * value for _, value in known)) or 1.0
    return [(term, value / length) for term, value in known]
