"""Queries about runs, deliveries and applications."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from lessonbook.store.tables import applications, deliveries, runs
from lessonbook.store.types import Row


class RunRow(NamedTuple):
    """A run: for which agent, whether it was held out and how probably, and how many independent issues it had."""

    project: str
    run_id: str
    agent_name: str
    principal: str
    holdout: bool
    p_holdout: float
    issues: int
    routed: bool


class DeliveryRow(NamedTuple):
    """A lesson that was eligible in a run: shown or withheld, with what probability, and in which words."""

    run_id: str
    lesson_id: str
    agent_name: str
    shown: bool
    p_show: float
    exempt: bool
    lesson_version: int
    delivered_at: datetime


class ApplicationRow(NamedTuple):
    """A lesson that a run applied, and the verdict on it."""

    lesson_id: str
    by_coin: bool
    verdict: bool | None
    verdict_evidence: str | None
    applied_at: datetime


_RUN: Final = [runs.c[name] for name in RunRow._fields]
_DELIVERY: Final = [deliveries.c[name] for name in DeliveryRow._fields]
_APPLICATION: Final = [applications.c[name] for name in ApplicationRow._fields]


def find(connection: Connection, project: str, run_id: str) -> RunRow | None:
    """Return a run, or None."""
    row = connection.execute(select(*_RUN).where(runs.c.project == project, runs.c.run_id == run_id)).first()
    return RunRow(*row) if row else None


def deliveries_of(connection: Connection, project: str, run_id: str) -> dict[str, DeliveryRow]:
    """Return the run's deliveries by lesson id."""
    query = select(*_DELIVERY).where(deliveries.c.project == project, deliveries.c.run_id == run_id)
    return {row.lesson_id: row for row in (DeliveryRow(*found) for found in connection.execute(query))}


def applications_of(
    connection: Connection, project: str, run_id: str, lesson_ids: Iterable[str]
) -> dict[str, ApplicationRow]:
    """Return the run's applications by lesson id."""
    query = select(*_APPLICATION).where(
        applications.c.project == project,
        applications.c.run_id == run_id,
        applications.c.lesson_id.in_(set(lesson_ids)),
    )
    return {row.lesson_id: row for row in (ApplicationRow(*found) for found in connection.execute(query))}


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
