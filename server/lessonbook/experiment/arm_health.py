"""Whether the arms of an experiment are alike: do checked rows come back as often as their coins say?

H₀: z ~ Bernoulli(p), with p fixed before the coin. A test by betting (Shafer 2021, "Testing by betting"; Ramdas,
Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference"): each factor has expectation
one under H₀, so by Ville's inequality the e-value reaches 1,000 in at most one healthy life in a thousand, however
often it is looked at.
"""

from collections.abc import Mapping
from math import exp, fsum, log
from typing import Final

from lessonbook.experiment.evidence import Split
from lessonbook.experiment.rho_grid import shown_share

RATIOS: Final = (1 / 2, 1 / 1.25, 1.25, 2.0)
"""How many times as often a shown row may come back as a withheld one."""
ALARM: Final = 1_000.0
CROSSOVERS_MAX: Final = 0.1
"""The share of changes whose runs disagree from which an experiment is unhealthy."""
_EXP_MAX: Final = 700.0


def health_e_value(coins: Mapping[float, Split]) -> float:
    """Return the evidence that arms come back unequally often, from checked rows by the propensity logged for them.

    Args:
        coins: checked rows by p, 0 < p < 1: (shown, withheld).
    """
    bets = (fsum(_log_factor(p_show, split, ratio) for p_show, split in coins.items()) for ratio in RATIOS)
    return fsum(exp(min(bet, _EXP_MAX)) for bet in bets) / len(RATIOS)


def is_unhealthy(coins: Mapping[float, Split]) -> bool:
    """Return whether the alarm is raised: nothing may be concluded from these rows."""
    return health_e_value(coins) >= ALARM


def assigned_risk(assigned: int, checked: int, events: int) -> tuple[float, float]:
    """Return the least and the greatest share of an arm's assigned rows with an event (Manski 1989).

    Where a lesson changes how often runs come back, risks among checked rows are not comparable. These bounds are: in
    the one no unchecked row has an event, in the other each has.

    Args:
        assigned: rows of the arm for which a coin was tossed, ≥ `checked` and > 0.
        checked: those that a routine reporter has checked.
        events: checked rows with an event.
    """
    return events / assigned, (events + assigned - checked) / assigned


def _log_factor(p_show: float, split: Split, ratio: float) -> float:
    share = shown_share(p_show, ratio)
    shown, withheld = split
    return shown * log(share / p_show) + withheld * log((1 - share) / (1 - p_show))
