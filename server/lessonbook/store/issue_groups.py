"""Queries about groups of issues: pending ones of one rule or in like words, and those that a person dismissed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, func, literal_column, or_, select, update

from lessonbook.domain.vocabulary import IssueAction
from lessonbook.store.issues import UNDER_WAY, IssueRow
from lessonbook.store.tables import in_project, issues, refinement_runs

_IS_GROUPED: Final = issues.c.group_id.is_not(None)
_NO_RULE: Final[ColumnElement[str]] = literal_column("''")  # SQLite uses a partial index only with a literal
_ISSUES: Final = select(*(issues.c[name] for name in IssueRow._fields))

_DISMISSED: Final = (
    select(issues.c.group_id, func.min(issues.c.reason))
    .where(
        *in_project(issues, bindparam("project"), action="rejected"),
        issues.c.group_id.in_(bindparam("groups", expanding=True)),
    )
    .group_by(issues.c.group_id)
)
_WORDED: Final = (
    select(issues.c.id, issues.c.group_id, issues.c.created_at)
    .where(
        issues.c.project == bindparam("project"),
        _IS_GROUPED,
        issues.c.rule_id == _NO_RULE,
        issues.c.created_at >= bindparam("since"),
    )
    .order_by(issues.c.created_at.desc(), issues.c.id)
    .limit(bindparam("most"))
)


class GroupCounts(NamedTuple):
    """How many pending issues a group has, when the first and the last came, and the rank of the worst."""

    group_id: str
    issues: int
    first_seen: datetime
    last_seen: datetime
    severity: int


GroupPosition = tuple[int, datetime, str]
"""Where a page of groups ends: the last one's issues, first moment and id."""


def page(
    connection: Connection,
    project: str,
    agent_name: str,
    after: GroupPosition | None,
    limit: int,
    *,
    group_id: str = "",
) -> list[GroupCounts]:
    """Return groups with pending issues, those with most issues first, of equals the oldest, from behind `after`.

    `agent_name` restricts them to groups that have an issue of that agent, though figures are of the whole group;
    `group_id` to one group.
    """
    count, first = func.count(), func.min(issues.c.created_at)
    query = (
        select(issues.c.group_id, count, first, func.max(issues.c.created_at), func.max(issues.c.severity))
        .where(*in_project(issues, project, action="pending"), _IS_GROUPED)
        .group_by(issues.c.group_id)
        .order_by(count.desc(), first, issues.c.group_id)
        .limit(limit)
    )
    if agent_name:
        query = query.having(_number(issues.c.agent_name == agent_name) > 0)
    if group_id:
        query = query.where(issues.c.group_id == group_id)
    if after is not None:
        most, moment, last = after
        later = or_(first > moment, and_(first == moment, issues.c.group_id > last))
        query = query.having(or_(count < most, and_(count == most, later)))
    return [GroupCounts(*row) for row in connection.execute(query)]


def size(connection: Connection, project: str, group_id: str) -> int:
    """Return how many issues of a group are pending."""
    of_group = in_project(issues, project, action="pending", group_id=group_id)
    return connection.execute(select(func.count()).where(*of_group)).scalar_one()


