"""Promotion, demotion and retirement: changes of a lesson's status by evidence."""

from dataclasses import dataclass
from typing import Final

from lessonbook.domain.lesson_status import SERVABLE, EvidenceAction, Status, targets
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.policy import Appraisal
from lessonbook.experiment.retirement import ALPHA

P_PROMOTE: Final = 0.9
"""Probability that the benefit exceeds the cost from which a lesson with enough events is promoted."""
P_DEMOTE: Final = 0.5
"""The same probability below which a lesson is demoted."""


@dataclass(frozen=True, slots=True)
class Move:
    """A change of status by evidence: the action, the new status, the reason, and the numbers that led to it."""

    action: EvidenceAction
    to: Status
    reason: str
    numbers: dict[str, float]


def next_status(status: Status, appraisal: Appraisal, evidence: Evidence, *, pinned: bool = False) -> Move | None:
    """Return the change of status that the evidence asks for; None if there is none.

    Only servable lessons that are not pinned move. Retirement is by verified events alone; the rest is reversible.
    """
    if status not in SERVABLE or pinned:
        return None
    action, reason = _verdict(appraisal, evidence)
    if action is None or not (found := targets(action, status)):
        return None
    numbers = {
        "p_positive": round(appraisal.p_positive, 4),
        "e_value": round(appraisal.e_value, 4),
        "events": evidence.events,
        "effect": round(appraisal.effect.mean, 4),
        "effect_low": round(appraisal.effect.low, 4),
        "effect_high": round(appraisal.effect.high, 4),
    }
    return Move(action, found[0], reason, numbers)


def _verdict(appraisal: Appraisal, evidence: Evidence) -> tuple[EvidenceAction | None, str]:
    """Return the action that the evidence asks for in any status, and why."""
    if appraisal.e_value >= 1 / ALPHA:
        return "retire", "it does not cut its issue's rate by 15 %"
    if appraisal.p_positive < P_DEMOTE:
        return "demote", "it more likely costs than spares"
    if appraisal.p_positive >= P_PROMOTE and evidence.events >= EVENTS_MIN:
        return "promote", "it very likely spares more than it costs"
    return None, ""
