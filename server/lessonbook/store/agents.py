"""Queries about the names of agents: those that were given, and those that lessons are kept for."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, String, cast, delete, exists, func, or_, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import agent_names, issues, lesson_keys, lessons, revisions
from lessonbook.store.types import Row


def given_names(connection: Connection, project: str) -> dict[str, str]:
    """Return the names that were given to agents, each with how."""
    query = select(agent_names.c.agent_name, agent_names.c.given_by).where(agent_names.c.project == project)
    return {row[0]: row[1] for row in connection.execute(query)}


def give_name(connection: Connection, project: str, agent_name: str, given_by: str, now: datetime) -> bool:
    """Note a name as an agent's; returns False where it was one already."""
    row: Row = {"project": project, "agent_name": agent_name, "given_by": given_by, "added_at": now}
    return dialect.insert_new(connection, agent_names, [row]) == 1


def take_name(connection: Connection, project: str, agent_name: str) -> None:
    """Forget a name that was given."""
    connection.execute(
        delete(agent_names).where(agent_names.c.project == project, agent_names.c.agent_name == agent_name)
    )


def with_lessons(connection: Connection, project: str) -> set[str]:
    """Return the agents that have lessons of any status: one look at the index for each that ever had one."""
    has_some = exists().where(lessons.c.project == revisions.c.project, lessons.c.agent_name == revisions.c.agent_name)
    query = select(revisions.c.agent_name).where(revisions.c.project == project, has_some)
    return set(connection.execute(query).scalars())


def counted_lessons(connection: Connection, project: str) -> dict[str, int]:
    """Return how many lessons of any status each agent has, those without left out."""
    query = (
        select(lessons.c.agent_name, func.count())
        .where(lessons.c.project == project)
        .group_by(lessons.c.agent_name)
        .order_by(lessons.c.agent_name)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def written_for(connection: Connection, project: str) -> set[str]:
    """Return the agents for whom somebody wrote, imported or chose a lesson: not all theirs come of reports."""
    provenance = cast(lessons.c.provenance, String)
    chosen = (provenance.like(f'%"{key}"%') for key in ("written_by", "imported_from", "starter"))
    query = select(lessons.c.agent_name).where(lessons.c.project == project, or_(*chosen)).distinct()
    return set(connection.execute(query).scalars())


def owners_of(connection: Connection, project: str, keys: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return which agents' lessons answer to each of `keys`, in order, each with the lesson's id."""
    query = (
        select(lesson_keys.c.key, lesson_keys.c.agent_name, lesson_keys.c.lesson_id)
        .where(lesson_keys.c.project == project, lesson_keys.c.key.in_(set(keys)))
        .order_by(lesson_keys.c.key, lesson_keys.c.agent_name)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for key, agent_name, lesson_id in connection.execute(query):
        found.setdefault(key, []).append((agent_name, lesson_id))
    return found


def move_lesson(connection: Connection, project: str, lesson_id: str, agent_name: str) -> None:
    """Let a lesson and its names belong to another agent."""
    for table, column in ((lessons, lessons.c.id), (lesson_keys, lesson_keys.c.lesson_id)):
        connection.execute(
            update(table).where(table.c.project == project, column == lesson_id).values(agent_name=agent_name)
        )


def move_waiting_issues(connection: Connection, project: str, source: str, target: str) -> int:
    """Let the issues of `source` that no lesson answers wait for a lesson of `target`; returns how many."""
    waiting = (issues.c.project == project, issues.c.agent_name == source, issues.c.action == "pending")
    return connection.execute(update(issues).where(*waiting).values(agent_name=target)).rowcount
