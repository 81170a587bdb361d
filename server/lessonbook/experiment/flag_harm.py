"""The harm that the flags on a lesson suggest."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from math import log
from typing import Final

from lessonbook.experiment.mixture import fit_mixture
from lessonbook.experiment.rho_grid import normalised

RATES: Final = tuple(0.001 * 200 ** (index / 13) for index in range(14))
"""Rates at which a lesson may be flagged, in flags per showing: from 0.1 % to 20 %."""
_LOG_RATES: Final = tuple(map(log, RATES))
USUAL: Final = 0.005
USUAL_SPREAD: Final = 0.7
SUSPECT_FROM: Final = 0.012
SUSPECT_TO: Final = 0.08
SUSPECT_SHARE: Final = 0.1

ISSUES_PER_FLAG: Final = 4.0
"""How many average issues stand behind a flag beyond the usual ones."""

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
"""The prior probabilities of `RATES`: most lessons are flagged by mistake now and then, one in ten does harm."""


def posterior(flags: int, showings: int, weights: Sequence[float]) -> list[float]:
    """Return the probabilities of `RATES` after `flags` in `showings`, which are Poisson; `weights` are the prior's."""
    rows = zip(weights, RATES, _LOG_RATES, strict=True)
    return normalised([log(weight) + flags * log_rate - showings * rate for weight, rate, log_rate in rows])


def fitted(population: Iterable[tuple[int, int]]) -> tuple[float, ...]:
    """Return the probabilities of `RATES` in a population of (flags, showings), by expectation maximisation."""
    rates = tuple(zip(RATES, _LOG_RATES, strict=True))
    logs = [
        [flags * log_rate - showings * rate for rate, log_rate in rates] for flags, showings in population if showings
    ]
    return fit_mixture(logs, RATE_WEIGHTS, _ROUNDS)


@lru_cache(maxsize=64)
def harms(weights: tuple[float, ...]) -> tuple[float, ...]:
    """Return the harm behind each of `RATES`, in average issues per showing.

    It is of flags above the usual rate: 1.3 times the population's median, at most 2.6 %.
    """
    totals = zip(RATES, accumulate(weights), strict=True)
    median = next((rate for rate, total in totals if total >= 0.5), RATES[-1])  # noqa: PLR2004  # the median
    return tuple(ISSUES_PER_FLAG * max(rate - _TOLERANCE * min(median, _USUAL_MAX), 0.0) for rate in RATES)
