"""Queries about runs, deliveries and applications."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.store import dialect, partitions
from lessonbook.store.engine import Retry
from lessonbook.store.tables import applications, deliveries, in_project, runs
from lessonbook.store.types import Row


class RunRow(NamedTuple):
    """A run. `p_holdout` is the probability, before the coin, of `holdout`; `issues` counts new independent ones.

    `routed`: the agent was found by task and files, not named. `checked_at` is its first routine check. A run without
    a principal is one that was reported on, and for which nobody has fetched lessons.
    """

    project: str
    run_id: str
    agent_name: str
    principal: str
    holdout: bool
    p_holdout: float
    issues: int
    routed: bool
    started_at: datetime
    checked_at: datetime | None


class DeliveryRow(NamedTuple):
    """A lesson that was eligible in a run. `p_show` is the propensity of `shown`; `exempt`: no coin decided."""

    run_id: str
    lesson_id: str
    agent_name: str
    shown: bool
    p_show: float
    exempt: bool
    lesson_version: int
    delivered_at: datetime


class ApplicationRow(NamedTuple):
    """An application, and the verdict on it. `by_coin`: a coin had shown the lesson."""

    lesson_id: str
    by_coin: bool
    verdict: bool | None
    verdict_evidence: str | None
    applied_at: datetime
    principal: str
    verdict_by: str | None


_RUN: Final = [runs.c[name] for name in RunRow._fields]
_DELIVERY: Final = [deliveries.c[name] for name in DeliveryRow._fields]
_APPLICATION: Final = [applications.c[name] for name in ApplicationRow._fields]


def find(connection: Connection, project: str, run_id: str) -> RunRow | None:
    """Return a run, or None."""
    row = connection.execute(select(*_RUN).where(*in_project(runs, project, run_id=run_id))).first()
    return RunRow(*row) if row else None


def add_unfetched(connection: Connection, project: str, run_id: str, now: datetime) -> RunRow:
    """Note a run that is reported on before anybody has fetched lessons for it, and return it."""
    row: Row = {
        "project": project,
        "run_id": run_id,
        "agent_name": SHARED_AGENT,
        "principal": "",
        "task_hash": "",
        "started_at": now,
    }
    dialect.insert_new(connection, runs, [row])
    return RunRow(project, run_id, SHARED_AGENT, "", False, 0.0, 0, False, now, None)


def fetch(connection: Connection, row: Row) -> None:
    """Make a run that was only reported on one of the caller's, who now fetches lessons for it.

    Raises:
        Retry: another caller was faster.
    """
    key = in_project(runs, row["project"], run_id=row["run_id"])
    if connection.execute(update(runs).where(*key, runs.c.principal == "").values(row)).rowcount != 1:
        raise Retry


def deliveries_of(connection: Connection, run: RunRow) -> dict[str, DeliveryRow]:
    """Return the run's deliveries by lesson id."""
    of_run = in_project(deliveries, run.project, run_id=run.run_id)
    query = select(*_DELIVERY).where(*of_run, *partitions.of_run(connection, run.started_at))
    return {row.lesson_id: row for row in (DeliveryRow(*found) for found in connection.execute(query))}


def applications_of(
    connection: Connection, project: str, run_id: str, lesson_ids: Iterable[str]
) -> dict[str, ApplicationRow]:
    """Return the run's applications by lesson id."""
    of_run = in_project(applications, project, run_id=run_id)
    query = select(*_APPLICATION).where(*of_run, applications.c.lesson_id.in_(set(lesson_ids)))
    return {row.lesson_id: row for row in (ApplicationRow(*found) for found in connection.execute(query))}


def add_application(connection: Connection, row: Row) -> None:
    """Insert an application."""
    connection.execute(insert(applications).values(row))


def change_application(connection: Connection, project: str, run_id: str, lesson_id: str, values: Row) -> None:
    """Set columns of an application."""
    key = in_project(applications, project, run_id=run_id, lesson_id=lesson_id)
    connection.execute(update(applications).where(*key).values(values))


def add_issues(connection: Connection, project: str, run_id: str, more: int) -> int:
    """Add to the count of a run's new independent issues, and return the count."""
    of_run = in_project(runs, project, run_id=run_id)
    statement = update(runs).where(*of_run).values(issues=runs.c.issues + more).returning(runs.c.issues)
    return connection.execute(statement).scalar_one()


def recent(connection: Connection, project: str, prefix: str, most: int) -> list[str]:
    """Return the latest run ids that begin with `prefix`."""
    found = (*in_project(runs, project), runs.c.run_id.startswith(prefix, autoescape=True))
    query = select(runs.c.run_id).where(*found).order_by(runs.c.started_at.desc()).limit(most)
    return list(connection.execute(query).scalars())
