"""Phrases written as patterns, and where they stand in a text; what a phrase means is for others to say.

A phrase is words in order: `x|y` either word, `(x y|z)` either of several words, `x?` may be absent, `x*` any word that
begins so, `@group` any word of the group, `~` up to 4 and `~~` up to 10 words between. Inflections are folded, articles
dropped; a phrase does not leave its sentence.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise, product
from types import MappingProxyType
from typing import Final, NamedTuple

from lessonbook.errors import ConfigError
from lessonbook.learning.words import stem

Span = tuple[int, int]
"""A half-open range of words."""

GAPS: Final = MappingProxyType({"~": 4, "~~": 10})
"""How many words may stand where a phrase has this sign."""

_MAX_SPANS: Final = 24
"""Places kept of one phrase; a text that repeats a phrase oftener says nothing new."""
_MAX_WORD: Final = 40
_STOPS: Final = frozenset(".!?;")
_TOKEN: Final = re.compile(r"[/\\]?\.{2,}[/\\]*|/\./|%[0-9a-f]{2}|[^\W_]+|[.!?;](?=\s)|\n\s*\n")
_BRACKETS: Final = re.compile(r"\(([^()]*)\)")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_LIGHT: Final = frozenset({"of", "in", "on", "to", "for", "by", "with", "from", "at", "is", "are", "be", "its", "and"})
"""Words that say nothing when they stand between those of a phrase."""
_WHOLE: Final = MappingProxyType(
    {"note": "note", "notes": "note", "noted": "note", "time": "time", "times": "time"}
    | {"pipe": "pipe", "pipes": "pipe", "https": "https"}
)
"""Words whose stem would be that of another: "notes" is no "not", "times" no "timing", "pipe" no "pip"."""

_Keys = Sequence[frozenset[str] | None]
"""What phrases may call each word of a text; None where a sentence ends."""


@lru_cache(maxsize=1 << 14)
def _root(word: str) -> str:
    return _WHOLE.get(word) or stem(word)


class _Element(NamedTuple):
    """One word of a phrase: the keys it may have, how many words may stand before it, whether it may be absent."""

    keys: frozenset[str]
    gap: int
    optional: bool


class _Phrase(NamedTuple):
    """The words of a phrase seen from its rarest one: what has to be in the sentence, what follows, what precedes."""

    length: int
    anchor: frozenset[str]
    others: tuple[frozenset[str], ...]
    onward: tuple[_Element, ...]
    backward: tuple[_Element, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as phrases see it: its words, articles left out, and `spans`, where each phrase found stands in them."""

    words: Sequence[str]
    sentences: Sequence[int]
    """The number of the sentence of each word."""
    spans: Mapping[int, Sequence[Span]]
    _lengths: Mapping[int, int]
    _weights: Sequence[int]

    def words_between(self, number: int, span: Span) -> int:
        """Return how many words of weight stand at `span` beside those of phrase `number`."""
        return max(0, self._weights[span[1]] - self._weights[span[0]] - self._lengths[number])


class Spelling:
    """How words are told apart: what is written as one word or as two, and what counts as the same word."""

    def __init__(self, joined: Iterable[tuple[str, str]], synonyms: Mapping[str, Iterable[str]]) -> None:
        """Read pairs of words as one word, and each word of `synonyms` for its variants."""
        self.joined: dict[str, dict[str, str]] = defaultdict(dict)
        for first, second in joined:
            self.joined[_root(first)][_root(second)] = first + second
        self._synonyms = {_root(variant): _root(word) for word, variants in synonyms.items() for variant in variants}

    def key(self, word: str) -> str:
        """Return what all inflections and synonyms of `word` have in common."""
        root = _root(word)
        return self._synonyms.get(root, root)

    def words(self, text: str) -> list[str]:
        """Return the words and sentence ends of `text`, in lower case."""
        plain = text.lower().replace("\u2019", "'").replace("n't", " not").replace("cannot", "can not")
        tokens = _TOKEN.findall(plain.replace("'s", ""))
        return self.join([word[:_MAX_WORD] for word in tokens if word not in _ARTICLES])

    def join(self, words: Iterable[str]) -> list[str]:
        """Return `words` with the pairs that are one word put together."""
        joined: list[str] = []
        seconds: Mapping[str, str] | None = None
        for word in words:
            here = _root(word)
            if seconds and here in seconds:
                joined[-1] = seconds[here]
            else:
                joined.append(word)
            seconds = self.joined.get(here)
        return joined

    def keys_of(self, word: str, prefixes: frozenset[str], exact: frozenset[str]) -> frozenset[str] | None:
        """Return those of `prefixes` and `exact` that mean `word`; None for the end of a sentence."""
        if word in _STOPS or word.isspace():
            return None
        key = self.key(word)
        found = {f"{form[:end]}*" for form in (word, key) for end in range(2, len(form) + 1)} & prefixes
        return frozenset(found | ({key} & exact))


