"""Queries about the names of agents: those that were given, and those that have lessons."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, String, cast, delete, exists, func, or_, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import agent_names, in_project, issues, joined, lesson_keys, lessons, revisions
from lessonbook.store.types import Row


def given_names(connection: Connection, project: str) -> dict[str, str]:
    """Return the names that were given to agents, each with its origin."""
    query = select(agent_names.c.agent_name, agent_names.c.given_by).where(*in_project(agent_names, project))
    return {row[0]: row[1] for row in connection.execute(query)}


def give_name(connection: Connection, project: str, agent_name: str, given_by: str, now: datetime) -> bool:
    """Record a name as an agent's, and return whether it is new."""
    row: Row = {"project": project, "agent_name": agent_name, "given_by": given_by, "added_at": now}
    return dialect.insert_new(connection, agent_names, [row]) == 1


def take_name(connection: Connection, project: str, agent_name: str) -> None:
    """Delete a name that was given."""
    connection.execute(delete(agent_names).where(*in_project(agent_names, project, agent_name=agent_name)))


def with_lessons(connection: Connection, project: str) -> set[str]:
    """Return the agents that have lessons of any status: one index lookup for each that ever had one."""
    has_some = exists().where(joined(lessons, revisions, "agent_name"))
    query = select(revisions.c.agent_name).where(*in_project(revisions, project), has_some)
    return set(connection.execute(query).scalars())


def counted_lessons(connection: Connection, project: str) -> dict[str, int]:
    """Return how many lessons of any status each agent has, by name in order; agents without lessons are left out."""
    name = lessons.c.agent_name
    query = select(name, func.count()).where(*in_project(lessons, project)).group_by(name).order_by(name)
    return {row[0]: row[1] for row in connection.execute(query)}


def written_for(connection: Connection, project: str) -> set[str]:
    """Return the agents that have a lesson which was written, imported or chosen as a starter, not made by a report."""
    provenance = cast(lessons.c.provenance, String)
    chosen = (provenance.like(f'%"{key}"%') for key in ("written_by", "imported_from", "starter"))
    query = select(lessons.c.agent_name).where(*in_project(lessons, project), or_(*chosen)).distinct()
    return set(connection.execute(query).scalars())


def owners_of(connection: Connection, project: str, keys: Iterable[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the lessons that have each of `keys` as a name: (agent, lesson id), by agent in order."""
    query = (
        select(lesson_keys.c.key, lesson_keys.c.agent_name, lesson_keys.c.lesson_id)
        .where(*in_project(lesson_keys, project), lesson_keys.c.key.in_(set(keys)))
        .order_by(lesson_keys.c.key, lesson_keys.c.agent_name)
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for key, agent_name, lesson_id in connection.execute(query):
        found.setdefault(key, []).append((agent_name, lesson_id))
    return found


def move_lesson(connection: Connection, project: str, lesson_id: str, agent_name: str) -> None:
    """Move a lesson and its exact names to another agent."""
    for table, column in ((lessons, "id"), (lesson_keys, "lesson_id")):
        of_lesson = in_project(table, project, **{column: lesson_id})
        connection.execute(update(table).where(*of_lesson).values(agent_name=agent_name))


def move_waiting_issues(connection: Connection, project: str, source: str, target: str) -> int:
    """Move the pending issues of agent `source` to agent `target`, and return how many."""
    waiting = in_project(issues, project, agent_name=source, action="pending")
    return connection.execute(update(issues).where(*waiting).values(agent_name=target)).rowcount
