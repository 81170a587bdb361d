"""What lessons spare: issues prevented per exposure of one lesson, and per run of the whole service.

Intervals are asymptotic confidence sequences, valid at every look (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024,
"Time-uniform central limit theory and asymptotic confidence sequences", eq. 2.12).
"""

from dataclasses import dataclass
from math import inf, log, log1p, sqrt
from typing import Final

from lessonbook.experiment.evidence import Evidence

ALPHA: Final = 0.05
TIGHTEST_AT: Final = 1_000
"""The number of observations at which the sequence is tightest."""
HELD_OUT_MIN: Final = 30
"""Runs on either side below which nothing is concluded about the service: the sequence is valid asymptotically."""


@dataclass(frozen=True, slots=True)
class Lift:
    """Issues spared per exposure or run: mean, a 95 % interval valid at every look, and the number of observations."""

    mean: float
    low: float
    high: float
    observations: int


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Runs on one side of the service's holdout: how many, their issues, and the squares of each run's issues."""

    runs: int = 0
    issues: int = 0
    issues_squared: int = 0


def margin(sd: float, observations: int, alpha: float = ALPHA, tightest_at: int = TIGHTEST_AT) -> float:
    """Return the half width of the confidence sequence after so many observations with standard deviation `sd`."""
    if observations < 1:
        return inf
    kappa_squared = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tightest_at
    spread = observations * kappa_squared + 1
    return sd * sqrt(2 * spread / (observations**2 * kappa_squared) * (0.5 * log1p(spread - 1) - log(alpha)))


def lift_of(evidence: Evidence, alpha: float = ALPHA) -> Lift:
    """Return issues spared per randomised exposure when the lesson is shown rather than withheld.

    The mean of X = (1 − z)Y/(1 − p) − zY/p over exposures, which is unbiased whatever p was (Horvitz & Thompson 1952).
    """
    total = evidence.total()
    exposures = total.shown + total.withheld
    if exposures == 0:
        return Lift(0.0, -inf, inf, 0)
    first = second = 0.0
    for p_show, (shown, withheld) in total.splits.items():
        first += withheld / (1 - p_show) - shown / p_show
        second += withheld / (1 - p_show) ** 2 + shown / p_show**2
    return _interval(first / exposures, second / exposures, exposures, alpha)


def service_lift(served: RunTotals, held_out: RunTotals, share: float, alpha: float = ALPHA) -> Lift:
    """Return issues spared per run by serving, where a run is held out with probability `share`.

    Issues are counted from their overall mean, which changes nothing in expectation and narrows the interval (the
    augmented estimator with a constant for a model).
    """
    runs = served.runs + held_out.runs
    if runs == 0:
        return Lift(0.0, -inf, inf, 0)
    centre = (served.issues + held_out.issues) / runs
    first = _centred(held_out, centre) / share - _centred(served, centre) / (1 - share)
    second = _squared(held_out, centre) / share**2 + _squared(served, centre) / (1 - share) ** 2
    return _interval(first / runs, second / runs, runs, alpha)


def service_harms(served: RunTotals, held_out: RunTotals, share: float, alpha: float = ALPHA) -> bool:
    """Return whether serving causes issues: the whole interval lies below zero, with enough runs on both sides."""
    if min(served.runs, held_out.runs) < HELD_OUT_MIN:
        return False
    return service_lift(served, held_out, share, alpha).high < 0


def _interval(mean: float, mean_square: float, observations: int, alpha: float) -> Lift:
    half = margin(sqrt(max(mean_square - mean**2, 0.0)), observations, alpha)
    return Lift(mean, mean - half, mean + half, observations)


def _centred(totals: RunTotals, centre: float) -> float:
    return totals.issues - totals.runs * centre


def _squared(totals: RunTotals, centre: float) -> float:
    return totals.issues_squared - 2 * centre * totals.issues + totals.runs * centre**2
