"""Which documents hold a word, and how often: an inverted index in plain arrays."""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

STEM_LETTERS: Final = 5
"""Words that begin with the same so many letters are kin: `authenticate`, `authentication`, `authenticator`."""


class Posting:
    """The documents that hold one word, by number, and how often each does (weighted by field)."""

    __slots__ = ("counts", "documents")

    def __init__(self, counts: Mapping[int, float] = MappingProxyType({})) -> None:
        """Take how often each document holds the word."""
        self.documents = array("I", counts)
        self.counts = array("f", counts.values())

    def __len__(self) -> int:
        """Return how many documents hold the word."""
        return len(self.documents)

    def __iter__(self) -> Iterator[tuple[int, float]]:
        """Give each document's number and count."""
        return zip(self.documents, self.counts, strict=True)

    def remove(self, document: int) -> None:
        """Forget that `document` holds the word."""
        at = self.documents.index(document)
        del self.documents[at], self.counts[at]


class Postings:
    """The postings of all words, those of kin together."""

    def __init__(self, only: Iterable[str] | None = None) -> None:
        """Keep all words, or `only` these and their kin."""
        self._families: dict[str, dict[str, Posting]] = {}
        self._only = None if only is None else {word[:STEM_LETTERS] for word in only}

    def add(self, document: int, counts: Mapping[str, float]) -> None:
        """Note the words of a document, each with its count."""
        families, only = self._families, self._only
        for word, count in counts.items():
            stem = word[:STEM_LETTERS]
            if only is not None and stem not in only:
                continue
            family = families.get(stem)
            if family is None:
                family = families[stem] = {}
            posting = family.get(word)
            if posting is None:
                posting = family[word] = Posting()
            posting.documents.append(document)
            posting.counts.append(count)

    def remove(self, document: int, words: set[str]) -> None:
        """Forget a document, given its words."""
        for word in words:
            stem = word[:STEM_LETTERS]
            family = self._families.get(stem)
            if family is None:
                continue
            posting = family[word]
            posting.remove(document)
            if not posting:
                del family[word]
            if not family:
                del self._families[stem]

    def family(self, word: str) -> Mapping[str, Posting]:
        """Return the postings of `word` and its kin, by word."""
        return self._families.get(word[:STEM_LETTERS], _NONE)

    def kin(self, word: str) -> Posting:
        """Return the documents that hold `word` or kin of it, and how often all of these together."""
        counts: dict[int, float] = {}
        for posting in self.family(word).values():
            for document, count in posting:
                counts[document] = counts.get(document, 0.0) + count
        return Posting(counts)


_NONE: Final[Mapping[str, Posting]] = {}
