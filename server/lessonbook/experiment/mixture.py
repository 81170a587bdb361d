"""Distributions on a grid: their update by likelihoods, and a population's by expectation maximisation."""

from collections.abc import Sequence
from math import exp, log
from typing import Final

from lessonbook.experiment.rho_grid import normalised

_PRIOR_LESSONS: Final = 8.0
"""The weight, in lessons, of the starting distribution beside the population."""
_TINY: Final = 1e-300


def fit_mixture(logs: Sequence[Sequence[float]], start: Sequence[float], rounds: int) -> tuple[float, ...]:
    """Return the probabilities of the grid's points in a population, from `start`, which counts as a few lessons.

    `logs` has a row of log likelihoods at the points for each lesson. The nonparametric maximum likelihood estimate
    (Laird 1978), kept smooth by `start` and by stopping after `rounds` rounds.
    """
    likelihoods = [[exp(one - top) for one in row] for row in logs for top in (max(row),)]
    weights = list(start)
    for _ in range(rounds):
        sums = [_PRIOR_LESSONS * weight for weight in start]
        for row in likelihoods:
            joint = [weight * one for weight, one in zip(weights, row, strict=True)]
            scale = 1 / sum(joint)
            sums = [total + scale * one for total, one in zip(sums, joint, strict=True)]
        total = sum(sums)
        weights = [one / total for one in sums]
    return tuple(weights)


def log_mean(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Return the logarithm of a mean of likelihoods, given as logarithms, over a grid whose points have `weights`."""
    top = max(logs)
    return top + log(sum(weight * exp(one - top) for weight, one in zip(weights, logs, strict=True)))


def posterior(weights: Sequence[float], logs: Sequence[float]) -> list[float]:
    """Return the probabilities of the grid's points after evidence with these log likelihoods; before it, `weights`."""
    return normalised([log(max(weight, _TINY)) + one for weight, one in zip(weights, logs, strict=True)])
