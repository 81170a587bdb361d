"""Side effects: whether more goes wrong elsewhere in changes that were shown a lesson.

The second outcome of a change is another new verified issue in it, or a failed test. Arms are compared by the
difference of their means within each propensity, so that what the coin's chance depends on cancels; inverse propensity
weights without a centre would turn unequal checking into harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

from lessonbook.experiment.evidence import SideCounts
from lessonbook.experiment.lift import margin

HALF_WIDTH_MAX: Final = 0.10
"""A side effect is told where its interval is at most twice as wide."""
_SHRUNK_SD: Final = 0.05
"""How much the side effects of an agent's lessons differ, as a standard deviation."""


@dataclass(frozen=True, slots=True)
class SideEffect:
    """Share of changes that go wrong elsewhere, shown less withheld: mean, 95 % interval valid at every look, rows."""

    mean: float
    low: float
    high: float
    rows: int

    @property
    def is_told(self) -> bool:
        """Whether the interval is narrow enough to tell anything."""
        return self.high - self.low <= 2 * HALF_WIDTH_MAX

    @property
    def harms(self) -> bool:
        """Whether more goes wrong with the lesson, beyond chance."""
        return self.is_told and self.low > 0


def side_effect_of(side: Mapping[float, SideCounts]) -> SideEffect:
    """Return the difference of means between the arms of checked rows, over the propensities that have both.

    A propensity weighs by what it tells, n·s·(1 − s) with s its share of shown rows. The interval is an asymptotic
    confidence sequence (see `lift`).
    """
    weights = difference = variance = 0.0
    rows = 0
    for counts in side.values():
        if not counts.shown or not counts.withheld:
            continue
        with_it, without = counts.shown_wrong / counts.shown, counts.withheld_wrong / counts.withheld
        n = counts.shown + counts.withheld
        weight = counts.shown * counts.withheld / n
        weights += weight
        difference += weight * (with_it - without)
        variance += weight**2 * (
            _spread(counts.shown_wrong, counts.shown) + _spread(counts.withheld_wrong, counts.withheld)
        )
        rows += n
    if not rows:
        return SideEffect(0.0, -inf, inf, 0)
    mean = difference / weights
    half = margin(sqrt(variance) / weights * sqrt(rows), rows)
    return SideEffect(mean, mean - half, mean + half, rows)


def shrunk(own: SideEffect, of_agent: SideEffect) -> float:
    """Return a lesson's side effect as it is ranked: its own mean, drawn towards that of all lessons of its agent."""
    if not own.rows:
        return of_agent.mean if of_agent.rows else 0.0
    error = (own.high - own.low) / 4
    own_weight = _SHRUNK_SD**2 / (_SHRUNK_SD**2 + error**2)
    return own_weight * own.mean + (1 - own_weight) * (of_agent.mean if of_agent.rows else 0.0)


def _spread(wrong: int, rows: int) -> float:
    """Return the variance of a share, with half a row of each outcome more, so that it is never zero."""
    share = (wrong + 0.5) / (rows + 1)
    return share * (1 - share) / rows
