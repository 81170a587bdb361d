"""Which known weakness an issue speaks of, told from the field's terms of art alone.

`data/weaknesses.toml` says how its phrases are written.
"""

import re
import sys
import tomllib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import accumulate
from math import prod
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
_CHAINS: Final = ("effect_follows", "cause_follows", "averted")
_GAPS: Final = MappingProxyType({"~": 4, "~~": 10})
_WINDOW_WORDS: Final = 30
_MAX_SPANS: Final = 24
"""Places kept of one phrase; an issue that repeats a phrase oftener says nothing new."""
_MAX_MATCHES: Final = 64
_MAX_WORD: Final = 40
_ANY: Final = ""
_CERTAIN: Final = 0.98
_EFFECT: Final = 0.5
_UNKNOWN_CAUSE: Final = 0.9
_AVERTED: Final = 0.4
_RIVAL: Final = 0.9
_LOOSE: Final = 0.97
"""What each word that stands between those of a phrase leaves of its strength."""
_MAX_LOOSE: Final = 6
_PAIR_LOOSENESS: Final = 2
_REACH_WORDS: Final = 25
_MIN_CAUSE_WORDS: Final = 3

_CWE = re.compile(r"CWE-[1-9]\d{0,3}\Z")
_TOKEN = re.compile(r"\.{2,}[/\\]*|/\./|%[0-9a-f]{2}|[^\W_]+|[.!?;](?=\s)|\n\s*\n")
_ARTICLES: Final = frozenset({"a", "an", "the"})
_Span = tuple[int, int]


