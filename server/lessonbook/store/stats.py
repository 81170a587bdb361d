"""Queries behind the figures."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    table,
)

from lessonbook.domain.lesson import Lesson
from lessonbook.domain.operator import AgentFigures
from lessonbook.store import dialect, rollups
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.tables import (
    STATS_VIEW,
    applications,
    deliveries,
    delivery_folds,
    delivery_weeks,
    issues,
    lessons,
)
from lessonbook.store.types import Row, UtcDateTime

VIEW_COLUMNS: Final = (
    "project",
    "agent_name",
    "total_lessons",
    "active_lessons",
    "critical_lessons",
    "high_lessons",
    "medium_lessons",
    "low_lessons",
    "issues",
    "pending_issues",
    "runs",
    "deliveries",
    "applications",
    "verified",
    "prevented",
    "effectiveness",
    "effectiveness_low",
    "effectiveness_high",
)
COUNTERS: Final = ("times_applied", "times_verified", "times_prevented")
_columns: list[ColumnClause[Any]] = [column(name) for name in VIEW_COLUMNS]
_PENDING: Final[ColumnElement[str]] = literal_column(
    "'pending'"
)  # SQLite uses an index over some rows only where the text says which
_view = table(STATS_VIEW, *_columns, column("last_activity_at", UtcDateTime()))


class StatusCounts(NamedTuple):
    """Lessons of one status, and their counters added up."""

    lessons: int
    times_applied: int
    times_verified: int
    times_prevented: int


class Exposure(NamedTuple):
    """In how many runs a lesson was eligible, shown, put to the coin, and shown by it."""

    deliveries: int = 0
    shown: int = 0
    randomised: int = 0
    randomised_shown: int = 0


def by_agent(connection: Connection, project: str, agent_name: str = "") -> list[AgentFigures]:
    """Return the view's rows of a project, or of one agent, to three places."""
    query = select(_view).where(_view.c.project == project)
    if agent_name:
        query = query.where(_view.c.agent_name == agent_name)
    return [_figures(dict(row)) for row in connection.execute(query.order_by(_view.c.agent_name)).mappings()]


def _figures(row: Row) -> AgentFigures:
    moment = row["last_activity_at"]
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    # PostgreSQL's sum of sums is a NUMERIC
    told = {"deliveries": int(row["deliveries"]), "last_activity_at": moment.isoformat() if moment else None}
    return AgentFigures.model_validate(rounded | told)


def activity(
    connection: Connection, project: str, agent_name: str = "", since: datetime = rollups.NEVER
) -> list[rollups.ActivityDay]:
    """Return what was done by day, from `since` (a midnight) on."""
    wanted = _marked(connection, project)
    wanted |= {"agent": agent_name, "since": since, "since_day": since.date().isoformat()}
    rows = connection.execute(rollups.activity(dialect.name_of(connection), of_agent=bool(agent_name)), wanted)
    return [rollups.ActivityDay(day, *map(int, counts)) for day, *counts in rows]


def applied_since(connection: Connection, project: str, lesson_id: str, since: datetime) -> rollups.AppliedCounts:
    """Return the applications of a lesson since a moment, and the verdicts on them."""
    query = select(
        func.count(),
        func.count(applications.c.verdict),
        func.coalesce(func.sum(cast(applications.c.verdict, Integer)), 0),
    ).where(
        applications.c.project == project, applications.c.lesson_id == lesson_id, applications.c.applied_at >= since
    )
    applied, verified, prevented = connection.execute(query).one()
    return rollups.AppliedCounts(applied, verified, int(prevented))


def pending(connection: Connection, project: str, agent_name: str, since: datetime | None = None) -> int:
    """Return how many issues no lesson answers yet, of those reported since a moment where one is given."""
    query = select(func.count()).where(issues.c.project == project, issues.c.action == _PENDING)
    if agent_name:
        query = query.where(issues.c.agent_name == agent_name)
    if since is not None:
        query = query.where(issues.c.created_at >= since)
    return connection.execute(query).scalar_one()


def issues_of_lesson_since(connection: Connection, project: str, lesson_id: str, since: datetime) -> int:
    """Return how many issues of a lesson were reported since a moment."""
    query = select(func.count()).where(
        issues.c.project == project, issues.c.lesson_id == lesson_id, issues.c.created_at >= since
    )
    return connection.execute(query).scalar_one()


def top_recurring(connection: Connection, project: str, agent_name: str, most: int) -> list[Lesson]:
    """Return the servable lessons whose issue was seen most often, at least twice: agents read this, too."""
    conditions = [lessons.c.project == project, lessons.c.issue_count > 1, lessons.c.is_active]
    if agent_name:
        conditions.append(lessons.c.agent_name == agent_name)
    order = (lessons.c.issue_count.desc(), lessons.c.severity.desc(), lessons.c.id)
    return lesson_rows.where(connection, conditions, order, most)


