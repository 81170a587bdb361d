"""What serving under another policy would have brought, from what was logged under the one that served.

Inverse propensity weighting (Horvitz & Thompson 1952) is unbiased and noisy. A policy's weights have mean one whatever
the rewards do, so weights are control variates (Owen & Zhou 2000): regressing rewards on them is calibration (Deville &
Särndal 1992). Where policies tell rows apart, it equals post-stratification; with one policy it is close to the
self-normalised estimator (Swaminathan & Joachims 2015).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, fsum, log, sqrt
from operator import mul
from typing import Final

from lessonbook.experiment.intervals import Z_95, wilson_interval

_ROWS_PER_CONTROL: Final = 10
"""Fewer rows than this for each slope, and fitting them costs more than it brings."""

_UNSEEN: Final = 1.0
"""So many surprises are taken to hide in a log that shows none: rows that are all alike have an error, too."""

_DEPENDENT: Final = 1e-9
"""A control whose residual is below this share of its square adds nothing to those before it."""

_TOGETHER_MIN: Final = 3
_SPREADS: Final = tuple(index / 200 for index in range(101))
"""Standard deviations between values that are weighed, all alike beforehand: of numbers from 0 to 1 none exceeds ½."""


@dataclass(frozen=True, slots=True)
class ValueEstimate:
    """A policy's mean reward a row, between 0 and 1, with its 95 % interval and the number of rows behind it."""

    estimate: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class _Control:
    """A column of numbers whose mean over the logging policy is known, and its weighted square."""

    values: list[float]
    mean: float
    square: float


