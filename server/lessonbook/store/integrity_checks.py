"""Queries of the doctor: recounts from the evidence, and faults of the database file."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, Select, Table, cast, func, select, text

from lessonbook.store import dialect, rollups
from lessonbook.store.tables import (
    activity_days,
    applications,
    in_project,
    issues,
    lesson_flags,
    lesson_versions,
    lessons,
    run_checks,
)

_APPLIED: Final = (
    func.count(),
    func.count(applications.c.verdict),
    func.coalesce(func.sum(cast(applications.c.verdict, Integer)), 0),
)
"""Applications, the verdicts on them, and those that say prevented."""


def projects(connection: Connection) -> list[str]:
    """Return every project that has lessons, issues, runs or an audit trail."""
    query = text(
        "SELECT project FROM agent_lessons UNION SELECT project FROM agent_issues "
        "UNION SELECT project FROM agent_runs UNION SELECT project FROM audit_heads "
        "UNION SELECT project FROM audit_log ORDER BY 1"
    )
    return list(connection.execute(query).scalars())


def miscounted(connection: Connection, project: str) -> list[str]:
    """Return every counter that differs from the evidence, a sentence each."""
    of_lessons = (issues.c.lesson_id.is_not(None), issues.c.action != "rejected")
    evidence = {
        **{
            f"times_{name}": _by_lesson(connection, project, applications, count)
            for name, count in zip(("applied", "verified", "prevented"), _APPLIED, strict=True)
        },
        "issue_count": _by_lesson(connection, project, issues, func.count(), *of_lessons),
        "flags": _by_lesson(connection, project, lesson_flags, func.count()),
    }
    wrong = _miscounted_days(connection, project)
    for row in connection.execute(select(lessons).where(*in_project(lessons, project))).mappings():
        for name, counted in evidence.items():
            expected = counted.get(row["id"], 0)
            if row[name] != expected:
                wrong.append(f"lesson {row['id']}: {name} is {row[name]}, the evidence says {expected}")
    return wrong


def moved_unchecked(connection: Connection, project: str) -> list[tuple[str, str]]:
    """Return the lessons whose last change was by evidence from before the project's first check, and that change."""
    first = select(func.min(run_checks.c.checked_at)).where(*in_project(run_checks, project)).scalar_subquery()
    later = lesson_versions.alias()
    last = select(func.max(later.c.change)).where(
        later.c.project == lesson_versions.c.project, later.c.lesson_id == lesson_versions.c.lesson_id
    )
    query = (
        select(lesson_versions.c.lesson_id, lesson_versions.c.action)
        .where(*in_project(lesson_versions, project), lesson_versions.c.action.in_(("promote", "demote", "retire")))
        .where(lesson_versions.c.reason.startswith("By evidence"))
        .where((lesson_versions.c.changed_at < first) | first.is_(None))
        .where(lesson_versions.c.change == last.scalar_subquery())
        .order_by(lesson_versions.c.lesson_id)
    )
    return [(lesson_id, action) for lesson_id, action in connection.execute(query)]


def _miscounted_days(connection: Connection, project: str) -> list[str]:
    """Return every sum of an agent's applications over all days that differs from the evidence."""
    days = (func.sum(activity_days.c[name]) for name in rollups.APPLICATIONS)
    counted = _by_agent(connection, project, activity_days, *days)
    found = _by_agent(connection, project, applications, *_APPLIED)
    nothing = (0,) * len(rollups.APPLICATIONS)
    return [
        f"agent {agent_name}: {', '.join(rollups.APPLICATIONS)} by day are {counts}, the evidence says {expected}"
        for agent_name, counts in counted.items()
        if counts != (expected := found.get(agent_name, nothing))
    ]


def _by_agent(
    connection: Connection, project: str, table: Table, *counts: ColumnElement[int]
) -> dict[str, tuple[int, ...]]:
    name = table.c.agent_name
    query: Select[Any] = select(name, *counts).where(*in_project(table, project)).group_by(name)
    return {row[0]: tuple(map(int, row[1:])) for row in connection.execute(query)}


def _by_lesson(
    connection: Connection, project: str, table: Table, count: ColumnElement[int], *only: ColumnElement[bool]
) -> dict[str, int]:
    lesson_id = table.c.lesson_id
    query = select(lesson_id, count).where(*in_project(table, project), *only).group_by(lesson_id)
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def database_faults(connection: Connection) -> list[str]:
    """Return the faults of the database itself, a sentence each."""
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
            return faults + [f"a row of {row[0]} refers to a row that does not exist" for row in broken[:20]]
