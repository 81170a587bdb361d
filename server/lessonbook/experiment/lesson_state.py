"""What the evidence on a lesson says of it, in one word that is the same everywhere."""

from dataclasses import dataclass
from typing import Final

from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import EffectState
from lessonbook.experiment.effect import EVENTS_MIN, EffectEstimate
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.power import runs_to_tell

_USUAL_P: Final = 0.9
"""The propensity that is assumed where no row tells it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A state, its events, how many more checked runs it takes to tell a cut of 15 % (None: none will), and why."""

    state: EffectState
    events: int
    runs_to_go: int | None
    reason: str


def standing(
    evidence: Evidence, effect: EffectEstimate, *, status: Status | None = None, obstacle: str = "", alarm: str = ""
) -> Standing:
    """Return the state of a lesson, or of all lessons of an agent or project together.

    Args:
        evidence: verified evidence.
        effect: what it tells, with the interval that is valid at every look.
        status: the lesson's status; None where it is about several.
        obstacle: why no coin is tossed now, as a sentence; empty where one is.
        alarm: why nothing may be concluded, as a sentence; empty where the arms are alike.
    """
    events = evidence.events
    if alarm:
        return Standing("unhealthy", events, None, alarm)
    if status == "retired":
        return Standing("retired", events, None, "It is not served any more; a person can restore it.")
    if obstacle and not events:
        return Standing("not_measured", events, None, obstacle)
    to_go = runs_to_tell(rows=evidence.rows, events=events, p_show=_usual_p(evidence)) if not obstacle else None
    if events < EVENTS_MIN:
        return Standing("not_enough_data", events, to_go, f"{events} of {EVENTS_MIN} events.")
    alone = " It rests on one reporter." if len(evidence.reporters) == 1 else ""
    if effect.low > 0:
        return Standing("helps", events, 0, f"Its issue is rarer where it was shown, at every look.{alone}")
    if effect.high < 0:
        return Standing("harms", events, 0, f"Its issue is more frequent where it was shown, at every look.{alone}")
    return Standing("undecided", events, to_go, f"The interval holds no effect as well.{alone}")


def _usual_p(evidence: Evidence) -> float:
    """Return the propensity whose coin tells as much as the lesson's coins did on average."""
    told = rows = 0.0
    for period in evidence.periods.values():
        for p_show, split in period.coins.items():
            told += sum(split) * p_show * (1 - p_show)
            rows += sum(split)
    if not rows:
        return _USUAL_P
    return 0.5 + max(0.25 - told / rows, 0.0) ** 0.5
