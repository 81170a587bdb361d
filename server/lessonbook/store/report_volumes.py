"""Queries about the volume of reports, by principal and lesson."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, func, select, text

from lessonbook.store.tables import audit_log, issues, refinement_runs

_WRITTEN: Final = (  # refinement runs have no index by time: their entries in the audit trail have
    select(
        func.coalesce(func.sum(case((refinement_runs.c.refiner == "rules", refinement_runs.c.issues), else_=0)), 0),
        func.coalesce(func.sum(case((audit_log.c.action == "lesson.create", 1), else_=0)), 0),
    )
    .select_from(audit_log)
    .outerjoin(
        refinement_runs,
        and_(refinement_runs.c.project == audit_log.c.project, refinement_runs.c.id == audit_log.c.subject),
    )
    .where(
        audit_log.c.project == bindparam("project"),
        audit_log.c.logged_at >= bindparam("since"),
        audit_log.c.action.in_(("refine", "lesson.create")),
        audit_log.c.principal == bindparam("principal"),
    )
)

_AGENTS: Final = text(  # one step down the index for each agent, however many issues there are
    "WITH RECURSIVE names(name) AS (SELECT min(agent_name) FROM agent_issues WHERE project = :project UNION ALL "
    "SELECT (SELECT min(agent_name) FROM agent_issues WHERE project = :project AND agent_name > names.name) "
    "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL"
)


class Written(NamedTuple):
    """The number of issues that a principal has reported, and of lessons that were made of them."""

    issues: int
    lessons: int


class Share(NamedTuple):
    """A principal's issues of one lesson, or without one: all, different ones by fingerprint, and the latest."""

    principal: str
    lesson_id: str | None
    issues: int
    different: int
    lately: int


def written_since(connection: Connection, project: str, principal: str, since: datetime) -> Written:
    """Return the volume of a principal's reports since a moment."""
    known = {"project": project, "principal": principal, "since": since}
    found, made = connection.execute(_WRITTEN, known).one()
    return Written(int(found), int(made))


def shares_since(connection: Connection, project: str, since: datetime, lately: datetime) -> list[Share]:
    """Return the issues reported since a moment by principal and lesson; `lately` counts those from that moment on."""
    agents = list(connection.execute(_AGENTS, {"project": project}).scalars())
    query = (
        select(
            issues.c.principal,
            issues.c.lesson_id,
            func.count(),
            func.count(issues.c.fingerprint.distinct()),
            func.sum(case((issues.c.created_at >= lately, 1), else_=0)),
        )
        .where(issues.c.project == project, issues.c.agent_name.in_(agents), issues.c.created_at >= since)
        .group_by(issues.c.principal, issues.c.lesson_id)
    )
    return [
        Share(principal, lesson_id, int(count), int(different), int(late))
        for principal, lesson_id, count, different, late in connection.execute(query)
    ]
