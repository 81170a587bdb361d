"""Queries about issues and the refinement runs that dealt with them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from lessonbook.store.tables import issues, refinement_runs
from lessonbook.store.types import Row


def add(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert issues."""
    if rows:
        connection.execute(insert(issues), rows)


def add_refinement_run(connection: Connection, row: Row) -> None:
    """Insert the audited record of one refinement."""
    connection.execute(insert(refinement_runs).values(row))


def seen_fingerprints(connection: Connection, project: str, fingerprints: Iterable[str]) -> set[str]:
    """Return which of the fingerprints the project has met before.

    What an agent said of its own work does not count: else it could keep QA's report from being evidence.
    """
    query = select(issues.c.fingerprint).where(
        issues.c.project == project, issues.c.fingerprint.in_(set(fingerprints)), issues.c.source != "agent"
    )
    return set(connection.execute(query).scalars())


def events_of_run(connection: Connection, project: str, run_id: str) -> set[str]:
    """Return the lessons that already have their event in the run."""
    query = select(issues.c.lesson_id).where(issues.c.project == project, issues.c.run_id == run_id, issues.c.is_event)
    return {lesson_id for lesson_id in connection.execute(query).scalars() if lesson_id is not None}


def find(connection: Connection, project: str, issue_ids: Iterable[str]) -> dict[str, Row]:
    """Return issues by id."""
    query = select(issues).where(issues.c.project == project, issues.c.id.in_(set(issue_ids)))
    return {row["id"]: dict(row) for row in connection.execute(query).mappings()}


def change(connection: Connection, project: str, issue_id: str, values: Row) -> None:
    """Set columns of one issue."""
    connection.execute(update(issues).where(issues.c.project == project, issues.c.id == issue_id).values(values))


def move(connection: Connection, project: str, source: str, target: str, only: Sequence[str] = ()) -> int:
    """Attach the issues of lesson `source` (or those of `only`) to lesson `target`; returns how many."""
    statement = update(issues).where(issues.c.project == project, issues.c.lesson_id == source)
    if only:
        statement = statement.where(issues.c.id.in_(only))
    # An event belongs to one (run, lesson): moved issues stay evidence of what was measured, not events of the target.
    return connection.execute(statement.values(lesson_id=target, is_event=False)).rowcount


def of_lesson(connection: Connection, project: str, lesson_id: str, most: int) -> list[Row]:
    """Return the latest issues behind a lesson."""
    query = (
        select(issues)
        .where(issues.c.project == project, issues.c.lesson_id == lesson_id)
        .order_by(issues.c.created_at.desc(), issues.c.id)
        .limit(most)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def of_run(connection: Connection, project: str, run_id: str, most: int) -> list[Row]:
    """Return the issues reported for a run."""
    query = (
        select(issues)
        .where(issues.c.project == project, issues.c.run_id == run_id)
        .order_by(issues.c.created_at, issues.c.id)
        .limit(most)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def pending(
    connection: Connection, project: str, agent_name: str, after: tuple[datetime, str] | None, limit: int
) -> list[Row]:
    """Return issues that no lesson answers yet, oldest first, from behind `after` (time, id)."""
    query = select(issues).where(issues.c.project == project, issues.c.action == "pending")
    if agent_name:
        query = query.where(issues.c.agent_name == agent_name)
    if after is not None:
        moment, issue_id = after
        query = query.where(
            (issues.c.created_at > moment) | ((issues.c.created_at == moment) & (issues.c.id > issue_id))
        )
    query = query.order_by(issues.c.created_at, issues.c.id).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def count_by_agent(connection: Connection, project: str) -> dict[str, int]:
    """Return how many issues each agent has."""
    query = (
        select(issues.c.agent_name, func.count().label("count"))
        .where(issues.c.project == project)
        .group_by(issues.c.agent_name)
    )
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def refinement_runs_of(connection: Connection, project: str, limit: int) -> list[dict[str, Any]]:
    """Return the latest refinement runs, newest first."""
    query = (
        select(refinement_runs)
        .where(refinement_runs.c.project == project)
        .order_by(refinement_runs.c.started_at.desc(), refinement_runs.c.id)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
