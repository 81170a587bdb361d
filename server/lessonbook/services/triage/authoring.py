"""Authoring: somebody words lessons for pending issues, joins them to lessons that exist, or dismisses them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.domain.loop import Refinement
from lessonbook.domain.operator import AuthoredLesson, Authoring
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, SEVERITY_RANK
from lessonbook.screening.offer import COPIED, Offer, copies, reviewed, screened_offer
from lessonbook.screening.redact import redact
from lessonbook.services.triage.abstraction import within_words
from lessonbook.services.triage.triage_run import TriageRun
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.issue_writer import IssueEntry
from lessonbook.services.writing.ledger import Ledger


async def refine_issues(work: Workspace, caller: Caller, authoring: Authoring) -> Refinement:
    """Turn pending issues into lessons in an author's words, or join them to lessons that the author names.

    A person's lessons are active at once. Others' are on probation, or quarantined where the lint objects or they
    repeat an issue.

    Raises:
        NotFound: an issue or a lesson does not exist.
        InvalidInput: an issue is not pending, agents differ, or the lesson takes no issues any more.
        Conflict: the idempotency key was used with another request.
        TooMany: the principal has made too many lessons in the last hour.
    """

    def act(connection: Connection, now: datetime) -> Refinement:
        offers = sum(not authored.lesson_id for authored in authoring.lessons)
        work.rate_limits.admit(connection, work, caller, issues=0, offers=offers)
        triage = TriageRun(Ledger(work, caller, connection, now), work.new_id("R"), "author")
        triage.hold(issue_id for authored in authoring.lessons for issue_id in authored.issue_ids)
        for authored in authoring.lessons:
            lines = triage.writer.lines
            begun = len(lines)
            issues = triage.pending(authored.issue_ids)
            _settle(triage, issues, authored)
            by_issue = {line.issue_id: line for line in lines[begun:]}
            lines[begun:] = [by_issue[issue.id] for issue in issues]
        return triage.close()

    fingerprint = request_hash(authoring, "idempotency_key")
    refined = await once(work, caller, "refine_issues", authoring.idempotency_key, fingerprint, Refinement, act)
    work.rate_limits.add(caller, refined)
    return refined


async def dismiss_issues(work: Workspace, caller: Caller, issue_ids: Sequence[str], reason: str) -> Refinement:
    """Reject pending issues of one agent, so that they are no longer pending. No lesson is made.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: an issue does not exist.
        InvalidInput: an issue is not pending, or they are of different agents.
    """
    caller.require_person("dismiss an issue", "refine")
    words = redact(" ".join(reason.split()))[0]

    def act(connection: Connection) -> Refinement:
        triage = TriageRun(Ledger(work, caller, connection, work.now()), work.new_id("R"), "author")
        triage.hold(issue_ids)
        issues = triage.pending(issue_ids)
        triage.dismiss(issues, f"Dismissed by a person: {words}" if words else "Dismissed by a person.")
        for issue in issues:
            triage.ledger.note("issue.dismiss", issue.id, {"reason": words})
        return triage.close()

    return await work.store.write(act)


def _settle(triage: TriageRun, issues: Sequence[IssueEntry], authored: AuthoredLesson) -> None:
    if authored.lesson_id:
        triage.join_chosen(issues, authored.lesson_id)
        return
    offer, refusal = _offer(triage, issues, authored)
    if offer is None:
        triage.leave(issues, refusal)
        return
    triage.word(issues, offer, "active" if triage.ledger.caller.person else offer.status)


def _offer(triage: TriageRun, issues: Sequence[IssueEntry], authored: AuthoredLesson) -> tuple[Offer | None, str]:
    person, first = triage.ledger.caller.person, issues[0]
    severity = authored.severity or SEVERITY_OF_RANK[max(SEVERITY_RANK[issue.severity] for issue in issues)]
    if not person:
        severity = within_words(severity, [issue.description for issue in issues])
    trust = "approved" if person else "offered"
    offer, refusal = screened_offer(
        authored.lesson, authored.why, severity, authored.category or first.category, trust, first.rule_key
    )
    if offer is None or person:
        return offer, refusal
    offer = reviewed(offer, triage.ledger.work.settings.trust.review)
    if any(copies(text, issue.description) for issue in issues for text in (offer.text, offer.why)):
        offer = replace(offer, status="quarantined", reasons=(*offer.reasons, COPIED))
    return offer, ""