class Phrasebook:
    """Phrases by number; collected here, then looked for by an `Index`."""

    def __init__(self, spelling: Spelling, groups: Mapping[str, Iterable[str]]) -> None:
        """Start without phrases; `groups` are the words that `@name` stands for."""
        self.spelling = spelling
        self.phrases: list[tuple[_Element, ...]] = []
        self._groups = groups
        self._numbers: dict[str, int] = {}
        self._choices: dict[str, frozenset[str]] = {}

    def add(self, phrase: str, where: str) -> tuple[int, ...]:
        """Return the numbers of `phrase`: one, or with brackets of several words one for each way to say it.

        Raises:
            ConfigError: `phrase` is malformed or can match nothing; `where` is said first.
        """
        try:
            ways = [" ".join(parts) for parts in product(*_ways(phrase))] if "(" in phrase else (phrase,)
            return tuple(map(self._number, ways))
        except ValueError as error:
            raise ConfigError(f"{where} has {phrase!r}, {error}") from None

    def _number(self, phrase: str) -> int:
        number = self._numbers.get(phrase)
        if number is None:
            number = self._numbers[phrase] = len(self.phrases)
            self.phrases.append(tuple(self._elements(phrase)))
        return number

    def _elements(self, phrase: str) -> list[_Element]:
        elements: list[_Element] = []
        gap = 0
        words = self.spelling.join(phrase.split())
        for word in words:
            if word in GAPS:
                gap = GAPS[word]
            else:
                optional = word[-1] == "?"
                keys = self._keys(word[:-1] if optional else word)
                elements.append(_Element(keys, gap, optional))
                gap = 0
        if gap or all(element.optional for element in elements):
            raise ValueError("which is no phrase")
        for first, second in ():  # pairwise(words)
            self._check_apart(first, second)
        return elements

    def _keys(self, word: str) -> frozenset[str]:
        keys = self._choices.get(word)
        if keys is None:
            keys = frozenset(
                choice if choice[-1] == "*" else self.spelling.key(choice) for choice in self._spelled(word)
            )
            self._choices[word] = keys
        return keys

    def _spelled(self, word: str, depth: int = 0) -> Iterator[str]:
        for choice in word.split("|"):
            if choice.startswith("@"):
                members = self._groups.get(choice[1:])
                if members is None or depth > len(self._groups):
                    raise ValueError(f"but {choice!r} is no group")
                for member in members:
                    yield from self._spelled(member, depth + 1)
            elif choice in _ARTICLES or not _TOKEN.fullmatch(choice.removesuffix("*")) or choice != choice.lower():
                raise ValueError(f"but {choice!r} matches nothing")
            else:
                yield choice

    def _check_apart(self, first: str, second: str) -> None:
        """Refuse choices that a text would never have side by side, since both are read as one word."""
        for one in first.removesuffix("?").split("|"):
            seconds = self.spelling.joined.get(_root(one))
            for other in second.removesuffix("?").split("|") if seconds else ():
                if seconds and _root(other) in seconds:
                    raise ValueError(f"but '{one} {other}' is read as {seconds[_root(other)]!r}")


def _ways(phrase: str) -> Iterator[list[str]]:
    """Give the parts of `phrase`, each as the ways to say it; single words in brackets stay together."""
    for place, part in enumerate(_BRACKETS.split(phrase)):
        if place % 2:
            choices = part.split("|")
            single = [choice for choice in choices if " " not in choice]
            if not all(map(str.strip, choices)):
                raise ValueError("with nothing to choose in brackets")
            yield [choice for choice in choices if " " in choice] + ["|".join(single)] * bool(single)
        else:
            yield [part]


