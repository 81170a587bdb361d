"""Queries of figures: activity, lessons by status, and exposures."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
)

from lessonbook.domain.agent_figures import AgentFigures
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.domain.vocabulary import SEVERITIES
from lessonbook.store import dialect, rollups
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.tables import (
    activity_days,
    applications,
    deliveries,
    delivery_days,
    delivery_weeks,
    in_project,
    issues,
    lessons,
)
from lessonbook.store.types import Row

_PENDING: Final[ColumnElement[str]] = literal_column("'pending'")  # SQLite uses a partial index only with a literal


_NOTHING: Final[Row] = {
    name: None if name.startswith(("effectiveness", "last_")) else 0
    for name in AgentFigures.model_fields
    if name not in ("project", "agent_name")
}
_is_kept = lessons.c.status.not_in(sorted(TOMBSTONES))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


_OF_LESSONS: Final[Select[*tuple[Any, ...]]] = (
    select(
        lessons.c.agent_name,
        _count(_is_kept).label("total_lessons"),
        _count(lessons.c.is_active).label("active_lessons"),
        *(
            _count(_is_kept & (lessons.c.severity_name == severity)).label(f"{severity}_lessons")
            for severity in SEVERITIES
        ),
        func.sum(lessons.c.times_applied).label("applications"),
        func.sum(lessons.c.times_verified).label("verified"),
        func.sum(lessons.c.times_prevented).label("prevented"),
        *(
            func.avg(case((lessons.c.is_active, lessons.c[column]))).label(name)
            for name, column in {
                "effectiveness": "effectiveness_score",
                "effectiveness_low": "effect_low",
                "effectiveness_high": "effect_high",
            }.items()
        ),
        func.max(lessons.c.updated_at).label("last_activity_at"),
    )
    .where(*in_project(lessons, bindparam("project")))
    .group_by(lessons.c.agent_name)
)
_WAITING: Final[Select[str, int]] = (
    select(issues.c.agent_name, func.count())
    .where(*in_project(issues, bindparam("project")), issues.c.action == _PENDING)
    .group_by(issues.c.agent_name)
)


class StatusCounts(NamedTuple):
    """How many lessons have one status, and the sums of their counters."""

    lessons: int
    times_applied: int
    times_verified: int
    times_prevented: int


class Exposure(NamedTuple):
    """In how many runs a lesson was eligible, was shown, had a coin decide, and was shown by the coin."""

    deliveries: int = 0
    shown: int = 0
    randomised: int = 0
    randomised_shown: int = 0


def by_agent(connection: Connection, project: str, agent_name: str = "") -> list[AgentFigures]:
    """Return the view's rows of a project, or of one agent, by name; ratios to three decimal places.

    The view looks up by itself how far a project is rolled up. PostgreSQL plans before it knows, expects a third of all
    deliveries after that and reads every one of them, so here the same is asked with the mark as a value.
    """
    rows: defaultdict[str, Row] = defaultdict(lambda: dict(_NOTHING))
    for lesson_figures in connection.execute(_OF_LESSONS, {"project": project}).mappings():
        rows[lesson_figures["agent_name"]] |= lesson_figures
    for active in connection.execute(rollups.activity_of_agents(), _marked(connection, project)).mappings():
        row = rows[active["agent_name"]]
        row |= {key: row[key] + active[key] for key in rollups.TOLD_OF_AGENTS}
        row["last_activity_at"] = max(active["last_at"], row["last_activity_at"] or rollups.NEVER)
    for agent, waiting in connection.execute(_WAITING, {"project": project}):
        rows[agent]["pending_issues"] = waiting
    return [
        AgentFigures.model_validate(
            {"project": project, "agent_name": name, **{key: _figure(value) for key, value in rows[name].items()}}
        )
        for name in sorted(rows)
        if agent_name in ("", name)
    ]


def _figure(value: Any) -> Any:
    match value:
        case float():
            return round(value, 3)
        case Decimal():  # PostgreSQL's sum of sums
            return int(value)
        case datetime():
            return value.isoformat()
        case _:
            return value


def activity(
    connection: Connection, project: str, agent_name: str = "", since: datetime = rollups.NEVER
) -> list[rollups.ActivityDay]:
    """Return the activity by day, from `since` (a midnight) on."""
    wanted = _marked(connection, project)
    wanted |= {"agent": agent_name, "since": since, "since_day": since.date().isoformat()}
    rows = connection.execute(rollups.activity(dialect.name_of(connection), of_agent=bool(agent_name)), wanted)
    return [rollups.ActivityDay(day, *map(int, counts)) for day, *counts in rows]


def checked_runs(connection: Connection, project: str, agent_name: str, since: datetime) -> int:
    """Return how many runs of an agent were checked, from `since` (a midnight) on; they are counted as checks come."""
    of_days = (
        *in_project(activity_days, project, agent_name=agent_name),
        activity_days.c.day >= since.date().isoformat(),
    )
    return int(
        connection.execute(
            select(func.coalesce(func.sum(activity_days.c.checked_runs), 0)).where(*of_days)
        ).scalar_one()
    )


def applied_since(connection: Connection, project: str, lesson_id: str, since: datetime) -> rollups.AppliedCounts:
    """Return the applications of a lesson since a moment, and the verdicts on them."""
    query = select(
        func.count(),
        func.count(applications.c.verdict),
        func.coalesce(func.sum(cast(applications.c.verdict, Integer)), 0),
    ).where(*in_project(applications, project, lesson_id=lesson_id), applications.c.applied_at >= since)
    applied, verified, prevented = connection.execute(query).one()
    return rollups.AppliedCounts(applied, verified, int(prevented))


def pending(connection: Connection, project: str, agent_name: str, since: datetime | None = None) -> int:
    """Return how many issues are pending, of those reported since a moment where one is given."""
    scope = {"agent_name": agent_name} if agent_name else {}
    query = select(func.count()).where(*in_project(issues, project, **scope), issues.c.action == _PENDING)
    if since is not None:
        query = query.where(issues.c.created_at >= since)
    return connection.execute(query).scalar_one()


def issues_of_lesson_since(connection: Connection, project: str, lesson_id: str, since: datetime) -> int:
    """Return how many issues of a lesson were reported since a moment."""
    found = (*in_project(issues, project, lesson_id=lesson_id), issues.c.created_at >= since)
    return connection.execute(select(func.count()).where(*found)).scalar_one()


def top_recurring(connection: Connection, project: str, agent_name: str, most: int) -> list[Lesson]:
    """Return the lessons with the most issues, at least two; only servable ones, since agents read this as well."""
    scope = {"agent_name": agent_name} if agent_name else {}
    conditions = (*in_project(lessons, project, **scope), lessons.c.issue_count > 1, lessons.c.is_active)
    order = (lessons.c.issue_count.desc(), lessons.c.severity.desc(), lessons.c.id)
    return lesson_rows.where(connection, conditions, order, most)


def by_status(connection: Connection, project: str, agent_name: str) -> dict[str, StatusCounts]:
    """Return the counts of each status that some lesson has; the index on statuses covers the query."""
    scope = {"agent_name": agent_name} if agent_name else {}
    counts = (func.count(), *(func.sum(lessons.c[name]) for name in StatusCounts._fields[1:]))
    query = select(lessons.c.status, *counts).where(*in_project(lessons, project, **scope)).group_by(lessons.c.status)
    return {status: StatusCounts(*map(int, counts)) for status, *counts in connection.execute(query)}


def deliveries_of_lesson(
    connection: Connection, project: str, lesson_id: str, since: datetime = rollups.NEVER
) -> Exposure:
    """Return a lesson's exposure from `since` (a midnight) on."""
    columns = [func.coalesce(func.sum(delivery_days.c[key]), 0) for key in rollups.OF_LESSONS]
    of_days = (
        *in_project(delivery_days, project, lesson_id=lesson_id),
        delivery_days.c.day >= since.date().isoformat(),
    )
    tail = select(*(func.coalesce(count, 0) for count in rollups.OF_LESSONS.values())).where(
        *_after_mark(lesson_id=lesson_id), deliveries.c.delivered_at >= since
    )
    before = connection.execute(select(*columns).where(*of_days)).one()
    after = connection.execute(tail, _marked(connection, project)).one()
    return Exposure(*(int(one + other) for one, other in zip(before, after, strict=True)))


