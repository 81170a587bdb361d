"""Queries about issues, and about the refinement runs that handled them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, Category, EvidenceGrade, IssueAction, Severity, Source
from lessonbook.store import dialect
from lessonbook.store.tables import in_project, issues, refinement_runs
from lessonbook.store.types import Row

CHANGED_AT_ONCE: Final = 500
"""Issues named in one statement; databases bound its parameters."""

UNDER_WAY: Final = "It has not ended: the model is being asked, or the process that asked it is gone."
"""The error of a refinement run that waits for a language model's answer; its issues are leased to it."""


class IssueRow(NamedTuple):
    """An issue as it is stored. `severity` is the rank, 4 = critical.

    `group_id`: its group while it is pending, and after the group was dismissed.
    """

    project: str
    id: str
    agent_name: str
    description: str
    severity: int
    category: Category
    file: str
    line: int | None
    rule_id: str
    source: Source
    evidence: EvidenceGrade
    principal: str
    run_id: str | None
    lesson_id: str | None
    action: IssueAction
    reason: str
    score: float | None
    runner_up: str | None
    runner_up_score: float | None
    fingerprint: str
    is_new: bool
    is_event: bool
    event_verified: bool
    refinement_run_id: str
    created_at: datetime
    group_id: str | None = None

    @property
    def severity_name(self) -> Severity:
        """The severity as a word."""
        return SEVERITY_OF_RANK[self.severity]


_ISSUES: Final = select(*(issues.c[name] for name in IssueRow._fields))
_LATEST: Final = (
    select(issues.c.id, issues.c.lesson_id, issues.c.description)
    .where(issues.c.project == bindparam("project"), issues.c.lesson_id == bindparam("lesson_id"))
    .order_by(issues.c.created_at.desc(), issues.c.id)
    .limit(bindparam("most"))
)

_ADD: Final = insert(issues)
_ADD_RUN: Final = insert(refinement_runs)
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PENDING: Final = (
    select(issues.c.id, issues.c.created_at)
    .where(
        *in_project(issues, bindparam("project"), agent_name=bindparam("agent"), action="pending"),
        issues.c.created_at >= bindparam("since"),
    )
    .order_by(issues.c.created_at.desc(), issues.c.id)
    .limit(bindparam("most"))
)

_DESCRIPTIONS: Final = select(issues.c.id, issues.c.description).where(
    issues.c.project == bindparam("project"), issues.c.id.in_(bindparam("ids", expanding=True))
)

_SEEN: Final = (
    select(issues.c.fingerprint)
    .where(
        issues.c.project == bindparam("project"),
        issues.c.fingerprint.in_(bindparam("fingerprints", expanding=True)),
        issues.c.source != "agent",
        issues.c.principal.not_in(bindparam("not_by", expanding=True)),
    )
    .distinct()
)

_LATEST_PLACES: Final = (
    select(issues.c.agent_name, issues.c.lesson_id, issues.c.file, issues.c.created_at)
    .where(
        issues.c.project == bindparam("project"),
        issues.c.agent_name.in_(bindparam("agents", expanding=True)),
        issues.c.lesson_id.is_not(None),
        issues.c.file != "",
    )
    .order_by(issues.c.created_at.desc())
    .limit(bindparam("most"))
)


class IssuePlace(NamedTuple):
    """Where an issue of a lesson was seen, and when."""

    agent_name: str
    lesson_id: str
    file: str
    created_at: datetime


def _read(connection: Connection, query: Select[Any]) -> list[IssueRow]:
    return [IssueRow(*row) for row in connection.execute(query)]


def add(connection: Connection, rows: Sequence[IssueRow]) -> None:
    """Insert issues."""
    if rows:
        connection.execute(_ADD, [row._asdict() for row in rows])


def latest_places(connection: Connection, project: str, agent_names: Sequence[str], most: int) -> list[IssuePlace]:
    """Return where the agents' latest issues with a lesson and a file were seen, the latest first, at most `most`."""
    wanted = {"project": project, "agents": list(agent_names), "most": most}
    return [IssuePlace(*row) for row in connection.execute(_LATEST_PLACES, wanted)]


def add_refinement_run(connection: Connection, row: Row) -> None:
    """Insert the audited record of one refinement run."""
    connection.execute(_ADD_RUN, row)


def seen_fingerprints(
    connection: Connection, project: str, fingerprints: Iterable[str], *, not_by: Collection[str] = ()
) -> set[str]:
    """Return which of the fingerprints were reported before, by principals other than `not_by`.

    What an agent reported of its own work does not count: otherwise it could keep QA's report from being evidence.
    """
    wanted = {"project": project, "fingerprints": list(set(fingerprints)), "not_by": list(not_by)}
    return set(connection.execute(_SEEN, wanted).scalars())


def find(connection: Connection, project: str, issue_ids: Iterable[str], *, lock: bool = False) -> dict[str, IssueRow]:
    """Return the issues that exist, by id. `lock` keeps their rows until the transaction ends."""
    query = _ISSUES.where(issues.c.project == project, issues.c.id.in_(set(issue_ids)))
    if lock:
        query = query.order_by(issues.c.id).with_for_update()
    return {row.id: row for row in _read(connection, query)}


