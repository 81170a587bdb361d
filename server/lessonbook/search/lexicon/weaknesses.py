"""Which known weakness an issue speaks of, or a lesson averts, told from the field's terms of art alone.

`data/weaknesses.toml` says how its phrases are written.
"""

import re
import tomllib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import chain, product
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple, Self, cast

from lessonbook.domain.documents import texts_in
from lessonbook.domain.errors import ConfigError
from lessonbook.search.lexicon.phrases import GAPS, Index, Phrasebook, PhrasedText, Span
from lessonbook.search.lexicon.spelling import Spelling

_VERSION: Final = 1
_STRENGTHS: Final = MappingProxyType({"sure": 0.95, "likely": 0.75, "hint": 0.45})
_CONTROLS: Final = MappingProxyType({"control": 0.9, "control_hint": 0.45})
_FIELDS: Final = frozenset({"cwe", *_STRENGTHS, *_CONTROLS})
_TABLES: Final = frozenset({"version", "joined", "synonyms", "groups", "chains", "within", "weakness"})
_CHAINS: Final = ("effect_follows", "cause_follows", "averted", "not_averted")
_WINDOW_WORDS: Final = 30
_MAX_MATCHES: Final = 64
_EFFECT: Final = 0.5
_AVERTED: Final = 0.4
_RIVAL: Final = 0.9
_LOOSE: Final = 0.97
"""What each word that stands between those of a phrase leaves of its strength."""
_MAX_LOOSE: Final = 6
_PAIR_LOOSENESS: Final = 1
_REACH_WORDS: Final = 25

