"""Events: which issues of a report are the first independent ones of a lesson that was eligible in the run."""

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from lessonbook.domain.lesson import LOCAL, Caller, Lesson
from lessonbook.domain.vocabulary import EvidenceGrade, Source
from lessonbook.services.report.preparation import Prepared
from lessonbook.services.writing.issue_writer import Decision
from lessonbook.services.writing.scoring import Scores
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import issues as issue_rows
from lessonbook.store import runs
from lessonbook.store.evidence import Event
from lessonbook.store.types import Row


class RunEvents:
    """What a run has had so far, and what the issues of one report add to it."""

    def __init__(self, caller: Caller, source: Source, run: runs.RunRow | None, scores: Scores) -> None:
        self._caller = caller
        self._source: Source = source
        self._run = run
        self._scores = scores
        self._delivered: dict[str, runs.DeliveryRow] = {}
        self._events: dict[str, Event] = {}
        self._seen: set[str] = set()
        self._new_issues = 0
        self.evidence: EvidenceGrade = self._evidence()

    def _evidence(self) -> EvidenceGrade:
        caller, run = self._caller, self._run
        verified = caller.person if run is None else caller.may_verify(run.principal)
        return "verified" if verified else "declared"

    def look(self, connection: Connection, fingerprints: Iterable[str]) -> None:
        """Read what the run has had so far, and which issues were met before."""
        project, run = self._caller.project, self._run
        not_by: set[str] = set()
        if run is not None:
            self._delivered = runs.deliveries_of(connection, project, run.run_id)
            self._events = evidence_rows.events_of_run(connection, project, run.run_id)
            if self.evidence == "verified":
                # What the run's own principal declared beforehand must not make this report old news.
                not_by = {LOCAL, run.principal} - {self._caller.principal}
        self._seen = issue_rows.seen_fingerprints(connection, project, fingerprints, not_by=not_by)

    def eligible(self, lesson_id: str | None) -> bool:
        """Return whether a lesson was eligible in the run."""
        return lesson_id in self._delivered

    def count(self, issue_id: str, item: Prepared, decision: Decision, lesson: Lesson | None) -> Row:
        """Count an issue of an eligible lesson, if it is one, and return the columns that say as what.

        What the agent itself reports is kept, and counts nowhere.
        """
        is_new = item.finding.is_new and item.fingerprint not in self._seen
        verified = self.evidence == "verified"
        is_event = False
        if self._source != "agent":
            is_event = self._is_event(decision) and is_new
            if lesson is not None:
                self._score(lesson, issue_id, is_event=is_event, is_new=is_new)
            self._seen.add(item.fingerprint)
            self._new_issues += is_new and verified
        return {
            "evidence": self.evidence,
            "is_new": is_new,
            "is_event": is_event,
            "event_verified": is_event and verified,
        }

    def _is_event(self, decision: Decision) -> bool:
        lesson_id = decision.lesson_id
        return decision.action == "merged" and self.eligible(lesson_id) and lesson_id not in self._events

    def _score(self, lesson: Lesson, issue_id: str, *, is_event: bool, is_new: bool) -> None:
        """Count a verified event once. One that is only declared counts when somebody else reports it as well."""
        delivery, verified = self._delivered[lesson.id], self.evidence == "verified"
        event = self._events.get(lesson.id)
        if is_event:
            self._events[lesson.id] = Event(issue_id, verified)
            if verified:
                self._scores.add_event(lesson, delivery)
        elif event is not None and verified and not event.verified and is_new:
            self._events[lesson.id] = replace(event, verified=True)
            self._scores.verify_event(lesson, delivery, event)

    def write(self) -> None:
        """Write what is not a lesson's: verified events, the agents' sums, and the run's issues."""
        self._scores.write(self._run, self._new_issues)
