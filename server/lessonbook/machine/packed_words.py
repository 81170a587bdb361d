"""Words, and a number for each, in a fifth of a dictionary's memory; finding one takes a microsecond."""

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, Literal, TypeVar

PackedWords = list[str]
"""Words in order, several to a text, each between ends of lines."""
PackedNumbers = tuple[PackedWords, bytes]
"""Words in order, and the number of each."""
PackedRows = tuple[PackedWords, bytes, bytes, bytes]
"""Words in order; where the row of each begins, and where all end; whole numbers; and values."""
Kind = Literal["d", "f", "H"]
"""Of numbers: with a fraction, exact or to seven digits, or whole ones below 65,536."""
Default = TypeVar("Default")

_TOGETHER: Final = 16
_END: Final = "\n"


def pack_words(words: Sequence[str]) -> PackedWords:
    """Return different words, which have to be in order and without ends of lines, as `WordTable` takes them."""
    starts = range(0, len(words), _TOGETHER)
    return [f"{_END}{_END.join(words[at : at + _TOGETHER])}{_END}" for at in starts]


def pack_numbers(numbers: Mapping[str, float], kind: Kind) -> PackedNumbers:
    """Return the number of each word as `NumbersByWord` takes them; `marshal` knows the form."""
    words = sorted(numbers)
    values: array[Any] = array(kind, [numbers[word] for word in words])
    return pack_words(words), values.tobytes()


def pack_rows(rows: Mapping[str, tuple[Collection[int], Sequence[float]]], kind: Kind) -> PackedRows:
    """Return whole numbers below 65,536 and values of each word as `RowsByWord` takes them; `marshal` knows the form.

    A word may have as many values as numbers, or one for each word.
    """
    words = sorted(rows)
    starts = array("I", accumulate((len(rows[word][0]) for word in words), initial=0))
    numbers = array("H")
    values: array[Any] = array(kind)
    for word in words:
        numbers.extend(rows[word][0])
        values.extend(rows[word][1])
    return pack_words(words), starts.tobytes(), numbers.tobytes(), values.tobytes()


class WordTable:
    """Words by number, in their order, and numbers by word."""

    __slots__ = ("_first", "_texts")

    def __init__(self, packed: PackedWords) -> None:
        """Take what `pack_words` made."""
        self._texts = packed
        self._first = [text[1 : text.index(_END, 1)] for text in packed]
        """The first word of each text."""

    def place(self, word: str) -> int | None:
        """Return the number of a word, from 0 up, or None."""
        at = bisect_right(self._first, word) - 1
        if at < 0:
            return None
        text = self._texts[at]
        found = text.find(f"{_END}{word}{_END}")
        return None if found < 0 or _END in word else at * _TOGETHER + text.count(_END, 0, found)

    def __iter__(self) -> Iterator[str]:
        """Give the words in order."""
        for text in self._texts:
            yield from text[1:-1].split(_END)


class NumbersByWord(Mapping[str, float]):
    """The number of each of many words, packed."""

    __slots__ = ("_place", "_table", "_values")

    def __init__(self, packed: PackedNumbers, kind: Kind) -> None:
        """Take what `pack_numbers` made of numbers of the same kind."""
        words, values = packed
        self._table = WordTable(words)
        self._place = self._table.place
        self._values: array[Any] = array(kind, values)

    def __getitem__(self, word: str) -> float:
        """Return the number of a word.

        Raises:
            KeyError: it has none.
        """
        place = self._place(word)
        if place is None:
            raise KeyError(word)
        return self._values[place]

    def get(self, word: str, default: Default = None) -> float | Default:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the number of a word, or `default`; in a third of the time of `Mapping`'s."""
        place = self._place(word)
        return default if place is None else self._values[place]

    def __iter__(self) -> Iterator[str]:
        """Give the words in order."""
        return iter(self._table)

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self._values)


class RowsByWord:
    """Whole numbers and values of each of many words, all in two arrays."""

    __slots__ = ("_numbers", "_starts", "place", "values")

    def __init__(self, packed: PackedRows, kind: Kind) -> None:
        """Take what `pack_rows` made of values of the same kind."""
        words, starts, numbers, values = packed
        self.place = WordTable(words).place
        self._starts, self._numbers = array("I", starts), array("H", numbers)
        self.values: array[Any] = array(kind, values)

    def span(self, place: int) -> tuple[int, int]:
        """Return where the row of a word begins and ends, given the word's number."""
        return self._starts[place], self._starts[place + 1]

    def numbers(self, place: int) -> "array[int]":
        """Return the whole numbers of a word, given its number."""
        return self._numbers[self._starts[place] : self._starts[place + 1]]

    def pairs(self, word: str) -> Iterable[tuple[int, float]]:
        """Return each whole number of a word with its value; nothing for an unknown word."""
        if (place := self.place(word)) is None:
            return ()
        start, end = self.span(place)
        return zip(self._numbers[start:end], self.values[start:end], strict=True)
