"""The grid of rate ratios ρ on which effects are estimated, and the logarithms of the case split on it."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, log, log1p
from typing import Final

GRID_POINTS: Final = 31
RHO_MIN: Final = 0.15
RHO_MAX: Final = 4.0
STEP: Final = (log(RHO_MAX) - log(RHO_MIN)) / (GRID_POINTS - 1)
LOG_RHO: Final = tuple(log(RHO_MIN) + index * STEP for index in range(GRID_POINTS))
RHO: Final = tuple(exp(log_rho) for log_rho in LOG_RHO)


def shown_share(p_show: float, rho: float) -> float:
    """Return P(shown | event) = pρ / (pρ + 1 − p): the case split of vaccine trials (Dragalin et al. 2002)."""
    return p_show * rho / (p_show * rho + 1 - p_show)


@lru_cache(maxsize=4096)
def split_logs(p_show: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return log P(shown | event) and log P(withheld | event) at every grid point, for 0 < p_show < 1."""
    shares = [shown_share(p_show, rho) for rho in RHO]
    return tuple(log(share) for share in shares), tuple(log1p(-share) for share in shares)


def normal_logs(mean: float, sd: float) -> list[float]:
    """Return the log density of N(mean, sd²) at every grid point of log ρ, up to a constant."""
    return [-0.5 * ((log_rho - mean) / sd) ** 2 for log_rho in LOG_RHO]


def normalised(log_weights: Sequence[float]) -> list[float]:
    """Return weights that sum to 1, from their logarithms."""
    top = max(log_weights)
    weights = [exp(weight - top) for weight in log_weights]
    total = sum(weights)
    return [weight / total for weight in weights]
