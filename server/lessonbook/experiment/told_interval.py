"""The interval of a lesson's effect that is told: valid at every look.

The rate ratios that a prior and its posterior do not tell apart by a factor of 20 (Waudby-Smith & Ramdas 2020,
"Confidence sequences for sampling without replacement", section 3; Robbins 1970): for each ρ, the ratio of the
likelihood averaged over the prior to that of ρ has expectation one where ρ is true, so by Ville's inequality it reaches
1/α at any time with probability at most α.
"""

from collections.abc import Mapping
from math import exp, log
from typing import Final

from lessonbook.experiment.evidence import Split
from lessonbook.experiment.rho_grid import split_logs

ALPHA: Final = 0.05
RHO_LEAST: Final = 0.05
RHO_MOST: Final = 20.0
POINTS: Final = 121
_MEAN: Final = -0.2
_SD: Final = 0.7
"""The prior of log ρ. It decides how wide intervals are, and not how often they hold."""

_STEP: Final = (log(RHO_MOST) - log(RHO_LEAST)) / (POINTS - 1)
_LOGS: Final = tuple(log(RHO_LEAST) + index * _STEP for index in range(POINTS))
_RATIOS: Final = (0.0, *(exp(one) for one in _LOGS), RHO_MOST)
"""The grid with an end at each side: where its last point is not refuted, neither is what is beyond it."""
_DENSITIES: Final = tuple(exp(-0.5 * ((one - _MEAN) / _SD) ** 2) for one in _LOGS)
WEIGHTS: Final = tuple(density / sum(_DENSITIES) for density in _DENSITIES)


def told_ratios(splits: Mapping[float, Split]) -> tuple[float, float]:
    """Return the lowest and highest rate ratio ρ that the events leave possible, at every look in 95 % of lives.

    Args:
        splits: events by expected share π: (shown, withheld).
    """
    logs = split_logs(splits, _LOGS)
    top = max(logs)
    average = top + log(sum(weight * exp(one - top) for weight, one in zip(WEIGHTS, logs, strict=True)))
    possible = [index for index, one in enumerate(logs) if average - one < -log(ALPHA)]
    return _RATIOS[possible[0]], _RATIOS[possible[-1] + 2]  # a point further out: ρ may lie between two
