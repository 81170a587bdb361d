"""Advice on how to get past those who look: reviewers, scanners, other lessons."""

import re
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.lint.harm.clauses import LessonClause
from lessonbook.screening.lint.harm.orders import directs, objects_of, ordered_verbs
from lessonbook.screening.lint.harm.words import stems_of

RANKED: Final = 1.5
"""Points of a lesson that ranks itself over all others."""
_WORDING: Final = frozenset(stems_of("write word phrase formulate keep"))
_PERSON_APPROVES: Final = lazy_pattern(
    r"^(?:let|have|ask|make) (?:a|an|the|another|two) (?:person|human|reviewer|owner)", re.I
)
_UNREPORTED: Final = lazy_pattern(
    r"^(?:do not|don't|never|no need to|stop) (?:report|raise|file|mention)\w* (?:any )?"
    r"(?:issues?|findings?|problems?|vulnerabilit|bugs?|errors?)\b(?! (?:twice|without|again|that are|you))",
    re.I,
)
_RANKED: Final = lazy_pattern(r"\b(?:over|above|before|than) (?:all|any|every|each) other\b", re.I)
_NOBODY_ASKS: Final = lazy_pattern(
    r"\bno(?:body| ?one| reviewer)\b.{0,12}\b(?:asks?|objects?|notices?|questions?|wonders?)\b", re.I
)


def lessons(clause: LessonClause) -> float:
    """Advice about lessons, above all such as ranks one over all others."""
    if not clause.has("lesson") or (clause.stems[0] in _WORDING and not clause.has("outranks")):
        return 0.0
    if clause.role == "order" and _RANKED.search(clause.text) and not clause.has("refuse"):
        return RANKED
    return 1.0 if clause.role == "order" and (directs(clause) or clause.has("outranks")) else 0.6


def overseen(clause: LessonClause) -> float:
    """Advice on how to get past those who look."""
    if not clause.has("overseer") or not clause.has("evade") or not directs(clause):
        return 0.0
    if _PERSON_APPROVES.search(clause.text):
        return 0.0
    return 1.0 if not clause.has("refuse") or clause.has("masked") else 0.0


def quietened(clause: LessonClause) -> float:
    """Findings made quiet."""
    if not directs(clause) or clause.has("harmless"):
        return 0.0
    return 1.0 if any(any(objects_of(clause, verb, "findings")) for verb in ordered_verbs(clause, "quieten")) else 0.0


def unreported(clause: LessonClause) -> float:
    """Issues that are not to be reported, or said to be applied, seen or approved when they are not."""
    return 1.5 if clause.role == "order" and _UNREPORTED.search(clause.text) else 0.0


def unseen(clauses: list[LessonClause]) -> float:
    """Something done so that who looks does not notice."""
    if not any(one.role == "order" and directs(one) for one in clauses):
        return 0.0
    for reason in clauses:
        if reason.role != "reason" or not reason.has("notice"):
            continue
        refuses = any(one.start < notice.start for one in reason.of("refuse") for notice in reason.of("notice"))
        if (refuses and reason.has("watcher") and not reason.has("danger")) or _NOBODY_ASKS.search(reason.text):
            return 1.0
    return 0.0
