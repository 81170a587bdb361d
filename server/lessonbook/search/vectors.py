"""What words mean, as vectors that ship with the package: texts are near that speak of one thing in other words."""

import json
from array import array
from base64 import b64decode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from math import dist, sqrt
from operator import add, mul
from typing import Final, cast

Vector = Sequence[float]
"""Of length 1, or empty where nothing is known."""

_VERSION: Final = 1
_LANE: Final = 2
"""Bytes of a component in a packed vector."""
_SUMMED_MAX: Final = 256
"""So many words' components stay within a lane when they are added."""
_ZERO: Final = 128
"""What is added to a component, −127 to 127, so that none is negative."""
_UNKNOWN: Final = 0


class Meanings:
    """Vectors of words, weighted by how much the word tells; a text's vector is the sum of its words' vectors.

    The vectors of a text are added as one large integer, a lane of 16 bits for each component: a single addition in C
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
        summed: Sequence[int] = self._sum(known[:_SUMMED_MAX])
        for start in range(_SUMMED_MAX, len(known), _SUMMED_MAX):
            summed = list(map(add, summed, self._sum(known[start : start + _SUMMED_MAX])))
        middle = _ZERO * len(known)
        values = [lane - middle for lane in summed]
        length = sqrt(sum(map(mul, values, values)))
        # A tuple, though an array takes a tenth of the memory: comparing two tuples takes a quarter of the time.
        return tuple(array("f", [value / length for value in values])) if length else ()

    def _sum(self, packed: Sequence[int]) -> Sequence[int]:
        return array("H", sum(packed).to_bytes(_LANE * self._dimensions, "little"))

    def _pack(self, word: str) -> int:
        vector = self._vectors.get(word)
        if vector is None:
            return _UNKNOWN
        lanes = array("H", [(value + _ZERO) % 256 for value in vector])
        return self._packed.setdefault(word, int.from_bytes(lanes.tobytes(), "little"))


class _Rows(Mapping[str, bytes]):
    """Rows of bytes by word, in a fifth of a dictionary's memory: words in one string in order, rows behind it."""

    def __init__(self, words: Sequence[str], data: bytes, size: int) -> None:
        """Take the words, all different, and their rows of `size` bytes in the same order."""
        order = sorted(range(len(words)), key=words.__getitem__)
        self._words = "".join([words[at] for at in order])
        self._starts = array("I", [0])
        for at in order:
            self._starts.append(self._starts[-1] + len(words[at]))
        self._order = array("I", order)
        self._data = data
        self._size = size

    def __getitem__(self, word: str) -> bytes:
        place = bisect_left(range(len(self)), word, key=self._word)
        if place == len(self) or self._word(place) != word:
            raise KeyError(word)
        start = self._order[place] * self._size
        return self._data[start : start + self._size]

    def __iter__(self) -> Iterator[str]:
        return map(self._word, range(len(self)))

    def __len__(self) -> int:
        return len(self._order)

    def _word(self, place: int) -> str:
        return self._words[self._starts[place] : self._starts[place + 1]]


def cosine(one: Vector, other: Vector) -> float:
    """Return the cosine of the angle between two vectors; 0 where one is empty.

    Both have length 1, so their distance tells it, which takes a fifth of the time of a sum of products.
    """
    return 1 - dist(one, other) ** 2 / 2 if one and other else 0.0


def cosines(one: Vector, others: Sequence[Vector]) -> list[float]:
    """Return the `cosine` of one vector with each of others."""
    if not (one and all(others)):
        return [cosine(one, other) for other in others]
    return [1 - dist(one, other) ** 2 / 2 for other in others]


@cache
def load_meanings() -> Meanings:
    """Return the packaged vectors, `data/models/meanings.json`, written by `bench/train_retrieval.py`."""
    file = resources.files("lessonbook") / "data" / "models" / "meanings.json"
    content = cast("dict[str, object]", json.loads(file.read_bytes()))
    if content.get("version") != _VERSION:
        raise ValueError(f"model meanings: version has to be {_VERSION}")
    size = cast("int", content["dimensions"])
    data = b64decode(cast("str", content.pop("vectors")))
    words = cast("str", content["words"]).split()
    usual = cast("float", content["usual_length"])
    return Meanings(_Rows(words, data, size), size, usual)