def exposures(
    connection: Connection, project: str, agent_name: str, shared: Sequence[str], since_week: int
) -> dict[str, dict[int, Exposure]]:
    """Return an agent's exposures by lesson id and week, from `since_week` (see `rollups.week_of`) up to now.

    Lessons in `shared`, which are for all agents, are counted over all agents.
    """
    counted = _exposures(connection, project, since_week, agent_name=agent_name)
    for lesson_id in shared:
        counted[lesson_id] = exposures_of(connection, project, lesson_id, since_week)
    return counted


def exposures_of(connection: Connection, project: str, lesson_id: str, since_week: int = 0) -> dict[int, Exposure]:
    """Return a lesson's exposures over all agents by week, from `since_week` up to now."""
    return _exposures(connection, project, since_week, lesson_id=lesson_id)[lesson_id]


def _exposures(
    connection: Connection, project: str, since_week: int, **scope: str
) -> defaultdict[str, dict[int, Exposure]]:
    counted: defaultdict[str, dict[int, Exposure]] = defaultdict(dict)
    rolled_up: Select[Any] = select(
        delivery_weeks.c.lesson_id, delivery_weeks.c.week, *(delivery_weeks.c[key] for key in rollups.OF_LESSONS)
    ).where(*in_project(delivery_weeks, project, **scope), delivery_weeks.c.week >= since_week)
    tail: Select[Any] = (
        select(deliveries.c.lesson_id, func.max(deliveries.c.delivered_at), *rollups.OF_LESSONS.values())
        .where(*_after_mark(**scope))
        .group_by(deliveries.c.lesson_id)
    )
    for query, given in ((rolled_up, {}), (tail, _marked(connection, project))):
        for row in connection.execute(query, given):
            lesson_id, moment, *counts = list[Any](row)
            week = moment if isinstance(moment, int) else rollups.week_of(moment.date())
            known = counted[lesson_id].get(week, Exposure())
            counted[lesson_id][week] = Exposure(*(one + int(other) for one, other in zip(known, counts, strict=True)))
    return counted


def last_delivered(connection: Connection, project: str, lesson_id: str) -> datetime | None:
    """Return when a lesson was last eligible in a run; None: never."""
    of_days = in_project(delivery_days, project, lesson_id=lesson_id)
    rolled_up = select(func.max(delivery_days.c.last_delivered_at)).where(*of_days)
    tail = select(func.max(deliveries.c.delivered_at)).where(*_after_mark(lesson_id=lesson_id))
    found = [connection.execute(rolled_up).scalar(), connection.execute(tail, _marked(connection, project)).scalar()]
    return max((moment for moment in found if moment is not None), default=None)


def _after_mark(**scope: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of deliveries that are not rolled up, for a query with the parameters of `_marked`."""
    return (*in_project(deliveries, bindparam("project"), **scope), rollups.behind_mark(deliveries.c.delivered_at))


def _marked(connection: Connection, project: str) -> Row:
    """Return the parameters of a query of rows that are not rolled up."""
    return {"project": project, "mark": rollups.mark_of(connection, project)}
