"""The evidence on one lesson: counts that can be added in any order, and recomputed from the database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

PLACES: Final = 4
"""Decimal places to which propensities are logged and counted."""

Split = tuple[int, int]
"""Events while the lesson was shown, and while it was withheld."""


@dataclass(frozen=True, slots=True)
class Period:
    """Randomised exposures (0 < p < 1) and their events within one period of time.

    `splits` counts events by propensity, which takes few values. `applied` counts the shown exposures in which the
    agent reported that it applied the lesson, `applied_events` their events.
    """

    shown: int = 0
    withheld: int = 0
    applied: int = 0
    applied_events: int = 0
    splits: Mapping[float, Split] = field(default_factory=dict[float, Split])

    def __add__(self, other: Self) -> Self:
        """Return the sum of two periods."""
        return replace(
            self,
            shown=self.shown + other.shown,
            withheld=self.withheld + other.withheld,
            applied=self.applied + other.applied,
            applied_events=self.applied_events + other.applied_events,
            splits=_added(self.splits, other.splits),
        )

    @property
    def events(self) -> int:
        """The number of events."""
        return sum(map(sum, self.splits.values()))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All evidence on one lesson.

    `periods` has exposures and events by number of the period (the caller's unit, such as weeks), so that old evidence
    can be weighed less. `verified` counts verified events by propensity, over the lesson's life. `certain` counts
    exposures without a coin (p = 0 or 1), which do not bear on the effect. `shown` counts all exposures that were
    shown; `verdicts` are verified ones, (prevented, not prevented); `flags` counts the flags on the lesson.
    """

    periods: Mapping[int, Period] = field(default_factory=dict[int, Period])
    verified: Mapping[float, Split] = field(default_factory=dict[float, Split])
    certain: int = 0
    shown: int = 0
    verdicts: Split = (0, 0)
    flags: int = 0

    def add_application(self, *, p_show: float, period: int = 0, event: bool = False) -> Self:
        """Return the evidence with an agent's report that it applied the lesson, once per run.

        `event`: the run's event was counted before.
        """
        if not 0.0 < p_show < 1.0:
            return self
        return replace(self, periods=self._with(period, Period(applied=1, applied_events=int(event))))

    def add_event(self, *, shown: bool, p_show: float, verified: bool, applied: bool = False, period: int = 0) -> Self:
        """Return the evidence with an event in the period of its run.

        The caller counts one event per run and lesson. `applied`: the agent has reported that it applied the lesson.
        """
        if not 0.0 < p_show < 1.0:
            return self
        splits = {round(p_show, PLACES): (int(shown), int(not shown))}
        periods = self._with(period, Period(applied_events=int(shown and applied), splits=splits))
        if not verified:
            return replace(self, periods=periods)
        return replace(self, periods=periods, verified=_added(self.verified, splits))

    def without_claims(self) -> Self:
        """Return the evidence without the agents' own statements: applications and flags."""
        periods = {number: replace(period, applied=0, applied_events=0) for number, period in self.periods.items()}
        return replace(self, periods=periods, flags=0)

    def __add__(self, other: Self) -> Self:
        """Return the sum of evidence from two sources, such as events and rollups of exposures."""
        summed = self
        for number, period in other.periods.items():
            summed = replace(summed, periods=summed._with(number, period))
        return replace(
            summed,
            verified=_added(self.verified, other.verified),
            certain=self.certain + other.certain,
            shown=self.shown + other.shown,
            verdicts=(self.verdicts[0] + other.verdicts[0], self.verdicts[1] + other.verdicts[1]),
            flags=self.flags + other.flags,
        )

    def total(self) -> Period:
        """Return the sum of all periods."""
        return sum(self.periods.values(), start=Period())

    @property
    def events(self) -> int:
        """The number of events of randomised exposures, declared or verified."""
        return sum(period.events for period in self.periods.values())

    def to_document(self) -> dict[str, Any]:
        """Return the counts as a JSON document, without those that are zero."""
        document: dict[str, Any] = {}
        if self.periods:
            document["periods"] = {
                str(number): [
                    *(period.shown, period.withheld, period.applied, period.applied_events),
                    _rows(period.splits),
                ]
                for number, period in sorted(self.periods.items())
            }
        if self.verified:
            document["verified"] = _rows(self.verified)
        counts = {"certain": self.certain, "shown": self.shown, "flags": self.flags}
        document |= {name: count for name, count in counts.items() if count}
        if any(self.verdicts):
            document["verdicts"] = list(self.verdicts)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the evidence that `to_document` wrote."""
        periods = {
            int(number): Period(shown, withheld, applied, applied_events, dict(_split(rows)))
            for number, (shown, withheld, applied, applied_events, rows) in document.get("periods", {}).items()
        }
        return cls(
            periods=periods,
            verified=dict(_split(document.get("verified", ()))),
            certain=document.get("certain", 0),
            shown=document.get("shown", 0),
            verdicts=_pair(document.get("verdicts", (0, 0))),
            flags=document.get("flags", 0),
        )

    def _with(self, number: int, more: Period) -> dict[int, Period]:
        periods = dict(self.periods)
        periods[number] = periods[number] + more if number in periods else more
        return periods


def _added(one: Mapping[float, Split], other: Mapping[float, Split]) -> dict[float, Split]:
    total = dict(one)
    for p_show, (shown, withheld) in other.items():
        known = total.get(p_show, (0, 0))
        total[p_show] = (known[0] + shown, known[1] + withheld)
    return total


def _rows(splits: Mapping[float, Split]) -> list[list[float]]:
    return [[p_show, *split] for p_show, split in sorted(splits.items())]


def _split(rows: Any) -> Iterator[tuple[float, Split]]:
    for p_show, shown, withheld in rows:
        yield p_show, (shown, withheld)


def _pair(counts: Any) -> Split:
    prevented, not_prevented = counts
    return prevented, not_prevented
