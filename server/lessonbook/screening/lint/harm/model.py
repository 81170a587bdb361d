"""A linear model of harmful advice: its weights ship as data, fitted by `bench/train_harm.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any, Final

from lessonbook.domain.documents import prepared_model
from lessonbook.machine.packed_words import NumbersByWord, PackedNumbers, pack_numbers

TELLING: Final = 3
"""Words that are named as a reason."""
TELLING_LENGTH_MIN: Final = 4


@dataclass(frozen=True, slots=True)
class HarmModel:
    """Logistic regression over `features_of` and what words mean.

    `bias` is such that a text of score 0 is the first to be held. `weights` are by feature; `valence` is how much a
    word that is spoken for says of harm by its meaning: the weights of the 64 components, times its vector.
    """

    bias: float
    weights: Mapping[str, float]
    valence: Mapping[str, float]

    def score(self, features: Mapping[str, float], spoken: Mapping[str, float]) -> float:
        """Return the log odds of harm, from the threshold on."""
        weight_of, valence_of = self.weights.get, self.valence.get
        total = self.bias + sum(
            [value * weight for name, value in features.items() if (weight := weight_of(name)) is not None]
        )
        known = [value * weight for word, value in spoken.items() if (weight := valence_of(word)) is not None]
        return total + sum(known) / sqrt(len(known) or 1)

    def telling(self, features: Mapping[str, float]) -> list[str]:
        """Return the stems that say most of harm, most telling first: words alone, none that only joins others."""
        told: dict[str, float] = {}
        for name, value in features.items():
            word = name.lstrip("~^.orc+-")
            if " " not in word and len(word) >= TELLING_LENGTH_MIN and word.isalpha():
                told[word] = told.get(word, 0.0) + value * self.weights.get(name, 0.0)
        return [word for word in sorted(told, key=lambda one: -told[one]) if told[word] > 0][:TELLING]


@cache
def load_harm_model() -> HarmModel:
    """Return the packaged model, `data/models/harm.json`."""
    bias, weights, valence = prepared_model("harm", _packed, __file__)
    return HarmModel(bias, NumbersByWord(weights, "d"), NumbersByWord(valence, "d"))


def _packed(content: Mapping[str, Any]) -> tuple[float, PackedNumbers, PackedNumbers]:
    return content["bias"], pack_numbers(content["weights"], "d"), pack_numbers(content["valence"], "d")
