"""Queries about issues and the refinement runs that dealt with them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, insert, or_, select, text, update

from lessonbook.store import dialect
from lessonbook.store.tables import issues, refinement_runs
from lessonbook.store.types import Row

UNDER_WAY: Final = "It has not ended: the model is being asked, or the process that asked it is gone."
"""The error of a refinement run that a language model works on; its issues are leased to it."""

_LATEST: Final = (
    select(issues.c.id, issues.c.lesson_id, issues.c.description)
    .where(issues.c.project == bindparam("project"), issues.c.lesson_id == bindparam("lesson_id"))
    .order_by(issues.c.created_at.desc(), issues.c.id)
    .limit(bindparam("most"))
)

_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PENDING: Final = (
    select(issues.c.id, issues.c.created_at)
    .where(
        issues.c.project == bindparam("project"),
        issues.c.agent_name == bindparam("agent"),
        issues.c.action == "pending",
        issues.c.created_at >= bindparam("since"),
    )
    .order_by(issues.c.created_at.desc(), issues.c.id)
    .limit(bindparam("most"))
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


def add(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert issues."""
    if rows:
        connection.execute(insert(issues), rows)


def latest_places(connection: Connection, project: str, agent_names: Sequence[str], most: int) -> list[IssuePlace]:
    """Return where the agents' latest issues with a lesson and a file were seen, the latest first, at most `most`."""
    wanted = {"project": project, "agents": list(agent_names), "most": most}
    return [IssuePlace(*row) for row in connection.execute(_LATEST_PLACES, wanted)]


def add_refinement_run(connection: Connection, row: Row) -> None:
    """Insert the audited record of one refinement."""
    connection.execute(insert(refinement_runs).values(row))


def seen_fingerprints(
    connection: Connection, project: str, fingerprints: Iterable[str], *, not_by: Collection[str] = ()
) -> set[str]:
    """Return which of the fingerprints the project has met before, in reports by others than the principals `not_by`.

    What an agent said of its own work does not count: else it could keep QA's report from being evidence.
    """
    wanted = {"project": project, "fingerprints": list(set(fingerprints)), "not_by": list(not_by)}
    return set(connection.execute(_SEEN, wanted).scalars())


def find(connection: Connection, project: str, issue_ids: Iterable[str]) -> dict[str, Row]:
    """Return issues by id."""
    query = select(issues).where(issues.c.project == project, issues.c.id.in_(set(issue_ids)))
    return {row["id"]: dict(row) for row in connection.execute(query).mappings()}


def change(connection: Connection, project: str, issue_id: str, values: Row) -> None:
    """Set columns of one issue."""
    connection.execute(update(issues).where(issues.c.project == project, issues.c.id == issue_id).values(values))


def move(connection: Connection, project: str, source: str, target: str, only: Sequence[str] = ()) -> int:
    """Attach the issues of lesson `source` (or those of `only`) to lesson `target`; returns how many."""
    statement = update(issues).where(issues.c.project == project, issues.c.lesson_id == source)
    if only:
        statement = statement.where(issues.c.id.in_(only))
    # An event belongs to one (run, lesson): moved issues stay evidence of what was measured, not events of the target.
    return connection.execute(statement.values(lesson_id=target, is_event=False)).rowcount


def forget_words(connection: Connection, project: str, lesson_id: str) -> int:
    """Blank what the issues behind a lesson say and where they were seen; returns how many. Their counts stay."""
    of_lesson = (issues.c.project == project, issues.c.lesson_id == lesson_id)
    blank = {"description": "", "file": "", "line": None, "reason": ""}
    return connection.execute(update(issues).where(*of_lesson).values(blank)).rowcount


