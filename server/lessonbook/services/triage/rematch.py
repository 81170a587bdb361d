"""Rematch: pending issues are matched again, since lessons and catalogue have grown meanwhile."""

from collections.abc import Sequence

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.dedup.precedence_table import EXACT, Verdict
from lessonbook.domain.agent_tools import Refinement
from lessonbook.domain.findings import Finding
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import kind_of
from lessonbook.domain.vocabulary import ReviewMode
from lessonbook.services.report.matching import Matching
from lessonbook.services.report.preparation import Prepared, names_of_lesson, prepare
from lessonbook.services.triage.triage_run import TriageRun
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import entry_of
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issues as issue_rows
from lessonbook.store.issues import IssueRow
from lessonbook.store.types import Row

_Matched = tuple[Matching, dict[str, Verdict]]


async def rematch(work: Workspace, caller: Caller, issue_ids: Sequence[str]) -> Refinement | None:
    """Join pending issues to lessons that exist by now, or make catalogue lessons for them; None if nothing changed.

    Issues that are not pending, or do not exist, are skipped.
    """
    rows = await work.store.read(lambda connection: issue_rows.find(connection, caller.project, issue_ids))
    prepared = await anyio.to_thread.run_sync(_prepared, work, work.review_for(caller), list(rows.values()))

    def matched(connection: Connection) -> _Matched:
        matching = Matching(work, caller, connection)
        matching.look_up(list(prepared.values()), {row.agent_name for row in rows.values()})
        return matching, {name: matching.match(item, rows[name].agent_name) for name, item in prepared.items()}

    beforehand = [await work.store.read(matched)]  # nobody waits meanwhile

    def act(connection: Connection) -> Refinement | None:
        triage = TriageRun(Ledger(work, caller, connection, work.now()), work.new_id("R"), "rules")
        triage.hold(prepared)
        known = beforehand.pop() if beforehand else None
        if known is None or not known[0].still_holds(connection):
            known = matched(connection)
        matching, verdicts = known
        for row in triage.held().values():
            if row.action == "pending":
                _settle(triage, matching, row, prepared[row.id], verdicts[row.id])
        return triage.close() if triage.writer.lines else None

    return await work.store.write(act)


def _prepared(work: Workspace, review: ReviewMode, rows: Sequence[IssueRow]) -> dict[str, Prepared]:
    """Return issues as a report would prepare them today, by id."""
    return {
        row.id: prepare(
            Finding(row.description, row.severity_name, row.category, row.file, row.line, row.rule_id),
            work.catalogue,
            review=review,
        )
        for row in rows
    }


def _settle(triage: TriageRun, matching: Matching, row: IssueRow, item: Prepared, verdict: Verdict) -> None:
    """Join an issue to its lesson, or make the catalogue's for it; else store its new runner-up."""
    ledger = triage.ledger
    near = (verdict.runner_up, verdict.runner_up_score) if verdict.runner_up != row.id else (None, None)
    seen: Row = {"score": verdict.score, "runner_up": near[0], "runner_up_score": near[1]}
    if verdict.lesson_id is not None:
        exact = verdict.score == EXACT
        surely = "" if exact else f" ({verdict.score:.2f})"
        reason = f"Same as lesson {verdict.lesson_id} by {verdict.how}{surely}."
        triage.join([entry_of(row)], verdict.lesson_id, reason, named=exact and kind_of(verdict.name) != "group")
    elif item.offer is not None and item.offer.catalogue_id and not matching.is_taken(item, row.agent_name):
        names = [name for name in names_of_lesson(item) if kind_of(name) != "text"]
        triage.word([entry_of(row)], item.offer, item.offer.status, names)
    else:
        if near[0] is None:
            seen = {}
        seen["group_id"] = item.group_id if item.rule_key else row.group_id or item.group_id
        if seen.items() <= row._asdict().items():
            return
    issue_rows.change(ledger.connection, ledger.caller.project, row.id, seen)
