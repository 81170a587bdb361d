"""Report: issues in, lessons out. Each issue is cleaned, classified, routed, and matched or abstracted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.domain.errors import NotFound
from lessonbook.domain.findings import Finding
from lessonbook.domain.lesson import LOCAL, Caller
from lessonbook.domain.lesson_names import kind_of, names_rule
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.loop import RefinedIssue, Refinement, Report
from lessonbook.domain.vocabulary import SEVERITY_RANK, SHARED_AGENT, Evidence, IssueAction, Source
from lessonbook.search.subjects import with_issue
from lessonbook.services.agent_names import meaning_of
from lessonbook.services.preparation import Offer, Prepared, held_from_all, names_of_lesson, prepare
from lessonbook.services.report.matching import EXACT, Matching, Verdict
from lessonbook.services.workspace import Workspace, hash_of, is_lesson_id, once
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import Scores
from lessonbook.store import agents as agent_rows
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import runs
from lessonbook.store.engine import Retry
from lessonbook.store.evidence import Event
from lessonbook.store.types import Row

TOOL: Final = "report_issues"
_UNKNOWN: Final = "No rule is known for it yet"
_UNCOUNTED: Final = (
    "Reported without a run, so nothing is measured by it: pass the run_id of the work it was seen in, or let the "
    "agent commit with the trailer `Lessonbook-Run: <run_id>` that get_lessons asks for."
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Findings to be refined together, with what their reporter said of them all.

    `tool` is under whose name the idempotency key counts. `request` stands for the findings where they are a part of
    something larger; empty: they stand for themselves.
    """

    findings: Sequence[Finding]
    agent_name: str = ""
    run_id: str = ""
    source: Source = "agent"
    idempotency_key: str = ""
    tool: str = TOOL
    request: str = ""

    def part(self, findings: Sequence[Finding], tool: str) -> Batch:
        """Return a batch of some of the findings that `request` stands for."""
        return replace(self, findings=findings, tool=tool)

    def hash(self) -> str:
        """Return a hash of the request."""
        if self.request:
            return hash_of({"q": self.request, "a": self.agent_name, "r": self.run_id, "s": self.source})
        findings = [{name: repr(getattr(finding, name)) for name in Finding.__slots__} for finding in self.findings]
        return hash_of({"f": findings, "a": self.agent_name, "r": self.run_id, "s": self.source})


async def report_issues(work: Workspace, caller: Caller, report: Report) -> Refinement:
    """Refine the issues of a report, and return what became of each.

    Raises:
        NotFound: the run does not exist.
        Conflict: the idempotency key was used with another report.
        TooMany: the principal has reported too much in the last hour.
    """
    findings = [
        Finding(
            description=issue.description,
            severity=issue.severity,
            category=issue.category,
            file=issue.file,
            line=issue.line,
            rule_id=issue.rule_id,
            lesson=issue.lesson,
            why=issue.why,
        )
        for issue in report.issues
    ]
    batch = Batch(findings, report.agent_name, report.run_id, report.source, report.idempotency_key)
    return await refine(work, caller, batch)


async def refine(work: Workspace, caller: Caller, batch: Batch) -> Refinement:
    """Refine findings of any origin in one audited run. See `report_issues`."""
    began = time.perf_counter()
    review = work.settings.trust.review

    is_routed = not work.roster.known(batch.agent_name or caller.agent_name)

    def ready() -> tuple[list[Prepared], list[str | None], str]:
        prepared = [
            prepare(finding, work.catalogue, review=review, by_person=caller.person) for finding in batch.findings
        ]
        routed = [_responsible(work, item) if is_routed else None for item in prepared]
        return prepared, routed, batch.hash() if batch.idempotency_key else ""

    # Long texts must hold up neither other callers nor the transaction.
    prepared, routed, fingerprint = await anyio.to_thread.run_sync(ready)

    offers = sum(bool(finding.lesson.strip()) for finding in batch.findings)

    def act(connection: Connection, now: datetime) -> Refinement:
        work.quotas.admit(connection, work, caller, issues=len(prepared), offers=offers)
        return _Refining(work, caller, batch, connection, now).run(prepared, routed, began)

    refined = await once(work, caller, batch.tool, batch.idempotency_key, fingerprint, Refinement, act)
    work.quotas.add(caller, refined)
    return refined


