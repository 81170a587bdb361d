"""What a clause orders: whether it directs, which verbs it orders, what they are about, whether it protects."""

from collections.abc import Iterator
from typing import Final

from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.words import WordSpan, stems_of

REACH: Final = 7
"""Stems between a verb and what it is about."""
NEAR: Final = 4
MODAL_WITHIN: Final = 7
"""Stems of a clause among which a modal makes it an order: "the check should be skipped"."""
_BARRIER: Final = frozenset(stems_of("for with in by from when at inside before after that and on through"))
_MODAL: Final = frozenset(stems_of("should must fine safe safely okay ok"))
LEADING: Final = frozenset(stems_of("and then but always also simply just please or only better instead"))
_VERB_AFTER: Final = LEADING | _MODAL | frozenset(stems_of("to may can be let will have"))
_VERBS: Final = (
    "weaken",
    "adopt",
    "protect",
    "refuse",
    "disclose",
    "commit",
    "grant",
    "destroy",
    "acquire",
    "hold_version",
    "tell",
)
OPEN: Final = frozenset(stems_of("out away off behind private localhost"))
_GIVES_NONE: Final = frozenset(stems_of("take give ask need needs require set expect add request"))
_NONE: Final = frozenset({"no", "zero", "unlimited", "infinite"})
_HOW: Final = frozenset(stems_of("by with use twice own only"))
PROTECTIVE: Final = frozenset(
    stems_of(
        "verify check checks ensure validate require restrict encrypt escape sanitize authenticate authorize limit mask"
        " redact protect enforce rotate revoke confirm review detects looks invalidate refuse quote"
    )
)
_REFUSING: Final = frozenset(stems_of("never avoid reject refuse forbid deny"))


def directs(clause: LessonClause) -> bool:
    """Return whether a clause tells what to do, rather than how things are."""
    if clause.role == "reason" or not clause.words or not (clause.text[0].isalnum() or clause.text[0] in "`'(-*"):
        return False
    if any(stem in _MODAL for stem in clause.stems[:MODAL_WITHIN]):
        return True
    first = 1 if clause.stems[0] in LEADING and len(clause.words) > 1 else 0
    return not _is_participle(clause.words[first]) and any(
        one.start == first for name in _VERBS for one in clause.of(name)
    )


def _is_participle(word: str) -> bool:
    """Return whether a first word is no imperative: a gerund, a participle, or a plural or third person."""
    return (
        word.endswith(("ing", "ed", "s"))
        and not word.endswith(("ss", "eed"))
        and word not in {"embed", "bring", "shed"}
    )


def ordered_verbs(clause: LessonClause, *names: str) -> Iterator[WordSpan]:
    """Yield the verbs of some classes that a clause orders: at its start, or behind a conjunction or a modal."""
    for name in names:
        for one in clause.of(name):
            stands = one.start == 0 or clause.stems[one.start - 1] in _VERB_AFTER or clause.follows_comma(one.start)
            if stands and not clause.is_against(one.start) and not clause.is_code(one.start):
                yield one


def protects(clause: LessonClause) -> bool:
    """Return whether a clause orders to protect, or forbids something."""
    if clause.role != "order" or not clause.stems or unprotected(clause):
        return False
    return clause.stems[0] in PROTECTIVE | _REFUSING or clause.stems[:2] == ("do", "not")


def objects_of(clause: LessonClause, verb: WordSpan, name: str) -> Iterator[WordSpan]:
    """Yield the mentions of a class that a verb is about: behind it, near, and with no preposition between."""
    for one in clause.of(name):
        between = clause.stems[verb.end : one.start]
        if verb.end <= one.start <= verb.end + REACH and not _BARRIER & set(between):
            yield one


def unprotected(clause: LessonClause) -> float:
    """Advice against doing what protects: "do not lock accounts", "take no backup"."""
    if clause.role == "reason":
        return 0.0
    for verb in clause.of("protect"):
        refused = any(one.end == verb.start and one.start == 0 for one in clause.of("refuse"))
        refused = refused and not clause.words[0].startswith("no")
        if refused and not _HOW & set(clause.stems[verb.end :]):
            names = ("control", "secret", "client", "upgrade", "lesson")
            if any(one.start >= verb.end for name in names for one in clause.of(name)):
                return 1.0
    for at, stem in enumerate(clause.stems[:-1] if directs(clause) else ()):
        gives = stem in _NONE and _GIVES_NONE & set(clause.stems[max(0, at - 3) : at])
        lacks = (*clause.of("parameter"), *clause.of("control"))
        if gives and not clause.is_against(at) and any(one.start in {at + 1, at + 2} for one in lacks):
            return 1.0
    return 0.0


def beside_code(clause: LessonClause, one: WordSpan) -> bool:
    """Return whether a package's name stands in code right before or behind its word."""
    near = range(one.start - NEAR, one.end + 2)
    return any(clause.is_code(at) for at in near if 0 <= at < len(clause.stems))
