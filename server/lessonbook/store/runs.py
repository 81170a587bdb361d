"""Queries about runs, deliveries and applications."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from lessonbook.store.tables import applications, deliveries, runs
from lessonbook.store.types import Row


def find(connection: Connection, project: str, run_id: str) -> Row | None:
    """Return a run, or None."""
    row = connection.execute(select(runs).where(runs.c.project == project, runs.c.run_id == run_id)).mappings().first()
    return dict(row) if row else None


def deliveries_of(connection: Connection, project: str, run_id: str) -> dict[str, Row]:
    """Return the run's deliveries by lesson id."""
    query = select(deliveries).where(deliveries.c.project == project, deliveries.c.run_id == run_id)
    return {row["lesson_id"]: dict(row) for row in connection.execute(query).mappings()}


def applications_of(connection: Connection, project: str, run_id: str, lesson_ids: Iterable[str]) -> dict[str, Row]:
    """Return the run's applications by lesson id."""
    query = select(applications).where(
        applications.c.project == project,
        applications.c.run_id == run_id,
        applications.c.lesson_id.in_(set(lesson_ids)),
    )
    return {row["lesson_id"]: dict(row) for row in connection.execute(query).mappings()}


def add_application(connection: Connection, row: Row) -> None:
    """Insert an application."""
    connection.execute(insert(applications).values(row))


def change_application(connection: Connection, project: str, run_id: str, lesson_id: str, values: Row) -> None:
    """Set columns of an application."""
    connection.execute(
        update(applications)
        .where(
            applications.c.project == project,
            applications.c.run_id == run_id,
            applications.c.lesson_id == lesson_id,
        )
        .values(values)
    )


def add_issues(connection: Connection, project: str, run_id: str, more: int) -> int:
    """Count further new independent issues of a run, and return how many it has had now."""
    of_run = (runs.c.project == project, runs.c.run_id == run_id)
    statement = update(runs).where(*of_run).values(issues=runs.c.issues + more).returning(runs.c.issues)
    return connection.execute(statement).scalar_one()


def recent(connection: Connection, project: str, prefix: str, most: int) -> list[str]:
    """Return the latest run ids that begin with `prefix`."""
    query = (
        select(runs.c.run_id)
        .where(runs.c.project == project, runs.c.run_id.startswith(prefix, autoescape=True))
        .order_by(runs.c.started_at.desc())
        .limit(most)
    )
    return list(connection.execute(query).scalars())


def started_at(connection: Connection, project: str, run_id: str) -> datetime | None:
    """Return when a run began."""
    query = select(runs.c.started_at).where(runs.c.project == project, runs.c.run_id == run_id)
    return connection.execute(query).scalar_one_or_none()