def policy_value(
    rewards: Sequence[float], logged: Sequence[float], target: Sequence[float], others: Sequence[Sequence[float]] = ()
) -> ValueEstimate:
    """Return the mean reward that the target policy would have brought on the logged rows.

    Each sequence has a value per row: the reward, between 0 and 1; the probability with which the action that was
    taken had been drawn; the probability the target gives to that action; and the same for further policies, which
    lend their weights as control variates. Use it on a lesson's deliveries to ask what always showing it would have
    brought, or never, or at another p_show: the reward is 1 where no issue followed, `logged` is p_show for a shown
    row and 1 − p_show for a withheld one, `target` the same under the policy asked about. Rows whose action was
    certain (p = 1) tell of no other policy; leave them out. Rows must be independent, and every action that the
    target can take must have been possible.

    Raises:
        ValueError: lengths differ, a value is out of its range, or no row's action is one that the target takes.
    """
    _check(rewards, logged, target, others)
    count = len(rewards)
    controls = _controls(logged, [target, *others[: max(count // _ROWS_PER_CONTROL - 1, 0)]])
    weights = _ratio(target, logged)
    left, estimate, calibration = _regressed(list(map(mul, weights, rewards)), logged, controls)
    rest = fsum(left) / count
    # The estimate is a mean of rewards under calibrated weights, so its error is that of calibrated residuals
    # (Särndal, Swensson & Wretman 1989).
    error = fsum((g * (one - rest)) ** 2 for g, one in zip(calibration, left, strict=True))
    variance = error / max(count - len(controls), 1) / count
    informative = count**2 / fsum((g * weight) ** 2 for g, weight in zip(calibration, weights, strict=True))
    value = min(max(estimate + rest, 0.0), 1.0)
    low, high = _interval(value, variance, informative)
    return ValueEstimate(value, low, high, count)


def values_together(values: Sequence[ValueEstimate]) -> list[ValueEstimate]:
    """Return estimates of like things, each drawn to their mean as far as its own error and their spread say.

    Empirical Bayes (Efron & Morris 1975) with the spread between them integrated out, as for parallel experiments
    (Rubin 1981): the sum of squared errors over all of them falls, most where few rows stand behind each. Use it when
    the same is asked of many lessons or agents with independent logs. Where the values differ widely it changes
    nothing; fewer than three are returned as they are. Intervals cover on average over the values, not each by itself.
    """
    if len(values) < _TOGETHER_MIN:
        return list(values)
    variances = [((one.high - one.low) / (2 * Z_95)) ** 2 for one in values]
    fits = [_fitted([one.estimate for one in values], variances, spread) for spread in _SPREADS]
    top = max(fit.log_weight for fit in fits)
    weights = [exp(fit.log_weight - top) for fit in fits]
    total = fsum(weights)
    told: list[ValueEstimate] = []
    for index, one in enumerate(values):
        mean = fsum(weight * fit.means[index] for weight, fit in zip(weights, fits, strict=True)) / total
        square = fsum(
            weight * (fit.variances[index] + (fit.means[index] - mean) ** 2)
            for weight, fit in zip(weights, fits, strict=True)
        )
        half = Z_95 * sqrt(square / total)
        told.append(ValueEstimate(mean, max(mean - half, 0.0), min(mean + half, 1.0), one.n))
    return told


@dataclass(frozen=True, slots=True)
class _NormalFit:
    """What one spread between values makes of them, and the logarithm of how likely that spread is."""

    log_weight: float
    means: list[float]
    variances: list[float]


def _fitted(values: Sequence[float], variances: Sequence[float], spread: float) -> _NormalFit:
    """Return the posterior of normal means at one spread, their common mean integrated out under a flat prior."""
    precisions = [1 / (variance + spread**2) for variance in variances]
    whole = fsum(precisions)
    centre = fsum(map(mul, precisions, values)) / whole
    misfit = fsum(precision * (value - centre) ** 2 for precision, value in zip(precisions, values, strict=True))
    pulls = [variance * precision for variance, precision in zip(variances, precisions, strict=True)]
    return _NormalFit(
        log_weight=(fsum(map(log, precisions)) - log(whole) - misfit) / 2,
        means=[value + pull * (centre - value) for value, pull in zip(values, pulls, strict=True)],
        variances=[(1 - pull) * variance + pull**2 / whole for pull, variance in zip(pulls, variances, strict=True)],
    )


def _check(
    rewards: Sequence[float], logged: Sequence[float], target: Sequence[float], others: Sequence[Sequence[float]]
) -> None:
    if any(len(column) != len(rewards) for column in (logged, target, *others)):
        raise ValueError("rewards, logged, target and others differ in length: give one value of each per row")
    if not all(0.0 < p <= 1.0 for p in logged):
        raise ValueError("a logged propensity is not above 0 and at most 1: an action that was taken had a chance")
    if not all(0.0 <= p <= 1.0 for column in (target, *others) for p in column):
        raise ValueError("a probability under a policy is not between 0 and 1")
    if not all(0.0 <= reward <= 1.0 for reward in rewards):
        raise ValueError("a reward is not between 0 and 1: scale rewards first")
    if not any(target):
        raise ValueError("no logged action is one that the target takes: the log tells nothing of it")


def _ratio(policy: Sequence[float], logged: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(policy, logged, strict=True)]


def _dot(one: Iterable[float], other: Iterable[float], scale: Iterable[float]) -> float:
    """Return the inner product in which rows count by their propensity; the same in whatever order they come."""
    return fsum(a * b * c for a, b, c in zip(one, other, scale, strict=True))


def _controls(logged: Sequence[float], policies: Iterable[Sequence[float]]) -> list[_Control]:
    """Return orthogonal columns that span the policies' weights (Gram–Schmidt), without those that add nothing."""
    found: list[_Control] = []
    for policy in policies:
        values, mean = _ratio(policy, logged), 1.0
        whole = _dot(values, values, logged)
        for known in found:
            slope = _dot(values, known.values, logged) / known.square
            values = [value - slope * other for value, other in zip(values, known.values, strict=True)]
            mean -= slope * known.mean
        square = _dot(values, values, logged)
        if square > _DEPENDENT * whole:
            found.append(_Control(values, mean, square))
    return found


def _regressed(
    outcomes: list[float], logged: Sequence[float], controls: Iterable[_Control]
) -> tuple[list[float], float, list[float]]:
    """Return residuals of weighted rewards, the known mean of what was taken off, and each row's calibration factor.

    The mean of calibration × outcome is the estimate; factors have mean near 1.
    """
    count = len(outcomes)
    left, taken, calibration = outcomes, 0.0, [1.0] * count
    for known in controls:
        slope = _dot(left, known.values, logged) / known.square
        left = [value - slope * other for value, other in zip(left, known.values, strict=True)]
        taken += slope * known.mean
        pull = (count * known.mean - fsum(known.values)) / known.square
        calibration = [
            g + pull * p * value for g, p, value in zip(calibration, logged, known.values, strict=True)
        ]  # fmt: skip
    return left, taken, calibration


def _interval(value: float, variance: float, informative: float) -> tuple[float, float]:
    """Return the score interval (Wilson 1927) at the number of plain rows that would tell as much.

    That number is value · (1 − value) / variance (Korn & Graubard 1998), drawn towards `informative`, the rows left
    after weighting (Kish 1965): rewards that are all alike show no variance, and yet are no proof.
    """
    hidden = _UNSEEN / informative
    rows = (value * (1 - value) + hidden) / (variance + hidden / informative)
    low, high = wilson_interval(value, rows)
    return min(low, value), max(high, value)
