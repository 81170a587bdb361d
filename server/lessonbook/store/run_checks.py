"""Checks of runs, and the rows of the experiment that they make."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, case, func, select, update

from lessonbook.domain.vocabulary import Source
from lessonbook.store import dialect
from lessonbook.store.rollups import NEVER
from lessonbook.store.tables import (
    activity_days,
    checked_lessons,
    deliveries,
    experiments,
    in_project,
    joined,
    lesson_reporters,
    run_checks,
    runs,
)
from lessonbook.store.types import Row

FIRST_EPOCH: Final = 1


class Reporter(NamedTuple):
    """Who checks: a principal, as which kind, with which tool (empty: none is named)."""

    principal: str
    source: Source
    tool: str


class RunCheck(NamedTuple):
    """A look of a reporter at a run."""

    project: str
    run_id: str
    source: Source
    tool: str
    principal: str
    findings: int
    routine: bool
    checked_at: datetime


class CheckedLesson(NamedTuple):
    """A row of the experiment: one lesson in one change, at its first routine check.

    `p_show` and `share` are 1 where no coin was tossed. `share` is π (`Evidence.share`), `until` the last moment at
    which a finding counts, `event_by` who reported its event, and `wrong` whether something else went wrong in the
    change; `unexplained`, whether something that none of the change's lessons is about, None in rows from before this
    was counted. It is `left_out` where runs of the change disagree (a crossover), or where another change that met it
    in one check has the row.
    """

    project: str
    change: str
    lesson_id: str
    run_id: str
    agent_name: str
    shown: bool
    p_show: float
    share: float
    lesson_version: int
    epoch: int
    week: int
    left_out: bool
    applied: bool
    wrong: bool
    unexplained: bool | None
    event_by: str | None
    until: datetime
    checked_at: datetime


class Assignment(NamedTuple):
    """What one run decided on a lesson: by a coin, or without one that it is shown (p = 1)."""

    run_id: str
    change: str
    lesson_id: str
    agent_name: str
    shown: bool
    p_show: float
    lesson_version: int
    delivered_at: datetime


class Experiment(NamedTuple):
    """The experiment that is on in a project, and since when; the first is on from the beginning."""

    epoch: int = FIRST_EPOCH
    started_at: datetime = NEVER


_ROW: Final = [checked_lessons.c[name] for name in CheckedLesson._fields]
_ASSIGNED: Final = ("run_id", "lesson_id", "agent_name", "shown", "p_show", "lesson_version", "delivered_at")


def experiment(connection: Connection, project: str) -> Experiment:
    """Return the experiment that is on: the first, or the last that a person began."""
    query = select(experiments.c.epoch, experiments.c.started_at).where(*in_project(experiments, project))
    row = connection.execute(query).first()
    return Experiment(*row) if row else Experiment()


def lessons_with_rows(connection: Connection, project: str, epoch: int) -> set[str]:
    """Return the lessons that have rows in an experiment."""
    query = select(checked_lessons.c.lesson_id).where(*in_project(checked_lessons, project, epoch=epoch)).distinct()
    return set(connection.execute(query).scalars())


def begin_experiment(
    connection: Connection, project: str, epoch: int, principal: str, reason: str, now: datetime
) -> None:
    """Note that another experiment is on from now."""
    row = {"project": project, "epoch": epoch, "started_at": now, "principal": principal, "reason": reason}
    replaced = ("epoch", "started_at", "principal", "reason")
    connection.execute(dialect.upsert(dialect.name_of(connection), experiments, replaced=replaced), [row])


def add_check(connection: Connection, check: RunCheck) -> None:
    """Note a look at a run; that of a reporter who looked before adds its findings."""
    statement = dialect.upsert(dialect.name_of(connection), run_checks, added=("findings",))
    connection.execute(statement, [check._asdict()])


def last_findings(connection: Connection, project: str, reporter: Reporter, most: int) -> list[int]:
    """Return the findings of a reporter's last checks, the latest first."""
    query = (
        select(run_checks.c.findings)
        .where(*in_project(run_checks, project, **reporter._asdict()))
        .order_by(run_checks.c.checked_at.desc())
        .limit(most)
    )
    return list(connection.execute(query).scalars())


