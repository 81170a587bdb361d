"""Queries of the doctor: counting anew from the evidence, looking at the file."""

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Integer, Select, cast, func, select, text

from lessonbook.store import dialect, rollups
from lessonbook.store.tables import activity_days, applications, issues, lesson_flags, lessons

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
    wrong = _miscounted_days(connection, project)
    for row in connection.execute(select(lessons).where(lessons.c.project == project)).mappings():
        for name, counted in evidence.items():
            expected = counted.get(row["id"], 0)
            if row[name] != expected:
                wrong.append(f"lesson {row['id']}: {name} is {row[name]}, the evidence says {expected}")
    return wrong


def _miscounted_days(connection: Connection, project: str) -> list[str]:
    """Return every figure of an agent's applications, all days together, that differs from the evidence."""
    days = [func.sum(activity_days.c[name]) for name in rollups.APPLICATIONS]
    told = select(activity_days.c.agent_name, *days).where(activity_days.c.project == project)
    prevented = func.coalesce(func.sum(cast(applications.c.verdict, Integer)), 0)
    counts = (func.count(), func.count(applications.c.verdict), prevented)
    there = select(applications.c.agent_name, *counts).where(applications.c.project == project)
    found = {row[0]: tuple(map(int, row[1:])) for row in connection.execute(there.group_by(applications.c.agent_name))}
    nothing = (0,) * len(rollups.APPLICATIONS)
    return [
        f"agent {row[0]}: {', '.join(rollups.APPLICATIONS)} by day are {counted}, the evidence says {expected}"
        for row in connection.execute(told.group_by(activity_days.c.agent_name))
        if (counted := tuple(map(int, row[1:]))) != (expected := found.get(row[0], nothing))
    ]


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


def readable_warning(connection: Connection) -> str:
    """Return a warning where other users of the machine may read the database's file, else an empty text."""
    if dialect.name_of(connection) != "sqlite":
        return ""
    listed = connection.exec_driver_sql("PRAGMA database_list").all()  # number, name, file
    place = Path(str(listed[0][2]))
    if os.name == "nt" or not place.is_file() or not place.stat().st_mode & 0o077:
        return ""
    return f"Others on this machine may read or change {place}: run `chmod 600` on it, and on its -wal and -shm files."


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
