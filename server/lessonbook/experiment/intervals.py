"""Confidence intervals of shares."""

from math import sqrt
from typing import Final

Z_95: Final = 1.959963985
"""Half the width of a 95 % interval, in standard deviations of a normal distribution."""


def wilson_interval(share: float, observations: float) -> tuple[float, float]:
    """Return the 95 % score interval of a share 0..1 seen in `observations`, within 0..1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference". `observations` is above 0 and
    may be an effective number.
    """
    middle = (observations * share + Z_95**2 / 2) / (observations + Z_95**2)
    half = Z_95 / (observations + Z_95**2) * sqrt(observations * share * (1 - share) + Z_95**2 / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)
