"""Retirement with a guarantee: an e-process against the hypothesis that the lesson cuts its issue's rate.

H₀: ρ ≤ 0.85. With the propensities of the coins, by Ville's inequality the probability that the e-value ever reaches
1/α under H₀ is at most α, at any number of looks (Turner, Ly & Grünwald 2024, "Generic E-variables for exact sequential
k-sample tests"; Howard & Ramdas 2021). The mean of several e-processes is an e-process.

The shares π (`Evidence.share`) take the place of the propensities, so that arms that are checked unequally often do not
retire a good lesson; with them the bound is one that simulations show (`python -m bench learning --grid`), not exact.
"""

from collections.abc import Mapping
from math import exp, fsum, log
from typing import Final

from lessonbook.experiment.evidence import Evidence, Split
from lessonbook.experiment.grid import shown_share

RHO_NULL: Final = 0.85
"""Lessons with at most this rate ratio cut their issue by 15 % or more, and are retired with probability ≤ `ALPHA`."""
RHO_BAD: Final = (1.0, 1.2, 1.5, 2.0, 3.0)
ALPHA: Final = 0.01

_EXP_MAX: Final = 700.0


def e_value(evidence: Evidence) -> float:
    """Return the evidence against H₀: the mean over `RHO_BAD` of likelihood ratios, from verified events only."""
    splits = evidence.verified
    return fsum(exp(min(_log_ratio(splits, rho), _EXP_MAX)) for rho in RHO_BAD) / len(RHO_BAD)


def _log_ratio(splits: Mapping[float, Split], rho: float) -> float:
    total = 0.0
    for share, (shown, withheld) in splits.items():
        null, bad = shown_share(share, RHO_NULL), shown_share(share, rho)
        total += shown * log(bad / null) + withheld * log((1 - bad) / (1 - null))
    return total
