"""Queries about events: single ones, their sums by agent, and whether they have stopped serving."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import applications, evidence, in_project, issues, service_stops

ARMS: Final = (
    *("served_issues", "served_squares", "held_out_issues", "held_out_squares"),
    *("served_runs", "held_out_runs"),
)

_EVENTS_OF_RUN: Final = select(issues.c.lesson_id, issues.c.id, issues.c.event_verified, issues.c.principal).where(
    *in_project(issues, bindparam("project"), run_id=bindparam("run_id")), issues.c.is_event
)


class Event(NamedTuple):
    """The first independent issue of a lesson in a run where the lesson was eligible, and whether it is verified."""

    issue_id: str
    verified: bool
    principal: str = ""


class AgentSums(NamedTuple):
    """An agent's rows and events added up, as `Evidence.to_document` writes them, and its checked runs of the holdout.

    Runs, their issues and the squares of each run's issues are summed by arm. `crossovers` counts lessons of changes
    whose runs disagreed.
    """

    project: str
    agent_name: str
    effect: Mapping[str, Any]
    served_issues: int = 0
    served_squares: int = 0
    held_out_issues: int = 0
    held_out_squares: int = 0
    served_runs: int = 0
    held_out_runs: int = 0
    crossovers: int = 0


class ServiceStop(NamedTuple):
    """Whether serving is stopped, why, and the sums (see `ARMS`) up to the last resumption, which no longer count."""

    project: str
    stopped: bool
    reason: str
    numbers: Mapping[str, int]
    principal: str
    changed_at: datetime


def events_of_run(connection: Connection, project: str, run_id: str) -> dict[str, Event]:
    """Return the events of a run by lesson id."""
    rows = connection.execute(_EVENTS_OF_RUN, {"project": project, "run_id": run_id})
    return {lesson_id: Event(*event) for lesson_id, *event in rows}


def new_issues_of(connection: Connection, project: str, run_ids: Collection[str]) -> list[str | None]:
    """Return the lesson of each new verified issue of these runs; None where it has none."""
    found = (*in_project(issues, project, evidence="verified"), issues.c.run_id.in_(run_ids), issues.c.is_new)
    query = select(issues.c.lesson_id).where(*found, issues.c.source != "agent")
    return list(connection.execute(query).scalars())


def verify_events(connection: Connection, project: str, issue_ids: list[str]) -> None:
    """Mark events as verified: a principal other than the run's has reported them."""
    if issue_ids:
        wanted = (*in_project(issues, project), issues.c.id.in_(issue_ids))
        connection.execute(update(issues).where(*wanted).values(event_verified=True))


def _named(lesson_id: str) -> dict[str, str]:
    return {"lesson_id": lesson_id} if lesson_id else {}


def verified_verdicts(connection: Connection, project: str, lesson_id: str = "") -> dict[str, tuple[int, int]]:
    """Return the numbers of verified verdicts by lesson id: (prevented its issue, did not prevent it)."""
    prevented = func.coalesce(func.sum(case((applications.c.verdict, 1), else_=0)), 0)
    query = (
        select(applications.c.lesson_id, prevented, func.count(applications.c.verdict))
        .where(*in_project(applications, project, verdict_evidence="verified", **_named(lesson_id)))
        .group_by(applications.c.lesson_id)
    )
    return {row[0]: (int(row[1]), int(row[2]) - int(row[1])) for row in connection.execute(query)}


def count_events(connection: Connection, project: str, agent_name: str, since: datetime, most: int) -> int:
    """Return how many verified events an agent had since a moment, counted up to `most`."""
    of_agent = in_project(issues, project, agent_name=agent_name)
    events = (*of_agent, issues.c.is_event, issues.c.event_verified, issues.c.created_at >= since)
    found = select(issues.c.id).where(*events).limit(most)
    return connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()


def agents_with_events(connection: Connection, project: str, since: datetime) -> set[str]:
    """Return the agents that had an event since a moment."""
    events = (*in_project(issues, project), issues.c.is_event, issues.c.created_at >= since)
    return set(connection.execute(select(issues.c.agent_name).where(*events).distinct()).scalars())


def of_agents(connection: Connection, project: str, agent_name: str = "") -> list[AgentSums]:
    """Return the sums of each agent that has some, or of the one named."""
    wanted = in_project(evidence, project, **({"agent_name": agent_name} if agent_name else {}))
    return [AgentSums(*row) for row in connection.execute(select(evidence).where(*wanted))]


def hold(connection: Connection, project: str, agent_name: str) -> AgentSums:
    """Return an agent's sums, and keep the row until the transaction ends."""
    dialect.insert_new(connection, evidence, [AgentSums(project, agent_name, {})._asdict()])
    of_agent = in_project(evidence, project, agent_name=agent_name)
    return AgentSums(*connection.execute(select(evidence).where(*of_agent).with_for_update()).one())


def put(connection: Connection, sums: AgentSums) -> None:
    """Write an agent's sums."""
    of_agent = in_project(evidence, sums.project, agent_name=sums.agent_name)
    connection.execute(update(evidence).where(*of_agent).values(sums._asdict()))


def stop_of(connection: Connection, project: str) -> ServiceStop | None:
    """Return the project's record of stopped or resumed serving, or None where it never stopped."""
    row = connection.execute(select(service_stops).where(*in_project(service_stops, project))).first()
    return ServiceStop(*row) if row else None


def stop_reason(connection: Connection, project: str) -> str:
    """Return why serving is stopped; empty where it is not."""
    query = select(service_stops.c.reason).where(*in_project(service_stops, project), service_stops.c.stopped)
    return connection.execute(query).scalar() or ""


def put_stop(connection: Connection, stop: ServiceStop) -> None:
    """Record that serving is stopped or resumed."""
    statement = dialect.upsert(dialect.name_of(connection), service_stops, replaced=ServiceStop._fields[1:])
    connection.execute(statement, [stop._asdict()])
