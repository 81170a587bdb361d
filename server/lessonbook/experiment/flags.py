"""How much harm the flags on a lesson speak of."""

from collections.abc import Iterable, Sequence
from math import log
from typing import Final

from lessonbook.experiment.grid import normalised
from lessonbook.experiment.mixture import fit_mixture

RATES: Final = tuple(0.001 * 200 ** (index / 13) for index in range(14))
"""Rates at which a lesson may be flagged, per showing: from 0.1 % to 20 %."""
USUAL: Final = 0.005
USUAL_SPREAD: Final = 0.7
SUSPECT_FROM: Final = 0.012
SUSPECT_TO: Final = 0.08
SUSPECT_SHARE: Final = 0.1

_ROUNDS: Final = 3
_TOLERANCE: Final = 1.3
_USUAL_MAX: Final = 0.02


def _default() -> tuple[float, ...]:
    usual = normalised([-0.5 * (log(rate / USUAL) / USUAL_SPREAD) ** 2 for rate in RATES])
    suspect = sum(SUSPECT_FROM < rate < SUSPECT_TO for rate in RATES)
    return tuple(
        (1 - SUSPECT_SHARE) * weight + SUSPECT_SHARE * (SUSPECT_FROM < rate < SUSPECT_TO) / suspect
        for rate, weight in zip(RATES, usual, strict=True)
    )


RATE_WEIGHTS: Final = _default()
"""Before anything is known: most lessons are flagged by mistake now and then, one in ten does harm."""


def posterior(flags: int, showings: int, weights: Sequence[float]) -> list[float]:
    """Return the probabilities of `RATES` for a lesson with so many flags in so many showings (Poisson)."""
    logs = (log(weight) + flags * log(rate) - showings * rate for weight, rate in zip(weights, RATES, strict=True))
    return normalised(list(logs))


def fitted(population: Iterable[tuple[int, int]]) -> tuple[float, ...]:
    """Return the probabilities of `RATES` in a population of (flags, showings): expectation maximisation."""
    logs = [[flags * log(rate) - showings * rate for rate in RATES] for flags, showings in population if showings]
    return fit_mixture(logs, RATE_WEIGHTS, _ROUNDS)


def excess(weights: Sequence[float]) -> list[float]:
    """Return for each of `RATES` how far it lies above what is usual: the population's median, and a little more."""
    below, usual = 0.0, RATES[0]
    for rate, weight in zip(RATES, weights, strict=True):
        below += weight
        usual = rate
        if below >= 0.5:  # noqa: PLR2004  # the median
            break
    return [max(rate - _TOLERANCE * min(usual, _USUAL_MAX), 0.0) for rate in RATES]
