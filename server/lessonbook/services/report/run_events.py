"""Events: the issues of a report that are the first independent ones of a lesson that was eligible in the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.principals import LOCAL
from lessonbook.domain.vocabulary import EvidenceGrade, Source
from lessonbook.services.report.preparation import Prepared
from lessonbook.services.writing.checked_runs import Scores
from lessonbook.services.writing.issue_writer import Decision
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import issues as issue_rows
from lessonbook.store import runs
from lessonbook.store.evidence import Event


@dataclass(frozen=True, slots=True)
class CountedIssue:
    """How an issue counts: whether it was not reported before, and whether it is an event."""

    is_new: bool
    is_event: bool


def is_verified(caller: Caller, found: Sequence[runs.RunRow]) -> bool:
    """Return whether what a caller reports on runs is verified, not only declared."""
    principals = {run.principal for run in found}
    return all(map(caller.may_verify, principals)) if principals else caller.person


class RunEvents:
    """The events of the runs of one change so far, and those that the issues of one report add.

    `is_verified`: the report is verified evidence, not only declared.
    """

    def __init__(self, caller: Caller, source: Source, found: Sequence[runs.RunRow], scores: Scores) -> None:
        self._caller = caller
        self._source: Source = source
        self._runs = found
        self._scores = scores
        self._delivered: dict[str, runs.DeliveryRow] = {}
        self._events: dict[str, Event] = {}
        self._seen: set[str] = set()
        self._new_issues = 0
        self.is_verified = is_verified(caller, found)
        self.evidence: EvidenceGrade = "verified" if self.is_verified else "declared"

    def look(self, connection: Connection, fingerprints: Iterable[str]) -> None:
        """Read the runs' deliveries and events, and which of the issues were reported before."""
        project = self._caller.project
        not_by: set[str] = set()
        for run in self._runs:
            self._delivered = {**runs.deliveries_of(connection, run), **self._delivered}
            self._events = {**evidence_rows.events_of_run(connection, project, run.run_id), **self._events}
            if self.is_verified:
                # What the run's own principal declared beforehand must not keep this report from counting as new.
                not_by |= {LOCAL, run.principal} - {self._caller.principal}
        self._seen = issue_rows.seen_fingerprints(connection, project, fingerprints, not_by=not_by)

    def eligible(self, lesson_id: str | None) -> bool:
        """Return whether a lesson was eligible in the run."""
        return lesson_id in self._delivered

    def count(self, issue_id: str, item: Prepared, decision: Decision, lesson: Lesson | None) -> CountedIssue:
        """Count an issue; `lesson` is the eligible one that it joined, if any.

        What the agent itself reports is stored, and not counted.
        """
        is_new = item.finding.is_new and item.fingerprint not in self._seen
        is_event = False
        if self._source != "agent":
            is_event = self._is_event(decision) and is_new
            if lesson is not None:
                self._score(lesson, issue_id, is_event=is_event, is_new=is_new)
            self._seen.add(item.fingerprint)
            if is_new and self.is_verified:
                self._new_issues += 1
                self._scores.note_issue(decision.lesson_id)
        return CountedIssue(is_new, is_event)

    def _is_event(self, decision: Decision) -> bool:
        lesson_id = decision.lesson_id
        return decision.action == "merged" and self.eligible(lesson_id) and lesson_id not in self._events

    def _score(self, lesson: Lesson, issue_id: str, *, is_event: bool, is_new: bool) -> None:
        """Count a verified event once. A declared event counts when another principal reports it as well."""
        verified, principal = self.is_verified, self._caller.principal
        event = self._events.get(lesson.id)
        if is_event:
            self._events[lesson.id] = Event(issue_id, verified, principal)
            if verified:
                self._scores.add_event(lesson.id, principal)
        elif event is not None and verified and not event.verified and is_new:
            self._events[lesson.id] = event._replace(verified=True)
            self._scores.verify_event(lesson.id, event, principal)

    def write(self) -> None:
        """Write verified events, the agents' sums, and the run's count of issues."""
        self._scores.write(self._runs[0] if self._runs else None, self._new_issues)
