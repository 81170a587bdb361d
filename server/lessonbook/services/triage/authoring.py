"""Authoring: somebody words lessons for pending issues, joins them to lessons that exist, or dismisses them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import RefinedIssue
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import is_catalogued
from lessonbook.domain.pending_issues import Authored, AuthoredLesson, Authoring, RefinedGroup
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, SEVERITY_RANK, IssueAction
from lessonbook.screening.offer import COPIED, Offer, copies, reviewed, screened_offer
from lessonbook.screening.redact import redact
from lessonbook.services.triage.abstraction import within_words
from lessonbook.services.triage.triage_run import GROUP_MAX, GroupReader, TriageRun
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.issue_writer import IssueEntry
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issue_groups
from lessonbook.store.issues import IssueRow

LISTED_MAX: Final = 100
"""Issues of groups in an answer; all are counted."""


async def refine_issues(work: Workspace, caller: Caller, authoring: Authoring) -> Authored:
    """Turn pending issues into lessons in an author's words, join them to lessons that the author names, or dismiss.

    A person's lessons are active at once. Others' are on probation, or quarantined where the lint objects or they
    repeat an issue. Whole groups may be named: each of their agents gets a lesson in the same words, which also answers
    to later issues of the group. A group that a person dismissed does not come back as pending.

    Raises:
        NotFound: an issue, a group with pending issues or a lesson does not exist.
        InvalidInput: an issue is not pending, agents differ, or the lesson takes no issues any more.
        Forbidden: somebody who is not a person dismisses issues.
        Conflict: the idempotency key was used with another request.
        TooMany: the principal has made too many lessons in the last hour.
    """
    if any(authored.dismiss for authored in authoring.lessons):
        caller.require_person("dismiss issues", "refine GROUP --dismiss REASON")

    def act(connection: Connection, now: datetime) -> Authored:
        offers = sum(bool(authored.lesson) for authored in authoring.lessons)
        work.limits.admit_writes(connection, work, caller, issues=0, offers=offers)
        triage = TriageRun(Ledger(work, caller, connection, now), work.new_id("R"), "author")
        return _AuthorRun(triage).run(authoring.lessons)

    fingerprint = request_hash(authoring, "idempotency_key")
    refined = await once(work, caller, "refine_issues", authoring.idempotency_key, fingerprint, Authored, act)
    work.limits.add_writes(caller, refined.issues)
    return refined


class _AuthorRun:
    """The decisions of one call, inside one transaction."""

    def __init__(self, triage: TriageRun) -> None:
        self._triage = triage
        self._groups: list[RefinedGroup] = []
        self._listed = 0

    def run(self, lessons: Sequence[AuthoredLesson]) -> Authored:
        """Carry out all decisions, in order."""
        triage = self._triage
        groups = {group_id: self._reader(group_id) for authored in lessons for group_id in authored.group_ids}
        triage.hold((issue_id for authored in lessons for issue_id in authored.issue_ids), groups)
        listed: list[RefinedIssue] = []
        for authored in lessons:
            if authored.issue_ids:
                issues = triage.pending(authored.issue_ids)
                listed += self._settle(issues, authored)
            listed += self._settle_groups(authored)
        refined = triage.close()
        left = sum(group.left for group in self._groups)
        note = f"Still pending in these groups: {count_of(left, 'issue')}. Name the groups again." if left else ""
        return Authored(
            refinement_run_id=refined.refinement_run_id, issues=listed, note=note or refined.note, groups=self._groups
        )

    def _reader(self, group_id: str) -> GroupReader:
        """Return how to read a group: a person may decide anew on one that was dismissed."""
        caller = self._triage.ledger.caller
        actions: tuple[IssueAction, ...] = ("pending", "rejected") if caller.person else ("pending",)

        def read(connection: Connection, *, lock: bool) -> list[IssueRow]:
            return issue_groups.members(connection, caller.project, group_id, GROUP_MAX, actions=actions, lock=lock)

        return read

    def _settle_groups(self, authored: AuthoredLesson) -> list[RefinedIssue]:
        triage = self._triage
        whole: list[IssueEntry] = []
        for group_id in authored.group_ids:
            found = triage.of_group(group_id)
            if not found or any(group.group_id == group_id for group in self._groups):
                raise NotFound(
                    f"No issue of group {group_id} is pending in project {triage.ledger.caller.project!r}: "
                    "see list_pending_issues"
                )
            whole += [issue for issue in found if issue.id not in authored.issue_ids]
        if not whole:
            return []
        lines = self._settle(whole, authored)
        by_id = {line.issue_id: line for line in lines}
        for group_id in authored.group_ids:
            own = [by_id[issue.id] for issue in whole if issue.group_id == group_id]
            lesson_ids = dict.fromkeys(line.lesson_id for line in own if line.lesson_id)
            self._groups.append(
                RefinedGroup(
                    group_id=group_id,
                    actions=dict(Counter(line.action for line in own)),
                    lesson_ids=list(lesson_ids),
                    left=issue_groups.size(triage.ledger.connection, triage.ledger.caller.project, group_id)
                    if len(own) >= GROUP_MAX
                    else 0,
                )
            )
        shown = lines[: max(0, LISTED_MAX - self._listed)]
        self._listed += len(shown)
        return shown

    def _settle(self, issues: Sequence[IssueEntry], authored: AuthoredLesson) -> list[RefinedIssue]:
        """Carry out one decision, and return a line per issue, in their order."""
        triage = self._triage
        begun = len(triage.writer.lines)
        if authored.dismiss:
            _dismiss(triage, issues, _redacted(authored.dismiss), groups=authored.group_ids)
        elif is_catalogued(authored.lesson_id):
            triage.word_curated(issues, authored.lesson_id)
        elif authored.lesson_id and authored.group_ids:
            triage.join_everywhere(issues, authored.lesson_id)
        elif authored.lesson_id:
            triage.join_chosen(issues, authored.lesson_id)
        else:
            _word(triage, issues, authored)
        by_id = {line.issue_id: line for line in triage.writer.lines[begun:]}
        return [by_id[issue.id] for issue in issues]


def _redacted(reason: str) -> str:
    return redact(" ".join(reason.split()))[0]


def _dismiss(triage: TriageRun, issues: Sequence[IssueEntry], words: str, groups: Sequence[str] = ()) -> None:
    whole = [issue for issue in issues if issue.group_id in groups]
    single = [issue for issue in issues if issue.group_id not in groups]
    reason = f"Dismissed by a person: {words}" if words else "Dismissed by a person."
    triage.dismiss(single, reason)
    triage.dismiss(whole, f"{reason.rstrip('.')} (with all issues of its group).", group=True)
    for subject in (*(issue.id for issue in single), *groups):
        triage.ledger.note("issue.dismiss", subject, {"reason": words})


def _word(triage: TriageRun, issues: Sequence[IssueEntry], authored: AuthoredLesson) -> None:
    offer, refusal = _offer(triage, issues, authored)
    if offer is None:
        triage.leave(issues, refusal)
        return
    triage.word_each(issues, offer, "active" if triage.ledger.caller.person else offer.status)


def _offer(triage: TriageRun, issues: Sequence[IssueEntry], authored: AuthoredLesson) -> tuple[Offer | None, str]:
    person, first = triage.ledger.caller.person, issues[0]
    severity = authored.severity or SEVERITY_OF_RANK[max(SEVERITY_RANK[issue.severity] for issue in issues)]
    if not person:
        severity = within_words(severity, [issue.description for issue in issues])
    trust = "approved" if person else "offered"
    words = authored.with_text(authored.lesson, severity, authored.category or first.category)
    offer, refusal = screened_offer(words, trust, first.rule_key)
    if offer is None or person:
        return offer, refusal
    offer = reviewed(offer, triage.ledger.work.review_for(triage.ledger.caller))
    if any(copies(text, issue.description) for issue in issues for text in (offer.text, offer.why)):
        offer = replace(offer, status="quarantined", reasons=(*offer.reasons, COPIED))
    return offer, ""
