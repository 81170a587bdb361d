"""Queries behind the figures."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnClause, ColumnElement, Connection, Table, case, column, func, select, table

from lessonbook.models.lesson import Lesson
from lessonbook.models.vocabulary import SERVABLE
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.tables import (
    STATS_VIEW,
    applications,
    deliveries,
    delivery_folds,
    delivery_marks,
    issues,
    lessons,
    runs,
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
_columns: list[ColumnClause[Any]] = [column(name) for name in VIEW_COLUMNS]
_view = table(STATS_VIEW, *_columns, column("last_activity_at", UtcDateTime()))


def by_agent(connection: Connection, project: str, agent_name: str = "") -> list[Row]:
    """Return the view's rows of a project, or of one agent."""
    query = select(_view).where(_view.c.project == project)
    if agent_name:
        query = query.where(_view.c.agent_name == agent_name)
    rows = connection.execute(query.order_by(_view.c.agent_name)).mappings()
    return [{**row, "deliveries": int(row["deliveries"])} for row in rows]  # PostgreSQL's sum of sums is a NUMERIC


def counted_since(connection: Connection, project: str, agent_name: str, lesson_id: str, since: datetime) -> Row:
    """Return counts of evidence since a moment, of one agent or lesson where named."""

    def count(source: Table, moment: ColumnElement[datetime], *conditions: ColumnElement[bool]) -> int:
        query = (
            select(func.count()).select_from(source).where(source.c.project == project, moment >= since, *conditions)
        )
        if agent_name:
            query = query.where(source.c.agent_name == agent_name)
        if lesson_id:
            query = query.where(source.c.lesson_id == lesson_id)
        return connection.execute(query).scalar_one()

    delivered, applied = deliveries.c.delivered_at, applications.c.applied_at
    return {
        "issues": count(issues, issues.c.created_at),
        "pending": count(issues, issues.c.created_at, issues.c.action == "pending"),
        "runs": count(deliveries, delivered) if lesson_id else count(runs, runs.c.started_at),
        "deliveries": count(deliveries, delivered),
        "applications": count(applications, applied),
        "verified": count(applications, applied, applications.c.verdict.is_not(None)),
        "prevented": count(applications, applied, applications.c.verdict.is_(True)),
    }


def top_recurring(connection: Connection, project: str, agent_name: str, most: int) -> list[Lesson]:
    """Return the servable lessons whose issue was seen most often, at least twice: agents read this, too."""
    conditions = [lessons.c.project == project, lessons.c.issue_count > 1, lessons.c.status.in_(SERVABLE)]
    if agent_name:
        conditions.append(lessons.c.agent_name == agent_name)
    order = (lessons.c.issue_count.desc(), lessons.c.severity.desc(), lessons.c.id)
    return lesson_rows.where(connection, conditions, order, most)


def withheld(connection: Connection, project: str, agent_name: str) -> int:
    """Return in how many deliveries the coin kept a lesson back."""
    query = select(func.count()).where(deliveries.c.project == project, deliveries.c.shown.is_(False))
    if agent_name:
        query = query.where(deliveries.c.agent_name == agent_name)
    return connection.execute(query).scalar_one()


def not_served(connection: Connection, project: str, agent_name: str) -> dict[str, int]:
    """Return how many lessons each status keeps from being served."""
    query = (
        select(lessons.c.status, func.count())
        .where(lessons.c.project == project, lessons.c.is_active.is_(False))
        .group_by(lessons.c.status)
    )
    if agent_name:
        query = query.where(lessons.c.agent_name == agent_name)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def deliveries_of_lesson(connection: Connection, project: str, lesson_id: str) -> tuple[int, int]:
    """Return in how many runs a lesson was eligible, and in how many of them shown."""
    folded = select(
        func.coalesce(func.sum(delivery_folds.c.deliveries), 0), func.coalesce(func.sum(delivery_folds.c.shown), 0)
    ).where(delivery_folds.c.project == project, delivery_folds.c.lesson_id == lesson_id)
    tail = (
        select(func.count(), func.coalesce(func.sum(case((deliveries.c.shown, 1), else_=0)), 0))
        .select_from(deliveries.outerjoin(delivery_marks, delivery_marks.c.project == deliveries.c.project))
        .where(
            deliveries.c.project == project,
            deliveries.c.lesson_id == lesson_id,
            (delivery_marks.c.folded_before.is_(None)) | (deliveries.c.delivered_at >= delivery_marks.c.folded_before),
        )
    )
    before, after = connection.execute(folded).one(), connection.execute(tail).one()
    return int(before[0] + after[0]), int(before[1] + after[1])
