"""Queries about events: which there were, what they add up to, and whether serving is stopped for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, exists, func, select, update

from lessonbook.store import dialect
from lessonbook.store.tables import applications, deliveries, evidence, issues, service_stops

ARMS: Final = ("served_issues", "served_squares", "held_out_issues", "held_out_squares")

_EVENTS_OF_RUN: Final = select(issues.c.lesson_id, issues.c.id, issues.c.event_verified).where(
    issues.c.project == bindparam("project"), issues.c.run_id == bindparam("run_id"), issues.c.is_event
)


@dataclass(frozen=True, slots=True)
class Event:
    """The first independent issue of a lesson's class in a run where it was eligible: which, and whether verified."""

    issue_id: str
    verified: bool


@dataclass(frozen=True, slots=True)
class Assigned:
    """An event with the delivery it met."""

    lesson_id: str
    lesson_version: int
    shown: bool
    p_show: float
    exempt: bool
    verified: bool
    applied: bool
    delivered_at: datetime


class CoinApplication(NamedTuple):
    """An application of a lesson that a coin had shown, in the words it had then."""

    lesson_id: str
    lesson_version: int
    p_show: float
    delivered_at: datetime


class AgentSums(NamedTuple):
    """What an agent's events add up to, and the issues of its measured runs by side, with their squares."""

    project: str
    agent_name: str
    effect: dict[str, Any]
    served_issues: int = 0
    served_squares: int = 0
    held_out_issues: int = 0
    held_out_squares: int = 0


class ServiceStop(NamedTuple):
    """Whether serving is stopped, why, and the sums (see `ARMS`) that are left out since it was resumed."""

    project: str
    stopped: bool
    reason: str
    numbers: dict[str, int]
    principal: str
    changed_at: datetime


def events_of_run(connection: Connection, project: str, run_id: str) -> dict[str, Event]:
    """Return the events of a run by lesson id."""
    rows = connection.execute(_EVENTS_OF_RUN, {"project": project, "run_id": run_id})
    return {lesson_id: Event(issue_id, verified) for lesson_id, issue_id, verified in rows}


def verify_events(connection: Connection, project: str, issue_ids: list[str]) -> None:
    """Mark events as verified: somebody else than the run's own principal has now reported them, too."""
    if issue_ids:
        wanted = (issues.c.project == project, issues.c.id.in_(issue_ids))
        connection.execute(update(issues).where(*wanted).values(event_verified=True))


_APPLIED: Final = exists().where(
    applications.c.project == issues.c.project,
    applications.c.run_id == issues.c.run_id,
    applications.c.lesson_id == issues.c.lesson_id,
    applications.c.by_coin,
)


def applied_by_coin(connection: Connection, project: str, lesson_id: str = "") -> Iterator[CoinApplication]:
    """Yield the applications of lessons that a coin had shown."""
    query = (
        select(deliveries.c.lesson_id, deliveries.c.lesson_version, deliveries.c.p_show, deliveries.c.delivered_at)
        .join(
            applications,
            and_(
                deliveries.c.project == applications.c.project,
                deliveries.c.run_id == applications.c.run_id,
                deliveries.c.lesson_id == applications.c.lesson_id,
            ),
        )
        .where(applications.c.project == project, applications.c.by_coin)
    )
    if lesson_id:
        query = query.where(applications.c.lesson_id == lesson_id)
    for row in connection.execute(query):
        yield CoinApplication(*row)


def verified_verdicts(connection: Connection, project: str, lesson_id: str = "") -> dict[str, tuple[int, int]]:
    """Return by lesson id how many verified verdicts say that it prevented its issue, and how many that it did not."""
    prevented = func.coalesce(func.sum(case((applications.c.verdict, 1), else_=0)), 0)
    query = (
        select(applications.c.lesson_id, prevented, func.count(applications.c.verdict))
        .where(applications.c.project == project, applications.c.verdict_evidence == "verified")
        .group_by(applications.c.lesson_id)
    )
    if lesson_id:
        query = query.where(applications.c.lesson_id == lesson_id)
    return {row[0]: (int(row[1]), int(row[2]) - int(row[1])) for row in connection.execute(query)}


def assigned_events(connection: Connection, project: str, lesson_id: str = "") -> Iterator[Assigned]:
    """Yield every event with its delivery, of one lesson where named."""
    query = (
        select(
            issues.c.lesson_id,
            deliveries.c.lesson_version,
            deliveries.c.shown,
            deliveries.c.p_show,
            deliveries.c.exempt,
            issues.c.event_verified,
            _APPLIED.label("applied"),
            deliveries.c.delivered_at,
        )
        .join(
            deliveries,
            and_(
                deliveries.c.project == issues.c.project,
                deliveries.c.run_id == issues.c.run_id,
                deliveries.c.lesson_id == issues.c.lesson_id,
            ),
        )
        .where(issues.c.project == project, issues.c.is_event)
    )
    if lesson_id:
        query = query.where(issues.c.lesson_id == lesson_id)
    for row in connection.execute(query):
        yield Assigned(*row)


def count_events(connection: Connection, project: str, agent_name: str, since: datetime, most: int) -> int:
    """Return how many verified events an agent had since a moment, counted up to `most`."""
    found = (
        select(issues.c.id)
        .where(
            issues.c.project == project,
            issues.c.agent_name == agent_name,
            issues.c.is_event,
            issues.c.event_verified,
            issues.c.created_at >= since,
        )
        .limit(most)
    )
    return connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()


def agents_with_events(connection: Connection, project: str, since: datetime) -> set[str]:
    """Return the agents that had an event since a moment."""
    query = select(issues.c.agent_name).where(
        issues.c.project == project, issues.c.is_event, issues.c.created_at >= since
    )
    return set(connection.execute(query.distinct()).scalars())


def of_agents(connection: Connection, project: str, agent_name: str = "") -> list[AgentSums]:
    """Return what the events of each agent add up to."""
    query = select(evidence).where(evidence.c.project == project)
    if agent_name:
        query = query.where(evidence.c.agent_name == agent_name)
    return [AgentSums(*row) for row in connection.execute(query)]


def hold(connection: Connection, project: str, agent_name: str) -> AgentSums:
    """Return what an agent's events add up to, and keep the row until the transaction ends."""
    dialect.insert_new(connection, evidence, [AgentSums(project, agent_name, {})._asdict()])
    of_agent = (evidence.c.project == project, evidence.c.agent_name == agent_name)
    return AgentSums(*connection.execute(select(evidence).where(*of_agent).with_for_update()).one())


def put(connection: Connection, sums: AgentSums) -> None:
    """Write what an agent's events add up to."""
    key = (evidence.c.project == sums.project, evidence.c.agent_name == sums.agent_name)
    connection.execute(update(evidence).where(*key).values(sums._asdict()))


def stop_of(connection: Connection, project: str) -> ServiceStop | None:
    """Return the project's record of stopped or resumed serving, or None where it never stopped."""
    row = connection.execute(select(service_stops).where(service_stops.c.project == project)).first()
    return ServiceStop(*row) if row else None


def stop_reason(connection: Connection, project: str) -> str:
    """Return why serving is stopped; empty where it is not."""
    query = select(service_stops.c.reason).where(service_stops.c.project == project, service_stops.c.stopped)
    return connection.execute(query).scalar() or ""


def put_stop(connection: Connection, stop: ServiceStop) -> None:
    """Record that serving is stopped, or resumed."""
    statement = dialect.upsert(dialect.name_of(connection), service_stops, replaced=ServiceStop._fields[1:])
    connection.execute(statement, [stop._asdict()])
