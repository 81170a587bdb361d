"""Queries of the housekeeping: folding deliveries, counting anew from the evidence, looking at the file."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, Select, cast, func, insert, select, text, update

from lessonbook.store import dialect
from lessonbook.store.tables import (
    applications,
    deliveries,
    delivery_folds,
    delivery_marks,
    issues,
    lesson_flags,
    lessons,
)
from lessonbook.store.types import Row

FOLD_AFTER: Final = timedelta(days=2)
"""Deliveries are counted by day once no transaction of that day can still be open."""

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The mark of a project whose deliveries were never counted."""

SAFE_SQLITE: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first releases of their lines without the WAL-reset fault."""


def projects(connection: Connection) -> list[str]:
    """Return every project that has lessons, issues, runs or an audit trail."""
    query = text(
        "SELECT project FROM agent_lessons UNION SELECT project FROM agent_issues "
        "UNION SELECT project FROM agent_runs UNION SELECT project FROM audit_heads "
        "UNION SELECT project FROM audit_log ORDER BY 1"
    )
    return list(connection.execute(query).scalars())


def fold_deliveries(connection: Connection, project: str, now: datetime) -> int:
    """Count deliveries older than two days by day, and return how many day rows were written."""
    of_project = delivery_marks.c.project == project
    # The mark is made first, and held to the commit: two processes that keep up at once take turns.
    dialect.insert_new(connection, delivery_marks, [{"project": project, "folded_before": NEVER}])
    mark = connection.execute(select(delivery_marks.c.folded_before).where(of_project).with_for_update()).scalar_one()
    until = (now - FOLD_AFTER).replace(hour=0, minute=0, second=0, microsecond=0)
    if mark >= until:
        return 0
    query = select(
        deliveries.c.agent_name, deliveries.c.lesson_id, deliveries.c.shown, deliveries.c.delivered_at
    ).where(deliveries.c.project == project, deliveries.c.delivered_at >= mark, deliveries.c.delivered_at < until)
    counts: dict[tuple[str, str, str], Row] = {}
    for agent_name, lesson_id, shown, moment in connection.execute(query.execution_options(yield_per=5_000)):
        day = moment.date().isoformat()
        row = counts.setdefault(
            (agent_name, lesson_id, day),
            {
                "project": project,
                "agent_name": agent_name,
                "lesson_id": lesson_id,
                "day": day,
                "deliveries": 0,
                "shown": 0,
                "last_delivered_at": moment,
            },
        )
        row["deliveries"] += 1
        row["shown"] += bool(shown)
        row["last_delivered_at"] = max(row["last_delivered_at"], moment)
    if counts:
        connection.execute(insert(delivery_folds), list(counts.values()))
    connection.execute(update(delivery_marks).where(of_project).values(folded_before=until))
    return len(counts)


def miscounted(connection: Connection, project: str) -> list[str]:
    """Return every counter that differs from the evidence, a sentence each."""
    evidence = {
        "times_applied": _counted(connection, project, func.count()),
        "times_verified": _counted(connection, project, func.count(applications.c.verdict)),
        "times_prevented": _counted(
            connection, project, func.coalesce(func.sum(cast(applications.c.verdict, Integer)), 0)
        ),
        "issue_count": _by_lesson(
            connection,
            select(issues.c.lesson_id, func.count())
            .where(issues.c.project == project, issues.c.lesson_id.is_not(None), issues.c.action != "rejected")
            .group_by(issues.c.lesson_id),
        ),
        "flags": _by_lesson(
            connection,
            select(lesson_flags.c.lesson_id, func.count())
            .where(lesson_flags.c.project == project)
            .group_by(lesson_flags.c.lesson_id),
        ),
    }
    wrong: list[str] = []
    for row in connection.execute(select(lessons).where(lessons.c.project == project)).mappings():
        for name, counted in evidence.items():
            expected = counted.get(row["id"], 0)
            if row[name] != expected:
                wrong.append(f"lesson {row['id']}: {name} is {row[name]}, the evidence says {expected}")
    return wrong


def _counted(connection: Connection, project: str, what: ColumnElement[int]) -> dict[str, int]:
    return _by_lesson(
        connection,
        select(applications.c.lesson_id, what)
        .where(applications.c.project == project)
        .group_by(applications.c.lesson_id),
    )


def _by_lesson(connection: Connection, query: Select[Any, int]) -> dict[str, int]:
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def database_faults(connection: Connection) -> list[str]:
    """Return what is wrong with the database itself, a sentence each."""
    match dialect.name_of(connection):
        case "postgresql":
            return []
        case "sqlite":
            faults = [
                f"integrity: {line}"
                for line in connection.exec_driver_sql("PRAGMA integrity_check(20)").scalars()
                if line != "ok"
            ]
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
            return faults + [f"a row of {row[0]} points at nothing" for row in broken[:20]]


def sqlite_warning(connection: Connection) -> str:
    """Return a warning where this SQLite release has the WAL-reset fault, else an empty text."""
    if dialect.name_of(connection) != "sqlite":
        return ""
    version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    numbers = tuple(int(part) for part in str(version).split("."))
    safe = any(numbers[:2] == line[:2] and numbers >= line for line in SAFE_SQLITE) or numbers >= SAFE_SQLITE[0]
    if safe:
        return ""
    return (
        f"SQLite {version} has a rare fault when two processes checkpoint at once, so Lessonbook lets one at a time. "
        "A Python built with SQLite 3.51.3 or later has it mended."
    )
