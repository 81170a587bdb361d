"""The effect of a lesson on the rate of its issue, from logged deliveries and the events that followed.

The case split of vaccine trials (Dragalin, Fedorov & Cheuvart 2002): given an event, the probability that the lesson
had been shown is pρ / (pρ + 1 − p), with p the propensity and ρ the rate ratio. Base rates cancel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lessonbook.experiment.evidence import Evidence, Split
from lessonbook.experiment.prior import DEFAULT_PRIOR, PRIOR_MEAN, PRIOR_SD, Prior
from lessonbook.experiment.rho_grid import RHO, normal_logs, normalised, split_logs
from lessonbook.experiment.told_interval import told_ratios

EVENTS_MIN: Final = 10
"""With fewer events no effect is reported."""

_VERDICT_PULL: Final = 0.4
_VERDICT_WEIGHT: Final = 4.0


@dataclass(frozen=True, slots=True)
class EffectEstimate:
    """Effectiveness 1 − ρ: its posterior mean, the interval that is told, and the number of events it stands on.

    The interval is valid at every look (`told`). Without an end it reaches from 1 − `RHO_MOST` to 1.
    """

    mean: float
    low: float
    high: float
    events: int


def effect_of(evidence: Evidence, prior: Prior = DEFAULT_PRIOR) -> EffectEstimate:
    """Return effectiveness from the verified events of checked rows, over the lesson's whole life.

    The posterior mean only ranks. The population enters it as N(μ, τ²) of log ρ, with τ at least `PRIOR_SD`, so that it
    stands on the lesson's own events. The number of rows and the applications do not enter.
    """
    splits, mean, sd = evidence.verified, prior.log_rho_mean, max(prior.log_rho_sd, PRIOR_SD)
    if not splits:
        return effect_before(round(mean, 3), round(sd, 3))
    return _estimate(splits, mean, sd, evidence.events)


def does_harm(events: int, high: float) -> bool:
    """Return whether a told effect, `high` the upper end of its interval, says that the lesson does harm."""
    return events >= EVENTS_MIN and high < 0


@lru_cache(maxsize=2048)
def effect_before(mean: float = PRIOR_MEAN, sd: float = PRIOR_SD) -> EffectEstimate:
    """Return effectiveness before any event, where log ρ ~ N(mean, sd²)."""
    return _estimate({}, mean, sd, 0)


def prior_mean(times_verified: int, times_prevented: int) -> float:
    """Return the prior mean of log ρ for a lesson with these verdicts.

    A verdict comes from a person or tool that saw one run, without a comparison: verdicts move the prior by at most
    ±0.4, and are never events.
    """
    lean = (2 * times_prevented - times_verified) / (times_verified + _VERDICT_WEIGHT)
    return PRIOR_MEAN - _VERDICT_PULL * lean


def _estimate(splits: Mapping[float, Split], mean: float, sd: float, events: int) -> EffectEstimate:
    prior = normal_logs(mean, sd)
    weights = normalised([one + other for one, other in zip(split_logs(splits), prior, strict=True)])
    expected = sum(weight * (1 - rho) for weight, rho in zip(weights, RHO, strict=True))
    least, most = told_ratios(splits)
    return EffectEstimate(min(max(expected, 1 - most), 1 - least), 1 - most, 1 - least, events)