_CWE = re.compile(r"CWE-[1-9]\d{0,3}\Z")
_QUOTE = re.compile(r"(?<!\w)['\u2018\u2019](?=\w)")
"""An opening quotation mark, which before an s would be read as that of a genitive."""
_CITED = re.compile(r"(?<![a-z0-9])cwe[-_]?([1-9][0-9]{0,3})(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sighting:
    """A weakness that a text seems to speak of.

    `strength`, from 0 to 1, tells how likely `cwe` is the root weakness of the text; `words` are the words that say so.
    """

    cwe: str
    strength: float
    words: tuple[str, ...]


class _WeaknessRule(NamedTuple):
    """All of `needed` close together and none of `barred` anywhere; the numbers are those of phrases."""

    cwe: str
    strength: float
    needed: tuple[int, ...]
    barred: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _RuleMatch:
    cwe: str
    strength: float
    span: Span


def weaknesses_in(text: str) -> tuple[Sighting, ...]:
    """Return the weaknesses that `text` speaks of, strongest first; empty for text without a term of art.

    Time is linear in the length of `text`.

    Raises:
        ConfigError: the shipped lexicon is malformed.
    """
    return load_lexicon().sightings(text)


def guarded_against(text: str) -> tuple[Sighting, ...]:
    """Return the weaknesses that `text` speaks of, averts by a control, or cites as CWE-79, strongest first.

    What is averted, or the effect of something else, counts in full: who says how to prevent an injection speaks of
    injection. Time is linear in the length of `text`.

    Raises:
        ConfigError: the shipped lexicon is malformed.
    """
    return load_lexicon().guarded(text)


def broader(cwe: str) -> Sequence[str]:
    """Return the weaknesses of which `cwe` is a special case."""
    return _shipped().broader(cwe)


def load_lexicon(file: Path | None = None) -> "Lexicon":
    """Return the lexicon of `file`, by default the shipped one, which is read once.

    Raises:
        ConfigError: `file` is no TOML or has an unknown or wrong key; entry and key are named.
    """
    return _shipped() if file is None else _read(file).compiled()


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
        joined = _joined(texts_in(document, "joined", name), f"{name}: 'joined'")
        self._spelling = Spelling(joined, _lists(document, "synonyms", name))
        self._groups = _lists(document, "groups", name)
        entries = [
            (f"{name}: weakness {entry.get('cwe', number)}", entry)
            for number, entry in enumerate(_entries(document, name), 1)
        ]
        book = Phrasebook(self._spelling, self._groups)
        rules = [rule for where, entry in entries for rule in _rules(entry, book, where, _STRENGTHS)]
        self._uncompiled = [
            (where, {key: entry[key] for key in ("cwe", *_CONTROLS) if key in entry})
            for where, entry in entries
            if not _CONTROLS.keys().isdisjoint(entry)
        ]
        self._broader: dict[str, list[str]] = defaultdict(list)
        for broad, cwes in _lists(document, "within", name).items():
            for cwe in cwes:
                self._broader[cwe].append(broad)
        chains = _lists(document, "chains", name)
        self._chains = {
            kind: [n for phrase in chains.get(kind, ()) for n in book.add(phrase, f"{name}: chains.{kind}")]
            for kind in _CHAINS
        }
        self._terms = _Terms(book, rules)

    @cached_property
    def _controls(self) -> "_Terms":
        """What averts weaknesses; apart, so that it changes nothing of what is told of them, and only when needed."""
        book = Phrasebook(self._spelling, self._groups)
        entries = self._uncompiled
        return _Terms(book, [rule for where, entry in entries for rule in _rules(entry, book, where, _CONTROLS)])

    def compiled(self) -> Self:
        """Return this lexicon, with that compiled, too, which else is when first needed.

        Raises:
            ConfigError: a control is wrong.
        """
        _ = self._controls
        return self

    @property
    def cwes(self) -> frozenset[str]:
        """The weaknesses that have words here."""
        return self._terms.cwes

    @property
    def controlled(self) -> frozenset[str]:
        """The weaknesses whose controls have words here."""
        return self._controls.cwes

    @property
    def words(self) -> frozenset[str]:
        """The stems, and the beginnings of words without their `*`, that phrases are made of."""
        return self._terms.index.words

    def broader(self, cwe: str) -> Sequence[str]:
        """Return the weaknesses of which `cwe` is a special case, none for one without words here."""
        return self._broader.get(cwe, ())

    def sightings(self, text: str) -> tuple[Sighting, ...]:
        """Return the weaknesses that `text` speaks of, strongest first."""
        reading = self._terms.index.read(text)
        matches = self._specific(_outermost(_strongest(self._terms.matches(reading))))
        return _ranked(reading.words, _judged(matches, self._links(reading), reading.sentences)) if matches else ()

    def guarded(self, text: str) -> tuple[Sighting, ...]:
        """Return the weaknesses that `text` speaks of, averts or cites, strongest first."""
        reading = self._terms.index.read(_QUOTE.sub(" ", text))
        controls = self._controls
        averted = list(controls.matches(controls.index.read_words(reading.words)))
        matches = _outermost(_strongest(chain(self._terms.matches(reading), averted)))
        matches = self._specific(matches, {match.cwe for match in averted})
        cited = {f"CWE-{found[1]}": Sighting(f"CWE-{found[1]}", 1.0, (found[0],)) for found in _CITED.finditer(text)}
        return (*cited.values(), *(one for one in _ranked(reading.words, matches) if one.cwe not in cited))

    def _links(self, reading: PhrasedText) -> dict[str, list[Span]]:
        """Return where `reading` says that one thing follows from, or averts, another."""
        spans = reading.spans
        links = {kind: sorted(s for n in numbers for s in spans.get(n, ())) for kind, numbers in self._chains.items()}
        for kind, longer in (("averted", "not_averted"), ("effect_follows", "cause_follows")):
            links[kind] = [link for link in links[kind] if not any(_holds(other, link) for other in links[longer])]
        return links

    def _specific(self, matches: Sequence[_RuleMatch], kept: Set[str] = frozenset()) -> list[_RuleMatch]:
        """Leave out the weaknesses, but those `kept`, of which one told with enough strength is a special case."""
        told = {match.cwe for match in matches if match.strength >= _STRENGTHS["likely"]}
        broad = {cwe for narrow in told for cwe in self._broader.get(narrow, ())}
        return [match for match in matches if match.cwe not in broad or match.cwe in kept]


class _Terms:
    """Phrases, and the weaknesses that they tell of."""

    def __init__(self, book: Phrasebook, rules: Iterable[_WeaknessRule]) -> None:
        """Take `rules`, whose phrases are in `book`, which gets no more of them."""
        self._rules: dict[int, list[_WeaknessRule]] = defaultdict(list)
        for rule in rules:
            self._rules[rule.needed[0]].append(rule)
        self.index = Index(book)

    @property
    def cwes(self) -> frozenset[str]:
        """The weaknesses that have words here."""
        return frozenset(rule.cwe for rules in self._rules.values() for rule in rules)

    def matches(self, reading: PhrasedText) -> Iterator[_RuleMatch]:
        """Give what the phrases found tell of."""
        spans = reading.spans
        for number, places in spans.items():
            for rule in self._rules.get(number, ()):
                if all(map(spans.__contains__, rule.needed)) and not any(map(spans.__contains__, rule.barred)):
                    others = [spans[other] for other in rule.needed[1:]]
                    for place in places:
                        loose = _PAIR_LOOSENESS if others else reading.words_between(number, place)
                        strength = rule.strength * _LOOSE ** min(loose, _MAX_LOOSE)
                        yield from (_RuleMatch(rule.cwe, strength, span) for span in _around(place, others))


def _rules(
    entry: Mapping[str, object], book: Phrasebook, where: str, strengths: Mapping[str, float]
) -> Iterator[_WeaknessRule]:
    """Give what one weakness is known by under the keys of `strengths`; several ways to say it are several rules."""
    for key in entry.keys() - _FIELDS:
        raise ConfigError(f"{where}: {key!r} is no key of a weakness")
    cwe = entry.get("cwe")
    if not isinstance(cwe, str) or not _CWE.match(cwe):
        raise ConfigError(f"{where}: 'cwe' has to look like CWE-79")
    for key, strength in strengths.items():
        place = f"{where}: {key!r}"
        for pattern in texts_in(entry, key, where):
            wanted, *unwanted = (
                [book.add(phrase, place) for phrase in part.split(" + ")] for part in pattern.split(" - ")
            )
            barred = tuple(number for part in unwanted for numbers in part for number in numbers)
            yield from (_WeaknessRule(cwe, strength, needed, barred) for needed in product(*wanted))


def _around(place: Span, others: Sequence[Sequence[Span]]) -> Iterator[Span]:
    """Give the span of `place` and the nearest of each of `others`, if all are within the window."""
    start, end = place
    for spans in others:
        nearest = min(spans, key=lambda span: (max(span[0] - place[1], place[0] - span[1]), span), default=None)
        if nearest is None:
            return
        start, end = min(start, nearest[0]), max(end, nearest[1])
    if end - start <= _WINDOW_WORDS or not others:
        yield start, end


def _strongest(matches: Iterable[_RuleMatch]) -> list[_RuleMatch]:
    best = {(match.cwe, match.span): match for match in sorted(matches, key=lambda match: match.strength)}
    return sorted(best.values(), key=lambda match: (-match.strength, match.span, match.cwe))[:_MAX_MATCHES]


def _outermost(matches: Sequence[_RuleMatch]) -> list[_RuleMatch]:
    """Leave out what stands within a longer term at least as strong: "overflow" in "stack overflow"."""
    return [
        match
        for match in matches
        if not any(other.strength >= match.strength and _holds(other.span, match.span) for other in matches)
    ]


def _holds(outer: Span, inner: Span) -> bool:
    return outer != inner and outer[0] <= inner[0] and inner[1] <= outer[1]


def _judged(
    matches: Sequence[_RuleMatch], links: Mapping[str, Sequence[Span]], sentences: Sequence[int]
) -> list[_RuleMatch]:
    """Return `matches`, those weakened that are told as the effect of another or as averted."""
    judged: list[_RuleMatch] = []
    for match in matches:
        strength = match.strength
        if any(_is_effect(match, other, links, sentences) for other in matches if other.cwe != match.cwe):
            strength *= _EFFECT
        if _ends_before(links["averted"], match, sentences):
            strength *= _AVERTED
        judged.append(replace(match, strength=strength))
    return judged


def _is_effect(
    match: _RuleMatch, other: _RuleMatch, links: Mapping[str, Sequence[Span]], sentences: Sequence[int]
) -> bool:
    if other.strength < _STRENGTHS["likely"] or sentences[match.span[0]] != sentences[other.span[0]]:
        return False
    if other.span[1] <= match.span[0]:
        return _between(links["effect_follows"], other.span[1], match.span[0])
    return match.span[1] <= other.span[0] and _between(links["cause_follows"], match.span[1], other.span[0])


def _between(links: Sequence[Span], start: int, end: int) -> bool:
    at = bisect_left(links, (start, 0))
    return at < len(links) and links[at][1] <= end and end - start <= _REACH_WORDS


def _ends_before(links: Sequence[Span], match: _RuleMatch, sentences: Sequence[int]) -> bool:
    at = bisect_left(links, (match.span[0], 0)) - 1
    return (
        at >= 0
        and 0 <= match.span[0] - links[at][1] <= GAPS["~"]
        and sentences[links[at][0]] == sentences[match.span[0]]
    )


def _ranked(words: Sequence[str], matches: Sequence[_RuleMatch]) -> tuple[Sighting, ...]:
    best: dict[str, _RuleMatch] = {}
    for match in sorted(matches, key=lambda match: (-match.strength, match.span)):
        best.setdefault(match.cwe, match)
    rivals = sum(match.strength >= _STRENGTHS["likely"] * _RIVAL for match in best.values()) > 1
    share = _RIVAL if rivals else 1.0
    return tuple(Sighting(m.cwe, m.strength * share, tuple(words[slice(*m.span)])) for m in best.values())


def _joined(pairs: Iterable[str], where: str) -> Iterator[tuple[str, str]]:
    for pair in pairs:
        first, *rest = pair.split()
        if len(rest) != 1:
            raise ConfigError(f"{where} has {pair!r}, which is not two words")
        yield first, rest[0]


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
