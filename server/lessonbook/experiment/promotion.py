"""Promotion, demotion and retirement: changes of a lesson's status by evidence."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from lessonbook.domain.lesson_status import SERVABLE, EvidenceAction, Status, targets
from lessonbook.experiment.effect import EVENTS_MIN, effect_of
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.retirement import ALPHA, e_value
from lessonbook.experiment.serving_policy import Appraisal

P_PROMOTE: Final = 0.9
"""Probability that the benefit exceeds the cost from which a lesson with enough events is promoted."""
P_DEMOTE: Final = 0.5
"""The same probability below which a lesson is demoted."""
OTHERS_EVENTS_MIN: Final = 3
"""The events of others that a promotion or retirement needs beside those of any one reporter."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change of status by evidence: the action, the new status, the reason, and the numbers that led to it."""

    action: EvidenceAction
    to: Status
    reason: str
    numbers: dict[str, float]


def next_status(
    status: Status, appraisal: Appraisal, *, pinned: bool = False, named: Collection[str] = ()
) -> Move | None:
    """Return the change of status that the evidence asks for; None if there is none.

    Only servable lessons that are not pinned move, by verified events alone, and only where a coin has been tossed. All
    but retirement is reversible.
    `named` are the reporters whose evidence alone may promote or retire, because an administrator named them as the
    project's CI.
    """
    evidence = appraisal.evidence
    if status not in SERVABLE or pinned or not (evidence.rows or evidence.events):
        return None
    for action, reason in _verdicts(appraisal):
        if action == "demote" or stands_without_any_one(evidence, action, named):
            found = targets(action, status)
            return Move(action, found[0], reason, _numbers(appraisal)) if found else None
    return None


def _numbers(appraisal: Appraisal) -> dict[str, float]:
    effect = appraisal.effect
    return {
        "p_positive": round(appraisal.p_positive, 4),
        "e_value": round(appraisal.e_value, 4),
        "events": appraisal.evidence.events,
        "effect": round(effect.mean, 4),
        "effect_low": round(effect.low, 4),
        "effect_high": round(effect.high, 4),
    }


def stands_without_any_one(evidence: Evidence, action: EvidenceAction, named: Collection[str] = ()) -> bool:
    """Return whether evidence still leans the same way, a little, without any one of its reporters who is not named."""
    for reporter in evidence.reporters.keys() - set(named):
        others = evidence.without_reporter(reporter)
        if others.events < OTHERS_EVENTS_MIN:
            return False
        leans = e_value(others) >= 1 if action == "retire" else effect_of(others).mean > 0
        if not leans:
            return False
    return True


def _verdicts(appraisal: Appraisal) -> Iterator[tuple[EvidenceAction, str]]:
    """Yield the actions that the evidence asks for in any status, the gravest first, and why."""
    if appraisal.e_value >= 1 / ALPHA:
        yield "retire", "it does not cut its issue's rate by 15 %"
    if appraisal.side_effect.harms:
        yield "demote", "more goes wrong elsewhere in changes that were shown it"
    if appraisal.p_positive < P_DEMOTE:
        yield "demote", "it more likely costs than spares"
    if appraisal.p_positive >= P_PROMOTE and appraisal.evidence.events >= EVENTS_MIN:
        yield "promote", "it very likely spares more than it costs"
