"""Lift: issues prevented per exposure of one lesson, and per run of the whole service.

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
_KAPPA_SQUARED: Final = (-2 * log(ALPHA) + log(-2 * log(ALPHA) + 1)) / TIGHTEST_AT
HELD_OUT_MIN: Final = 30
"""Runs that each arm needs before serving is said to harm: the sequence is valid asymptotically."""


@dataclass(frozen=True, slots=True)
class Lift:
    """Issues prevented per exposure or run: mean, 95 % interval valid at every look, number of observations."""

    mean: float
    low: float
    high: float
    observations: int


@dataclass(frozen=True, slots=True)
class RunTotals:
    """Runs of one arm of the service's holdout: how many, their issues, and the squares of each run's issues."""

    runs: int = 0
    issues: int = 0
    issues_squared: int = 0


def margin(sd: float, observations: int) -> float:
    """Return the half width of the confidence sequence after `observations` with standard deviation `sd`."""
    if observations < 1:
        return inf
    spread = observations * _KAPPA_SQUARED + 1
    return sd * sqrt(2 * spread / (observations**2 * _KAPPA_SQUARED) * (0.5 * log1p(spread - 1) - log(ALPHA)))


def lift_of(evidence: Evidence) -> Lift:
    """Return issues prevented per checked row by showing the lesson rather than withholding it.

    The mean of X = (1 − z)Y/(1 − π) − zY/π over rows (Horvitz & Thompson 1952), with the share π that was really shown
    in place of p, which narrows it (Hirano, Imbens & Ridder 2003).
    """
    total = evidence.total()
    exposures = total.shown + total.withheld
    if exposures == 0:
        return Lift(0.0, -inf, inf, 0)
    first = second = 0.0
    for share, (shown, withheld) in total.splits.items():
        first += withheld / (1 - share) - shown / share
        second += withheld / (1 - share) ** 2 + shown / share**2
    return _interval(first / exposures, second / exposures, exposures)


def service_lift(served: RunTotals, held_out: RunTotals, share: float) -> Lift:
    """Return issues prevented per run by serving, where a run is held out with probability `share`.

    Issues are counted from their overall mean, which changes nothing in expectation and narrows the interval (the
    augmented estimator with a constant for a model).
    """
    runs = served.runs + held_out.runs
    if runs == 0:
        return Lift(0.0, -inf, inf, 0)
    centre = (served.issues + held_out.issues) / runs
    first = _centred(held_out, centre) / share - _centred(served, centre) / (1 - share)
    second = _squared(held_out, centre) / share**2 + _squared(served, centre) / (1 - share) ** 2
    return _interval(first / runs, second / runs, runs)


def service_harms(served: RunTotals, held_out: RunTotals, share: float) -> bool:
    """Return whether serving causes issues: the whole interval is below zero, with enough runs in both arms."""
    return min(served.runs, held_out.runs) >= HELD_OUT_MIN and service_lift(served, held_out, share).high < 0


def _interval(mean: float, mean_square: float, observations: int) -> Lift:
    half = margin(sqrt(max(mean_square - mean**2, 0.0)), observations)
    return Lift(mean, mean - half, mean + half, observations)


def _centred(totals: RunTotals, centre: float) -> float:
    return totals.issues - totals.runs * centre


def _squared(totals: RunTotals, centre: float) -> float:
    return totals.issues_squared - 2 * centre * totals.issues + totals.runs * centre**2