def agents(connection: Connection, project: str, group_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return how many pending issues each agent has in each group, most first."""
    count = func.count()
    query = (
        select(issues.c.group_id, issues.c.agent_name, count)
        .where(*in_project(issues, project, action="pending"), issues.c.group_id.in_(list(group_ids)))
        .group_by(issues.c.group_id, issues.c.agent_name)
        .order_by(count.desc(), issues.c.agent_name)
    )
    found: dict[str, dict[str, int]] = {}
    for group_id, agent_name, own in connection.execute(query):
        found.setdefault(group_id, {})[agent_name] = own
    return found


def latest(connection: Connection, project: str, group_id: str, most: int) -> list[IssueRow]:
    """Return the latest pending issues of a group, newest first, at most `most`."""
    query = _ISSUES.where(*in_project(issues, project, action="pending", group_id=group_id))
    rows = connection.execute(query.order_by(issues.c.created_at.desc(), issues.c.id).limit(most))
    return [IssueRow(*row) for row in rows]


def members(
    connection: Connection,
    project: str,
    group_id: str,
    most: int,
    *,
    actions: Sequence[IssueAction] = ("pending",),
    run_id: str = "",
    lock: bool = False,
) -> list[IssueRow]:
    """Return the issues of a group, oldest first, at most `most`.

    Args:
        connection: the transaction.
        project: the project.
        group_id: the group.
        most: the maximum number of issues.
        actions: which actions they have.
        run_id: the refinement run that they are assigned to; empty: any.
        lock: whether their rows are kept until the transaction ends.
    """
    query = _ISSUES.where(*in_project(issues, project, group_id=group_id), issues.c.action.in_(actions))
    if run_id:
        query = query.where(issues.c.refinement_run_id == run_id)
    query = query.order_by(issues.c.created_at, issues.c.id).limit(most)
    return [IssueRow(*row) for row in connection.execute(query.with_for_update() if lock else query)]


def worded_since(connection: Connection, project: str, since: datetime, most: int) -> list[tuple[str, str, datetime]]:
    """Return the latest `most` grouped issues without a rule since a moment, oldest first: id, group, time."""
    wanted = {"project": project, "since": since, "most": most}
    return [(row[0], row[1], row[2]) for row in reversed(connection.execute(_WORDED, wanted).all())]


def dismissals(connection: Connection, project: str, group_ids: Collection[str]) -> dict[str, str]:
    """Return why each of the groups was dismissed, for those that were."""
    if not group_ids:
        return {}
    return {row[0]: row[1] for row in connection.execute(_DISMISSED, {"project": project, "groups": list(group_ids)})}


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
) -> list[GroupCounts]:
    """Return groups to ask a language model about: first those never asked about, then the oldest.

    Left out are groups with an issue that `model` has answered for `prompt_hash` since `answered_since`, or that is
    leased to a refinement run that began since `leased_since`.
    """
    by_model = refinement_runs.c.refiner == "llm"
    is_answered = and_(
        by_model,
        refinement_runs.c.error == "",
        refinement_runs.c.model == model,
        refinement_runs.c.prompt_hash == prompt_hash,
        refinement_runs.c.started_at >= answered_since,
    )
    is_leased = and_(by_model, refinement_runs.c.error == UNDER_WAY, refinement_runs.c.started_at > leased_since)
    first = func.min(issues.c.created_at)
    query = (
        select(issues.c.group_id, func.count(), first, func.max(issues.c.created_at), func.max(issues.c.severity))
        .outerjoin(
            refinement_runs,
            and_(refinement_runs.c.project == issues.c.project, refinement_runs.c.id == issues.c.refinement_run_id),
        )
        .where(*in_project(issues, project, action="pending"), _IS_GROUPED)
        .group_by(issues.c.group_id)
        .having(_number(or_(is_answered, is_leased)) == 0)
        .order_by(case((_number(by_model) > 0, 1), else_=0), first, func.min(issues.c.id))
        .limit(limit)
    )
    if agent_name:
        query = query.having(_number(issues.c.agent_name == agent_name) > 0)
    return [GroupCounts(*row) for row in connection.execute(query)]


def _number(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    """Return how many rows of a group fulfil a condition; one on a refinement run that is not there does not hold."""
    return func.sum(case((condition, 1), else_=0))


def claim(connection: Connection, project: str, group_ids: Collection[str], run_id: str) -> int:
    """Assign the pending issues of groups to a refinement run, and return how many."""
    of_groups = (*in_project(issues, project, action="pending"), issues.c.group_id.in_(list(group_ids)))
    return connection.execute(update(issues).where(*of_groups).values(refinement_run_id=run_id)).rowcount
