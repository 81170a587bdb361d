"""What a lesson does to the rate of its issue, from logged deliveries and the events that followed.

The case split of vaccine trials (Dragalin, Fedorov & Cheuvart 2002): given an event, the chance that the lesson had
been shown is pρ / (pρ + 1 − p), with p the logged probability of showing and ρ the rate ratio. Base rates cancel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.grid import GRID_POINTS, RHO, RHO_MAX, RHO_MIN, normal_logs, normalised, quantile
from lessonbook.experiment.likelihood import case_split_logs
from lessonbook.experiment.population import fit_prior
from lessonbook.experiment.prior import DEFAULT_PRIOR, PRIOR_MEAN, PRIOR_SD, Prior

__all__ = [
    "DEFAULT_PRIOR",
    "EVENTS_MIN",
    "GRID_POINTS",
    "PRIOR_MEAN",
    "PRIOR_SD",
    "RHO_MAX",
    "RHO_MIN",
    "Assignment",
    "EffectEstimate",
    "Prior",
    "effect_of",
    "fit_prior",
    "posterior",
    "prior_mean",
]

EVENTS_MIN: Final = 10
"""Below this many events an effect is not told."""

_VERDICT_PULL: Final = 0.4
_VERDICT_WEIGHT: Final = 4.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """One event's delivery: was the lesson shown, and with what probability."""

    shown: bool
    p_show: float


@dataclass(frozen=True, slots=True)
class EffectEstimate:
    """Effectiveness 1 − ρ: posterior mean, 95 % interval, and the number of events behind it."""

    mean: float
    low: float
    high: float
    events: int


def posterior(events: Iterable[Assignment], prior_mean: float = PRIOR_MEAN) -> EffectEstimate:
    """Return effectiveness after `events`.

    `prior_mean` is the prior's mean of log ρ. Events with p = 0 or 1 carry no information and are not counted.
    """
    splits: dict[float, tuple[int, int]] = {}
    for event in events:
        if 0.0 < event.p_show < 1.0:
            shown, withheld = splits.get(event.p_show, (0, 0))
            splits[event.p_show] = (shown + event.shown, withheld + (not event.shown))
    if not splits:
        return _prior(round(prior_mean, 3))
    return _estimate(case_split_logs(splits), prior_mean, PRIOR_SD, sum(map(sum, splits.values())))


def effect_of(evidence: Evidence, prior: Prior = DEFAULT_PRIOR) -> EffectEstimate:
    """Return effectiveness from the events of randomised exposures, over the lesson's whole life.

    The population enters as N(μ, τ²) of log ρ with its mean and its standard deviation, at least `PRIOR_SD`: what is
    told of a lesson should stand on its own events. How often events came, and who applied the lesson, do not enter, so
    that the interval stands on randomisation alone.
    """
    total, mean, sd = evidence.total(), prior.log_rho_mean, max(prior.log_rho_sd, PRIOR_SD)
    if not total.events:
        return _prior(round(mean, 3), round(sd, 3))
    return _estimate(case_split_logs(total.splits), mean, sd, total.events)


def prior_mean(times_verified: int, times_prevented: int) -> float:
    """Return the prior mean of log ρ for a lesson with these verdicts.

    Verdicts are given by people and tools that saw one run only, without a comparison: they move the prior a little
    (at most ±0.4) and never count as events.
    """
    lean = (2 * times_prevented - times_verified) / (times_verified + _VERDICT_WEIGHT)
    return PRIOR_MEAN - _VERDICT_PULL * lean


@lru_cache(maxsize=2048)
def _prior(mean: float, sd: float = PRIOR_SD) -> EffectEstimate:
    return _estimate([0.0] * GRID_POINTS, mean, sd, 0)


def _estimate(likelihood_logs: Sequence[float], mean: float, sd: float, events: int) -> EffectEstimate:
    prior = normal_logs(mean, sd)
    weights = normalised([one + other for one, other in zip(likelihood_logs, prior, strict=True)])
    expected = sum(weight * (1 - rho) for weight, rho in zip(weights, RHO, strict=True))
    return EffectEstimate(expected, 1 - quantile(weights, 0.975), 1 - quantile(weights, 0.025), events)
