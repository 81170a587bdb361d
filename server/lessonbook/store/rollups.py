"""Rollups: deliveries, runs and issues counted by day and week, so that figures cost the same at any number of them.

Rows before a project's mark are in the rollups; the few after it are counted when figures are read. `roll_up` moves
the mark.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
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
    delivery_days,
    delivery_marks,
    delivery_weeks,
    in_project,
    issues,
    runs,
)

LAG: Final = timedelta(minutes=15)
"""How old a row must be to be rolled up: no transaction of its time is open then, even where a clock is late."""

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The mark of a project without rollups."""

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
"""The counts of a lesson's deliveries."""

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
    """Applications, verdicts on them, and verdicts that say prevented, by the day of the application.

    Verdicts change, so they are counted as they come, not rolled up.
    """

    applications: int = 0
    verified: int = 0
    prevented: int = 0


class ActivityDay(NamedTuple):
    """The activity of one day. `tokens` are those of lessons shown."""

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
    checked_runs: int


APPLICATIONS: Final = AppliedCounts._fields
ACTIVITY: Final = ActivityDay._fields[1:]
"""The counts of an agent's activity."""

TOLD_OF_AGENTS: Final = ("runs", "deliveries", "issues")
"""The counts of `ACTIVITY` that `activity_of_agents` tells."""

_SOURCES: Final[tuple[tuple[Table, ColumnElement[datetime], Counts], ...]] = (
    (deliveries, deliveries.c.delivered_at, _OF_DELIVERIES),
    (runs, runs.c.started_at, _OF_RUNS),
    (issues, issues.c.created_at, _OF_ISSUES),
)


def week_of(day: date) -> int:
    """Return the number of whole weeks from 1970-01-01 to `day`."""
    return (day - NEVER.date()).days // 7


def roll_up(connection: Connection, project: str, now: datetime) -> int:
    """Roll up what happened after the project's mark, one day of it at most, and move the mark.

    Returns:
        How many rollup rows were written; call again until there are none. A day that is not over is rolled up to the
        last full hour before `LAG`.
    """
    of_project = delivery_marks.c.project == project
    # The mark's row is held to the commit, so that two processes take turns.
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
        statements = _statements(dialect.name_of(connection))
        written = sum(connection.execute(statement, given).rowcount for statement in statements)
    connection.execute(update(delivery_marks).where(of_project).values(folded_before=until))
    return written


def _earliest(connection: Connection, project: str, mark: datetime) -> datetime | None:
    """Return the time of the first row that is not rolled up."""
    found = [
        connection.execute(select(func.min(moment)).where(*in_project(source, project), moment >= mark)).scalar()
        for source, moment, _ in _SOURCES
    ]
    return min((moment for moment in found if moment is not None), default=None)


@cache
def _statements(name: dialect.Dialect) -> tuple[Any, ...]:
    """Return the statements that roll up a part of one day, made once."""
    of_lesson, moment = ("agent_name", "lesson_id"), deliveries.c.delivered_at
    return (
        _adding(name, delivery_days, deliveries, moment, OF_LESSONS, by=of_lesson, period="day"),
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
    """Return the statement that adds counts of `source` to those in `target`, and keeps the latest moment."""
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
    """Add to an agent's applications of one day."""
    row = {"project": project, "agent_name": agent_name, "day": day, "last_at": now, **more._asdict()}
    connection.execute(dialect.upsert(dialect.name_of(connection), activity_days, added=APPLICATIONS), row)


def count_past_issues(connection: Connection, project: str, seen: Iterable[tuple[str, datetime]]) -> None:
    """Count issues (agent and moment) that were added behind the project's mark: no rollup will count them."""
    mark = connection.execute(_MARK.with_for_update(), {"project": project}).scalar() or NEVER
    days: dict[tuple[str, date], list[datetime]] = {}
    for agent_name, moment in seen:
        if moment < mark:
            days.setdefault((agent_name, moment.date()), []).append(moment)
    statement = dialect.upsert(dialect.name_of(connection), activity_days, added=("issues",))
    for (agent_name, day), moments in sorted(days.items()):
        row = {"project": project, "agent_name": agent_name, "day": day.isoformat(), "last_at": max(moments)}
        connection.execute(statement, {**row, "issues": len(moments)})


@cache
def activity(name: dialect.Dialect, *, of_agent: bool) -> Select[Any]:
    """Return a query of the activity by day up to now; its columns are those of `ActivityDay`.

    It takes `project`, its `mark`, `since` (a midnight), `since_day` (the same as an ISO date), and `agent` where it is
    `of_agent`.
    """
    scope: dict[str, Any] = {"agent_name": bindparam("agent")} if of_agent else {}
    rolled_up = select(*(activity_days.c[key] for key in ActivityDay._fields))
    parts = [
        rolled_up.where(
            *in_project(activity_days, bindparam("project"), **scope), activity_days.c.day >= bindparam("since_day")
        )
    ]
    for source, moment, counts in _SOURCES:
        zero: ColumnElement[int] = literal_column("0")
        date = dialect.date_of(name, moment)
        columns: list[ColumnElement[Any]] = [
            dialect.day_of(name, date).label("day"),
            *(func.coalesce(counts.get(key, zero), 0).label(key) for key in ACTIVITY),
        ]
        after_mark = (
            *in_project(source, bindparam("project"), **scope),
            behind_mark(moment),
            moment >= bindparam("since"),
        )
        parts.append(select(*columns).where(*after_mark).group_by(date))
    days = union_all(*parts).subquery()
    return select(days.c.day, *(func.sum(days.c[key]).label(key) for key in ACTIVITY)).group_by(days.c.day)


@cache
def activity_of_agents() -> CompoundSelect[Any]:
    """Return a query of each agent's activity up to now, and when the last of it was.

    It takes `project` and its `mark`. Its columns are `agent_name`, `TOLD_OF_AGENTS` and `last_at`.
    """
    rolled_up = [func.sum(activity_days.c[key]).label(key) for key in TOLD_OF_AGENTS]
    parts = [
        select(activity_days.c.agent_name, *rolled_up, func.max(activity_days.c.last_at).label("last_at"))
        .where(*in_project(activity_days, bindparam("project")))
        .group_by(activity_days.c.agent_name)
    ]
    zero: ColumnElement[int] = literal_column("0")
    for source, moment, counts in _SOURCES:
        parts.append(
            select(source.c.agent_name, *(counts.get(key, zero) for key in TOLD_OF_AGENTS), func.max(moment))
            .where(*in_project(source, bindparam("project")), behind_mark(moment))
            .group_by(source.c.agent_name)
        )
    return union_all(*parts)


def mark_of(connection: Connection, project: str) -> datetime:
    """Return the project's mark: rows from then on are not rolled up."""
    return connection.execute(_MARK, {"project": project}).scalar() or NEVER


def behind_mark(moment: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Return the condition that rows are not rolled up, for a query with the parameters `project` and `mark`.

    `mark` is what `mark_of` returned. The condition looks the mark up again, since another process may have moved it.
    The look-up alone would be enough, but PostgreSQL plans without its result, and expects a third of the table.
    """
    return and_(moment >= bindparam("mark"), moment >= _MARK.scalar_subquery())


_MARK: Final = select(delivery_marks.c.folded_before).where(delivery_marks.c.project == bindparam("project"))