def of_lesson(connection: Connection, project: str, lesson_id: str, most: int) -> list[Row]:
    """Return the latest issues behind a lesson."""
    query = (
        select(issues)
        .where(issues.c.project == project, issues.c.lesson_id == lesson_id)
        .order_by(issues.c.created_at.desc(), issues.c.id)
        .limit(most)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def latest_of_each(
    connection: Connection, project: str, lesson_ids: Iterable[str], most: int
) -> list[tuple[str, str, str]]:
    """Return the latest `most` issues behind each lesson, oldest first: id, lesson id, description."""
    found: list[tuple[str, str, str]] = []
    for lesson_id in lesson_ids:  # one short walk down an index each, however many issues a lesson has
        rows = connection.execute(_LATEST, {"project": project, "lesson_id": lesson_id, "most": most}).all()
        found += [(row[0], row[1], row[2]) for row in reversed(rows)]
    return found


def pending_since(
    connection: Connection, project: str, agent_name: str, since: datetime | None, most: int
) -> list[tuple[str, datetime]]:
    """Return the latest issues of an agent that no lesson answers, reported since then, oldest first: id and time."""
    wanted = {"project": project, "agent": agent_name, "since": since or _EVER, "most": most}
    return [(row[0], row[1]) for row in reversed(connection.execute(_PENDING, wanted).all())]


def descriptions(connection: Connection, project: str, issue_ids: Collection[str]) -> dict[str, str]:
    """Return what issues say, by id."""
    if not issue_ids:
        return {}
    query = select(issues.c.id, issues.c.description).where(issues.c.project == project, issues.c.id.in_(issue_ids))
    found = {row[0]: row[1] for row in connection.execute(query)}
    return {issue_id: found[issue_id] for issue_id in issue_ids if issue_id in found}


def of_run(connection: Connection, project: str, run_id: str, most: int) -> list[Row]:
    """Return the issues reported for a run."""
    query = (
        select(issues)
        .where(issues.c.project == project, issues.c.run_id == run_id)
        .order_by(issues.c.created_at, issues.c.id)
        .limit(most)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def pending(
    connection: Connection, project: str, agent_name: str, after: tuple[datetime, str] | None, limit: int
) -> list[Row]:
    """Return issues that no lesson answers yet, oldest first, from behind `after` (time, id)."""
    query = select(issues).where(issues.c.project == project, issues.c.action == "pending")
    if agent_name:
        query = query.where(issues.c.agent_name == agent_name)
    if after is not None:
        moment, issue_id = after
        query = query.where(
            (issues.c.created_at > moment) | ((issues.c.created_at == moment) & (issues.c.id > issue_id))
        )
    query = query.order_by(issues.c.created_at, issues.c.id).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def count_pending(connection: Connection, project: str, agent_name: str = "") -> int:
    """Return how many issues no lesson answers yet."""
    query = select(func.count()).where(issues.c.project == project, issues.c.action == "pending")
    if agent_name:
        query = query.where(issues.c.agent_name == agent_name)
    return connection.execute(query).scalar_one()


def hold(connection: Connection, project: str, issue_ids: Iterable[str]) -> dict[str, Row]:
    """Return issues by id, and keep their rows until the transaction ends."""
    query = select(issues).where(issues.c.project == project, issues.c.id.in_(set(issue_ids)))
    return {
        row["id"]: dict(row) for row in connection.execute(query.order_by(issues.c.id).with_for_update()).mappings()
    }


def take_turns(connection: Connection, project: str) -> None:
    """Let one transaction of a project claim issues for a language model at a time, until it ends."""
    if dialect.name_of(connection) == "postgresql":  # SQLite has one writer anyway
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended('lessonbook.refine ' || :project, 0))")
        connection.execute(lock, {"project": project})


def unasked(
    connection: Connection,
    project: str,
    agent_name: str,
    *,
    model: str,
    prompt_hash: str,
    answered_since: datetime,
    leased_since: datetime,
    limit: int,
) -> list[Row]:
    """Return pending issues that a language model may be asked about: never asked ones first, then the oldest.

    Left out are those that `model` has answered for `prompt_hash` since `answered_since`, and those that a run begun
    since `leased_since` is at work on.
    """
    by_model = refinement_runs.c.refiner == "llm"
    query = (
        select(issues)
        .outerjoin(
            refinement_runs,
            and_(refinement_runs.c.project == issues.c.project, refinement_runs.c.id == issues.c.refinement_run_id),
        )
        .where(
            issues.c.project == project,
            issues.c.action == "pending",
            _not(
                and_(
                    by_model,
                    refinement_runs.c.error == "",
                    refinement_runs.c.model == model,
                    refinement_runs.c.prompt_hash == prompt_hash,
                    refinement_runs.c.started_at >= answered_since,
                )
            ),
            _not(and_(by_model, refinement_runs.c.error == UNDER_WAY, refinement_runs.c.started_at > leased_since)),
        )
    )
    if agent_name:
        query = query.where(issues.c.agent_name == agent_name)
    query = query.order_by(case((by_model, 1), else_=0), issues.c.created_at, issues.c.id).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


def _not(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return the opposite, which holds where there is no refinement run, too."""
    return or_(refinement_runs.c.id.is_(None), ~condition)


def claim(connection: Connection, project: str, issue_ids: Iterable[str], run_id: str) -> None:
    """Let a refinement run deal with pending issues."""
    of_run = (issues.c.project == project, issues.c.id.in_(set(issue_ids)), issues.c.action == "pending")
    connection.execute(update(issues).where(*of_run).values(refinement_run_id=run_id))


def end_refinement_run(connection: Connection, project: str, run_id: str, values: Row) -> None:
    """Record what came of a refinement run that was begun before."""
    of_run = (refinement_runs.c.project == project, refinement_runs.c.id == run_id)
    connection.execute(update(refinement_runs).where(*of_run).values(values))


def spent_since(connection: Connection, project: str, since: datetime) -> tuple[int, float]:
    """Return the tokens and US dollars that refinement has used since, what is set aside for open runs included."""
    query = select(
        func.coalesce(func.sum(refinement_runs.c.tokens), 0), func.coalesce(func.sum(refinement_runs.c.cost_usd), 0.0)
    ).where(refinement_runs.c.project == project, refinement_runs.c.started_at >= since)
    tokens, cost = connection.execute(query).one()
    return int(tokens), float(cost)
