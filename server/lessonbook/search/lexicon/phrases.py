"""Phrases written as patterns, and where they stand in a text; not what they mean.

A phrase is words in order: `x|y` either word, `(x y|z)` either of several words, `x?` may be absent, `x*` any word that
begins so, `@group` any word of the group, `~` up to 4 and `~~` up to 10 words between. Inflections are folded, articles
dropped; a phrase does not leave its sentence.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate, islice, product
from sys import intern
from types import MappingProxyType
from typing import Final, NamedTuple

from lessonbook.domain.errors import ConfigError
from lessonbook.machine.packed_texts import PackedTexts, TextRows, pack_texts
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.lexicon.spelling import SENTENCE_END, Spelling, is_word, root

Span = tuple[int, int]
"""A half-open range of words."""

GAPS: Final = MappingProxyType({"~": 4, "~~": 10})
"""The most words that may stand where a phrase has this sign."""

_MAX_SPANS: Final = 24
"""Places kept of one phrase: a text that repeats it more often says nothing new."""
_BRACKETS: Final = lazy_pattern(r"\(([^()]*)\)")
_LIGHT: Final = frozenset({"of", "in", "on", "to", "for", "by", "with", "from", "at", "is", "are", "be", "its", "and"})
"""Words that do not count when they stand between those of a phrase."""
_UNPACKED_MAX: Final = 1 << 10
"""Phrases, and words with the phrases that they are the rarest word of, that stay unpacked."""
_NUMBERS: Final = "H"
"""The kind of an array of numbers of phrases."""
_OPTIONAL: Final = "?"
_NO_JOINS: Final[Mapping[str, str]] = MappingProxyType({})
_Keys = Sequence[frozenset[str]]
"""The keys of each word of a text, by which phrases name it; `SENTENCE_END` itself where a sentence ends."""


class Element(NamedTuple):
    """One word of a phrase: the keys it may have, the most words before it, whether it may be absent."""

    keys: frozenset[str]
    gap: int
    optional: bool


class _Choice(NamedTuple):
    """The words that may stand at one place, their keys, and the words that each second word would join them to."""

    keys: frozenset[str]
    words: tuple[str, ...]
    joins: Mapping[str, str]


class _Phrase(NamedTuple):
    """A phrase seen from its rarest word: the others that its sentence has to have, what follows, what precedes."""

    others: tuple[frozenset[str], ...]
    onward: tuple[Element, ...]
    backward: tuple[Element, ...]


@dataclass(frozen=True)
class PhrasedText:
    """The words of a text without articles, and `spans`, where each phrase that was found stands in them."""

    words: Sequence[str]
    spans: Mapping[int, Sequence[Span]]
    _keys: _Keys
    _sizes: Sequence[int]

    @cached_property
    def sentences(self) -> Sequence[int]:
        """The number of the sentence of each word."""
        return list(accumulate(here is SENTENCE_END for here in self._keys))

    @cached_property
    def _weights(self) -> Sequence[int]:
        return [0, *accumulate(word not in _LIGHT for word in self.words)]

    def words_between(self, number: int, span: Span) -> int:
        """Return how many words that count stand at `span` beside those of phrase `number`."""
        return max(0, self._weights[span[1]] - self._weights[span[0]] - self._sizes[number])


class Phrasebook:
    """Phrases by number; collected here, then packed for an `Index`, which looks for them."""

    def __init__(self, spelling: Spelling, groups: Mapping[str, Iterable[str]]) -> None:
        """Start without phrases; `groups` are the words that `@name` stands for."""
        self.spelling = spelling
        self.phrases: list[tuple[Element, ...]] = []
        self._groups = groups
        self._numbers: dict[str, int] = {}
        self._choices: dict[str, _Choice] = {}

    def add(self, phrase: str, where: str) -> tuple[int, ...]:
        """Return the numbers of `phrase`: one, or with brackets of several words one for each way to say it.

        Raises:
            ConfigError: `phrase` is malformed or can match nothing; the message begins with `where`.
        """
        try:
            ways = [" ".join(parts) for parts in product(*_ways(phrase))] if "(" in phrase else (phrase,)
            return tuple(map(self._number, ways))
        except ValueError as error:
            raise ConfigError(f"{where} has {phrase!r}, {error}") from None

    def _number(self, phrase: str) -> int:
        if phrase not in self._numbers:
            self._numbers[phrase] = len(self.phrases)
            self.phrases.append(tuple(self._elements(phrase)))
        return self._numbers[phrase]

    def _elements(self, phrase: str) -> list[Element]:
        elements: list[Element] = []
        gap = 0
        joins = _NO_JOINS
        for word in self.spelling.join(phrase.split()):
            if word in GAPS:
                gap, joins = GAPS[word], _NO_JOINS
            else:
                optional = word[-1] == "?"
                choice = self._choice(word[:-1] if optional else word)
                for second in map(root, choice.words) if joins else ():
                    if second in joins:
                        raise ValueError(f"but what ends in {word!r} is read as {joins[second]!r}")
                elements.append(Element(choice.keys, gap, optional))
                gap, joins = 0, choice.joins
        if gap or all(element.optional for element in elements):
            raise ValueError("which is no phrase")
        return elements

    def _choice(self, word: str, depth: int = 0) -> _Choice:
        if word not in self._choices:
            words = word.split("|")
            self._choices[word] = self._any_of(words, depth) if len(words) > 1 else self._single(word, depth)
        return self._choices[word]

    def _any_of(self, words: Iterable[str], depth: int) -> _Choice:
        choices = [self._choice(word, depth) for word in words]
        joins = {second: joined for choice in choices if choice.joins for second, joined in choice.joins.items()}
        keys = frozenset[str]().union(*[choice.keys for choice in choices])
        return _Choice(keys, tuple([word for choice in choices for word in choice.words]), joins)

    def _single(self, word: str, depth: int) -> _Choice:
        if word.startswith("@"):
            members = self._groups.get(word[1:])
            if members is None or depth > len(self._groups):
                raise ValueError(f"but {word!r} is no group")
            return self._any_of(members, depth + 1)
        if not is_word(word.removesuffix("*")):
            raise ValueError(f"but {word!r} matches nothing")
        key = word if word[-1] == "*" else self.spelling.key(word)
        return _Choice(frozenset({key}), (word,), self.spelling.joined.get(root(word), _NO_JOINS))


def _ways(phrase: str) -> Iterator[list[str]]:
    """Yield the parts of `phrase`, each as the ways to say it; single words in brackets stay together."""
    for place, part in enumerate(_BRACKETS.split(phrase)):
        if place % 2:
            choices = part.split("|")
            single = [choice for choice in choices if " " not in choice]
            if not all(map(str.strip, choices)):
                raise ValueError("with nothing to choose in brackets")
            yield [choice for choice in choices if " " in choice] + ["|".join(single)] * bool(single)
        else:
            yield [part]


PackedPhrases = tuple[PackedTexts, bytes, Sequence[str], Sequence[str], Mapping[str, bytes], Mapping[str, bytes]]
"""Phrases as texts; how many elements each has; the keys that are whole words and those that are prefixes; and by the
key of their rarest word the numbers of phrases of one word and of longer ones."""


def pack_phrases(phrases: Sequence[Sequence[Element]]) -> PackedPhrases:
    """Return the phrases of a `Phrasebook` as an `Index` takes them, which `marshal` knows."""
    spread: dict[str, int] = defaultdict(int)
    uses = Counter(element.keys for elements in phrases for element in elements)
    for keys, times in uses.items():
        for key in keys:
            spread[key] += times
    prefixes = [key for key in spread if key[-1] == "*"]
    exact = [key for key in spread if key[-1] != "*"]
    for key in spread.keys() & _LIGHT:
        spread[key] += len(phrases)
    weights = {keys: sum(map(spread.__getitem__, keys)) for keys in uses}
    alone: dict[str, array[int]] = defaultdict(lambda: array(_NUMBERS))
    longer: dict[str, array[int]] = defaultdict(lambda: array(_NUMBERS))
    texts: list[str] = []
    for number, elements in enumerate(phrases):
        anchor = _anchor(elements, weights)
        texts.append(_text_of(elements, anchor, weights))
        for key in elements[anchor].keys:
            (longer if len(elements) > 1 else alone)[key].append(number)
    sizes = bytes(map(len, phrases))
    of_one, of_more = ({key: numbers.tobytes() for key, numbers in index.items()} for index in (alone, longer))
    return pack_texts(texts), sizes, exact, prefixes, of_one, of_more


def _text_of(elements: Sequence[Element], anchor: int, weights: Mapping[frozenset[str], int]) -> str:
    """Return a phrase as a text: the places of its anchor and of the others it needs, rarest first; its elements."""
    required = [at for at, element in enumerate(elements) if at != anchor and not element.optional]
    required.sort(key=lambda at: weights[elements[at].keys])
    places = ",".join(map(str, (anchor, *required)))
    written = (f"{gap}{_OPTIONAL * optional}:{','.join(sorted(keys))}" for keys, gap, optional in elements)
    return " ".join((places, *written))


def _element_of(text: str) -> Element:
    head, _, keys = text.partition(":")
    gap = head.removesuffix(_OPTIONAL)
    return Element(frozenset(map(intern, keys.split(","))), int(gap), gap != head)


def _phrase_of(text: str) -> _Phrase:
    """Return the phrase of what `_text_of` wrote."""
    places, *written = text.split(" ")
    anchor, *required = map(int, places.split(","))
    elements = [*map(_element_of, written)]
    before = range(anchor - 1, -1, -1)
    backward = tuple([Element(elements[at].keys, elements[at + 1].gap, elements[at].optional) for at in before])
    return _Phrase(tuple([elements[at].keys for at in required]), tuple(elements[anchor + 1 :]), backward)


class Index:
    """Finds phrases in texts."""

    def __init__(self, spelling: Spelling, packed: PackedPhrases) -> None:
        """Take what `pack_phrases` made of phrases in this `spelling`. A phrase is unpacked when its words are met."""
        self._spelling = spelling
        texts, self._sizes, exact, prefixes, self._alone, self._longer = packed
        self._texts = TextRows(texts)
        self._exact, self._prefixes = frozenset(exact), frozenset(prefixes)
        self._heads = frozenset(self._longer)
        self._phrase = lru_cache(maxsize=_UNPACKED_MAX)(self._unpacked)
        self._partners = lru_cache(maxsize=_UNPACKED_MAX)(self._list_partners)
        self._keys_of = lru_cache(maxsize=1 << 14)(self._look_up)
        self._alone_of = lru_cache(maxsize=1 << 14)(self._look_up_alone)

    def _look_up(self, word: str) -> frozenset[str]:
        return self._spelling.keys_of(word, self._prefixes, self._exact)

    def _look_up_alone(self, word: str) -> tuple[int, ...]:
        return tuple({number for key in self._keys_of(word) for number in array(_NUMBERS, self._alone.get(key, b""))})

    def _unpacked(self, number: int) -> _Phrase:
        return _phrase_of(self._texts[number])

    def _list_partners(self, key: str) -> tuple[frozenset[str], dict[str, list[int]]]:
        """Return the phrases whose rarest word is `key`, by another word that the sentence has to have."""
        partners: dict[str, list[int]] = defaultdict(list)
        for number in array(_NUMBERS, self._longer[key]):
            for second in next(iter(self._phrase(number).others), frozenset({key})):
                partners[second].append(number)
        return frozenset(partners), partners

    def read(self, text: str) -> PhrasedText:
        """Return where phrases stand in `text`, in time linear in its length."""
        return self.read_words(self._spelling.words(text))

    def read_words(self, words: Sequence[str]) -> PhrasedText:
        """Return where phrases stand in a text of these `words`, as the spelling of the phrases gives them."""
        keys = list(map(self._keys_of, words))
        spans: dict[int, list[Span]] = defaultdict(list)
        alone: dict[str, list[Span]] = defaultdict(list)
        for at, (word, numbers) in enumerate(zip(words, map(self._alone_of, words), strict=True)):
            if numbers:
                alone[word].append((at, at + 1))
        for word, places in alone.items():
            for number in self._alone_of(word):
                spans[number] += places[: _MAX_SPANS - len(spans[number])]
        for start, end in _stretches(keys):
            self._collect(keys, start, end, spans)
        return PhrasedText(words, spans, keys, self._sizes)

    def _collect(self, keys: _Keys, start: int, end: int, spans: dict[int, list[Span]]) -> None:
        """Add to `spans` where each phrase of several words stands in one sentence."""
        present = frozenset[str]().union(*keys[start:end])
        for key in sorted(present & self._heads):
            partners, pairs = self._partners(key)
            if partners.isdisjoint(present):
                continue
            for number in {number for second in partners & present for number in pairs[second]}:
                phrase = self._phrase(number)
                if any(map(present.isdisjoint, phrase.others[1:])):
                    continue
                places = (at for at in range(start, end) if key in keys[at])
                for position in islice(places, max(0, _MAX_SPANS - len(spans.get(number, ())))):
                    span = _span_at(phrase, position, keys)
                    if span:
                        spans[number].append(span)


def _anchor(elements: Sequence[Element], weights: Mapping[frozenset[str], int]) -> int:
    """Return the place of the rarest word that a phrase needs."""
    required = [place for place, element in enumerate(elements) if not element.optional]
    return min(required, key=lambda place: weights[elements[place].keys])


def _stretches(keys: _Keys) -> Iterator[Span]:
    """Yield the sentences, as half-open ranges of words."""
    ends = [at for at, here in enumerate(keys) if here is SENTENCE_END]
    return zip([0, *(end + 1 for end in ends)], [*ends, len(keys)], strict=True)


def _span_at(phrase: _Phrase, position: int, keys: _Keys) -> Span | None:
    ends = _reach(phrase.onward, position, 1, keys) if phrase.onward else {position}
    starts = _reach(phrase.backward, position, -1, keys) if phrase.backward and ends else {position}
    return (max(starts), min(ends) + 1) if starts and ends else None


def _reach(steps: Sequence[Element], position: int, direction: int, keys: _Keys) -> set[int]:
    """Return where walking from `position` by `steps` can end; no step leaves the sentence."""
    places = {position}
    for wanted, gap, optional in steps:
        onward: set[int] = set()
        for place in places:
            for target in range(place + direction, place + direction * (gap + 2), direction):
                if not 0 <= target < len(keys) or keys[target] is SENTENCE_END:
                    break
                if not wanted.isdisjoint(keys[target]):
                    onward.add(target)
        places = onward | places if optional else onward
    return places
