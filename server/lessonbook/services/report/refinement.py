"""Refinement of a report: each issue is cleaned, classified and routed; it joins a lesson, makes one, or is pending."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.domain.agent_tools import RefinedIssue, Refinement, Report
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.domain.lesson import Caller, not_independent
from lessonbook.domain.vocabulary import SEVERITY_RANK, Source
from lessonbook.services.report.agent_routing import agents_of, suggested_agents
from lessonbook.services.report.decisions import Decided, Decisions
from lessonbook.services.report.preparation import Prepared, prepare
from lessonbook.services.report.run_events import RunEvents, is_verified
from lessonbook.services.workspace import Workspace, hash_of, once
from lessonbook.services.writing.checked_runs import Check, LookedCheck, look
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import run_checks, runs
from lessonbook.store.engine import Retry
from lessonbook.store.issues import IssueRow

TOOL: Final = "report_issues"
_UNCOUNTED: Final = (
    "Reported without a run, so nothing is measured by it: pass the run_id of the work it was seen in, or let the "
    "agent commit with the trailer `Lessonbook-Run: <run_id>` that get_lessons asks for."
)
_UNFETCHED: Final = "Nobody has fetched lessons under this run_id, so the report is kept and measures nothing."
CHECKED: Final = "Checked: nothing was found."
_DECLARED: Final = "Nothing was found; as the run's own principal says so, it is noted and measures nothing."
_NOT_ROUTINE: Final = (
    "The last 30 reports of this reporter all had findings, so it seems to report only what it finds, and its reports "
    "check nothing: report every run, with an empty list (or a file without findings) where nothing was found."
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Findings to be refined together, with what their reporter said of them all.

    The idempotency key counts per `tool`. `request` is a hash that stands for the findings where they are a part of
    something larger; empty: they stand for themselves. `run_ids` are the runs of one change. `scanner` names what found
    them, where a file tells; `is_routine`: the reporter says that it reports every run, findings or not.
    """

    findings: Sequence[Finding]
    agent_name: str = ""
    run_ids: tuple[str, ...] = ()
    source: Source = "agent"
    idempotency_key: str = ""
    tool: str = TOOL
    request: str = ""
    scanner: str = ""
    is_routine: bool = False

    def hash(self) -> str:
        """Return a hash of the request."""
        said = {"a": self.agent_name, "r": " ".join(self.run_ids), "s": self.source}
        if self.request:
            return hash_of({"q": self.request, **said})
        findings = [{name: repr(getattr(finding, name)) for name in Finding.__slots__} for finding in self.findings]
        return hash_of({"f": findings, **said})


async def report_issues(work: Workspace, caller: Caller, report: Report) -> Refinement:
    """Refine the issues of a report, and return the outcome of each. One that cannot be stored is refused alone.

    Raises:
        InvalidInput: none of the issues can be stored.
        Conflict: the idempotency key was used with another report.
        TooMany: the principal has reported too much in the last hour.
    """
    refusals = {place: issue.refusal for place, issue in enumerate(report.issues) if issue.refusal}
    if refusals and len(refusals) == len(report.issues):
        raise InvalidInput(f"issues.0.{refusals[0]}")
    findings = [Finding(**dict(issue)) for issue in report.issues if not issue.refusal]
    if not report.issues and not report.run_id:
        raise InvalidInput("issues is empty: report what was found, or pass the run_id of a check that found nothing")
    run_ids = (report.run_id,) if report.run_id else ()
    batch = Batch(findings, report.agent_name, run_ids, report.source, report.idempotency_key)
    refined = await refine(work, caller, batch)
    lines = list(refined.issues)
    for place, reason in refusals.items():
        lines.insert(place, RefinedIssue(action="rejected", reason=f"Refused, and not stored: {reason}"))
    return refined.model_copy(update={"issues": lines})


