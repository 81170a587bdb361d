"""What words mean, as vectors that ship with the package: texts are near that speak of one thing in other words."""

from array import array
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from math import dist, sqrt
from operator import add, mul
from typing import Any, Final

from lessonbook.domain.documents import prepared_model
from lessonbook.machine.packed_words import PackedWords, WordTable, pack_words

Vector = Sequence[float]
"""Of length 1, or empty where nothing is known."""

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
    """Rows of bytes by word, in a fifth of a dictionary's memory."""

    def __init__(self, words: PackedWords, data: bytes, size: int) -> None:
        """Take the words, and their rows of `size` bytes in the same order."""
        self._table = WordTable(words)
        self._data = data
        self._size = size

    def __getitem__(self, word: str) -> bytes:
        place = self._table.place(word)
        if place is None:
            raise KeyError(word)
        return self._data[place * self._size : (place + 1) * self._size]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._data) // self._size


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
    words, data, size, usual = prepared_model("meanings", _packed, __file__)
    return Meanings(_Rows(words, data, size), size, usual)


def _packed(content: Mapping[str, Any]) -> tuple[PackedWords, bytes, int, float]:
    """Return the words of a model in order, their rows, how long a row is, and how long vectors of rare words are."""
    size: int = content["dimensions"]
    data, words = b64decode(content["vectors"]), content["words"].split()
    rows = {word: data[at * size : (at + 1) * size] for at, word in enumerate(words)}
    ordered = sorted(rows)
    return pack_words(ordered), b"".join(map(rows.__getitem__, ordered)), size, content["usual_length"]