def change(connection: Connection, project: str, issue_id: str, values: Row) -> None:
    """Set columns of one issue."""
    connection.execute(update(issues).where(*in_project(issues, project, id=issue_id)).values(values))


def change_all(connection: Connection, project: str, issue_ids: Sequence[str], values: Row) -> None:
    """Set columns of issues to the same values."""
    for start in range(0, len(issue_ids), CHANGED_AT_ONCE):
        part = issue_ids[start : start + CHANGED_AT_ONCE]
        connection.execute(update(issues).where(issues.c.project == project, issues.c.id.in_(part)).values(values))


def move(connection: Connection, project: str, source: str, target: str, only: Sequence[str] = ()) -> int:
    """Attach the issues of lesson `source` (or those of `only`) to lesson `target`, and return how many."""
    statement = update(issues).where(*in_project(issues, project, lesson_id=source))
    if only:
        statement = statement.where(issues.c.id.in_(only))
    # An event belongs to one (run, lesson): moved issues stay evidence of what was measured, not events of the target.
    return connection.execute(statement.values(lesson_id=target, is_event=False)).rowcount


def forget_words(connection: Connection, project: str, lesson_id: str) -> int:
    """Blank the words and places of a lesson's issues, and return how many there are. Their counts stay."""
    of_lesson = in_project(issues, project, lesson_id=lesson_id)
    blank = {"description": "", "file": "", "line": None, "reason": ""}
    return connection.execute(update(issues).where(*of_lesson).values(blank)).rowcount


def of_lesson(connection: Connection, project: str, lesson_id: str, most: int) -> list[IssueRow]:
    """Return the issues of a lesson, newest first, at most `most`."""
    query = _ISSUES.where(*in_project(issues, project, lesson_id=lesson_id))
    return _read(connection, query.order_by(issues.c.created_at.desc(), issues.c.id).limit(most))


def latest_of_each(
    connection: Connection, project: str, lesson_ids: Iterable[str], most: int
) -> list[tuple[str, str, str]]:
    """Return the latest `most` issues of each lesson, oldest first: id, lesson id, description."""
    found: list[tuple[str, str, str]] = []
    for lesson_id in lesson_ids:  # one short walk down an index each, however many issues a lesson has
        rows = connection.execute(_LATEST, {"project": project, "lesson_id": lesson_id, "most": most}).all()
        found += [(row[0], row[1], row[2]) for row in reversed(rows)]
    return found


def pending_since(
    connection: Connection, project: str, agent_name: str, since: datetime | None, most: int
) -> list[tuple[str, datetime]]:
    """Return the latest `most` pending issues of an agent reported since a moment, oldest first: id and time."""
    wanted = {"project": project, "agent": agent_name, "since": since or _EVER, "most": most}
    return [(row[0], row[1]) for row in reversed(connection.execute(_PENDING, wanted).all())]


def descriptions(connection: Connection, project: str, issue_ids: Collection[str]) -> dict[str, str]:
    """Return the descriptions of issues, by id, in the order of `issue_ids`."""
    if not issue_ids:
        return {}
    wanted = {"project": project, "ids": list(issue_ids)}
    found = {row[0]: row[1] for row in connection.execute(_DESCRIPTIONS, wanted)}
    return {issue_id: found[issue_id] for issue_id in issue_ids if issue_id in found}


def of_run(connection: Connection, project: str, run_id: str, most: int) -> list[IssueRow]:
    """Return the issues reported for a run, oldest first, at most `most`."""
    query = _ISSUES.where(*in_project(issues, project, run_id=run_id))
    return _read(connection, query.order_by(issues.c.created_at, issues.c.id).limit(most))


def pending(
    connection: Connection,
    project: str,
    agent_name: str,
    after: tuple[datetime, str] | None,
    limit: int,
    *,
    group_id: str = "",
) -> list[IssueRow]:
    """Return pending issues of an agent and a group, oldest first, from behind `after` (time, id); empty names: all."""
    scope = {name: value for name, value in (("agent_name", agent_name), ("group_id", group_id)) if value}
    query = _ISSUES.where(*in_project(issues, project, action="pending", **scope))
    if after is not None:
        moment, issue_id = after
        query = query.where(
            (issues.c.created_at > moment) | ((issues.c.created_at == moment) & (issues.c.id > issue_id))
        )
    return _read(connection, query.order_by(issues.c.created_at, issues.c.id).limit(limit))


def take_turns(connection: Connection, project: str) -> None:
    """Wait until no other transaction of the project claims issues for a language model."""
    dialect.take_turns(connection, [f"lessonbook.refine\0{project}"])


def end_refinement_run(connection: Connection, project: str, run_id: str, values: Row) -> None:
    """Record the outcome of a refinement run that was begun before."""
    of_run = in_project(refinement_runs, project, id=run_id)
    connection.execute(update(refinement_runs).where(*of_run).values(values))


def spent_since(connection: Connection, project: str, since: datetime) -> tuple[int, float]:
    """Return the tokens and US dollars of refinement runs since a moment, including what open runs have reserved."""
    query = select(
        func.coalesce(func.sum(refinement_runs.c.tokens), 0), func.coalesce(func.sum(refinement_runs.c.cost_usd), 0.0)
    ).where(refinement_runs.c.project == project, refinement_runs.c.started_at >= since)
    tokens, cost = connection.execute(query).one()
    return int(tokens), float(cost)
