"""Refinement of a report: each issue is cleaned, classified and routed; it joins a lesson, makes one, or is pending."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.dedup.precedence import EXACT, Verdict
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding
from lessonbook.domain.lesson import Caller, not_independent
from lessonbook.domain.lesson_names import kind_of, text_name
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.loop import RefinedIssue, Refinement, Report
from lessonbook.domain.vocabulary import SEVERITY_RANK, SHARED_AGENT, UNOWNED, ReviewMode, Source
from lessonbook.screening.offer import Offer, beside, held_from_all
from lessonbook.services.alike_lessons import AlikeLessons
from lessonbook.services.report.grouping import Grouping
from lessonbook.services.report.matching import Matching
from lessonbook.services.report.preparation import Prepared, names_of_lesson, prepare
from lessonbook.services.report.routing import agents_of, suggested_agents
from lessonbook.services.report.run_events import RunEvents
from lessonbook.services.workspace import Workspace, hash_of, is_lesson_id, once
from lessonbook.services.writing.checked_runs import Check
from lessonbook.services.writing.issue_writer import Decision, IssueEntry, IssueWriter, buried, rejected, waiting
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import checks, runs
from lessonbook.store import issues as issue_rows
from lessonbook.store.issues import IssueRow

TOOL: Final = "report_issues"
_UNKNOWN: Final = "No rule is known for it yet"
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

    # On a thread and before the transaction: long texts must delay neither other callers nor writers.
    prepared, routed, fingerprint = await anyio.to_thread.run_sync(ready)

    offers = sum(bool(finding.lesson.strip()) for finding in batch.findings)

    def act(connection: Connection, now: datetime) -> Refinement:
        work.limits.admit_writes(connection, work, caller, issues=len(prepared), offers=offers)
        return _Refining(work, caller, batch, connection, now, began).run(prepared, routed)

    refined = await once(work, caller, batch.tool, batch.idempotency_key, fingerprint, Refinement, act)
    work.limits.add_writes(caller, refined.issues, issues=len(refined.issues), offers=offers)
    note = refined.note if batch.source == claimed else not_independent(claimed)
    return refined.model_copy(update={"note": " ".join(filter(None, [caller.project_note, note]))})


@dataclass(frozen=True, slots=True)
class _Decided:
    """One issue with its outcome."""

    issue: IssueEntry
    item: Prepared
    verdict: Verdict
    decision: Decision


class _Refining:
    """One refinement run, inside one transaction."""

    def __init__(
        self, work: Workspace, caller: Caller, batch: Batch, connection: Connection, now: datetime, began: float
    ) -> None:
        self._work = work
        self._caller = caller
        self._batch = batch
        self._review: ReviewMode = work.review_for(caller)
        self._connection = connection
        self._now = now
        ledger = Ledger(work, caller, connection, now)
        self._writer = IssueWriter(ledger, work.new_id("R"), "rules", batch.source, began=began)
        self._runs = self._find_runs()
        self._matching = Matching(work, caller, connection)
        self._grouping = Grouping(work, caller.project, connection)
        self._alike_lessons = AlikeLessons(connection, caller)
        self._events = RunEvents(caller, batch.source, self._runs, self._writer.scores)

    def run(self, prepared: Sequence[Prepared], routed: Sequence[str | None]) -> Refinement:
        """Decide on each issue in order, then write everything; returns a line per issue."""
        found = [*zip(prepared, routed, strict=True)]
        first = self._runs[0] if self._runs and self._runs[0].principal else None
        agents = agents_of(self._work, self._connection, self._caller, self._batch.agent_name, first, found)
        self._matching.look_up(prepared, agents)
        self._grouping.look_up(prepared)
        decided = [self._decide(item, agent_name) for item, agent_name in zip(prepared, agents, strict=True)]
        scores, check = self._writer.scores, self._check()
        checked = scores.look(check, is_verified=self._events.is_verified) if check else set[str]()
        self._writer.hold(self._matching.known, checked)
        self._matching.known |= self._writer.lessons
        self._events.look(self._connection, (item.fingerprint for item in prepared))
        scores.begin()
        rows = [self._row(one) for one in decided]
        scores.finish()
        self._writer.settle()
        self._events.write()
        refined = self._writer.close() if decided else self._closed()
        issue_rows.add(self._connection, rows)
        if check is not None:
            joined = (row.lesson_id for row in rows if row.lesson_id)
            checks.add_reporters(self._connection, self._caller.project, joined, check.reporter)
        return refined.model_copy(update={"note": self._note()})

    def _check(self) -> Check | None:
        """Return the report as a check of its runs; None where nobody but the agent itself speaks."""
        batch = self._batch
        if batch.source == "agent" and not (self._events.is_verified and self._runs):
            return None
        reporter = checks.Reporter(self._caller.principal, batch.source, batch.scanner)
        return Check(reporter, batch.run_ids, len(batch.findings), batch.is_routine or not batch.findings)

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
        if self._writer.scores.is_told_off:
            return _NOT_ROUTINE
        if self._batch.findings:
            return ""
        return CHECKED if self._writer.scores.is_routine else _DECLARED

    def _find_runs(self) -> list[runs.RunRow]:
        """Return the runs of the report; one under which nobody has fetched lessons is kept, and measures nothing."""
        found: list[runs.RunRow] = []
        for run_id in dict.fromkeys(self._batch.run_ids):
            run = runs.find(self._connection, self._caller.project, run_id)
            found.append(run or runs.add_unfetched(self._connection, self._caller.project, run_id, self._now))
        return found

    def _decide(self, item: Prepared, agent_name: str) -> _Decided:
        issue = IssueEntry(
            id=self._work.new_id("I"),
            agent_name=agent_name,
            description=item.description,
            severity=item.severity,
            category=item.category,
            file=item.finding.file,
            rule_key=item.rule_key,
            subjects=item.subjects,
        )
        verdict = self._matching.match(item, agent_name)
        if verdict.lesson_id is not None:
            one = self._join(issue, item, verdict, verdict.lesson_id)
        elif item.offer is None or self._matching.is_taken(item, agent_name):
            unknown = f"A lesson for it was rejected ({verdict.rejected})" if verdict.rejected else _UNKNOWN
            reason = item.refusal or f"{unknown}: it waits for an author."
            one = self._wait(issue, item, verdict, reason + _alike(verdict))
        else:
            one = self._create(issue, item, item.offer, verdict)
        one = replace(one, decision=self._with_own_words(issue, item, one.decision))
        self._writer.record(issue, one.decision)
        self._matching.learn(item, agent_name, issue.id, one.decision.lesson_id)
        return one

    def _wait(self, issue: IssueEntry, item: Prepared, verdict: Verdict, reason: str) -> _Decided:
        """Put an issue into its group, and reject it where a person dismissed that."""
        group_id = self._grouping.group_of(item, issue.id)
        dismissed = self._grouping.dismissal(group_id)
        decision = Decision("rejected", dismissed) if dismissed else Decision("pending", reason)
        return _Decided(replace(issue, group_id=group_id), item, verdict, decision)

    def _join(self, issue: IssueEntry, item: Prepared, verdict: Verdict, lesson_id: str) -> _Decided:
        lesson = self._matching.lesson(lesson_id)
        if lesson is not None and lesson.status == "rejected":
            return _Decided(issue, item, verdict, rejected(lesson_id))
        owner = lesson.agent_name if lesson else self._writer.agent_of(lesson_id)
        names = self._learned_names(item, verdict, owner) if verdict.score == EXACT else ()
        self._writer.join([issue], lesson_id, owner, names)
        self._name(lesson_id, owner, names)
        standing = "" if lesson is None or lesson.status in SERVABLE else f", which is {lesson.status}"
        surely = "" if verdict.score == EXACT else f" ({verdict.score:.2f})"
        reason = f"Same as lesson {lesson_id} by {verdict.how}{surely}{standing}."
        return _Decided(issue, item, verdict, Decision("merged", reason, lesson_id))

    def _learned_names(self, item: Prepared, verdict: Verdict, owner: str) -> tuple[str, ...]:
        """Return the new exact names of a lesson that an issue joins by one of them.

        Where the texts are equal, only a person adds the issue's rule: scanners give many rules the same words. What
        answers to the rule's group does not own the rule's name.
        """
        bound = self._caller.person or kind_of(verdict.name) in {"rule", "catalogue"}
        names = (name for name in item.keys if bound or kind_of(name) != "rule")
        return tuple(name for name in names if (owner, name) not in self._matching.named)

    def _name(self, lesson_id: str, owner: str, names: Iterable[str]) -> None:
        self._matching.named.update({(owner, name): lesson_id for name in names})

    def _create(self, issue: IssueEntry, item: Prepared, offer: Offer, verdict: Verdict) -> _Decided:
        matching, agent_name = self._matching, issue.agent_name
        found = (matching.buried[key] for key in item.keys if key in matching.buried)
        if (refusal := buried(offer, found)) is not None:
            return _Decided(issue, item, verdict, refusal)
        if verdict.rejected and offer.trust != "curated":
            doubt = f"a lesson for the same was rejected ({verdict.rejected})"
            offer = replace(offer, status="quarantined", reasons=(*offer.reasons, doubt))
        if not self._caller.person:
            offer = held_from_all(offer, agent_name, self._review)
        names = names_of_lesson(item)
        free = [name for name in names if (agent_name, name) not in matching.named]
        if not free:  # another lesson has every name that this one would get
            owner = matching.named[agent_name, names[0]]
            same = replace(verdict, lesson_id=owner, how="all its names", score=EXACT)
            return self._join(issue, item, same, owner)
        provenance = {"source": self._batch.source, "catalogue": offer.catalogue_id}
        lesson_id = self._writer.create([issue], offer, free, provenance=provenance)
        self._name(lesson_id, agent_name, free)
        matching.made[lesson_id] = offer
        alike = "" if offer.trust == "curated" else self._sentence_on_alike(lesson_id, agent_name, offer)
        if offer.status == "quarantined":
            decision = Decision("quarantined", waiting(offer) + _alike(verdict) + alike, lesson_id)
        else:
            weakness = item.described if offer.trust == "curated" else None
            how = f" Its words describe {weakness.cwe}." if weakness else ""
            decision = Decision("created", _ORIGINS[offer.trust] + how + _alike(verdict) + alike, lesson_id)
        return _Decided(issue, item, verdict, decision)

    def _with_own_words(self, issue: IssueEntry, item: Prepared, decision: Decision) -> Decision:
        """Keep what was offered beside a lesson of the catalogue or of a person as a lesson of its own.

        It never takes the reviewed lesson's place: the issue stays with that one. Returns the decision, which names it.
        """
        lesson_id, words = decision.lesson_id, item.beside
        if decision.action not in {"created", "merged"} or lesson_id is None:
            return decision
        if words is None and item.finding.lesson.strip():
            if item.refusal:
                return replace(decision, reason=f"{decision.reason} {item.refusal}")
            if item.offer is not None and item.offer.trust in UNOWNED and lesson_id not in self._matching.made:
                words = item.offer if self._matching.is_vouched_for(lesson_id) else None
        if words is None:
            return decision
        said = self._keep_beside(issue, words, lesson_id)
        return replace(decision, reason=f"{decision.reason} {said}".strip())

    def _keep_beside(self, issue: IssueEntry, words: Offer, lesson_id: str) -> str:
        """Plan a lesson in words that were offered beside another one, and return a sentence about it."""
        matching, agent_name, name = self._matching, issue.agent_name, text_name(words.text)
        if buried(words, (matching.buried[key] for key in (name,) if key in matching.buried)):
            return "The offered words were rejected before."
        taken = matching.named.get((agent_name, name)) or matching.named.get((SHARED_AGENT, name))
        same = taken or self._alike_lessons.same(agent_name, words.text)
        if same:
            return "" if same == lesson_id else f"The offered words say what lesson {same} says."
        offer = beside(words, self._review, by_person=self._caller.person)
        if not self._caller.person:
            offer = held_from_all(offer, agent_name, self._review)
        waits = offer.status == "quarantined"
        provenance = {"source": self._batch.source, "issue": issue.id, "beside": lesson_id}
        own_id = self._writer.propose(agent_name, offer, name, provenance, beside=lesson_id if waits else None)
        self._name(own_id, agent_name, (name,))
        matching.made[own_id] = offer
        self._alike_lessons.add(agent_name, own_id, offer.text)
        if waits:
            return f"The offered words wait for a person as proposal {own_id}: {'; '.join(offer.reasons)}."
        return f"The offered words are lesson {own_id}, served after it."

    def _sentence_on_alike(self, lesson_id: str, agent_name: str, offer: Offer) -> str:
        """Return a sentence about the lesson whose words are nearly those offered, or say the opposite."""
        sentence = self._alike_lessons.sentence(agent_name, offer.text)
        self._alike_lessons.add(agent_name, lesson_id, offer.text)
        return f" {sentence}" if sentence else ""

    def _row(self, one: _Decided) -> IssueRow:
        issue, decision, verdict = one.issue, one.decision, one.verdict
        lesson_id = decision.lesson_id
        lesson = self._matching.lesson(lesson_id) if lesson_id and self._events.eligible(lesson_id) else None
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
            created_at=self._now,
            group_id=issue.group_id,
        )


_ORIGINS: Final[dict[str, str]] = {
    "curated": "New lesson from the catalogue.",
    "imported": "New lesson from the catalogue that is configured, on probation.",
    "offered": "New lesson in the reporter's words, on probation.",
    "scanner": "New lesson from the scanner's own rule description, on probation.",
}


def _alike(verdict: Verdict) -> str:
    """Return a sentence about the runner-up, for the reviewer; empty where there is none."""
    if verdict.runner_up is None:
        return ""
    kind = "lesson" if is_lesson_id(verdict.runner_up) else "pending issue"
    return f" It is a little like {kind} {verdict.runner_up} ({verdict.runner_up_score:.2f})."
