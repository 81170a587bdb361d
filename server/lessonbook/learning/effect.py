"""What a lesson does to the rate of its issue, from logged deliveries and the events that followed.

The case split of vaccine trials (Dragalin, Fedorov & Cheuvart 2002): given an event, the chance that the lesson had
been shown is pρ / (pρ + 1 − p), with p the logged probability of showing and ρ the rate ratio. Base rates cancel.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log
from typing import Final

GRID_POINTS: Final = 31
RHO_MIN: Final = 0.15
RHO_MAX: Final = 4.0
PRIOR_MEAN: Final = -0.2
PRIOR_SD: Final = 0.6
EVENTS_MIN: Final = 10
"""Below this many events an effect is not told."""

_VERDICT_PULL: Final = 0.4
_VERDICT_WEIGHT: Final = 4.0

_GRID: Final = tuple(log(RHO_MIN) + i * (log(RHO_MAX) - log(RHO_MIN)) / (GRID_POINTS - 1) for i in range(GRID_POINTS))


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
    counted = [event for event in events if 0.0 < event.p_show < 1.0]
    if not counted:
        return _prior(round(prior_mean, 3))
    weights: list[float] = []
    for log_rho in _GRID:
        log_weight = _log_prior(log_rho, prior_mean)
        rho = exp(log_rho)
        for event in counted:
            share = event.p_show * rho / (event.p_show * rho + 1 - event.p_show)
            log_weight += log(share if event.shown else 1 - share)
        weights.append(log_weight)
    return _summary(weights, len(counted))


def prior_mean(times_verified: int, times_prevented: int) -> float:
    """Return the prior mean of log ρ for a lesson with these verdicts.

    Verdicts are given by people and tools that saw one run only, without a comparison: they move the prior a little
    (at most ±0.4) and never count as events.
    """
    lean = (2 * times_prevented - times_verified) / (times_verified + _VERDICT_WEIGHT)
    return PRIOR_MEAN - _VERDICT_PULL * lean


@lru_cache(maxsize=2048)
def _prior(mean: float) -> EffectEstimate:
    return _summary([_log_prior(log_rho, mean) for log_rho in _GRID], 0)


def _log_prior(log_rho: float, mean: float) -> float:
    return -0.5 * ((log_rho - mean) / PRIOR_SD) ** 2


def _summary(log_weights: list[float], events: int) -> EffectEstimate:
    top = max(log_weights)
    weights = [exp(weight - top) for weight in log_weights]
    total = sum(weights)
    mean = sum(weight * (1 - exp(log_rho)) for weight, log_rho in zip(weights, _GRID, strict=True)) / total
    return EffectEstimate(mean, 1 - _quantile(weights, 0.975), 1 - _quantile(weights, 0.025), events)


def _quantile(weights: list[float], level: float) -> float:
    """Return the `level` quantile of ρ, linear in log ρ between grid points."""
    target, below = level * sum(weights), 0.0
    for index, weight in enumerate(weights):
        if below + weight >= target:
            share = (target - below) / weight - 0.5
            step = _GRID[1] - _GRID[0]
            return exp(min(max(_GRID[index] + share * step, _GRID[0]), _GRID[-1]))
        below += weight
    return exp(_GRID[-1])