def by_status(connection: Connection, project: str, agent_name: str) -> dict[str, StatusCounts]:
    """Return how many lessons have each status, and their counters added up; the index on statuses holds it all."""
    query = (
        select(
            lessons.c.status, func.count().label("lessons"), *(func.sum(lessons.c[key]).label(key) for key in COUNTERS)
        )
        .where(lessons.c.project == project)
        .group_by(lessons.c.status)
    )
    if agent_name:
        query = query.where(lessons.c.agent_name == agent_name)
    return {status: StatusCounts(*map(int, counts)) for status, *counts in connection.execute(query)}


def deliveries_of_lesson(
    connection: Connection, project: str, lesson_id: str, since: datetime = rollups.NEVER
) -> Exposure:
    """Return in how many runs a lesson was eligible, shown, and put to the coin, from `since` (a midnight) on."""
    columns = [func.coalesce(func.sum(delivery_folds.c[key]), 0) for key in rollups.OF_LESSONS]
    folded = select(*columns).where(
        delivery_folds.c.project == project,
        delivery_folds.c.lesson_id == lesson_id,
        delivery_folds.c.day >= since.date().isoformat(),
    )
    tail = select(*(func.coalesce(count, 0) for count in rollups.OF_LESSONS.values())).where(
        deliveries.c.project == bindparam("project"),
        rollups.behind_mark(deliveries.c.delivered_at),
        deliveries.c.delivered_at >= since,
        deliveries.c.lesson_id == lesson_id,
    )
    before, after = connection.execute(folded).one(), connection.execute(tail, _marked(connection, project)).one()
    return Exposure(*(int(one + other) for one, other in zip(before, after, strict=True)))


def exposures(
    connection: Connection, project: str, agent_name: str, shared: Sequence[str], since_week: int
) -> dict[str, dict[int, Exposure]]:
    """Return how often each lesson was eligible for an agent, by week from `since_week` on, up to this moment.

    Those of `shared`, lessons of all agents, are counted for all agents.
    """
    counted: dict[str, dict[int, Exposure]] = defaultdict(dict)
    mine = delivery_weeks.c.agent_name == agent_name, deliveries.c.agent_name == agent_name
    _count_exposures(connection, project, *mine, since_week, counted)
    for lesson_id in shared:
        counted[lesson_id] = exposures_of(connection, project, lesson_id, since_week)
    return counted


def exposures_of(connection: Connection, project: str, lesson_id: str, since_week: int = 0) -> dict[int, Exposure]:
    """Return how often a lesson was eligible for any agent, by week from `since_week` on, up to this moment."""
    counted: dict[str, dict[int, Exposure]] = defaultdict(dict)
    its = delivery_weeks.c.lesson_id == lesson_id, deliveries.c.lesson_id == lesson_id
    _count_exposures(connection, project, *its, since_week, counted)
    return counted[lesson_id]


def _count_exposures(
    connection: Connection,
    project: str,
    of_weeks: ColumnElement[bool],
    of_tail: ColumnElement[bool],
    since_week: int,
    counted: dict[str, dict[int, Exposure]],
) -> None:
    folded: Select[Any] = select(
        delivery_weeks.c.lesson_id, delivery_weeks.c.week, *(delivery_weeks.c[key] for key in rollups.OF_LESSONS)
    ).where(delivery_weeks.c.project == project, delivery_weeks.c.week >= since_week, of_weeks)
    tail: Select[Any] = (
        select(deliveries.c.lesson_id, func.max(deliveries.c.delivered_at), *rollups.OF_LESSONS.values())
        .where(deliveries.c.project == bindparam("project"), rollups.behind_mark(deliveries.c.delivered_at), of_tail)
        .group_by(deliveries.c.lesson_id)
    )
    for query, given in ((folded, {}), (tail, _marked(connection, project))):
        for row in connection.execute(query, given):
            lesson_id, moment, *counts = list[Any](row)
            week = moment if isinstance(moment, int) else rollups.week_of(moment.date())
            known = counted[lesson_id].get(week, Exposure())
            counted[lesson_id][week] = Exposure(*(one + int(other) for one, other in zip(known, counts, strict=True)))


def last_delivered(connection: Connection, project: str, lesson_id: str) -> datetime | None:
    """Return when a lesson was last eligible in a run."""
    folded = select(func.max(delivery_folds.c.last_delivered_at)).where(
        delivery_folds.c.project == project, delivery_folds.c.lesson_id == lesson_id
    )
    tail = select(func.max(deliveries.c.delivered_at)).where(
        deliveries.c.project == bindparam("project"),
        rollups.behind_mark(deliveries.c.delivered_at),
        deliveries.c.lesson_id == lesson_id,
    )
    found = [
        connection.execute(folded).scalar(),
        connection.execute(tail, _marked(connection, project)).scalar(),
    ]
    return max((moment for moment in found if moment is not None), default=None)


def _marked(connection: Connection, project: str) -> Row:
    """Return what a query of what is not folded takes."""
    return {"project": project, "mark": rollups.mark_of(connection, project)}