async def refine(work: Workspace, caller: Caller, batch: Batch) -> Refinement:
    """Refine findings of any origin in one audited refinement run. See `report_issues`."""
    began = time.perf_counter()
    review = work.review_for(caller)
    claimed = batch.source
    batch = replace(batch, source=caller.source_of(claimed))

    is_routed = not work.roster.known(batch.agent_name or caller.agent_name)

    def ready() -> tuple[list[Prepared], list[str | None], str]:
        catalogue = work.catalogue
        prepared = [
            prepare(
                finding,
                catalogue,
                review=review,
                by_person=caller.person,
                speaks_for_scanners=review != "others" or caller.may("evidence:write"),
            )
            for finding in batch.findings
        ]
        routed: list[str | None] = [None] * len(prepared)
        if is_routed:
            routed = suggested_agents(work.roster, prepared)
        return prepared, routed, batch.hash() if batch.idempotency_key else ""

    # On a thread and before the transactions: long texts must delay neither other callers nor writers.
    prepared, routed, fingerprint = await anyio.to_thread.run_sync(ready)

    offers = sum(bool(finding.lesson.strip()) for finding in batch.findings)
    refining = _Refining(work, caller, batch, prepared, routed, began)
    if prepared:
        await work.store.read(refining.decide_beforehand)

    def act(connection: Connection, now: datetime) -> Refinement:
        work.limits.admit_writes(connection, work, caller, issues=len(prepared), offers=offers)
        return refining.write(connection, now)

    refined = await once(work, caller, batch.tool, batch.idempotency_key, fingerprint, Refinement, act)
    work.limits.add_writes(caller, refined.issues, issues=len(refined.issues), offers=offers)
    note = refined.note if batch.source == claimed else not_independent(claimed)
    return refined.model_copy(update={"note": " ".join(filter(None, [caller.project_note, note]))})


class _Refining:
    """One refinement run: decided on beforehand, so that nobody waits meanwhile, and written in one transaction.

    What was decided beforehand is written once, if it holds; else, and where the transaction runs again, it is decided
    in the transaction itself, which holds the agents then.
    """

    def __init__(
        self,
        work: Workspace,
        caller: Caller,
        batch: Batch,
        prepared: Sequence[Prepared],
        routed: Sequence[str | None],
        began: float,
    ) -> None:
        self._work = work
        self._caller = caller
        self._batch = batch
        self._issues = [*zip(prepared, routed, strict=True)]
        self._began = began
        self._decisions: Decisions | None = None
        self._agents: set[str] = set()
        """The agents to hold, as far as they are known."""

    def decide_beforehand(self, connection: Connection) -> None:
        """Decide on each issue, in a transaction that only reads."""
        run_ids = self._batch.run_ids[:1]
        known = filter(None, (runs.find(connection, self._caller.project, run_id) for run_id in run_ids))
        self._decisions = self._decide(connection, self._agents_of(connection, list(known)))

    def write(self, connection: Connection, now: datetime) -> Refinement:
        """Write what was decided, and return a line per issue.

        Raises:
            Retry: it is decided otherwise by now, so that lessons of agents are to be written that are not held.
        """
        found = self._find_runs(connection, now)
        check = self._looked_at(connection, found)
        beforehand, agents = self._decisions, self._agents
        agents.update(beforehand.writer.agents if beforehand else (), check.agents if check else ())
        if agents:
            lesson_rows.hold_agents(connection, self._caller.project, agents)
        self._decisions = None
        of_issues = self._agents_of(connection, found)
        if beforehand is not None:
            beforehand.enter(connection, now, agents)
            if beforehand.agents == of_issues and beforehand.still_hold(connection):
                return _Recording(self._caller, self._batch, beforehand, found, check).write()
        decisions = self._decide(connection, of_issues)
        if not decisions.writer.agents <= agents:
            agents |= decisions.writer.agents
            raise Retry
        decisions.enter(connection, now, agents)
        return _Recording(self._caller, self._batch, decisions, found, check).write()

    def _decide(self, connection: Connection, agents: Sequence[str]) -> Decisions:
        prepared = [item for item, _ in self._issues]
        return Decisions(self._work, self._caller, self._batch.source, connection, prepared, agents, began=self._began)

    def _agents_of(self, connection: Connection, found: Sequence[runs.RunRow]) -> list[str]:
        """Return the agent of each issue."""
        first = found[0] if found and found[0].principal else None
        return agents_of(self._work, connection, self._caller, self._batch.agent_name, first, self._issues)

    def _looked_at(self, connection: Connection, found: Sequence[runs.RunRow]) -> LookedCheck | None:
        """Return the report as a check of its runs; None where nobody but the agent itself speaks."""
        batch, verified = self._batch, is_verified(self._caller, found)
        if batch.source == "agent" and not (verified and found):
            return None
        reporter = run_checks.Reporter(self._caller.principal, batch.source, batch.scanner)
        check = Check(reporter, batch.run_ids, len(batch.findings), batch.is_routine or not batch.findings)
        return look(connection, self._caller.project, check, is_verified=verified)

    def _find_runs(self, connection: Connection, now: datetime) -> list[runs.RunRow]:
        """Return the runs of the report; one under which nobody has fetched lessons is kept, and measures nothing."""
        project = self._caller.project
        return [
            runs.find(connection, project, run_id) or runs.add_unfetched(connection, project, run_id, now)
            for run_id in dict.fromkeys(self._batch.run_ids)
        ]