def _responsible(work: Workspace, item: Prepared) -> str | None:
    """Return the agent that an issue's words and file point to, or None."""
    return work.roster.responsible(item.description, [item.finding.file] if item.finding.file else [])


@dataclass(frozen=True, slots=True)
class _Made:
    """A lesson that this refinement run makes."""

    agent_name: str
    text: str


@dataclass(frozen=True, slots=True)
class _Decision:
    """What becomes of one issue."""

    action: IssueAction
    reason: str
    verdict: Verdict
    lesson_id: str | None = None


@dataclass(frozen=True, slots=True)
class _Decided:
    """One issue with what becomes of it."""

    issue_id: str
    item: Prepared
    agent_name: str
    decision: _Decision

    def line(self) -> RefinedIssue:
        """Return what the reporter is told."""
        return RefinedIssue(
            issue_id=self.issue_id,
            action=self.decision.action,
            lesson_id=self.decision.lesson_id,
            agent_name=self.agent_name,
            severity=self.item.severity,
            category=self.item.category,
            reason=self.decision.reason,
        )


class _Refining:
    """One refinement run, inside one transaction."""

    def __init__(self, work: Workspace, caller: Caller, batch: Batch, connection: Connection, now: datetime) -> None:
        self._work = work
        self._caller = caller
        self._batch = batch
        self._connection = connection
        self._now = now
        self._id = work.new_id("R")
        self._ledger = Ledger(work, caller, connection, now)
        self._run = self._find_run()
        self._matching = Matching(work, caller.project, connection)
        self._created: dict[str, _Made] = {}
        self._sightings: Counter[str] = Counter()
        self._scores = Scores(self._ledger)
        self._events: dict[str, Event] = {}
        self._delivered: dict[str, Row] = {}
        self._new_issues = 0
        self._seen: set[str] = set()

    def run(self, prepared: Sequence[Prepared], routed: Sequence[str | None], began: float) -> Refinement:
        """Decide on each issue in order, then write everything; returns a line per issue."""
        agents = self._agents_of(prepared, routed)
        self._matching.look_up(prepared, agents)
        decided: list[_Decided] = []
        for item, agent_name in zip(prepared, agents, strict=True):
            issue_id = self._work.new_id("I")
            decided.append(_Decided(issue_id, item, agent_name, self._decide(item, agent_name, issue_id)))
        self._hold()
        self._look_at_run(prepared)
        rows = [self._row(one) for one in decided]
        lines = [one.line() for one in decided]
        self._index_sightings(decided)
        self._count_sightings()
        self._log(lines, began)
        self._scores.write(self._run, self._new_issues)
        if not self._ledger.write():
            raise Retry
        issue_rows.add(self._connection, rows)
        return Refinement(refinement_run_id=self._id, issues=lines, note=self._note())

    def _note(self) -> str:
        """Return how to be counted, for independent issues that name no run."""
        if self._run is not None or self._batch.source == "agent":
            return ""
        return _UNCOUNTED

    def _find_run(self) -> Row | None:
        if not self._batch.run_id:
            return None
        run = runs.find(self._connection, self._caller.project, self._batch.run_id)
        if run is None:
            raise NotFound(
                f"There is no run {self._batch.run_id!r} in project {self._caller.project!r}: pass the run_id that "
                "get_lessons returned, or leave run_id out to report without one"
            )
        return run

    def _agents_of(self, prepared: Sequence[Prepared], routed: Sequence[str | None]) -> list[str]:
        """Return who made the code of each issue: the agent named, else the run's, the connection's, the one found.

        Where nobody named an agent, not for the run either, all agents' lessons are served; so an issue that one of
        them answers to by an exact name goes to its agent, where the one routed to has none.
        """
        if known := self._known_agent():
            return [known] * len(prepared)
        names = {key for item in prepared for key in _names_of(item)}
        owners = agent_rows.owners_of(self._connection, self._caller.project, names)
        return [self._found_agent(*found, owners) for found in zip(prepared, routed, strict=True)]

    def _known_agent(self) -> str:
        """Return the agent that was named; empty where none was. A name that is no agent names none."""
        work, caller = self._work, self._caller
        if self._batch.agent_name:
            named = meaning_of(work, self._connection, caller, self._batch.agent_name)
            if named.agent_name:
                return named.agent_name
        if self._run is not None and not self._run["routed"]:
            return self._run["agent_name"]
        return work.roster.resolve(caller.agent_name) if caller.agent_name else ""

    def _found_agent(
        self, item: Prepared, responsible: str | None, owners: Mapping[str, Sequence[tuple[str, str]]]
    ) -> str:
        found = self._run["agent_name"] if self._run is not None else SHARED_AGENT
        if found == SHARED_AGENT:
            found = responsible or self._work.settings.refiner.default_agent
        for key in _names_of(item):
            agents = [agent_name for agent_name, _ in owners.get(key, ())]
            if agents:
                return found if {found, SHARED_AGENT} & set(agents) else agents[0]
        return found

    def _hold(self) -> None:
        """Hold the agents whose lessons are written, and read these lessons again.

        Raises:
            Retry: somebody has changed one meanwhile, so that what was decided may no longer hold.
        """
        met = [lesson_id for lesson_id in self._sightings if lesson_id not in self._created]
        owners = {self._matching.known[lesson_id].agent_name for lesson_id in met}
        self._ledger.hold(owners | {made.agent_name for made in self._created.values()})
        self._matching.look_again(met)

    def _look_at_run(self, prepared: Sequence[Prepared]) -> None:
        """Read what the run has had so far, and which issues were met before."""
        project = self._caller.project
        if self._run is not None:
            run_id = self._batch.run_id
            self._delivered = runs.deliveries_of(self._connection, project, run_id)
            self._events = evidence_rows.events_of_run(self._connection, project, run_id)
        fingerprints = (item.fingerprint for item in prepared)
        not_by: set[str] = set()
        if self._run is not None and self._evidence() == "verified":
            # What the run's own principal declared beforehand must not make this report old news.
            not_by = {LOCAL, self._run["principal"]} - {self._caller.principal}
        self._seen = issue_rows.seen_fingerprints(self._connection, project, fingerprints, not_by=not_by)

    def _decide(self, item: Prepared, agent_name: str, issue_id: str) -> _Decision:
        verdict = self._matching.match(item, agent_name)
        if verdict.lesson_id is not None:
            decision = self._merge(item, verdict, verdict.lesson_id)
        elif item.offer is None or self._is_taken(item, agent_name):
            unknown = f"A lesson for it was rejected ({verdict.rejected})" if verdict.rejected else _UNKNOWN
            reason = item.refusal or f"{unknown}: it waits for an author."
            decision = _Decision("pending", reason + _alike(verdict), verdict)
        else:
            decision = self._create(item, agent_name, item.offer, verdict)
        self._matching.learn(item, agent_name, issue_id, decision.lesson_id)
        return decision

    def _is_taken(self, item: Prepared, agent_name: str) -> bool:
        """Tell whether the only lesson that could be made of an issue is there, though the issue may be no sighting."""
        told = item.told
        if told is None or item.offer is None or item.offer.catalogue_id != told.rule.id:
            return False
        return (agent_name, told.key) in self._matching.named

    def _merge(self, item: Prepared, verdict: Verdict, lesson_id: str) -> _Decision:
        lesson = self._matching.lesson(lesson_id)
        if lesson is not None and lesson.status == "rejected":
            reason = f"A lesson for it was rejected ({lesson_id}): nothing is learned again."
            return _Decision("rejected", reason, verdict, lesson_id)
        self._sightings[lesson_id] += 1
        owner = lesson.agent_name if lesson else self._created[lesson_id].agent_name
        if verdict.score == EXACT:
            self._name(lesson_id, owner, self._learned_names(item, verdict))
        standing = "" if lesson is None or lesson.status in SERVABLE else f", which is {lesson.status}"
        surely = "" if verdict.score == EXACT else f" ({verdict.score:.2f})"
        reason = f"Same as lesson {lesson_id} by {verdict.how}{surely}{standing}."
        return _Decision("merged", reason, verdict, lesson_id)

    def _learned_names(self, item: Prepared, verdict: Verdict) -> list[str]:
        """Return the names a lesson answers to from now on: equal words bind no rule to it but on a person's word."""
        bound = self._caller.person or kind_of(verdict.name) != "text"
        return [name for name in item.keys if bound or kind_of(name) != "rule"]

    def _name(self, lesson_id: str, owner: str, names: Iterable[str]) -> None:
        """Let a lesson answer to further exact names. What a likeness says gives none: it may be wrong."""
        named = self._matching.named
        aliases = tuple(name for name in names if (owner, name) not in named)
        self._ledger.name(lesson_id, owner, aliases)
        named.update({(owner, name): lesson_id for name in aliases})

    def _create(self, item: Prepared, agent_name: str, offer: Offer, verdict: Verdict) -> _Decision:
        matching = self._matching
        buried = next((matching.buried[key] for key in item.keys if key in matching.buried), None)
        if buried is not None and offer.trust != "curated":
            reason = f"These words were rejected ({buried}): nothing is learned again."
            return _Decision("rejected", reason, verdict, buried)
        if verdict.rejected and offer.trust != "curated":
            doubt = f"a lesson for the same was rejected ({verdict.rejected})"
            offer = replace(offer, status="quarantined", reasons=(*offer.reasons, doubt))
        if not self._caller.person:
            offer = held_from_all(offer, agent_name, self._work.settings.trust.review)
        provenance = {
            "refinement_run": self._id,
            "reporter": self._caller.principal,
            "source": self._batch.source,
            "refiner": "rules",
            "catalogue": offer.catalogue_id,
        }
        names = names_of_lesson(item)
        keys = tuple(key for key in names if (agent_name, key) not in matching.named)
        if not keys:  # another lesson has every name that this one would have
            owner = matching.named[agent_name, names[0]]
            return self._merge(item, replace(verdict, lesson_id=owner, how="all its names", score=EXACT), owner)
        lesson_id = self._ledger.create(agent_name, offer, keys=keys, provenance=provenance, issue_count=1)
        matching.named.update({(agent_name, key): lesson_id for key in keys})
        self._created[lesson_id] = _Made(agent_name, offer.text)
        matching.made[lesson_id] = offer
        if offer.status == "quarantined":
            reason = "The lesson waits for a person: " + "; ".join(offer.reasons) + "."
            return _Decision("quarantined", reason + _alike(verdict), verdict, lesson_id)
        told = f" Its words tell {item.told.cwe}." if item.told and offer.trust == "curated" else ""
        return _Decision("created", _ORIGINS[offer.trust] + told + _alike(verdict), verdict, lesson_id)

    def _index_sightings(self, decided: Sequence[_Decided]) -> None:
        """Let full-text search find lessons by these issues too."""
        known = self._matching.known
        met = [name for name in self._sightings if name not in self._created]
        bodies = lesson_rows.documents(self._connection, self._caller.project, met) if met else {}
        for one in decided:
            lesson_id = one.decision.lesson_id
            if lesson_id is None or one.decision.action == "rejected":
                continue
            body = self._ledger.body_of(lesson_id)
            if body is None:
                body = bodies.get(lesson_id, "")
            text = self._created[lesson_id].text if lesson_id in self._created else known[lesson_id].lesson_text
            item = one.item
            self._ledger.document(lesson_id, with_issue(body, text, item.description, item.finding.file, item.subjects))

    def _row(self, decided: _Decided) -> Row:
        item, decision, issue_id = decided.item, decided.decision, decided.issue_id
        is_new = item.finding.is_new and item.fingerprint not in self._seen
        evidence = self._evidence()
        is_event = self._is_event(decision, is_new=is_new)
        if self._batch.source != "agent":
            self._score(decision, issue_id, evidence, is_event=is_event, is_new=is_new)
            self._seen.add(item.fingerprint)
            self._new_issues += is_new and evidence == "verified"
        return {
            "project": self._caller.project,
            "id": issue_id,
            "agent_name": decided.agent_name,
            "description": item.description,
            "severity": SEVERITY_RANK[item.severity],
            "category": item.category,
            "file": item.finding.file,
            "line": item.finding.line,
            "rule_id": item.rule_key,
            "source": self._batch.source,
            "evidence": evidence,
            "principal": self._caller.principal,
            "run_id": self._batch.run_id or None,
            "lesson_id": decision.lesson_id,
            "action": decision.action,
            "reason": decision.reason,
            "score": decision.verdict.score,
            "runner_up": decision.verdict.runner_up,
            "runner_up_score": decision.verdict.runner_up_score,
            "fingerprint": item.fingerprint,
            "is_new": is_new,
            "is_event": is_event,
            "event_verified": is_event and evidence == "verified",
            "refinement_run_id": self._id,
            "created_at": self._now,
        }

    def _is_event(self, decision: _Decision, *, is_new: bool) -> bool:
        """Return whether this is the first independent issue of a lesson that was eligible in the run."""
        return (
            is_new
            and self._batch.source != "agent"
            and decision.action == "merged"
            and decision.lesson_id in self._delivered
            and decision.lesson_id not in self._events
        )

    def _score(self, decision: _Decision, issue_id: str, evidence: Evidence, *, is_event: bool, is_new: bool) -> None:
        """Count a verified event once. One that is only declared counts when somebody else reports it, too."""
        lesson_id = decision.lesson_id
        lesson = self._matching.lesson(lesson_id) if lesson_id else None
        if lesson is None or lesson.id not in self._delivered:
            return
        delivery, verified = self._delivered[lesson.id], evidence == "verified"
        event = self._events.get(lesson.id)
        if is_event:
            self._events[lesson.id] = Event(issue_id, verified)
            if verified:
                self._scores.add_event(lesson, delivery)
        elif event is not None and verified and not event.verified and is_new:
            self._events[lesson.id] = replace(event, verified=True)
            self._scores.verify_event(lesson, delivery, event)

    def _evidence(self) -> Evidence:
        if self._run is None:
            return "verified" if self._caller.person else "declared"
        return "verified" if self._caller.may_verify(self._run["principal"]) else "declared"

    def _count_sightings(self) -> None:
        """Raise the counters of lessons that were there before; those of new ones start right."""
        fresh = Counter(dict.fromkeys(self._created, 1)) + Counter(
            {lesson_id: count for lesson_id, count in self._sightings.items() if lesson_id in self._created}
        )
        self._ledger.start_counts(fresh)
        for lesson_id in sorted(self._sightings.keys() - self._created.keys()):
            lesson = self._matching.known[lesson_id]
            values: Row = {"issue_count": lesson.issue_count + self._sightings[lesson_id], "last_seen_at": self._now}
            if lesson.status == "probation":
                values["expires_at"] = self._ledger.expiry()
            values |= self._scores.values_of(lesson)
            self._ledger.set(lesson, values)
            self._scores.move(replace(lesson, **values))
            if lesson.status == "expired":
                back: Row = {"status": "probation", "expires_at": self._ledger.expiry()}
                self._ledger.move(lesson, "recur", "Its issue came back.", back)

    def _log(self, lines: Sequence[RefinedIssue], began: float) -> None:
        counts = Counter(line.action for line in lines)
        row: dict[str, Any] = {
            "project": self._caller.project,
            "id": self._id,
            "principal": self._caller.principal,
            "source": self._batch.source,
            "refiner": "rules",
            "issues": len(lines),
            **{action: counts[action] for action in ("created", "merged", "pending", "quarantined", "rejected")},
            "duration_ms": (time.perf_counter() - began) * 1000,
            "started_at": self._now,
        }
        issue_rows.add_refinement_run(self._connection, row)
        self._ledger.note("refine", self._id, {"issues": len(lines), **counts})


def _names_of(item: Prepared) -> list[str]:
    """Return the exact names by which a lesson answers to an issue, the most telling first: not those of its words."""
    told = item.told.names if item.told else ()
    return [key for key in (*item.keys, *told) if names_rule(key)]


_ORIGINS: Final[dict[str, str]] = {
    "curated": "New lesson from the catalogue.",
    "imported": "New lesson from the catalogue that is configured, on probation.",
    "offered": "New lesson in the reporter's words, on probation.",
    "scanner": "New lesson from the scanner's own rule description, on probation.",
}


def _alike(verdict: Verdict) -> str:
    """Return a sentence about what else the issue may be, for the reviewer."""
    if verdict.runner_up is None:
        return ""
    kind = "lesson" if is_lesson_id(verdict.runner_up) else "issue, which waits, too,"
    return f" It is a little like {kind} {verdict.runner_up} ({verdict.runner_up_score:.2f})."
