"""Deliveries, runs and issues counted by day and week, so that figures cost the same however much was delivered.

Up to a project's mark everything is counted; what came after it is few, and counted one by one. Folding moves the mark.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    union_all,
    update,
)

from lessonbook.store import dialect
from lessonbook.store.tables import (
    activity_days,
    deliveries,
    delivery_folds,
    delivery_marks,
    delivery_weeks,
    issues,
    runs,
)

LAG: Final = timedelta(minutes=15)
"""A row is counted once no transaction of its time can still be open, even in a replica whose clock is late."""

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The mark of a project of which nothing was counted yet."""

Counts = Mapping[str, ColumnElement[int]]

_SHOWN: Final = cast(deliveries.c.shown, Integer)
_TOSSED: Final = case((deliveries.c.exempt, 0), else_=1)
_TOSSED_AND_SHOWN: Final = case((deliveries.c.exempt, 0), else_=_SHOWN)
_MEASURED: Final = case((runs.c.p_holdout > 0, 1), else_=0)

OF_LESSONS: Final[Counts] = {
    "deliveries": func.count(),
    "shown": func.sum(_SHOWN),
    "randomised": func.sum(_TOSSED),
    "randomised_shown": func.sum(_TOSSED_AND_SHOWN),
}
"""What is counted of a lesson's deliveries."""

_OF_DELIVERIES: Final[Counts] = {
    "deliveries": func.count(),
    "shown": func.sum(_SHOWN),
    "withheld": func.sum(_TOSSED - _TOSSED_AND_SHOWN),
    "tokens": func.sum(case((deliveries.c.shown, deliveries.c.tokens), else_=0)),
}
_OF_RUNS: Final[Counts] = {
    "runs": func.count(),
    "measured_runs": func.sum(_MEASURED),
    "held_out_runs": func.sum(_MEASURED * cast(runs.c.holdout, Integer)),
}
_OF_ISSUES: Final[Counts] = {"issues": func.count()}


class AppliedCounts(NamedTuple):
    """Applications, the verdicts on them, and those that say prevented, by the day of the application.

    Verdicts change, so they are counted as they come.
    """

    applications: int = 0
    verified: int = 0
    prevented: int = 0


class ActivityDay(NamedTuple):
    """What was done on one day."""

    day: str
    runs: int
    measured_runs: int
    held_out_runs: int
    deliveries: int
    shown: int
    withheld: int
    tokens: int
    issues: int
    applications: int
    verified: int
    prevented: int


APPLICATIONS: Final = AppliedCounts._fields
ACTIVITY: Final = (*_OF_RUNS, *_OF_DELIVERIES, *_OF_ISSUES, *APPLICATIONS)
"""What is counted of an agent's activity."""

_SOURCES: Final[tuple[tuple[Table, ColumnElement[datetime], Counts], ...]] = (
    (deliveries, deliveries.c.delivered_at, _OF_DELIVERIES),
    (runs, runs.c.started_at, _OF_RUNS),
    (issues, issues.c.created_at, _OF_ISSUES),
)


def week_of(day: date) -> int:
    """Return the number of whole weeks from 1970-01-01 to `day`."""
    return (day - NEVER.date()).days // 7


def roll_up(connection: Connection, project: str, now: datetime) -> int:
    """Count what happened after the project's mark, one day of it at most, and move the mark.

    Returns:
        How many counts were written; call again until there are none. A day that is not over is counted up to the last
        full hour before `LAG`.
    """
    of_project = delivery_marks.c.project == project
    # The mark's row is held to the commit: two processes that keep up at once take turns.
    mark = connection.execute(select(delivery_marks.c.folded_before).where(of_project).with_for_update()).scalar()
    until = (now - LAG).replace(minute=0, second=0, microsecond=0)
    if mark is None or mark >= until:
        return 0
    written = 0
    begin = _earliest(connection, project, mark)
    if begin is not None and begin < until:
        midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        until = min(until, midnight + timedelta(days=1))
        day = midnight.date()
        given = {"project": project, "begin": begin, "until": until, "day": day.isoformat(), "week": week_of(day)}
        written = sum(connection.execute(statement, given).rowcount for statement in _folding(connection))
    connection.execute(update(delivery_marks).where(of_project).values(folded_before=until))
    return written


