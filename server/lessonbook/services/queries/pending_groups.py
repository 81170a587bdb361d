"""Groups of pending issues as operators see them: figures, examples, and what may answer the whole group."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from lessonbook.classify.catalogue import Catalogue
from lessonbook.dedup.near_rules import near_rules
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import catalogue_name
from lessonbook.domain.lesson_status import SUGGESTED
from lessonbook.domain.pending_issues import (
    AgentShare,
    GroupSuggestion,
    PendingGroup,
    PendingIssue,
    PendingListing,
    SuggestedMatch,
)
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK
from lessonbook.services.group_examples import LOOKED_AT, differing
from lessonbook.services.queries.cursors import encode
from lessonbook.store import issue_groups
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.issue_groups import GroupCounts, GroupPosition
from lessonbook.store.issues import IssueRow

EXAMPLES_MAX: Final = 3
EXAMPLE_CHARACTERS_MAX: Final = 600
SUGGESTIONS_MAX: Final = 4


@dataclass(frozen=True, slots=True)
class GroupPage:
    """Groups, and the cursor of the next page."""

    groups: list[PendingGroup] = field(default_factory=list[PendingGroup])
    cursor: str = ""


def page_of_groups(
    connection: Connection, caller: Caller, listing: PendingListing, agent_name: str, after: GroupPosition | None
) -> GroupPage:
    """Return a page of groups, with those suggestions that are lessons of the project."""
    project = caller.project
    found = issue_groups.page(connection, project, agent_name, after, listing.limit + 1, group_id=listing.group_id)
    shown = found[: listing.limit]
    agents = issue_groups.agents(connection, project, [counts.group_id for counts in shown])
    latest = {counts.group_id: issue_groups.latest(connection, project, counts.group_id, LOOKED_AT) for counts in shown}
    runners_up = {row.runner_up for rows in latest.values() for row in rows if row.runner_up}
    near = lesson_rows.find(connection, project, runners_up)
    groups = [_group(counts, agents[counts.group_id], latest[counts.group_id], near) for counts in shown]
    if len(found) <= listing.limit:
        return GroupPage(groups)
    last = shown[-1]
    return GroupPage(groups, encode([last.issues, last.first_seen.isoformat(), last.group_id]))


def _group(
    counts: GroupCounts, agents: dict[str, int], rows: Sequence[IssueRow], near: dict[str, Lesson]
) -> PendingGroup:
    scores: dict[str, float] = {}
    for row in rows:
        if row.runner_up in near and near[row.runner_up].status in SUGGESTED:
            scores[row.runner_up] = max(scores.get(row.runner_up, 0.0), row.runner_up_score or 0.0)
    ranked = sorted(scores, key=lambda lesson_id: (-scores[lesson_id], lesson_id))[:SUGGESTIONS_MAX]
    return PendingGroup(
        group_id=counts.group_id,
        rule_id=rows[0].rule_id,
        issues=counts.issues,
        agents=[AgentShare(agent_name=name, issues=count) for name, count in agents.items()],
        severity=SEVERITY_OF_RANK[counts.severity],
        category=rows[0].category,
        first_seen=counts.first_seen.isoformat(),
        last_seen=counts.last_seen.isoformat(),
        examples=[_example(row, near.get(row.runner_up or "")) for row in differing(rows, EXAMPLES_MAX)],
        suggestions=[
            GroupSuggestion(lesson_id=lesson_id, text=near[lesson_id].lesson_text, score=round(scores[lesson_id], 3))
            for lesson_id in ranked
        ],
    )


def _example(row: IssueRow, near: Lesson | None) -> PendingIssue:
    issue = pending_issue(row, near)
    if len(issue.description) <= EXAMPLE_CHARACTERS_MAX:
        return issue
    return issue.model_copy(update={"description": f"{issue.description[: EXAMPLE_CHARACTERS_MAX - 1]}…"})


def with_entries(groups: Sequence[PendingGroup], catalogue: Catalogue) -> list[PendingGroup]:
    """Return the groups with those entries of the catalogue that are near their examples suggested as well."""
    return [group.model_copy(update={"suggestions": _with_entries(group, catalogue)}) for group in groups]


def _with_entries(group: PendingGroup, catalogue: Catalogue) -> list[GroupSuggestion]:
    known = {suggestion.text for suggestion in group.suggestions}
    entries = [
        GroupSuggestion(lesson_id=catalogue_name(rule.id), text=rule.text, score=round(score, 3))
        for rule, score in near_rules([issue.description for issue in group.examples], catalogue)
        if rule.text not in known
    ]
    return [*group.suggestions, *entries][:SUGGESTIONS_MAX]


def pending_issue(row: IssueRow, near: Lesson | None = None) -> PendingIssue:
    """Return an issue as operators see it; `near` is the lesson that it may be an instance of."""
    return PendingIssue(
        issue_id=row.id,
        agent_name=row.agent_name,
        description=row.description,
        severity=row.severity_name,
        category=row.category,
        file=row.file,
        line=row.line,
        rule_id=row.rule_id,
        source=row.source,
        evidence=row.evidence,
        reason=row.reason,
        created_at=row.created_at.isoformat(),
        suggestion=SuggestedMatch(lesson_id=near.id, text=near.lesson_text, score=round(row.runner_up_score or 0, 3))
        if near is not None and near.status in SUGGESTED
        else None,
        group_id=row.group_id,
    )