class _Recording:
    """Writes one refinement run, inside one transaction that holds its agents."""

    def __init__(
        self,
        caller: Caller,
        batch: Batch,
        decisions: Decisions,
        found: Sequence[runs.RunRow],
        check: LookedCheck | None,
    ) -> None:
        self._caller = caller
        self._batch = batch
        self._decisions = decisions
        self._writer = decisions.writer
        self._runs = found
        self._check = check
        self._events = RunEvents(caller, batch.source, found, self._writer.scores)

    def write(self) -> Refinement:
        """Write everything; returns a line per issue."""
        decided, scores, ledger = self._decisions.made, self._writer.scores, self._writer.ledger
        self._events.look(ledger.connection, (one.item.fingerprint for one in decided))
        if self._check is not None:
            scores.begin(self._check)
        rows = [self._row(one) for one in decided]
        scores.finish()
        self._writer.settle()
        self._events.write()
        refined = self._writer.close() if decided else self._closed()
        issue_rows.add(ledger.connection, rows)
        if self._check is not None:
            joined = (row.lesson_id for row in rows if row.lesson_id)
            run_checks.add_reporters(ledger.connection, self._caller.project, joined, self._check.check.reporter)
        return refined.model_copy(update={"note": self._note()})

    def _closed(self) -> Refinement:
        """Write what an empty check tells; it refines nothing, so there is no refinement run."""
        self._writer.ledger.write()
        return Refinement(refinement_run_id="", issues=[])

    def _note(self) -> str:
        """Return what the reporter should know of what its report measures."""
        if not self._runs:
            return _UNCOUNTED if self._batch.source != "agent" else ""
        if all(not run.principal for run in self._runs):
            return _UNFETCHED
        if self._check is not None and self._check.is_told_off:
            return _NOT_ROUTINE
        if self._batch.findings:
            return ""
        return CHECKED if self._check is not None and self._check.is_routine else _DECLARED

    def _row(self, one: Decided) -> IssueRow:
        issue, decision, verdict = one.issue, one.decision, one.verdict
        lesson_id = decision.lesson_id
        lesson = self._decisions.lesson(lesson_id) if lesson_id and self._events.eligible(lesson_id) else None
        counted = self._events.count(issue.id, one.item, decision, lesson)
        return IssueRow(
            project=self._caller.project,
            id=issue.id,
            agent_name=issue.agent_name,
            description=issue.description,
            severity=SEVERITY_RANK[issue.severity],
            category=issue.category,
            file=issue.file,
            line=one.item.finding.line,
            rule_id=issue.rule_key,
            source=self._batch.source,
            evidence=self._events.evidence,
            principal=self._caller.principal,
            run_id=self._batch.run_ids[0] if self._batch.run_ids else None,
            lesson_id=lesson_id,
            action=decision.action,
            reason=decision.reason,
            score=verdict.score,
            runner_up=verdict.runner_up,
            runner_up_score=verdict.runner_up_score,
            fingerprint=one.item.fingerprint,
            is_new=counted.is_new,
            is_event=counted.is_event,
            event_verified=counted.is_event and self._events.is_verified,
            refinement_run_id=self._writer.run_id,
            created_at=self._writer.ledger.now,
            group_id=issue.group_id,
        )