_stem = lru_cache(maxsize=1 << 14)(stem)


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
        self._synonyms = {stem(variant): stem(word) for word, variants in synonyms.items() for variant in variants}
        self._groups = _lists(document, "groups", name)
        self._numbers: dict[str, int] = {}
        self._phrases: list[tuple[_Element, ...]] = []
        self._rules: dict[int, list[_Rule]] = defaultdict(list)
        for number, entry in enumerate(_entries(document, name), 1):
            self._add(entry, f"{name}: weakness {entry.get('cwe', number)}")
        within = _lists(document, "within", name)
        self._broader = {cwe: frozenset(b for b, cwes in within.items() if cwe in cwes) for cwe in self.cwes}
        chains = _lists(document, "chains", name)
        self._chains = {
            kind: self._numbered(chains.get(kind, ()), f"{name}: chains.{kind}") for kind in _CHAINS
        }
        keys = {key for phrase in self._phrases for element in phrase for key in element.keys}
        self._prefixes = frozenset(key for key in keys if key.endswith("*"))
        self._exact = keys - self._prefixes
        self._heads = self._anchors()
        self._keys_of = lru_cache(maxsize=1 << 14)(self._look_up)

    @property
    def cwes(self) -> frozenset[str]:
        """The weaknesses that have words here."""
        return frozenset(rule.cwe for rules in self._rules.values() for rule in rules)

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
                self._phrases.append(self._elements(phrase, where))
                self._numbers[phrase] = len(self._phrases) - 1
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
            elif not choice or choice in _ARTICLES or " " in choice:
                raise ConfigError(f"{where} has {word!r}, which matches nothing")
            else:
                key = choice if choice.endswith("*") else stem(choice)
                yield self._synonyms.get(key, key)

    def _join(self, words: Sequence[str]) -> list[str]:
        joined: list[str] = []
        before = ""
        for word in words:
            here = _stem(word)
            one = self._joined.get((before, here))
            if one is None:
                joined.append(word)
            else:
                joined[-1] = one
            before = here
        return joined

    def _anchors(self) -> dict[str, list[tuple[int, int, frozenset[str]]]]:
        """Return for each word the phrases it finds: their number, its place in them, the keys of another element.

        A phrase is found by its rarest element and looked at only where the second rarest is in the text too.
        """
        spread = Counter(key for phrase in self._phrases for element in phrase for key in element.keys)
        heads: dict[str, list[tuple[int, int, frozenset[str]]]] = defaultdict(list)
        for number, phrase in enumerate(self._phrases):
            required = [place for place, element in enumerate(phrase) if not element.optional]
            required.sort(key=lambda place: sum(spread[key] for key in phrase[place].keys))
            for key in phrase[required[0]].keys:
                heads[key].append((number, required[0], phrase[required[:2][-1]].keys))
        return dict(heads)

    def _look_up(self, word: str) -> frozenset[str]:
        if word[0] in ".!?;\n" and word[-1] not in "/\\":
            return frozenset()
        key = stem(word)
        key = self._synonyms.get(key, key)
        found = {f"{form[:end]}*" for form in (word, key) for end in range(2, len(form) + 1)} & self._prefixes
        return frozenset(found | ({key} & self._exact) | {_ANY})

    def sightings(self, text: str) -> tuple[Sighting, ...]:
        """Return the weaknesses that `text` speaks of, strongest first."""
        words = self._join([word[:_MAX_WORD] for word in _TOKEN.findall(_plain(text)) if word not in _ARTICLES])
        keys = [self._keys_of(word) for word in words]
        spans = self._spans(keys)
        matches = _outermost(_strongest(self._matches(spans)))
        if not matches:
            return ()
        sentences = list(accumulate(not here for here in keys))
        links = {kind: sorted(s for n in numbers for s in spans.get(n, ())) for kind, numbers in self._chains.items()}
        return _ranked(words, _judged(self._specific(matches), links, sentences))

    def _specific(self, matches: Sequence[_Match]) -> list[_Match]:
        """Leave out the weaknesses of which another one, told with enough strength, is a special case."""
        told = {match.cwe for match in matches if match.strength >= _STRENGTHS["likely"]}
        broad = {cwe for narrow in told for cwe in self._broader[narrow]}
        return [match for match in matches if match.cwe not in broad]

    def _spans(self, keys: Sequence[frozenset[str]]) -> dict[int, list[_Span]]:
        """Return where each phrase stands, its first places only, as half-open ranges of words."""
        places: dict[str, list[int]] = defaultdict(list)
        for position, here in enumerate(keys):
            for key in here:
                places[key].append(position)
        present = places.keys()
        found: dict[int, list[_Span]] = defaultdict(list)
        for key in present & self._heads.keys():
            for number, anchor, second in self._heads[key]:
                if second.isdisjoint(present):
                    continue
                phrase = self._phrases[number]
                for position in places[key][:_MAX_SPANS]:
                    found[number] += _spans_at(phrase, anchor, position, keys)
        return found

    def _matches(self, spans: Mapping[int, list[_Span]]) -> Iterator[_Match]:
        for number, places in spans.items():
            for rule in self._rules.get(number, ()) if places else ():
                if not any(spans.get(barred) for barred in rule.barred):
                    others = [spans.get(other, []) for other in rule.needed[1:]]
                    for place in places:
                        loose = _PAIR_LOOSENESS if others else max(0, place[1] - place[0] - len(self._phrases[number]))
                        strength = rule.strength * _LOOSE ** min(loose, _MAX_LOOSE)
                        yield from (_Match(rule.cwe, strength, span) for span in _around(place, others))


def _spans_at(
    phrase: Sequence[_Element], anchor: int, position: int, keys: Sequence[frozenset[str]]
) -> Iterator[_Span]:
    onward = [(element, element.gap) for element in phrase[anchor + 1 :]]
    backward = [(phrase[place], phrase[place + 1].gap) for place in reversed(range(anchor))]
    ends = _reach(onward, position, 1, keys)
    starts = _reach(backward, position, -1, keys) if ends else ()
    if starts and ends:
        yield max(starts), min(ends) + 1


def _reach(
    steps: Iterable[tuple[_Element, int]], position: int, direction: int, keys: Sequence[frozenset[str]]
) -> set[int]:
    """Return where walking from `position` by `steps` can end; no step leaves the sentence."""
    places = {position}
    for element, gap in steps:
        onward: set[int] = set()
        for place in places:
            for step in range(1, gap + 2):
                target = place + direction * step
                if not 0 <= target < len(keys) or not keys[target]:
                    break
                if not element.keys.isdisjoint(keys[target]):
                    onward.add(target)
        places = onward | places if element.optional else onward
    return places


