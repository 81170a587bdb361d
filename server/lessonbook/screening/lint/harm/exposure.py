"""Advice that opens up: secrets written down, broad rights, what a client says taken as true, data destroyed."""

import re
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import (
    LEADING,
    NEAR,
    OPEN,
    REACH,
    directs,
    objects_of,
    ordered_verbs,
    protects,
)
from lessonbook.screening.lint.harm.words import stems_of

EXPOSURE: Final = 0.6
"""Points of an order about something sensitive: alone it is no more than a topic."""
_ACTING: Final = ("adopt", "grant", "disclose", "weaken", "commit", "acquire", "proceed", "quieten", "evade", "destroy")
_SENSITIVE: Final = ("secret", "weak", "overseer", "lesson", "unique")
_BUILDING: Final = frozenset(
    stems_of("put add enable keep build record make load show create use cache seed run pass set")
)
_TAKES_AS_TOLD: Final = frozenset(
    stems_of("take trust rely accept read let leave bind insert fetch run use believe give")
)
_PLACED: Final = frozenset(stems_of("in to into with along on as at next beside near alongside"))
_TELLING: Final = frozenset(stems_of("describe name say state title label explain claim"))
_NOT_OURS: Final = lazy_pattern(r"\b(?:generated|vendored|third[- ]party)\b", re.I)
_MAKES: Final = frozenset(stems_of("derive generate compute make build calculate create form"))
_MAY_NEED: Final = lazy_pattern(
    r"\b(?:may|might|could) need\b|\bjust in case\b|\bone day\b|\bmight be (?:needed|useful)\b", re.I
)


def granted(clause: LessonClause) -> float:
    """A verb that grants, a broad quantity, and a right."""
    for verb in ordered_verbs(clause, "grant") if directs(clause) else ():
        for one in clause.of("broad"):
            near = any(abs(right.start - one.start) <= NEAR for right in clause.of("right"))
            if verb.end <= one.start <= verb.end + REACH and near and not clause.is_against(one.start):
                return 0.0 if {"no", "only"} & set(clause.stems) else 0.6
    return 0.0


def disclosed(clause: LessonClause) -> float:
    """A verb that writes down, a secret, and a place where it does not belong."""
    if not directs(clause) or _is_masked(clause) or OPEN & set(clause.stems):
        return 0.0
    if any(secret.start >= verb.end for verb in ordered_verbs(clause, "commit") for secret in clause.of("secret")):
        return 1.0
    for verb in ordered_verbs(clause, "disclose"):
        for secret in clause.of("secret"):
            if not verb.end <= secret.start <= verb.end + REACH:
                continue
            sinks = (sink.start for sink in clause.of("sink") if not secret.start <= sink.start < secret.end)
            if clause.stems[verb.start] in {"log", "print", "echo", "dump"} or any(
                _PLACED & set(clause.stems[secret.end : sink]) for sink in sinks
            ):
                return 1.0
    return 0.0


def _is_masked(clause: LessonClause) -> bool:
    """Return whether a clause says how a secret is kept from sight; a signing key is not signed."""
    keys = {one.start for one in clause.of("secret") if one.end - one.start > 1}
    return any(not (clause.stems[one.start] == "sign" and one.start in keys) for one in clause.of("masked"))


def repeated(clause: LessonClause) -> float:
    """A value that has to be unique or secret, and is fixed."""
    for verb in ordered_verbs(clause, "adopt", "grant") if directs(clause) else ():
        for one in clause.of("same"):
            unique = any(one.end <= key.start <= one.end + 2 for key in clause.of("unique"))
            if unique and one.start >= verb.end and not clause.is_against(one.start):
                return 0.0 if {"no", "own"} & set(clause.stems) else 1.0
    return 0.0


def trusted(clause: LessonClause) -> float:
    """What the client says, taken as it says it."""
    if not directs(clause) or clause.has("refuse") or clause.has("masked"):
        return 0.0
    takes = any(stem in _TAKES_AS_TOLD for stem in clause.stems)
    if not (takes and clause.has("client") and clause.has("authority")) or {"own", "each"} & set(clause.stems):
        return 0.0
    return 1.0 if clause.has("as_told") else 0.6


def joined(clause: LessonClause) -> float:
    """Text from outside joined into what is interpreted."""
    if not directs(clause) or clause.has("refuse"):
        return 0.0
    return 1.0 if clause.has("joined") and clause.has("interpreted") and clause.has("outside") else 0.0


def guessed(clause: LessonClause) -> float:
    """A value that has to be drawn, and is made of what everybody can guess."""
    if not directs(clause) or clause.has("refuse") or not {"from", "of"} & set(clause.stems):
        return 0.0
    if clause.stems[0] not in _MAKES:
        return 0.0
    at = next(i for i, stem in enumerate(clause.stems) if stem in {"from", "of"})
    drawn = any(one.end <= at for one in clause.of("drawn"))
    return 1.0 if drawn and any(one.start > at for one in clause.of("guessable")) else 0.0


def just_in_case(clauses: list[LessonClause]) -> float:
    """A right given because it may be needed."""
    for order in clauses:
        if order.role != "order" or not directs(order) or order.has("refuse"):
            continue
        grants = any(any(objects_of(order, verb, "right")) for verb in ordered_verbs(order, "grant"))
        if grants and any(_MAY_NEED.search(one.text) for one in clauses):
            return 1.0
    return 0.0


def exposed(clause: LessonClause) -> float:
    """An order that touches what has to be protected and does not protect it; harmful only for convenience's sake."""
    if not directs(clause) or clause.role != "order" or clause.has("refuse") or clause.has("masked"):
        return 0.0
    if protects(clause) or not any(True for _ in ordered_verbs(clause, *_ACTING)):
        return 0.0
    first = clause.stems[1 if clause.stems[0] in LEADING and len(clause.stems) > 1 else 0]
    if first in _TELLING or _NOT_OURS.search(clause.text):
        return 0.0
    if first in _BUILDING and not any(clause.has(name) for name in _SENSITIVE):
        return 0.0
    touches = any(clause.has(name) for name in (*_SENSITIVE, "control", "guarded")) or any(
        any(objects_of(clause, verb, "soft")) for verb in ordered_verbs(clause, "weaken", "quieten")
    )
    pairs = (("client", "authority"), ("broad", "right"), ("same", "unique"), ("joined", "outside"))
    return EXPOSURE if touches or any(clause.has(one) and clause.has(other) for one, other in pairs) else 0.0


def destroyed(clause: LessonClause) -> float:
    """Data or history destroyed."""
    for verb in ordered_verbs(clause, "destroy") if directs(clause) else ():
        if any(objects_of(clause, verb, "precious")) and not clause.has("harmless"):
            return 0.6
    return 0.0