def reporters(connection: Connection, project: str, since: datetime) -> list[tuple[Reporter, int, int, datetime]]:
    """Return who checked since a moment: the reporter, its checks, those without findings, and the last."""
    keys = [run_checks.c[name] for name in Reporter._fields]
    empty = func.sum(case((run_checks.c.findings == 0, 1), else_=0))
    query = (
        select(*keys, func.count(), empty, func.max(run_checks.c.checked_at))
        .where(*in_project(run_checks, project), run_checks.c.checked_at >= since)
        .group_by(*keys)
        .order_by(*keys)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return [(Reporter(*row[:3]), row[3], int(row[4]), row[5]) for row in rows]


def add_reporters(connection: Connection, project: str, lesson_ids: Iterable[str], reporter: Reporter) -> None:
    """Note that this kind of reporter has found these lessons' issues."""
    rows: list[Row] = [
        {"project": project, "lesson_id": lesson_id, "source": reporter.source, "tool": reporter.tool}
        for lesson_id in sorted(set(lesson_ids))
    ]
    dialect.insert_new(connection, lesson_reporters, rows)


def told_of_by(connection: Connection, project: str, lesson_ids: Collection[str], reporter: Reporter) -> set[str]:
    """Return those of the lessons whose issue this kind of reporter has found before."""
    kind = in_project(lesson_reporters, project, source=reporter.source, tool=reporter.tool)
    query = select(lesson_reporters.c.lesson_id).where(*kind, lesson_reporters.c.lesson_id.in_(lesson_ids))
    return set(connection.execute(query).scalars())


def assignments(connection: Connection, project: str, run_ids: Collection[str]) -> list[Assignment]:
    """Return what was decided in these runs, the earliest first; what no coin could have shown is left out."""
    query = (
        select(*(deliveries.c[name] for name in _ASSIGNED), runs.c.change)
        .join(runs, joined(deliveries, runs, "run_id"))
        .where(*in_project(deliveries, project), deliveries.c.run_id.in_(run_ids), deliveries.c.p_show > 0)
        .order_by(deliveries.c.delivered_at, deliveries.c.run_id, deliveries.c.lesson_id)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return [Assignment(run_id, change or run_id, *rest) for run_id, *rest, change in rows]


def rows_of_changes(connection: Connection, project: str, changes: Collection[str]) -> list[CheckedLesson]:
    """Return the rows of these changes."""
    if not changes:
        return []
    query = select(*_ROW).where(*in_project(checked_lessons, project), checked_lessons.c.change.in_(changes))
    return [CheckedLesson(*row) for row in connection.execute(query)]


def rows_of_run(connection: Connection, project: str, run_id: str, epoch: int) -> dict[str, CheckedLesson]:
    """Return the rows of an experiment that began with a run, by lesson id."""
    query = select(*_ROW).where(*in_project(checked_lessons, project, run_id=run_id, epoch=epoch))
    return {row.lesson_id: row for row in (CheckedLesson(*found) for found in connection.execute(query))}


def rows_of_lessons(connection: Connection, project: str, epoch: int, lesson_id: str = "") -> Iterator[CheckedLesson]:
    """Yield the rows of an experiment, of one lesson where named."""
    named = {"lesson_id": lesson_id} if lesson_id else {}
    query = select(*_ROW).where(*in_project(checked_lessons, project, epoch=epoch, **named))
    for row in connection.execute(query):
        yield CheckedLesson(*row)


def add_rows(connection: Connection, rows: Sequence[CheckedLesson]) -> None:
    """Add rows of the experiment."""
    dialect.insert_new(connection, checked_lessons, [row._asdict() for row in rows])


def change_row(connection: Connection, row: CheckedLesson, values: Row) -> None:
    """Set columns of a row."""
    key = in_project(checked_lessons, row.project, change=row.change, lesson_id=row.lesson_id)
    connection.execute(update(checked_lessons).where(*key).values(values))


def note_checked(connection: Connection, project: str, run_ids: Collection[str], now: datetime) -> list[str]:
    """Mark runs as checked, and return those that were not."""
    new = (*in_project(runs, project), runs.c.run_id.in_(run_ids), runs.c.checked_at.is_(None))
    statement = update(runs).where(*new).values(checked_at=now).returning(runs.c.run_id)
    return list(connection.execute(statement).scalars())


def count_checked(connection: Connection, project: str, agent_name: str, more: int, now: datetime) -> None:
    """Count runs that were checked for the first time, on the day of the check."""
    row = {
        "project": project,
        "agent_name": agent_name,
        "day": now.date().isoformat(),
        "checked_runs": more,
        "last_at": now,
    }
    statement = dialect.upsert(dialect.name_of(connection), activity_days, added=("checked_runs",))
    connection.execute(statement, row)