def _earliest(connection: Connection, project: str, mark: datetime) -> datetime | None:
    """Return when the first thing after the mark happened."""
    found = [
        connection.execute(select(func.min(moment)).where(source.c.project == project, moment >= mark)).scalar()
        for source, moment, _ in _SOURCES
    ]
    return min((moment for moment in found if moment is not None), default=None)


def _folding(connection: Connection) -> tuple[Any, ...]:
    return _statements(dialect.name_of(connection))


@cache
def _statements(name: dialect.Dialect) -> tuple[Any, ...]:
    """Return the statements that add a stretch of one day to the counts, made once."""
    of_lesson, moment = ("agent_name", "lesson_id"), deliveries.c.delivered_at
    return (
        _adding(name, delivery_folds, deliveries, moment, OF_LESSONS, by=of_lesson, period="day"),
        _adding(name, delivery_weeks, deliveries, moment, OF_LESSONS, by=of_lesson, period="week"),
        *(
            _adding(name, activity_days, source, moment, counts, by=("agent_name",), period="day")
            for source, moment, counts in _SOURCES
        ),
    )


def _adding(
    name: dialect.Dialect,
    target: Table,
    source: Table,
    moment: ColumnElement[datetime],
    counts: Counts,
    *,
    by: tuple[str, ...],
    period: str,
) -> Any:
    """Return the statement that adds counts of `source` to those in `target`: sums add up, the last moment stays."""
    last = "last_delivered_at" if "last_delivered_at" in target.c else "last_at"
    groups = [source.c[key] for key in by]
    counted = (
        select(
            bindparam("project", type_=target.c.project.type),
            *groups,
            bindparam(period, type_=target.c[period].type),
            *(func.coalesce(count, 0) for count in counts.values()),
            func.max(moment),
        )
        .where(source.c.project == bindparam("project"), moment >= bindparam("begin"), moment < bindparam("until"))
        .group_by(*groups)
    )
    return dialect.upsert(name, target, keys=("project", *by, period), added=tuple(counts), latest=last, chosen=counted)


def count_applications(
    connection: Connection, project: str, agent_name: str, day: str, more: AppliedCounts, now: datetime
) -> None:
    """Add to what was applied on an agent's day."""
    row = {"project": project, "agent_name": agent_name, "day": day, "last_at": now, **more._asdict()}
    connection.execute(dialect.upsert(dialect.name_of(connection), activity_days, added=APPLICATIONS), row)


@cache
def activity(name: dialect.Dialect, *, of_agent: bool) -> Select[Any]:
    """Return a query of what was done by day, up to this moment.

    It takes `project`, its `mark`, `since` (a midnight) and `since_day` (the same, as a date), and `agent` where it is
    `of_agent`. Its columns are day, and those of `ACTIVITY`.
    """
    folded = select(activity_days.c.day, *(activity_days.c[key] for key in ACTIVITY)).where(
        activity_days.c.project == bindparam("project"), activity_days.c.day >= bindparam("since_day")
    )
    parts = [folded.where(activity_days.c.agent_name == bindparam("agent")) if of_agent else folded]
    for source, moment, counts in _SOURCES:
        zero: ColumnElement[int] = literal_column("0")
        date = dialect.date_of(name, moment)
        columns: list[ColumnElement[Any]] = [
            dialect.day_of(name, date).label("day"),
            *(func.coalesce(counts.get(key, zero), 0).label(key) for key in ACTIVITY),
        ]
        tail: Select[Any] = (
            select(*columns)
            .where(source.c.project == bindparam("project"), behind_mark(moment), moment >= bindparam("since"))
            .group_by(date)
        )
        parts.append(tail.where(source.c.agent_name == bindparam("agent")) if of_agent else tail)
    days = union_all(*parts).subquery()
    return select(days.c.day, *(func.sum(days.c[key]).label(key) for key in ACTIVITY)).group_by(days.c.day)


def mark_of(connection: Connection, project: str) -> datetime:
    """Return the project's mark: what comes after it is not folded."""
    return connection.execute(_MARK, {"project": project}).scalar() or NEVER


def behind_mark(moment: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return that something is not folded, in a query that takes `project` and `mark`, which `mark_of` returned.

    The mark is looked up again, since another process may have moved it. Given alone that would do, but PostgreSQL,
    which plans before it looks, would take it for a third of the table.
    """
    return and_(moment >= bindparam("mark"), moment >= _MARK.scalar_subquery())


_MARK: Final = select(delivery_marks.c.folded_before).where(delivery_marks.c.project == bindparam("project"))
