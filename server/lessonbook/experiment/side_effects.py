"""Side effects: whether more goes wrong elsewhere in changes that were shown a lesson.

The second outcome of a change is another new verified issue in it, or a failed test. Arms are compared by the
difference of their means within each propensity, so that what the coin's chance depends on cancels; inverse propensity
weights without a centre would turn unequal checking into harm.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import fsum, inf, sqrt
from operator import add
from typing import Final, NamedTuple

from lessonbook.experiment.evidence import SideCounts
from lessonbook.experiment.lift import margin

HALF_WIDTH_MAX: Final = 0.10
"""A side effect is told where its interval is at most twice as wide."""
SPREAD_MIN: Final = 0.03
"""How much the side effects of an agent's lessons differ at least, as a standard deviation."""


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


UNKNOWN: Final = SideEffect(0.0, -inf, inf, 0)
"""Without rows in both arms."""


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
        return UNKNOWN
    mean = difference / weights
    half = margin(sqrt(variance) / weights * sqrt(rows), rows)
    return SideEffect(mean, mean - half, mean + half, rows)


def of_lesson(own: SideEffect, of_agent: SideEffect, spread: float = SPREAD_MIN) -> SideEffect:
    """Return a lesson's side effect, drawn towards that of all lessons of its agent.

    The lesson's is normal around the agent's with a standard deviation of `spread` (`spread_of`); errors are half the
    half widths of both intervals, which are valid at every look. Without rows in both arms nothing is known of it.
    """
    if not of_agent.rows or not own.rows:
        return own
    around = spread**2 + _error(of_agent) ** 2
    weight = around / (around + _error(own) ** 2)
    mean = weight * own.mean + (1 - weight) * of_agent.mean
    half = 2 * sqrt(weight) * _error(own)
    return SideEffect(mean, mean - half, mean + half, own.rows)


class Pool(NamedTuple):
    """The side effect of all lessons of an agent together, and how much they differ, as a standard deviation."""

    together: SideEffect = UNKNOWN
    spread: float = SPREAD_MIN


NO_POOL: Final = Pool()
"""Nothing is known of the agent's other lessons."""


def pooled(population: Iterable[Mapping[float, SideCounts]]) -> Pool:
    """Return the side effects of an agent's lessons as a population."""
    sides = list(population)
    total: dict[float, SideCounts] = {}
    for side in sides:
        for p_show, counts in side.items():
            known = total.get(p_show, SideCounts())
            total[p_show] = SideCounts(*map(add, known, counts))
    return Pool(side_effect_of(total), spread_of(map(side_effect_of, sides)))


def shrunk(own: SideEffect, of_agent: SideEffect) -> float:
    """Return a lesson's side effect as it is ranked: the mean of `of_lesson`."""
    return of_lesson(own, of_agent).mean if own.rows else of_agent.mean


def spread_of(lessons: Iterable[SideEffect]) -> float:
    """Return how much the side effects of an agent's lessons differ beyond their errors, as a standard deviation.

    By moments (DerSimonian & Laird 1986), and at least `SPREAD_MIN`.
    """
    known = [(one.mean, 1 / _error(one) ** 2) for one in lessons if one.rows]
    total = fsum(weight for _, weight in known)
    beyond = total - fsum(weight**2 for _, weight in known) / total if known else 0.0
    if beyond <= 0:
        return SPREAD_MIN
    mean = fsum(weight * one for one, weight in known) / total
    surplus = fsum(weight * (one - mean) ** 2 for one, weight in known) - (len(known) - 1)
    return max(sqrt(max(surplus / beyond, 0.0)), SPREAD_MIN)


def _error(effect: SideEffect) -> float:
    return (effect.high - effect.low) / 4


def _spread(wrong: int, rows: int) -> float:
    """Return the variance of a share, with half a row of each outcome more, so that it is never zero."""
    share = (wrong + 0.5) / (rows + 1)
    return share * (1 - share) / rows
