"""Which known weakness an issue speaks of, told from the field's terms of art alone.

`data/weaknesses.toml` says how its phrases are written.
"""

import re
import tomllib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast

from lessonbook.errors import ConfigError
from lessonbook.learning.words import stem
from lessonbook.refinery.documents import texts_in

_VERSION: Final = 1
_STRENGTHS: Final = MappingProxyType({"sure": 0.95, "likely": 0.75, "hint": 0.45})
_FIELDS: Final = frozenset({"cwe", *_STRENGTHS})
_TABLES: Final = frozenset({"version", "joined", "synonyms", "groups", "chains", "within", "weakness"})
_CHAINS: Final = ("effect_follows", "cause_follows", "averted", "not_averted")
_GAPS: Final = MappingProxyType({"~": 4, "~~": 10})
_WINDOW_WORDS: Final = 30
_MAX_SPANS: Final = 24
"""Places kept of one phrase; an issue that repeats a phrase oftener says nothing new."""
_MAX_MATCHES: Final = 64
_MAX_WORD: Final = 40
_ANY: Final = ""
_STOPS: Final = frozenset(".!?;")
_EFFECT: Final = 0.5
_AVERTED: Final = 0.4
_RIVAL: Final = 0.9
_LOOSE: Final = 0.97
"""What each word that stands between those of a phrase leaves of its strength."""
_MAX_LOOSE: Final = 6
_PAIR_LOOSENESS: Final = 1
_REACH_WORDS: Final = 25

_CWE = re.compile(r"CWE-[1-9]\d{0,3}\Z")
_TOKEN = re.compile(r"[/\\]?\.{2,}[/\\]*|/\./|%[0-9a-f]{2}|[^\W_]+|[.!?;](?=\s)|\n\s*\n")
_LIGHT: Final = frozenset({"of", "in", "on", "to", "for", "by", "with", "from", "at", "is", "are", "be", "its", "and"})
"""Words that say nothing when they stand between those of a phrase."""
_ARTICLES: Final = frozenset({"a", "an", "the"})
_Span = tuple[int, int]
_Keys = Sequence[frozenset[str]]


_WHOLE: Final = MappingProxyType({"note": "note", "notes": "note", "noted": "note", "time": "time", "times": "time"})
"""Words whose stem would be that of another: "notes" is no "not", "times" no "timing"."""


