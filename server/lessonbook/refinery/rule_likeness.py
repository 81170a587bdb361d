"""How much a text reads like what is written about software, rather than like a prompt, a chat or a story."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from math import exp, log, sqrt
from typing import Final, cast

from lessonbook.learning.words import stem

NAME: Final = "rule_likeness"
LIKENESS_MIN: Final = 0.2
"""Below this a text waits for a person. Higher values stop more prompts and hold up more rules."""

SENTENCE_MIN: Final = 0.03
"""The same for each sentence of a text: little can be told from one, so only what is plainly foreign counts."""

_KNOWN_WORDS_MIN: Final = 4
_SENTENCE_END: Final = re.compile(r"(?<=[.!?:])\s+")

_READ_MAX: Final = 1_200
_VERSION: Final = 1
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][a-z]+)?|[?!]")


_stem = lru_cache(maxsize=8_192)(stem)


def features_of(text: str) -> dict[str, float]:
    """Return the stemmed words of `text` and their pairs, each weighted 1 + ln(count).

    Words that an index leaves out ("you", "please", "what") are kept: they tell talk from rules.
    """
    words = ["^", *(_stem(word.lower()) for word in _WORD.findall(text[:_READ_MAX]))]
    counts = Counter([*words, *(f"{one} {two}" for one, two in pairwise(words))])
    return {term: 1.0 + log(count) for term, count in counts.items()}


@dataclass(frozen=True, slots=True)
class Likeness:
    """Logistic regression over `features_of`, scaled to unit length. A term has its rarity and its weight."""

    bias: float
    terms: dict[str, tuple[float, float]]

    def knows(self, text: str) -> int:
        """Return how many words of `text` the model knows."""
        return sum(_stem(word.lower()) in self.terms for word in _WORD.findall(text))

    def of(self, text: str) -> float:
        """Return the probability that `text` was written about software."""
        score = length = 0.0
        for term, value in features_of(text).items():
            if (known := self.terms.get(term)) is not None:
                rarity, weight = known
                length += (value * rarity) ** 2
                score += value * rarity * weight
        return 1.0 / (1.0 + exp(-self.bias - score / (sqrt(length) or 1.0)))


def reads_like_a_rule(text: str) -> bool:
    """Return whether `text`, and each sentence of it that says enough, reads like a rule about software."""
    model = load_likeness()
    if model.of(text) < LIKENESS_MIN:
        return False
    sentences = _SENTENCE_END.split(text[:_READ_MAX])
    if len(sentences) == 1:
        return True
    return all(model.of(part) >= SENTENCE_MIN for part in sentences if model.knows(part) >= _KNOWN_WORDS_MIN)


@cache
def load_likeness() -> Likeness:
    """Return the packaged model, written by `bench/train_rule_likeness.py`."""
    text = (resources.files("lessonbook") / "data" / "models" / f"{NAME}.json").read_text(encoding="utf-8")
    content = cast("dict[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model {NAME}: version has to be {_VERSION}")
    terms = cast("dict[str, list[float]]", content["terms"])
    return Likeness(
        cast("float", content["bias"]), {term: (rarity, weight) for term, (rarity, weight) in terms.items()}
    )
