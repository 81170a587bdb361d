"""Queries by where words came from: whose, since when, of which source or refinement run; to take them back."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, String, Table, cast, delete, func, or_, select, update

from lessonbook.domain.lesson import TEXT_COLUMNS
from lessonbook.store import dialect
from lessonbook.store.tables import (
    applications,
    idempotency_keys,
    in_project,
    issues,
    lesson_flags,
    lesson_vectors,
    lesson_versions,
    lessons,
    metadata,
)
from lessonbook.store.types import Row

_NO_WORDS: Row = dict.fromkeys((*TEXT_COLUMNS, "reason"), "")
AT_ONCE = 500
"""Ids in one statement."""


class OriginIssue(NamedTuple):
    """An issue as far as rolling it back needs it."""

    id: str
    lesson_id: str | None
    action: str
    reason: str
    is_event: bool


_COLUMNS = tuple(issues.c[name] for name in OriginIssue._fields)


def issues_from(
    connection: Connection, project: str, *, principal: str, since: datetime | None, source: str, run: str
) -> list[OriginIssue]:
    """Return the issues that all given conditions hold for, without those that were rejected."""
    given: dict[str, str] = {"principal": principal, "source": source, "refinement_run_id": run}
    where: list[ColumnElement[bool]] = [*in_project(issues, project), issues.c.action != "rejected"]
    where += [issues.c[name] == value for name, value in given.items() if value]
    if since is not None:
        where.append(issues.c.created_at >= since)
    return [OriginIssue(*row) for row in connection.execute(select(*_COLUMNS).where(*where).order_by(issues.c.id))]


def authored(connection: Connection, project: str, principal: str, since: datetime | None) -> list[str]:
    """Return the ids of the lessons that a principal wrote (any, if empty), since a moment if given."""
    where: list[ColumnElement[bool]] = [*in_project(lessons, project)]
    if principal:
        where.append(lessons.c.author == principal)
    if since is not None:
        where.append(lessons.c.created_at >= since)
    return list(connection.execute(select(lessons.c.id).where(*where).order_by(lessons.c.id)).scalars())


def counts(connection: Connection, project: str, lesson_ids: Collection[str]) -> dict[str, int]:
    """Return how many issues that were not rejected each lesson has; those without are left out."""
    found: dict[str, int] = {}
    for some in _parts(lesson_ids):
        query = (
            select(issues.c.lesson_id, func.count())
            .where(*in_project(issues, project), issues.c.lesson_id.in_(some), issues.c.action != "rejected")
            .group_by(issues.c.lesson_id)
        )
        found |= {row[0]: int(row[1]) for row in connection.execute(query)}
    return found


def change_issues(connection: Connection, project: str, changed: Mapping[str, Row]) -> None:
    """Set columns of issues, by id."""
    for issue_id, values in sorted(changed.items()):
        connection.execute(update(issues).where(*in_project(issues, project, id=issue_id)).values(values))


def rolled_back(connection: Connection, project: str, mark: str) -> tuple[list[OriginIssue], list[tuple[str, str]]]:
    """Return the issues and lessons that a rollback took, of lessons with the status they had before."""
    query = select(*_COLUMNS).where(
        *in_project(issues, project), issues.c.action == "rejected", issues.c.reason.startswith(mark, autoescape=True)
    )
    taken = [OriginIssue(*row) for row in connection.execute(query.order_by(issues.c.id))]
    versions = select(lesson_versions.c.lesson_id, lesson_versions.c.numbers).where(
        *in_project(lesson_versions, project), lesson_versions.c.reason == mark
    )
    return taken, [(row[0], str(row[1].get("was", ""))) for row in connection.execute(versions)]


def lessons_of(connection: Connection, project: str, issue_ids: Collection[str]) -> dict[str, str | None]:
    """Return the lesson of each issue that exists, or None where it has none."""
    found: dict[str, str | None] = {}
    for some in _parts(issue_ids):
        query = select(issues.c.id, issues.c.lesson_id).where(*in_project(issues, project), issues.c.id.in_(some))
        found |= {row[0]: row[1] for row in connection.execute(query)}
    return found


def all_issues_of(connection: Connection, project: str, principal: str) -> list[str]:
    """Return the ids of every issue that a principal reported."""
    query = select(issues.c.id).where(*in_project(issues, project, principal=principal))
    return list(connection.execute(query.order_by(issues.c.id)).scalars())


def forget_issues(connection: Connection, project: str, issue_ids: Iterable[str]) -> None:
    """Blank the words and places of issues; their counts stay."""
    for issue_id in issue_ids:
        blank = {"description": "", "file": "", "line": None, "rule_id": "", "reason": "", "fingerprint": issue_id}
        connection.execute(update(issues).where(*in_project(issues, project, id=issue_id)).values(blank))


def forget_answers(connection: Connection, project: str, ids: Iterable[str] = ()) -> None:
    """Delete kept answers that name one of the ids; without ids all of the project."""
    of_project = in_project(idempotency_keys, project)
    answer = cast(idempotency_keys.c.answer, String)
    wanted = list(ids)
    if not wanted:
        connection.execute(delete(idempotency_keys).where(*of_project))
    for some in _parts(wanted, 50):
        named = or_(*(answer.contains(one, autoescape=True) for one in some))
        connection.execute(delete(idempotency_keys).where(*of_project, named))


def forget_meanings(connection: Connection, project: str, lesson_ids: Iterable[str]) -> None:
    """Delete the vectors of lessons, which were made of the words of their issues as well."""
    for lesson_id in lesson_ids:
        connection.execute(delete(lesson_vectors).where(*in_project(lesson_vectors, project, lesson_id=lesson_id)))


def forget_remarks(connection: Connection, project: str, principal: str) -> int:
    """Blank what a principal wrote beside lessons: notes, flags and reasons. Returns how many."""
    nothing: list[str] = []
    blanked: dict[Table, Row] = {
        applications: {"notes": ""},
        lesson_flags: {"reason": "", "earlier": nothing},
        lesson_versions: _NO_WORDS,  # a row of the history is blanked whole, or not at all
    }
    count = 0
    for table, values in blanked.items():
        whose = in_project(table, project, principal=principal)
        count += connection.execute(update(table).where(*whose).values(values)).rowcount
    whose = in_project(applications, project, verdict_by=principal)
    count += connection.execute(update(applications).where(*whose).values(notes="")).rowcount
    of_principal = in_project(idempotency_keys, project, principal=principal)
    connection.execute(delete(idempotency_keys).where(*of_principal))
    return count


def forget_project(connection: Connection, project: str, evidence: Row) -> int:
    """Delete every row of a project, its audit trail included, and return how many there were.

    What cannot be deleted, lessons and their append-only history, is left without words. `evidence` has the columns of
    a lesson that nothing is known of.
    """
    counters = dict.fromkeys(("issue_count", "times_applied", "times_verified", "times_prevented", "flags"), 0)
    blank: Row = {
        **dict.fromkeys((*TEXT_COLUMNS, "rule_key", "status_reason", "author"), ""),
        **counters,
        **evidence,
        "status": "rejected",
        "is_active": False,
        "pinned": False,
        "approved_by": None,
        "superseded_by": None,
        "provenance": {},
        "content_hash": lessons.c.id,
        "token_count": 0,
    }
    count = 0
    for table in reversed(metadata.sorted_tables):
        if "project" in table.c and table not in {lessons, lesson_versions}:
            count += connection.execute(delete(table).where(*in_project(table, project))).rowcount
    history = update(lesson_versions).where(*in_project(lesson_versions, project)).values(_NO_WORDS)
    count += connection.execute(history).rowcount
    return count + connection.execute(update(lessons).where(*in_project(lessons, project)).values(blank)).rowcount


def scrub(connection: Connection) -> None:
    """Let full-text search keep nothing of words that its rows no longer have."""
    if dialect.name_of(connection) == "sqlite":
        connection.exec_driver_sql("INSERT INTO agent_lesson_search(agent_lesson_search) VALUES ('rebuild')")
        connection.exec_driver_sql("INSERT INTO agent_lesson_search(agent_lesson_search) VALUES ('optimize')")


def _parts(ids: Collection[str], size: int = AT_ONCE) -> Iterable[list[str]]:
    ordered = sorted(ids)
    return (ordered[at : at + size] for at in range(0, len(ordered), size))
