"""The grid of rate ratios ρ on which effects are estimated, and the logarithms of the case split on it."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import exp, expm1, log, log1p
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


def split_logs(splits: Mapping[float, tuple[float, float]], log_rho: tuple[float, ...] = LOG_RHO) -> list[float]:
    """Return the log likelihood of every rate ratio of a grid, from events by share: (shown, withheld).

    With log P(shown | event) = log p + log ρ − log(pρ + 1 − p), and log P(withheld | event) = log(1 − p) less the same,
    it is linear in log ρ but for one term per share. Shares are above 0 and below 1.
    """
    shown_events = constant = 0.0
    logs = [0.0] * len(log_rho)
    for share, (shown, withheld) in splits.items():
        events = shown + withheld
        shown_events += shown
        constant += shown * log(share) + withheld * log1p(-share)
        logs = [sofar + events * one for sofar, one in zip(logs, _norm_logs(share, log_rho), strict=True)]
    return [constant + shown_events * one - sofar for one, sofar in zip(log_rho, logs, strict=True)]


@lru_cache(maxsize=4096)
def _norm_logs(share: float, log_rho: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(log1p(share * expm1(one)) for one in log_rho)


def normal_logs(mean: float, sd: float) -> list[float]:
    """Return the log density of N(mean, sd²) at every grid point of log ρ, up to a constant."""
    return [-0.5 * ((log_rho - mean) / sd) ** 2 for log_rho in LOG_RHO]


def normalised(log_weights: Sequence[float]) -> list[float]:
    """Return weights that sum to 1, from their logarithms."""
    top = max(log_weights)
    weights = [exp(weight - top) for weight in log_weights]
    total = sum(weights)
    return [weight / total for weight in weights]
