"""What words mean, as vectors that ship with the package: texts are near that speak of one thing in other words."""

import json
from array import array
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from math import sqrt
from operator import mul
from typing import Final, cast

Vector = Sequence[float]
"""Of length 1, or empty where nothing is known."""

_VERSION: Final = 1
_LANE: Final = 4
"""Bytes of a component in a packed vector: sums of a hundred thousand words stay within it."""
_ZERO: Final = 128
"""What is added to a component, −127 to 127, so that none is negative."""
_UNKNOWN: Final = 0


class Meanings:
    """Vectors of words, weighted by how much the word tells; a text's vector is the sum of its words' vectors.

    The vectors of a text are added as one large integer, a lane of 32 bits for each component: a single addition in C
    instead of one per component.
    """

    def __init__(self, vectors: Mapping[str, bytes], dimensions: int, usual: float = 0.0) -> None:
        """Take `vectors`: a signed byte for each of `dimensions`, and how long those of rare words are."""
        self._vectors = vectors
        self._dimensions = dimensions
        self._usual = usual or 1.0
        self._packed: dict[str, int] = {}
        self._telling: dict[str, float] = {}

    def telling(self, word: str) -> float:
        """Return how much `word` tells: the square of how long its vector is, 1 for a rare one, and for an unknown."""
        told = self._telling.get(word)
        if told is None:
            vector = self._vectors.get(word)
            squares = [value * value for value in array("b", vector)] if vector else ()
            told = self._telling[word] = sum(squares) / self._usual**2 if squares else 1.0
        return told

    def vector(self, words: Iterable[str]) -> Vector:
        """Return the direction of a text's meaning, given its different words."""
        packed = self._packed
        known = [lanes for word in words if (lanes := packed.get(word) or self._pack(word))]
        if not known:
            return ()
        lanes = array("I", sum(known).to_bytes(_LANE * self._dimensions, "little"))
        middle = _ZERO * len(known)
        values = [lane - middle for lane in lanes]
        length = sqrt(sum(map(mul, values, values)))
        return array("f", [value / length for value in values]) if length else ()

    def _pack(self, word: str) -> int:
        vector = self._vectors.get(word)
        if vector is None:
            return _UNKNOWN
        lanes = array("I", [(value + _ZERO) % 256 for value in vector])
        return self._packed.setdefault(word, int.from_bytes(lanes.tobytes(), "little"))


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine of the angle between two vectors; 0 where one is empty."""
    return sum(map(mul, one, other))


@cache
def load_meanings() -> Meanings:
    """Return the packaged vectors, `data/models/meanings.json`, written by `bench/train_retrieval.py`."""
    text = (resources.files("lessonbook") / "data" / "models" / "meanings.json").read_text(encoding="utf-8")
    content = cast("dict[str, object]", json.loads(text))
    if content.get("version") != _VERSION:
        raise ValueError(f"model meanings: version has to be {_VERSION}")
    size = cast("int", content["dimensions"])
    data = b64decode(cast("str", content["vectors"]))
    words = cast("str", content["words"]).split()
    usual = cast("float", content["usual_length"])
    return Meanings({word: data[at * size : (at + 1) * size] for at, word in enumerate(words)}, size, usual)
