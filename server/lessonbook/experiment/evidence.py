"""The evidence on one lesson: counts that can be added in any order, and recomputed from the database.

A row of evidence is one lesson in one change (a run, or several runs of one branch, session or pull request) that a
routine reporter has checked. See docs/statistics.md for what is computed from these counts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import exp, log
from operator import add
from typing import Any, Final, NamedTuple, Self

PLACES: Final = 4
"""Decimal places to which propensities are logged and counted."""
SHARE_ROWS: Final = 20
"""The weight, in rows, of the logged propensity beside the share that was really shown."""
SHARE_PERIODS: Final = 13
"""The share that was really shown is that of the last periods, of which there are so many."""
_LOGIT_STEP: Final = 100
"""Shares are counted to a hundredth of their log odds."""

Split = tuple[int, int]
"""Rows or events while the lesson was shown, and while it was withheld."""


class SideCounts(NamedTuple):
    """Checked rows by arm, and those in which something else went wrong."""

    shown: int = 0
    shown_wrong: int = 0
    withheld: int = 0
    withheld_wrong: int = 0


NO_ROWS: Final = SideCounts()
"""Nothing was counted."""


@dataclass(frozen=True, slots=True)
class Period:
    """Checked rows and their events within one period of time.

    Of rows whose coin was tossed (0 < p < 1), `coins` counts rows by the propensity p that was logged, `splits` events
    by the share π that was expected (see `Evidence.share`); both take few values. `certain_rows` counts those in which
    the lesson was shown without a coin (p = 1), `certain_events` their events: they tell how often its issue comes up,
    and nothing about the effect. `applied` counts the shown rows in which the agent reported that it applied the
    lesson, `applied_events` their events. `unexplained` counts rows, with a coin or without, and those in whose change
    something went wrong that none of its lessons is about.
    """

    coins: Mapping[float, Split] = field(default_factory=dict[float, Split])
    splits: Mapping[float, Split] = field(default_factory=dict[float, Split])
    applied: int = 0
    applied_events: int = 0
    certain_rows: int = 0
    certain_events: int = 0
    unexplained: SideCounts = NO_ROWS

    def __add__(self, other: Self) -> Self:
        """Return the sum of two periods."""
        return replace(
            self,
            coins=_added(self.coins, other.coins),
            splits=_added(self.splits, other.splits),
            applied=self.applied + other.applied,
            applied_events=self.applied_events + other.applied_events,
            certain_rows=self.certain_rows + other.certain_rows,
            certain_events=self.certain_events + other.certain_events,
            unexplained=_counts_added(self.unexplained, other.unexplained),
        )

    @property
    def shown(self) -> int:
        """The number of rows in which the coin showed the lesson."""
        return sum(shown for shown, _ in self.coins.values())

    @property
    def withheld(self) -> int:
        """The number of rows in which the coin withheld the lesson."""
        return sum(withheld for _, withheld in self.coins.values())

    @property
    def events(self) -> int:
        """The number of events of rows whose coin was tossed."""
        return sum(map(sum, self.splits.values()))


@dataclass(frozen=True, slots=True)
class Evidence:
    """All evidence on one lesson.

    `periods` has rows and events by number of the period (the caller's unit, such as weeks), so that old evidence can
    be weighed less. `reporters` counts the events by who reported them, and by π. `side` counts other trouble by p.
    `certain` counts deliveries without a coin (p = 0 or 1), checked or not, which do not bear on the effect; `shown`
    counts all deliveries that were shown. `verdicts` are those of others, (prevented, not prevented). `flags` counts
    the flags on the lesson.
    `before` is what was counted before there were checks, or in an earlier experiment: it counts for nothing.
    `alarm` is the day since when the arms are unlike (see `health`), as an ISO date; empty where they are alike.
    """

    periods: Mapping[int, Period] = field(default_factory=dict[int, Period])
    reporters: Mapping[str, Mapping[float, Split]] = field(default_factory=dict[str, Mapping[float, Split]])
    side: Mapping[float, SideCounts] = field(default_factory=dict[float, SideCounts])
    certain: int = 0
    shown: int = 0
    verdicts: Split = (0, 0)
    flags: int = 0
    alarm: str = ""
    before: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def share(self, p_show: float, period: int = 0) -> float:
        """Return π: the share shown among the lesson's earlier rows of this propensity, shrunk towards it.

        Where the arms are checked unequally often, π moves with it, and a difference that depends on the arm alone
        cancels from the effect and from retirement. Without a coin (p = 1) it is 1.
        """
        if p_show >= 1:
            return 1.0
        recent = (
            self.periods[number].coins.get(round(p_show, PLACES), (0, 0))
            for number in range(period - SHARE_PERIODS + 1, period + 1)
            if number in self.periods
        )
        shown = withheld = 0
        for one, other in recent:
            shown, withheld = shown + one, withheld + other
        share = (shown + SHARE_ROWS * p_show) / (shown + withheld + SHARE_ROWS)
        odds = round(log(share / (1 - share)) * _LOGIT_STEP) / _LOGIT_STEP
        return round(1 / (1 + exp(-odds)), 6)

    def add_row(self, *, shown: bool, p_show: float, period: int = 0) -> Self:
        """Return the evidence with a row that was checked for the first time; nothing, where it could not be shown."""
        if p_show <= 0:
            return self
        known = self.periods.get(period, _NO_PERIOD)
        if p_show >= 1:
            return self._with(period, replace(known, certain_rows=known.certain_rows + shown))
        return self._with(period, replace(known, coins=_one_more(known.coins, round(p_show, PLACES), shown=shown)))

    def add_event(self, *, shown: bool, share: float, reporter: str, applied: bool = False, period: int = 0) -> Self:
        """Return the evidence with the event of a row, in the row's period.

        `share` is the row's π. The caller counts one event a row. `applied`: the agent has reported that it applied the
        lesson. The event of a row without a coin is nobody's: it bears on no effect.
        """
        known = self.periods.get(period, _NO_PERIOD)
        known = replace(known, applied_events=known.applied_events + (shown and applied))
        if share >= 1:
            return self._with(period, replace(known, certain_events=known.certain_events + 1))
        reported = _one_more(self.reporters.get(reporter, {}), share, shown=shown)
        found = self._with(period, replace(known, splits=_one_more(known.splits, share, shown=shown)))
        return replace(found, reporters={**self.reporters, reporter: reported})

    def add_application(self, *, period: int = 0, event: bool = False) -> Self:
        """Return the evidence with an agent's report that it applied the lesson, once a row.

        `event`: the row's event was counted before.
        """
        known = self.periods.get(period, _NO_PERIOD)
        more = replace(known, applied=known.applied + 1, applied_events=known.applied_events + event)
        return self._with(period, more)

    def add_side(self, *, shown: bool, p_show: float, wrong: bool, rows: int = 1) -> Self:
        """Return the evidence with a row's second outcome: whether something else went wrong in its change.

        With `rows = 0` a row that is counted already is found to have gone wrong later.
        """
        if not 0.0 < p_show < 1.0:
            return self
        more = _one_side(rows, wrong=wrong, shown=shown)
        return replace(self, side=_sides_added(self.side, {round(p_show, PLACES): more}))

    def add_unexplained(self, *, shown: bool, p_show: float, wrong: bool, period: int = 0, rows: int = 1) -> Self:
        """Return the evidence with whether something went wrong in a row's change that none of its lessons is about.

        With `rows = 0` a row that is counted already is found to have gone wrong later.
        """
        if p_show <= 0:
            return self
        known = self.periods.get(period, _NO_PERIOD)
        more = _counts_added(known.unexplained, _one_side(rows, wrong=wrong, shown=shown))
        return self._with(period, replace(known, unexplained=more))

    def _with(self, number: int, period: Period) -> Self:
        return replace(self, periods={**self.periods, number: period})

    def without_claims(self) -> Self:
        """Return the evidence without the agents' own statements: applications and flags."""
        if not self.flags and not any(period.applied for period in self.periods.values()):
            return self
        periods = {number: replace(period, applied=0, applied_events=0) for number, period in self.periods.items()}
        return replace(self, periods=periods, flags=0)

    def without_reporter(self, name: str) -> Self:
        """Return the verified events of all reporters but one, for what may not rest on it alone."""
        return replace(self, reporters={other: splits for other, splits in self.reporters.items() if other != name})

    def __add__(self, other: Self) -> Self:
        """Return the sum of evidence from two sources, such as lessons of one agent."""
        periods = dict(self.periods)
        for number, period in other.periods.items():
            periods[number] = periods[number] + period if number in periods else period
        reporters = dict(self.reporters)
        for name, splits in other.reporters.items():
            reporters[name] = _added(reporters.get(name, {}), splits)
        return replace(
            self,
            periods=periods,
            reporters=reporters,
            side=_sides_added(self.side, other.side),
            certain=self.certain + other.certain,
            shown=self.shown + other.shown,
            verdicts=(self.verdicts[0] + other.verdicts[0], self.verdicts[1] + other.verdicts[1]),
            flags=self.flags + other.flags,
            alarm=self.alarm or other.alarm,
            before=self.before or other.before,
        )

    def total(self) -> Period:
        """Return the sum of all periods."""
        return sum(self.periods.values(), start=Period())

    @property
    def coins(self) -> Mapping[float, Split]:
        """Rows by propensity, whenever they were."""
        total: Mapping[float, Split] = {}
        for period in self.periods.values():
            total = _added(total, period.coins)
        return total

    @property
    def verified(self) -> Mapping[float, Split]:
        """Events by π, whoever reported them."""
        total: Mapping[float, Split] = {}
        for splits in self.reporters.values():
            total = _added(total, splits)
        return total

    @property
    def events(self) -> int:
        """The number of events."""
        return sum(sum(map(sum, splits.values())) for splits in self.reporters.values())

    @property
    def rows(self) -> int:
        """The number of checked rows whose coin was tossed."""
        return sum(period.shown + period.withheld for period in self.periods.values())

    def to_document(self) -> dict[str, Any]:
        """Return the counts as a JSON document, without those that are zero."""
        document: dict[str, Any] = {}
        if self.periods:
            document["periods"] = {
                str(number): [_listed(period.coins), _listed(period.splits), period.applied, period.applied_events]
                for number, period in sorted(self.periods.items())
            }
        certain = {
            str(number): [period.certain_rows, period.certain_events]
            for number, period in sorted(self.periods.items())
            if period.certain_rows
        }
        if certain:
            document["certain_rows"] = certain
        unexplained = {
            str(number): list(period.unexplained)
            for number, period in sorted(self.periods.items())
            if any(period.unexplained)
        }
        if unexplained:
            document["unexplained"] = unexplained
        if self.reporters:
            document["reporters"] = {name: _listed(splits) for name, splits in sorted(self.reporters.items())}
        if self.side:
            document["side"] = [[p_show, *counts] for p_show, counts in sorted(self.side.items())]
        counts = {"certain": self.certain, "shown": self.shown, "flags": self.flags}
        document |= {name: count for name, count in counts.items() if count}
        if any(self.verdicts):
            document["verdicts"] = list(self.verdicts)
        if self.alarm:
            document["alarm"] = self.alarm
        if self.before:
            document["before"] = dict(self.before)
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the evidence that `to_document` wrote."""
        certain, unexplained = document.get("certain_rows", {}), document.get("unexplained", {})
        periods = {
            int(number): Period(
                dict(_splits(coins)),
                dict(_splits(splits)),
                applied,
                applied_events,
                *certain.get(number, (0, 0)),
                unexplained=SideCounts(*unexplained.get(number, ())),
            )
            for number, (coins, splits, applied, applied_events) in document.get("periods", {}).items()
        }
        prevented, not_prevented = document.get("verdicts", (0, 0))
        return cls(
            periods=periods,
            reporters={name: dict(_splits(rows)) for name, rows in document.get("reporters", {}).items()},
            side={p_show: SideCounts(*counts) for p_show, *counts in document.get("side", ())},
            certain=document.get("certain", 0),
            shown=document.get("shown", 0),
            verdicts=(prevented, not_prevented),
            flags=document.get("flags", 0),
            alarm=document.get("alarm", ""),
            before=document.get("before", {}),
        )


_NO_PERIOD: Final = Period()


def _one_more(splits: Mapping[float, Split], key: float, *, shown: bool) -> dict[float, Split]:
    more = dict(splits)
    known = more.get(key, (0, 0))
    more[key] = (known[0] + shown, known[1] + (not shown))
    return more


def _added(one: Mapping[float, Split], other: Mapping[float, Split]) -> dict[float, Split]:
    total = dict(one)
    for key, (shown, withheld) in other.items():
        known = total.get(key, (0, 0))
        total[key] = (known[0] + shown, known[1] + withheld)
    return total


def _sides_added(one: Mapping[float, SideCounts], other: Mapping[float, SideCounts]) -> dict[float, SideCounts]:
    total = dict(one)
    for p_show, counts in other.items():
        total[p_show] = _counts_added(total.get(p_show, SideCounts()), counts)
    return total


def _counts_added(one: SideCounts, other: SideCounts) -> SideCounts:
    return SideCounts(*map(add, one, other))


def _one_side(rows: int, *, wrong: bool, shown: bool) -> SideCounts:
    return SideCounts(rows, int(wrong), 0, 0) if shown else SideCounts(0, 0, rows, int(wrong))


def _listed(splits: Mapping[float, Split]) -> list[list[float]]:
    return [[key, *split] for key, split in sorted(splits.items())]


def _splits(rows: Any) -> Iterator[tuple[float, Split]]:
    for key, shown, withheld in rows:
        yield key, (shown, withheld)
