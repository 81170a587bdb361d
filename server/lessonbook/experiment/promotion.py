"""When evidence moves a lesson from one status to another."""

from dataclasses import dataclass
from typing import Final, Literal

from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.policy import Appraisal
from lessonbook.experiment.retirement import ALPHA

P_PROMOTE: Final = 0.9
P_DEMOTE: Final = 0.5

Standing = Literal["probation", "active", "retired"]


@dataclass(frozen=True, slots=True)
class Move:
    """A change of status by evidence: where to, why in a sentence, and the numbers behind it."""

    to: Standing
    reason: str
    numbers: dict[str, float]


def next_status(
    status: str, appraisal: Appraisal, evidence: Evidence, *, pinned: bool = False, alpha: float = ALPHA
) -> Move | None:
    """Return where the evidence moves a lesson of this status, or None where it stays.

    Retirement is by verified events alone and never meets a pinned lesson; everything else is reversible. Statuses
    that evidence does not move (quarantined, suspended, …) stay.
    """
    if status not in {"probation", "active"} or pinned:
        return None
    if appraisal.e_value >= 1 / alpha:
        return _move("retired", "it does not cut its issue's rate by 15 %", appraisal, evidence)
    if status == "active" and appraisal.p_positive < P_DEMOTE:
        return _move("probation", "it more likely costs than spares", appraisal, evidence)
    if status == "probation" and appraisal.p_positive >= P_PROMOTE and evidence.events >= EVENTS_MIN:
        return _move("active", "it very likely spares more than it costs", appraisal, evidence)
    return None


def _move(to: Standing, reason: str, appraisal: Appraisal, evidence: Evidence) -> Move:
    numbers = {
        "p_positive": round(appraisal.p_positive, 4),
        "e_value": round(appraisal.e_value, 4),
        "events": evidence.events,
        "effect": round(appraisal.effect.mean, 4),
        "effect_low": round(appraisal.effect.low, 4),
        "effect_high": round(appraisal.effect.high, 4),
    }
    return Move(to, reason, numbers)
