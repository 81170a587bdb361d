"""The effect of a lesson on the rate of its issue, from logged deliveries and the events that followed.

The case split of vaccine trials (Dragalin, Fedorov & Cheuvart 2002): given an event, the probability that the lesson
had been shown is pρ / (pρ + 1 − p), with p the propensity and ρ the rate ratio. Base rates cancel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.grid import GRID_POINTS, RHO, normal_logs, normalised, quantile
from lessonbook.experiment.likelihood import case_split_logs
from lessonbook.experiment.prior import DEFAULT_PRIOR, PRIOR_MEAN, PRIOR_SD, Prior

EVENTS_MIN: Final = 10
"""With fewer events no effect is reported."""

_VERDICT_PULL: Final = 0.4
_VERDICT_WEIGHT: Final = 4.0


@dataclass(frozen=True, slots=True)
class EffectEstimate:
    """Effectiveness 1 − ρ: its posterior mean, 95 % interval, and the number of events that it stands on."""

    mean: float
    low: float
    high: float
    events: int


def effect_of(evidence: Evidence, prior: Prior = DEFAULT_PRIOR) -> EffectEstimate:
    """Return effectiveness from the events of randomised exposures, over the lesson's whole life.

    The population enters as N(μ, τ²) of log ρ, with τ at least `PRIOR_SD`, so that a reported effect stands on the
    lesson's own events. The number of exposures and the applications do not enter, so that the interval stands on
    randomisation alone.
    """
    total, mean, sd = evidence.total(), prior.log_rho_mean, max(prior.log_rho_sd, PRIOR_SD)
    if not total.events:
        return effect_before(round(mean, 3), round(sd, 3))
    return _estimate(case_split_logs(total.splits), mean, sd, total.events)


@lru_cache(maxsize=2048)
def effect_before(mean: float = PRIOR_MEAN, sd: float = PRIOR_SD) -> EffectEstimate:
    """Return effectiveness before any event, where log ρ ~ N(mean, sd²)."""
    return _estimate([0.0] * GRID_POINTS, mean, sd, 0)


def prior_mean(times_verified: int, times_prevented: int) -> float:
    """Return the prior mean of log ρ for a lesson with these verdicts.

    A verdict comes from a person or tool that saw one run, without a comparison: verdicts move the prior by at most
    ±0.4, and are never events.
    """
    lean = (2 * times_prevented - times_verified) / (times_verified + _VERDICT_WEIGHT)
    return PRIOR_MEAN - _VERDICT_PULL * lean


def _estimate(likelihood_logs: Sequence[float], mean: float, sd: float, events: int) -> EffectEstimate:
    prior = normal_logs(mean, sd)
    weights = normalised([one + other for one, other in zip(likelihood_logs, prior, strict=True)])
    expected = sum(weight * (1 - rho) for weight, rho in zip(weights, RHO, strict=True))
    return EffectEstimate(expected, 1 - quantile(weights, 0.975), 1 - quantile(weights, 0.025), events)
