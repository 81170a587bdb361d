"""Many short texts that take little memory: Python keeps each `str` with 49 bytes of its own."""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

PackedTexts = tuple[str, bytes]
"""All texts in one, and where each begins and the last ends."""
_KIND: Final = "I"


def pack_texts(texts: Sequence[str]) -> PackedTexts:
    """Return `texts` as `TextRows` takes them; `marshal` knows the form."""
    return "".join(texts), array(_KIND, accumulate(map(len, texts), initial=0)).tobytes()


class TextRows:
    """Texts by number, all in one string."""

    __slots__ = ("_starts", "_text")

    def __init__(self, packed: PackedTexts) -> None:
        """Take what `pack_texts` made."""
        self._text = packed[0]
        self._starts = array(_KIND, packed[1])

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self._starts) - 1

    def __getitem__(self, number: int) -> str:
        """Return the text of a number, from 0 up."""
        return self._text[self._starts[number] : self._starts[number + 1]]