class Index:
    """Finds phrases in texts."""

    def __init__(self, book: Phrasebook) -> None:
        """Index the phrases that `book` has now."""
        self._spelling = book.spelling
        spread = Counter(key for elements in book.phrases for element in elements for key in element.keys)
        self._exact = frozenset(key for key in spread if key[-1] != "*")
        self._prefixes = frozenset(spread) - self._exact
        spread.update(dict.fromkeys(spread.keys() & _LIGHT, len(book.phrases)))
        self._phrases = [_anchored(elements, spread) for elements in book.phrases]
        self._lengths = {number: phrase.length for number, phrase in enumerate(self._phrases)}
        self._single: dict[str, list[int]] = defaultdict(list)
        self._pairs: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for number, phrase in enumerate(self._phrases):
            for key in phrase.anchor:
                if phrase.length == 1:
                    self._single[key].append(number)
                for second in phrase.others[0] if phrase.others else phrase.anchor:
                    if phrase.length > 1:
                        self._pairs[key][second].append(number)
        self._heads = frozenset(self._single) | self._pairs.keys()
        self._keys_of = lru_cache(maxsize=1 << 14)(self._look_up)

    @property
    def words(self) -> frozenset[str]:
        """The stems, and the beginnings of words without their `*`, that phrases are made of."""
        return self._exact | {prefix[:-1] for prefix in self._prefixes}

    def _look_up(self, word: str) -> frozenset[str] | None:
        return self._spelling.keys_of(word, self._prefixes, self._exact)

    def read(self, text: str) -> Reading:
        """Return where phrases stand in `text`; in time linear in its length."""
        words = self._spelling.words(text)
        keys = list(map(self._keys_of, words))
        spans: dict[int, list[Span]] = defaultdict(list)
        for start, end in _stretches(keys):
            self._collect(keys, start, end, spans)
        sentences = list(accumulate(here is None for here in keys)) if spans else []
        weights = [0, *accumulate(word not in _LIGHT for word in words)] if spans else []
        return Reading(words, sentences, spans, self._lengths, weights)

    def _collect(self, keys: _Keys, start: int, end: int, spans: dict[int, list[Span]]) -> None:
        """Add to `spans` where each phrase stands in one sentence."""
        present = frozenset[str]().union(*filter(None, keys[start:end]))
        for key in sorted(present & self._heads):
            pairs = self._pairs.get(key, {})
            phrases = {number for second in pairs.keys() & present for number in pairs[second]}
            if key in self._single or phrases:
                places = [(at, at + 1) for at in range(start, end) if key in (keys[at] or ())]
                for number in self._single.get(key, ()):
                    spans[number] += places[: max(0, _MAX_SPANS - len(spans[number]))]
                for number in phrases:
                    self._walk(number, places, keys, spans)

    def _walk(self, number: int, places: Sequence[Span], keys: _Keys, spans: dict[int, list[Span]]) -> None:
        phrase = self._phrases[number]
        for position, _ in places[: max(0, _MAX_SPANS - len(spans.get(number, ())))]:
            span = _span_at(phrase, position, keys)
            if span:
                spans[number].append(span)


def _anchored(elements: Sequence[_Element], spread: Mapping[str, int]) -> _Phrase:
    required = [place for place, element in enumerate(elements) if not element.optional]
    if len(required) > 1:
        required.sort(key=lambda place: sum(map(spread.__getitem__, elements[place].keys)))
    anchor = required[0]
    before = range(anchor - 1, -1, -1)
    backward = tuple(_Element(elements[at].keys, elements[at + 1].gap, elements[at].optional) for at in before)
    others = tuple(elements[place].keys for place in required[1:])
    return _Phrase(len(elements), elements[anchor].keys, others, tuple(elements[anchor + 1 :]), backward)


def _stretches(keys: _Keys) -> Iterator[Span]:
    """Give the sentences, as half-open ranges of words."""
    start = 0
    for position, here in enumerate(keys):
        if here is None:
            yield start, position
            start = position + 1
    yield start, len(keys)


def _span_at(phrase: _Phrase, position: int, keys: _Keys) -> Span | None:
    ends = _reach(phrase.onward, position, 1, keys) if phrase.onward else {position}
    starts = _reach(phrase.backward, position, -1, keys) if phrase.backward and ends else {position}
    return (max(starts), min(ends) + 1) if starts and ends else None


def _reach(steps: Sequence[_Element], position: int, direction: int, keys: _Keys) -> set[int]:
    """Return where walking from `position` by `steps` can end; no step leaves the sentence."""
    places = {position}
    for wanted, gap, optional in steps:
        onward: set[int] = set()
        for place in places:
            for target in range(place + direction, place + direction * (gap + 2), direction):
                here = keys[target] if 0 <= target < len(keys) else None
                if here is None:
                    break
                if not wanted.isdisjoint(here):
                    onward.add(target)
        places = onward | places if optional else onward
    return places