def _around(place: _Span, others: Sequence[Sequence[_Span]]) -> Iterator[_Span]:
    """Give the span of `place` and the nearest of each of `others`, if all are within the window."""
    start, end = place
    for spans in others:
        nearest = min(spans, key=lambda span: max(span[0] - place[1], place[0] - span[1]), default=None)
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
        if not any(
            other.span != match.span
            and other.span[0] <= match.span[0]
            and match.span[1] <= other.span[1]
            and other.strength >= match.strength
            for other in matches
        )
    ]


def _judged(matches: Sequence[_Match], links: Mapping[str, Sequence[_Span]], sentences: Sequence[int]) -> list[_Match]:
    """Return `matches`, those weakened that are told as the effect of another or as averted."""
    judged: list[_Match] = []
    for match in matches:
        strength = match.strength
        if any(_is_effect(match, other, links, sentences) for other in matches if other.cwe != match.cwe):
            strength *= _EFFECT
        elif _of_unknown_cause(match, links["effect_follows"], sentences):
            strength *= _UNKNOWN_CAUSE
        if _ends_before(links["averted"], match, sentences):
            strength *= _AVERTED
        judged.append(replace(match, strength=strength))
    return judged


def _is_effect(
    match: _Match, other: _Match, links: Mapping[str, Sequence[_Span]], sentences: Sequence[int]
) -> bool:
    if other.strength < _STRENGTHS["likely"] or sentences[match.span[0]] != sentences[other.span[0]]:
        return False
    if other.span[1] <= match.span[0]:
        return _between(links["effect_follows"], other.span[1], match.span[0])
    return match.span[1] <= other.span[0] and _between(links["cause_follows"], match.span[1], other.span[0])


def _between(links: Sequence[_Span], start: int, end: int) -> bool:
    at = bisect_left(links, (start, 0))
    return at < len(links) and links[at][1] <= end and end - start <= _REACH_WORDS


def _of_unknown_cause(match: _Match, links: Sequence[_Span], sentences: Sequence[int]) -> bool:
    """Tell whether something unrecognised is said to lead to `match`."""
    at = bisect_left(links, (match.span[0], 0)) - 1
    if at < 0 or match.span[0] - links[at][1] > _GAPS["~"]:
        return False
    start = links[at][0]
    return sentences[start] == sentences[match.span[0]] and (
        start >= _MIN_CAUSE_WORDS and sentences[start - _MIN_CAUSE_WORDS] == sentences[start]
    )


def _ends_before(links: Sequence[_Span], match: _Match, sentences: Sequence[int]) -> bool:
    at = bisect_left(links, (match.span[0], 0)) - 1
    return (
        at >= 0
        and 0 <= match.span[0] - links[at][1] <= _GAPS["~"]
        and sentences[links[at][0]] == sentences[match.span[0]]
    )


def _ranked(words: Sequence[str], matches: Sequence[_Match]) -> tuple[Sighting, ...]:
    by_cwe: dict[str, list[_Match]] = defaultdict(list)
    for match in sorted(matches, key=lambda match: (-match.strength, match.span)):
        apart = (match.span[1] <= other.span[0] or other.span[1] <= match.span[0] for other in by_cwe[match.cwe])
        if all(apart):
            by_cwe[match.cwe].append(match)
    sightings = [
        Sighting(
            cwe,
            min(_CERTAIN, 1 - prod(1 - match.strength for match in found)),
            tuple(word for match in found for word in words[slice(*match.span)]),
        )
        for cwe, found in by_cwe.items()
    ]
    if sum(sighting.strength >= _STRENGTHS["likely"] * _RIVAL for sighting in sightings) > 1:
        sightings = [replace(sighting, strength=sighting.strength * _RIVAL) for sighting in sightings]
    return tuple(sorted(sightings, key=lambda sighting: (-sighting.strength, sighting.cwe)))


def _plain(text: str) -> str:
    return text.lower().replace("\u2019", "'").replace("n't", " not").replace("cannot", "can not").replace("'s", "")


def _joined(pairs: Iterable[str], where: str) -> Iterator[tuple[tuple[str, str], str]]:
    for pair in pairs:
        first, *rest = pair.split()
        if len(rest) != 1:
            raise ConfigError(f"{where} has {pair!r}, which is not two words")
        yield (stem(first), stem(rest[0])), first + rest[0]


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
