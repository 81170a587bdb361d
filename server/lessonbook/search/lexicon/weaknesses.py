"""Which known weakness an issue describes, or a lesson averts, by the field's terms of art alone.

`data/weaknesses.toml` says how its phrases are written.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import chain, product
from pathlib import Path
from sys import intern
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, StringConstraints, with_config

from lessonbook.domain.documents import Phrase, Phrases, load_toml, read_data
from lessonbook.machine import packed_texts
from lessonbook.machine.packed_texts import PackedTexts, TextRows, pack_texts
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.machine.prepared import prepared
from lessonbook.search import tokenizer
from lessonbook.search.lexicon import phrases, spelling
from lessonbook.search.lexicon.phrases import (
    GAPS,
    Index,
    PackedPhrases,
    Phrasebook,
    PhrasedText,
    Span,
    pack_phrases,
)
from lessonbook.search.lexicon.spelling import Spelling

_STRENGTHS: Final = MappingProxyType({"sure": 0.95, "likely": 0.75, "hint": 0.45})
_CONTROLS: Final = MappingProxyType({"control": 0.9, "control_hint": 0.45})
_CHAINS: Final = ("effect_follows", "cause_follows", "averted", "not_averted")
_WINDOW_WORDS: Final = 30
_MAX_MATCHES: Final = 64
_EFFECT: Final = 0.5
_AVERTED: Final = 0.4
_RIVAL: Final = 0.9
_LOOSE: Final = 0.97
"""The factor by which each word between those of a phrase weakens it."""
_MAX_LOOSE: Final = 6
_PAIR_LOOSENESS: Final = 1
_REACH_WORDS: Final = 25

_QUOTE = lazy_pattern(r"(?<!\w)['\u2018\u2019](?=\w)")
"""An opening quotation mark, which before an s would be read as that of a genitive."""
_CITED = lazy_pattern(r"(?<![a-z0-9])cwe[-_]?([1-9][0-9]{0,3})(?![a-z0-9])", re.IGNORECASE)

_SEPARATOR: Final = ";"
_UNPACKED_MAX: Final = 1 << 10
"""Phrases whose rules stay unpacked."""


def _split(value: object) -> object:
    """Return the phrases of a text that lists them; parsing one text is much faster than parsing a list of texts."""
    return [" ".join(phrase.split()) for phrase in value.split(_SEPARATOR)] if isinstance(value, str) else value


_Lists = dict[str, Phrases]
_Patterns = Annotated[Phrases, BeforeValidator(_split)]


@with_config(extra="forbid")
@dataclass(frozen=True, slots=True)
class Weakness:
    """One weakness of a lexicon: the phrases that name it, by how surely, and those of controls that avert it.

    No phrase names it in a text with a phrase of `not_in`. The `example` is a report that it is found in; the
    `near_miss` is one that has words like it, and in which it is not.
    """

    cwe: Annotated[str, StringConstraints(pattern=r"^CWE-[1-9]\d{0,3}$")]
    sure: _Patterns = ()
    likely: _Patterns = ()
    hint: _Patterns = ()
    control: _Patterns = ()
    control_hint: _Patterns = ()
    not_in: _Patterns = ()
    example: str = ""
    near_miss: str = ""


@with_config(extra="forbid")
@dataclass(frozen=True, slots=True)
class LexiconFile:
    """A lexicon as it is written: see `data/weaknesses.toml`."""

    version: Literal[1]
    joined: tuple[Annotated[Phrase, StringConstraints(pattern=r"^\s*\S+\s+\S+\s*$")], ...] = ()
    synonyms: _Lists = field(default_factory=_Lists)
    groups: _Lists = field(default_factory=_Lists)
    chains: _Lists = field(default_factory=_Lists)
    within: _Lists = field(default_factory=_Lists)
    weakness: tuple[Weakness, ...] = ()


@dataclass(frozen=True, slots=True)
class Mention:
    """A weakness that a text mentions, with the `words` that name it.

    `strength`, 0 to 1, says how likely `cwe` is the root weakness of the text.
    """

    cwe: str
    strength: float
    words: tuple[str, ...]


class _WeaknessRule(NamedTuple):
    """What names a weakness: the phrases `needed` close together, by number, and none of `barred` anywhere."""

    cwe: str
    strength: float
    needed: tuple[int, ...]
    barred: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _RuleMatch:
    cwe: str
    strength: float
    span: Span


def weaknesses_in(text: str) -> tuple[Mention, ...]:
    """Return the weaknesses that `text` describes, strongest first; empty for text without a term of art.

    Time is linear in the length of `text`.
    """
    return load_lexicon().described(text)


def guarded_against(text: str) -> tuple[Mention, ...]:
    """Return the weaknesses that `text` describes, averts by a control, or cites as CWE-79, strongest first.

    What is averted, or the effect of something else, counts in full: a text on how to prevent an injection is about
    injection. Time is linear in the length of `text`.
    """
    return load_lexicon().guarded(text)


def broader(cwe: str) -> Sequence[str]:
    """Return the weaknesses of which `cwe` is a special case; none for one without words in the lexicon."""
    return load_lexicon().broader.get(cwe, ())


@cache
def load_lexicon() -> "Lexicon":
    """Return the packaged lexicon."""
    return read_lexicon(resources.files("lessonbook").joinpath("data", "weaknesses.toml"))


def read_lexicon(file: Traversable) -> "Lexicon":
    """Return the lexicon of a TOML file.

    Raises:
        ConfigError: the file is not a lexicon, or a phrase in it is malformed; names entry and key.
    """
    return Lexicon(file)


class Lexicon:
    """Phrases of the field and the weaknesses they name; never changed once it is made."""

    def __init__(self, file: Traversable) -> None:
        """Compile the phrases of a TOML file, except those of controls.

        What is compiled is kept between processes, since compiling takes longer than all else that serving reads. It
        is packed, and what is written in the file is not kept: a process needs few of the phrases.

        Raises:
            ConfigError: the file is not a lexicon, or a phrase is malformed.
        """
        self._file = file
        joined, synonyms, within, self._chains, terms = self._prepared("terms", self._make)
        self._spelling = Spelling(joined, synonyms)
        self.broader: dict[str, list[str]] = defaultdict(list)
        """The broader weaknesses of each."""
        for broad, cwes in within:
            for cwe in cwes:
                self.broader[cwe].append(broad)
        self.terms = Terms(self._spelling, terms)
        """The terms that name weaknesses."""

    @property
    def entries(self) -> Sequence[Weakness]:
        """The weaknesses as they are written; read again each time."""
        return load_toml(self._file, LexiconFile).weakness

    @cached_property
    def controls(self) -> "Terms":
        """The terms that name controls; apart, since issues are read without them, and compiled when first needed.

        Raises:
            ConfigError: a phrase is malformed.
        """
        return Terms(self._spelling, self._prepared("controls", self._make_controls))

    def _prepared(self, part: str, make: Callable[[], Any]) -> Any:
        code = (phrases.__file__, spelling.__file__, tokenizer.__file__, packed_texts.__file__, __file__)
        sources = chain([read_data(self._file)], (Path(place).read_bytes() for place in code))
        return prepared(f"{self._file.name}.{part}", sources, make)

    def _make(self) -> tuple[object, ...]:
        content = load_toml(self._file, LexiconFile)
        joined = [(first, second) for first, second in map(str.split, content.joined)]
        synonyms = {word: list(variants) for word, variants in content.synonyms.items()}
        book = Phrasebook(Spelling(joined, synonyms), content.groups)
        rules = self._rules(content, book, _STRENGTHS)
        linking = {
            kind: [
                n
                for phrase in content.chains.get(kind, ())
                for n in book.add(phrase, f"{self._file.name}: chains.{kind}")
            ]
            for kind in _CHAINS
        }
        within = [(broad, list(cwes)) for broad, cwes in content.within.items()]
        return joined, synonyms, within, linking, _pack_terms(book, rules)

    def _make_controls(self) -> "PackedTerms":
        content = load_toml(self._file, LexiconFile)
        book = Phrasebook(self._spelling, content.groups)
        return _pack_terms(book, self._rules(content, book, _CONTROLS))

    def _rules(self, content: LexiconFile, book: Phrasebook, strengths: Mapping[str, float]) -> list[_WeaknessRule]:
        return [rule for entry in content.weakness for rule in _rules(entry, book, self._file.name, strengths)]

    def described(self, text: str) -> tuple[Mention, ...]:
        """Return the weaknesses that `text` describes, strongest first."""
        reading = self.terms.index.read(text)
        matches = self._specific(_outermost(_strongest(self.terms.matches(reading))))
        return _ranked(reading.words, _judged(matches, self._links(reading), reading.sentences)) if matches else ()

    def guarded(self, text: str) -> tuple[Mention, ...]:
        """Return the weaknesses that `text` describes, averts or cites, strongest first."""
        reading = self.terms.index.read(_QUOTE.sub(" ", text))
        controls = self.controls
        averted = list(controls.matches(controls.index.read_words(reading.words)))
        matches = _outermost(_strongest(chain(self.terms.matches(reading), averted)))
        matches = self._specific(matches, {match.cwe for match in averted})
        cited = {f"CWE-{found[1]}": Mention(f"CWE-{found[1]}", 1.0, (found[0],)) for found in _CITED.finditer(text)}
        return (*cited.values(), *(one for one in _ranked(reading.words, matches) if one.cwe not in cited))

    def _links(self, reading: PhrasedText) -> dict[str, list[Span]]:
        """Return where `reading` has words for "follows from" and "averts", by kind."""
        spans = reading.spans
        links = {kind: sorted(s for n in numbers for s in spans.get(n, ())) for kind, numbers in self._chains.items()}
        for kind, longer in (("averted", "not_averted"), ("effect_follows", "cause_follows")):
            links[kind] = [link for link in links[kind] if not any(_holds(other, link) for other in links[longer])]
        return links

    def _specific(self, matches: Sequence[_RuleMatch], kept: Set[str] = frozenset()) -> list[_RuleMatch]:
        """Leave out the weaknesses, but those `kept`, of which one that is at least likely is a special case."""
        likely = {match.cwe for match in matches if match.strength >= _STRENGTHS["likely"]}
        broad = {cwe for narrow in likely for cwe in self.broader.get(narrow, ())}
        return [match for match in matches if match.cwe not in broad or match.cwe in kept]


PackedTerms = tuple[PackedPhrases, PackedTexts]
"""Phrases, and the weaknesses that each of them is the first to name, as texts."""


def _pack_terms(book: Phrasebook, rules: Iterable[_WeaknessRule]) -> PackedTerms:
    of_phrase: dict[int, list[str]] = defaultdict(list)
    for rule in rules:
        numbers = (",".join(map(str, numbers)) for numbers in (rule.needed, rule.barred))
        of_phrase[rule.needed[0]].append(" ".join((rule.cwe, repr(rule.strength), *numbers)))
    texts = [_SEPARATOR.join(of_phrase[number]) for number in range(len(book.phrases))]
    return pack_phrases(book.phrases), pack_texts(texts)


def _rule_of(text: str) -> _WeaknessRule:
    cwe, strength, *numbers = text.split(" ")
    needed, barred = (tuple(map(int, filter(None, part.split(",")))) for part in numbers)
    return _WeaknessRule(intern(cwe), float(strength), needed, barred)


class Terms:
    """Phrases, and the weaknesses that they name."""

    def __init__(self, spelling: Spelling, packed: PackedTerms) -> None:
        """Take what `_pack_terms` made of phrases in this `spelling`."""
        written, rules = packed
        self.index = Index(spelling, written)
        self._texts = TextRows(rules)
        self._rules_of = lru_cache(maxsize=_UNPACKED_MAX)(self._unpacked)

    def _unpacked(self, number: int) -> list[_WeaknessRule]:
        return [_rule_of(text) for text in self._texts[number].split(_SEPARATOR) if text]

    def matches(self, reading: PhrasedText) -> Iterator[_RuleMatch]:
        """Yield the weaknesses that the phrases found name, and where."""
        spans = reading.spans
        for number, places in spans.items():
            for rule in self._rules_of(number):
                if all(map(spans.__contains__, rule.needed)) and not any(map(spans.__contains__, rule.barred)):
                    others = [spans[other] for other in rule.needed[1:]]
                    for place in places:
                        loose = _PAIR_LOOSENESS if others else reading.words_between(number, place)
                        strength = rule.strength * _LOOSE ** min(loose, _MAX_LOOSE)
                        yield from (_RuleMatch(rule.cwe, strength, span) for span in _around(place, others))


def _rules(entry: Weakness, book: Phrasebook, file: str, strengths: Mapping[str, float]) -> Iterator[_WeaknessRule]:
    """Yield the rules of one weakness under the keys of `strengths`; several ways to say a phrase are several rules."""
    nowhere = tuple(n for phrase in entry.not_in for n in book.add(phrase, f"{file}: weakness {entry.cwe}: 'not_in'"))
    for key, strength in strengths.items():
        patterns: Phrases = getattr(entry, key)
        for pattern in patterns:
            wanted, *unwanted = (
                [book.add(phrase, f"{file}: weakness {entry.cwe}: {key!r}") for phrase in part.split(" + ")]
                for part in pattern.split(" - ")
            )
            barred = (*nowhere, *(number for part in unwanted for numbers in part for number in numbers))
            yield from (_WeaknessRule(entry.cwe, strength, needed, barred) for needed in product(*wanted))


def _around(place: Span, others: Sequence[Sequence[Span]]) -> Iterator[Span]:
    """Yield the span of `place` and the nearest of each of `others`, if all are within the window."""
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
    """Leave out what stands within a longer term that is no weaker: "overflow" in "stack overflow"."""
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
    """Return `matches`; those that the text calls the effect of another, or averted, are weakened."""
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


def _ranked(words: Sequence[str], matches: Sequence[_RuleMatch]) -> tuple[Mention, ...]:
    best: dict[str, _RuleMatch] = {}
    for match in sorted(matches, key=lambda match: (-match.strength, match.span)):
        best.setdefault(match.cwe, match)
    rivals = sum(match.strength >= _STRENGTHS["likely"] * _RIVAL for match in best.values()) > 1
    share = _RIVAL if rivals else 1.0
    return tuple(Mention(m.cwe, m.strength * share, tuple(words[slice(*m.span)])) for m in best.values())
