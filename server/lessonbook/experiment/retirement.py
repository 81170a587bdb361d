"""Retirement with a guarantee: an e-process against the hypothesis that the lesson cuts its issue's rate.

H₀: ρ ≤ 0.85. With the propensities of the coins, by Ville's inequality the probability that the e-value ever reaches
1/α under H₀ is at most α, at any number of looks (Turner, Ly & Grünwald 2024, "Generic E-variables for exact sequential
k-sample tests"; Howard & Ramdas 2021). The mean of several e-processes is an e-process.

The shares π (`Evidence.share`) take the place of the propensities, so that arms that are checked unequally often do not
retire a good lesson; with them the bound is one that simulations show (`python -m bench learning --grid`), not exact.
"""

from math import exp, fsum, log
from typing import Final

from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.rho_grid import split_logs

RHO_NULL: Final = 0.85
"""Lessons with at most this rate ratio cut their issue by 15 % or more, and are retired with probability ≤ `ALPHA`."""
RHO_BAD: Final = (1.0, 1.2, 1.5, 2.0, 3.0)
ALPHA: Final = 0.01

_LOGS: Final = tuple(map(log, (RHO_NULL, *RHO_BAD)))
_EXP_MAX: Final = 700.0


def e_value(evidence: Evidence) -> float:
    """Return the evidence against H₀: the mean over `RHO_BAD` of likelihood ratios, from verified events only."""
    null, *bad = split_logs(evidence.verified, _LOGS)
    return fsum(exp(min(one - null, _EXP_MAX)) for one in bad) / len(bad)
