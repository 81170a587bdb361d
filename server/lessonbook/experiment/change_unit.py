"""The unit of the experiment is the change: runs that end in one check are one row, or none."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple


class Assigned(NamedTuple):
    """What the coin of one run decided on a lesson, and with which propensity."""

    shown: bool
    p_show: float


def agreed(runs: Sequence[Assigned]) -> Assigned | None:
    """Return the assignment of a change whose runs all agree, else None: a crossover.

    The propensity of m agreeing runs is that of all shown, given all agree: Πp ÷ (Πp + Π(1 − p)).
    """
    first, *others = runs
    if any(run.shown != first.shown for run in others):
        return None
    all_shown, none_shown = prod(run.p_show for run in runs), prod(1 - run.p_show for run in runs)
    return Assigned(first.shown, all_shown / (all_shown + none_shown))
