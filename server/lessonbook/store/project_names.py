"""Queries about projects: their further names, and what each has."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import issues, lessons, project_names, runs


class ProjectName(NamedTuple):
    """A further name of a project; `is_shown`: the one that people use now."""

    name: str
    leads_to: str
    is_shown: bool


class ProjectSize(NamedTuple):
    """How much a project has, and when something was last reported or asked for."""

    lessons: int
    issues: int
    runs: int
    last_at: datetime | None


def every(connection: Connection) -> list[ProjectName]:
    """Return all further names, in order."""
    columns = project_names.c
    query = select(columns.name, columns.leads_to, columns.is_shown).order_by(columns.name)
    return [ProjectName(*row) for row in connection.execute(query)]


def add(
    connection: Connection, name: str, leads_to: str, principal: str, now: datetime, *, is_shown: bool = False
) -> None:
    """Let a name lead to a project, wherever it led before."""
    connection.execute(delete(project_names).where(project_names.c.name == name))
    if is_shown:
        of_project = project_names.c.leads_to == leads_to
        connection.execute(update(project_names).where(of_project).values(is_shown=False))
    row = {"name": name, "leads_to": leads_to, "principal": principal, "created_at": now, "is_shown": is_shown}
    dialect.insert_new(connection, project_names, [row])


def remove(connection: Connection, name: str) -> bool:
    """Let a name lead nowhere, and return whether it led anywhere."""
    return connection.execute(delete(project_names).where(project_names.c.name == name)).rowcount == 1


def sizes(connection: Connection) -> dict[str, ProjectSize]:
    """Return what each project has, by its stored name. The transaction has to reach all projects."""
    found: dict[str, dict[str, int]] = {}
    last: dict[str, list[datetime]] = {}
    moments = {"lessons": lessons.c.updated_at, "issues": issues.c.created_at, "runs": runs.c.started_at}
    for kind, table in (("lessons", lessons), ("issues", issues), ("runs", runs)):
        query = select(table.c.project, func.count(), func.max(moments[kind])).group_by(table.c.project)
        for project, count, at in connection.execute(query):
            found.setdefault(project, {"lessons": 0, "issues": 0, "runs": 0})[kind] = int(count)
            last.setdefault(project, []).append(at)
    return {project: ProjectSize(**counts, last_at=max(last[project])) for project, counts in found.items()}
