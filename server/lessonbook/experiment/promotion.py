"""When evidence moves a lesson from one status to another."""

from dataclasses import dataclass
from typing import Final

from lessonbook.domain.lesson_status import SERVABLE, EvidenceAction, Status, targets
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.policy import Appraisal
from lessonbook.experiment.retirement import ALPHA

P_PROMOTE: Final = 0.9
P_DEMOTE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Move:
    """A change of status by evidence: which and where to, why in a sentence, and the numbers behind it."""

    action: EvidenceAction
    to: Status
    reason: str
    numbers: dict[str, float]


def next_status(
    status: Status, appraisal: Appraisal, evidence: Evidence, *, pinned: bool = False, alpha: float = ALPHA
) -> Move | None:
    """Return where the evidence moves a lesson of this status, or None where it stays.

    Retirement is by verified events alone and never meets a pinned lesson; everything else is reversible. Statuses
    that evidence does not move (quarantined, suspended, …) stay.
    """
    if status not in SERVABLE or pinned:
        return None
    action, reason = _verdict(appraisal, evidence, alpha)
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


def _verdict(appraisal: Appraisal, evidence: Evidence, alpha: float) -> tuple[EvidenceAction | None, str]:
    """Return what the evidence asks for, whatever the status, and why."""
    if appraisal.e_value >= 1 / alpha:
        return "retire", "it does not cut its issue's rate by 15 %"
    if appraisal.p_positive < P_DEMOTE:
        return "demote", "it more likely costs than spares"
    if appraisal.p_positive >= P_PROMOTE and evidence.events >= EVENTS_MIN:
        return "promote", "it very likely spares more than it costs"
    return None, ""