@lru_cache(maxsize=1 << 14)
def _root(word: str) -> str:
    return _WHOLE.get(word) or stem(word)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A weakness that a text seems to speak of.

    `strength`, from 0 to 1, tells how likely `cwe` is the root weakness of the text; `words` are the words that say so.
    """

    cwe: str
    strength: float
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Element:
    """One word of a phrase: the keys it may have, how many words may stand before it, whether it may be absent."""

    keys: frozenset[str]
    gap: int
    optional: bool


_Steps = tuple[tuple[frozenset[str], int, bool], ...]


@dataclass(frozen=True, slots=True)
class _Phrase:
    """The words of a phrase seen from its rarest one: what has to be in the sentence, what follows, what precedes."""

    length: int
    anchor: frozenset[str]
    others: tuple[frozenset[str], ...]
    onward: _Steps
    backward: _Steps


@dataclass(frozen=True, slots=True)
class _Rule:
    """All of `needed` close together and none of `barred` anywhere; the numbers are those of phrases."""

    cwe: str
    strength: float
    needed: tuple[int, ...]
    barred: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    cwe: str
    strength: float
    span: _Span


def weaknesses_in(text: str) -> tuple[Sighting, ...]:
    """Return the weaknesses that `text` speaks of, strongest first; empty for text without a term of art.

    Time is linear in the length of `text`.

    Raises:
        ConfigError: the shipped lexicon is malformed.
    """
    return load_lexicon().sightings(text)


def load_lexicon(file: Path | None = None) -> "Lexicon":
    """Return the lexicon of `file`, by default the shipped one, which is read once.

    Raises:
        ConfigError: `file` is no TOML or has an unknown or wrong key; entry and key are named.
    """
    return _shipped() if file is None else _read(file)


@cache
def _shipped() -> "Lexicon":
    return _read(resources.files("lessonbook").joinpath("data", "weaknesses.toml"))


def _read(file: Path | Traversable) -> "Lexicon":
    try:
        document: dict[str, object] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name}: {error}") from None
    for name in document.keys() - _TABLES:
        raise ConfigError(f"{file.name}: {name!r} is no key of a lexicon")
    if document.get("version") != _VERSION:
        raise ConfigError(f"{file.name}: 'version' has to be {_VERSION}")
    return Lexicon(document, file.name)


class Lexicon:
    """Phrases of the field and what they tell; made from a parsed document, then never changed."""

    def __init__(self, document: Mapping[str, object], name: str) -> None:
        """Compile `document`; `name` is said in errors.

        Raises:
            ConfigError: an entry or key of `document` is wrong.
        """
        self._joined = dict(_joined(texts_in(document, "joined", name), f"{name}: 'joined'"))
        synonyms = _lists(document, "synonyms", name)
        self._synonyms = {_root(variant): _root(word) for word, variants in synonyms.items() for variant in variants}
        self._groups = _lists(document, "groups", name)
        self._numbers: dict[str, int] = {}
        self._parsed: list[tuple[_Element, ...]] = []
        self._rules: dict[int, list[_Rule]] = defaultdict(list)
        for number, entry in enumerate(_entries(document, name), 1):
            self._add(entry, f"{name}: weakness {entry.get('cwe', number)}")
        within = _lists(document, "within", name)
        self._broader = {cwe: frozenset(b for b, cwes in within.items() if cwe in cwes) for cwe in self.cwes}
        chains = _lists(document, "chains", name)
        self._chains = {kind: self._numbered(chains.get(kind, ()), f"{name}: chains.{kind}") for kind in _CHAINS}
        spread = Counter(key for elements in self._parsed for element in elements for key in element.keys)
        spread.update(dict.fromkeys(spread.keys() & _LIGHT, len(self._parsed)))
        self._exact = frozenset(key for key in spread if not key.endswith("*"))
        self._prefixes = frozenset(spread) - self._exact
        self._phrases = [_anchored(elements, spread) for elements in self._parsed]
        self._heads: dict[str, list[tuple[int, frozenset[str]]]] = defaultdict(list)
        for number, phrase in enumerate(self._phrases):
            for key in phrase.anchor:
                self._heads[key].append((number, phrase.others[0] if phrase.others else phrase.anchor))
        self._keys_of = lru_cache(maxsize=1 << 14)(self._look_up)

    @property
    def cwes(self) -> frozenset[str]:
        """The weaknesses that have words here."""
        return frozenset(rule.cwe for rules in self._rules.values() for rule in rules)

    @property
    def words(self) -> frozenset[str]:
        """The stems, and the beginnings of words without their `*`, that phrases are made of."""
        return self._exact | {prefix[:-1] for prefix in self._prefixes}

    def _add(self, entry: Mapping[str, object], where: str) -> None:
        for key in entry.keys() - _FIELDS:
            raise ConfigError(f"{where}: {key!r} is no key of a weakness")
        cwe = entry.get("cwe")
        if not isinstance(cwe, str) or not _CWE.match(cwe):
            raise ConfigError(f"{where}: 'cwe' has to look like CWE-79")
        for key, strength in _STRENGTHS.items():
            for pattern in texts_in(entry, key, where):
                parts = [self._numbered(part.split(" + "), f"{where}: {key!r}") for part in pattern.split(" - ")]
                barred = tuple(number for part in parts[1:] for number in part)
                self._rules[parts[0][0]].append(_Rule(cwe, strength, parts[0], barred))

    def _numbered(self, phrases: Iterable[str], where: str) -> tuple[int, ...]:
        numbers: list[int] = []
        for phrase in phrases:
            if phrase not in self._numbers:
                self._numbers[phrase] = len(self._parsed)
                self._parsed.append(self._elements(phrase, where))
            numbers.append(self._numbers[phrase])
        return tuple(numbers)

    def _elements(self, phrase: str, where: str) -> tuple[_Element, ...]:
        elements: list[_Element] = []
        gap = 0
        for word in self._join(phrase.split()):
            if word in _GAPS:
                gap = _GAPS[word]
                continue
            keys = frozenset(self._alternatives(word.removesuffix("?"), where))
            elements.append(_Element(keys, gap, word.endswith("?")))
            gap = 0
        if gap or all(element.optional for element in elements):
            raise ConfigError(f"{where} has {phrase!r}, which is no phrase")
        return tuple(elements)

    def _alternatives(self, word: str, where: str, depth: int = 0) -> Iterator[str]:
        for choice in word.split("|"):
            if choice.startswith("@"):
                members = self._groups.get(choice[1:])
                if members is None or depth > len(self._groups):
                    raise ConfigError(f"{where} names {choice!r}, which is no group")
                for member in members:
                    yield from self._alternatives(member, where, depth + 1)
            elif choice in _ARTICLES or not _TOKEN.fullmatch(choice.removesuffix("*")):
                raise ConfigError(f"{where} has {word!r}, which matches nothing")
            else:
                key = choice if choice.endswith("*") else _root(choice)
                yield self._synonyms.get(key, key)

    def _join(self, words: Sequence[str]) -> list[str]:
        joined: list[str] = []
        before = ""
        for word in words:
            here = _root(word)
            one = self._joined.get((before, here))
            if one is None:
                joined.append(word)
            else:
                joined[-1] = one
            before = here
        return joined

    def _look_up(self, word: str) -> frozenset[str]:
        if word in _STOPS or word.isspace():
            return frozenset()
        key = _root(word)
        key = self._synonyms.get(key, key)
        found = {f"{form[:end]}*" for form in (word, key) for end in range(2, len(form) + 1)} & self._prefixes
        return frozenset(found | ({key} & self._exact) | {_ANY})

    def sightings(self, text: str) -> tuple[Sighting, ...]:
        """Return the weaknesses that `text` speaks of, strongest first."""
        words = self._join([word[:_MAX_WORD] for word in _TOKEN.findall(_plain(text)) if word not in _ARTICLES])
        keys = [self._keys_of(word) for word in words]
        sentences = list(accumulate(not here for here in keys))
        spans: dict[int, list[_Span]] = defaultdict(list)
        for start, end in _stretches(keys):
            self._collect(keys, start, end, spans)
        weights = [0, *accumulate(word not in _LIGHT for word in words)]
        matches = _outermost(_strongest(self._matches(spans, weights)))
        links = {kind: sorted(s for n in numbers for s in spans.get(n, ())) for kind, numbers in self._chains.items()}
        for kind, longer in (("averted", "not_averted"), ("effect_follows", "cause_follows")):
            links[kind] = [link for link in links[kind] if not any(_holds(other, link) for other in links[longer])]
        return _ranked(words, _judged(self._specific(matches), links, sentences))

    def _specific(self, matches: Sequence[_Match]) -> list[_Match]:
        """Leave out the weaknesses of which another one, told with enough strength, is a special case."""
        told = {match.cwe for match in matches if match.strength >= _STRENGTHS["likely"]}
        broad = {cwe for narrow in told for cwe in self._broader[narrow]}
        return [match for match in matches if match.cwe not in broad]

    def _collect(self, keys: _Keys, start: int, end: int, spans: dict[int, list[_Span]]) -> None:
        """Add to `spans` where each phrase stands in one sentence, as half-open ranges of words."""
        places: dict[str, list[int]] = defaultdict(list)
        for position in range(start, end):
            for key in keys[position]:
                places[key].append(position)
        present = frozenset(places)
        for key in sorted(present & self._heads.keys()):
            for number, second in self._heads[key]:
                if second.isdisjoint(present):
                    continue
                phrase = self._phrases[number]
                here = places[key][: max(0, _MAX_SPANS - len(spans[number]))]
                if phrase.length == 1:
                    spans[number] += [(position, position + 1) for position in here]
                elif not any(needed.isdisjoint(present) for needed in phrase.others):
                    for position in here:
                        spans[number] += _spans_at(phrase, position, keys)

    def _matches(self, spans: Mapping[int, list[_Span]], weights: Sequence[int]) -> Iterator[_Match]:
        for number, places in spans.items():
            for rule in self._rules.get(number, ()) if places else ():
                if not any(spans.get(barred) for barred in rule.barred):
                    others = [spans.get(other, []) for other in rule.needed[1:]]
                    for place in places:
                        between = weights[place[1]] - weights[place[0]] - self._phrases[number].length
                        loose = _PAIR_LOOSENESS if others else max(0, between)
                        strength = rule.strength * _LOOSE ** min(loose, _MAX_LOOSE)
                        yield from (_Match(rule.cwe, strength, span) for span in _around(place, others))


def _anchored(elements: Sequence[_Element], spread: Mapping[str, int]) -> _Phrase:
    required = [place for place, element in enumerate(elements) if not element.optional]
    required.sort(key=lambda place: sum(spread[key] for key in elements[place].keys))
    anchor = required[0]
    onward = tuple((element.keys, element.gap, element.optional) for element in elements[anchor + 1 :])
    before = [(elements[place], elements[place + 1].gap) for place in reversed(range(anchor))]
    backward = tuple((element.keys, gap, element.optional) for element, gap in before)
    others = tuple(elements[place].keys for place in required[1:])
    return _Phrase(len(elements), elements[anchor].keys, others, onward, backward)


def _stretches(keys: _Keys) -> Iterator[_Span]:
    """Give the sentences, as half-open ranges of words."""
    start = 0
    for position, here in enumerate(keys):
        if not here:
            yield start, position
            start = position + 1
    yield start, len(keys)


def _spans_at(phrase: _Phrase, position: int, keys: _Keys) -> Iterator[_Span]:
    ends = _reach(phrase.onward, position, 1, keys) if phrase.onward else {position}
    if ends:
        starts = _reach(phrase.backward, position, -1, keys) if phrase.backward else {position}
        if starts:
            yield max(starts), min(ends) + 1


def _reach(steps: _Steps, position: int, direction: int, keys: _Keys) -> set[int]:
    """Return where walking from `position` by `steps` can end; no step leaves the sentence."""
    places = {position}
    for wanted, gap, optional in steps:
        onward: set[int] = set()
        for place in places:
            for target in range(place + direction, place + direction * (gap + 2), direction):
                if not 0 <= target < len(keys) or not keys[target]:
                    break
                if not wanted.isdisjoint(keys[target]):
                    onward.add(target)
        places = onward | places if optional else onward
    return places


def _around(place: _Span, others: Sequence[Sequence[_Span]]) -> Iterator[_Span]:
    """Give the span of `place` and the nearest of each of `others`, if all are within the window."""
    start, end = place
    for spans in others:
        nearest = min(spans, key=lambda span: (max(span[0] - place[1], place[0] - span[1]), span), default=None)
        if nearest is None:
            return
        start, end = min(start, nearest[0]), max(end, nearest[1])
    if end - start <= _WINDOW_WORDS or not others:
        yield start, end


def _strongest(matches: Iterable[_Match]) -> list[_Match]:
    best = {(match.cwe, match.span): match for match in sorted(matches, key=lambda match: match.strength)}
    return sorted(best.values(), key=lambda match: (-match.strength, match.span, match.cwe))[:_MAX_MATCHES]


def _outermost(matches: Sequence[_Match]) -> list[_Match]:
    """Leave out what stands within a longer term at least as strong: "overflow" in "stack overflow"."""
    return [
        match
        for match in matches
        if not any(other.strength >= match.strength and _holds(other.span, match.span) for other in matches)
    ]


def _holds(outer: _Span, inner: _Span) -> bool:
    return outer != inner and outer[0] <= inner[0] and inner[1] <= outer[1]


def _judged(matches: Sequence[_Match], links: Mapping[str, Sequence[_Span]], sentences: Sequence[int]) -> list[_Match]:
    """Return `matches`, those weakened that are told as the effect of another or as averted."""
    judged: list[_Match] = []
    for match in matches:
        strength = match.strength
        if any(_is_effect(match, other, links, sentences) for other in matches if other.cwe != match.cwe):
            strength *= _EFFECT
        if _ends_before(links["averted"], match, sentences):
            strength *= _AVERTED
        judged.append(replace(match, strength=strength))
    return judged


def _is_effect(match: _Match, other: _Match, links: Mapping[str, Sequence[_Span]], sentences: Sequence[int]) -> bool:
    if other.strength < _STRENGTHS["likely"] or sentences[match.span[0]] != sentences[other.span[0]]:
        return False
    if other.span[1] <= match.span[0]:
        return _between(links["effect_follows"], other.span[1], match.span[0])
    return match.span[1] <= other.span[0] and _between(links["cause_follows"], match.span[1], other.span[0])


def _between(links: Sequence[_Span], start: int, end: int) -> bool:
    at = bisect_left(links, (start, 0))
    return at < len(links) and links[at][1] <= end and end - start <= _REACH_WORDS


def _ends_before(links: Sequence[_Span], match: _Match, sentences: Sequence[int]) -> bool:
    at = bisect_left(links, (match.span[0], 0)) - 1
    return (
        at >= 0
        and 0 <= match.span[0] - links[at][1] <= _GAPS["~"]
        and sentences[links[at][0]] == sentences[match.span[0]]
    )


def _ranked(words: Sequence[str], matches: Sequence[_Match]) -> tuple[Sighting, ...]:
    best: dict[str, _Match] = {}
    for match in sorted(matches, key=lambda match: (-match.strength, match.span)):
        best.setdefault(match.cwe, match)
    rivals = sum(match.strength >= _STRENGTHS["likely"] * _RIVAL for match in best.values()) > 1
    share = _RIVAL if rivals else 1.0
    return tuple(Sighting(m.cwe, m.strength * share, tuple(words[slice(*m.span)])) for m in best.values())


def _plain(text: str) -> str:
    return text.lower().replace("\u2019", "'").replace("n't", " not").replace("cannot", "can not").replace("'s", "")


def _joined(pairs: Iterable[str], where: str) -> Iterator[tuple[tuple[str, str], str]]:
    for pair in pairs:
        first, *rest = pair.split()
        if len(rest) != 1:
            raise ConfigError(f"{where} has {pair!r}, which is not two words")
        yield (_root(first), _root(rest[0])), first + rest[0]


def _lists(document: Mapping[str, object], name: str, where: str) -> dict[str, tuple[str, ...]]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {name!r} has to be a table of lists")
    lists = cast("dict[str, object]", table)
    return {key: texts_in(lists, key, f"{where}: {name!r}") for key in lists}


def _entries(document: Mapping[str, object], where: str) -> list[Mapping[str, object]]:
    entries = document.get("weakness", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in cast("list[object]", entries)):
        raise ConfigError(f"{where}: 'weakness' has to be a list of tables")
    return cast("list[Mapping[str, object]]", entries)
