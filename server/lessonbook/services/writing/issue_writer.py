"""The one path of an issue: it makes or joins a lesson, which is indexed and counted, in one refinement run."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.loop import RefinedIssue, Refinement
from lessonbook.domain.vocabulary import VOUCHED, Category, IssueAction, Severity, Source
from lessonbook.screening.offer import Offer
from lessonbook.search.document import Subjects
from lessonbook.search.subjects import document_of, with_issue
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import Scores
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row

Refiner = Literal["author", "llm", "rules"]

ACTIONS: Final[tuple[IssueAction, ...]] = ("created", "merged", "pending", "quarantined", "rejected")
"""What a refinement run counts."""


@dataclass(frozen=True, slots=True)
class IssueEntry:
    """What is written of an issue. `subjects`: what it is about, where that is known already."""

    id: str
    agent_name: str
    description: str
    severity: Severity
    category: Category
    file: str
    subjects: Subjects | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an issue. `lesson_id`: the lesson that it made or joined, or that was rejected before."""

    action: IssueAction
    reason: str
    lesson_id: str | None = None


@dataclass(slots=True)
class _LessonPlan:
    """What is to be written of one lesson: `offer` where it is new, and the issues that come behind it."""

    agent_name: str
    offer: Offer | None = None
    issues: list[IssueEntry] = field(default_factory=list[IssueEntry])


class IssueWriter:
    """One refinement run inside one transaction.

    `create` and `join` only plan, so a decider may call them while it looks without locks. The agents are held before
    `settle` writes; what was looked at without locks is read again then (`hold`, `look_again`).

    Attributes:
        ledger: writes lessons and the audit trail.
        scores: counts the events of this run.
        lines: what became of each issue, in the order in which they were recorded.
        lessons: the lessons read for writing, their agents held.
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        refiner: Refiner,
        source: Source,
        *,
        model: str = "",
        prompt_hash: str = "",
        began: float | None = None,
    ) -> None:
        self.ledger = ledger
        self.run_id = run_id
        self.scores = Scores(ledger)
        self.lines: list[RefinedIssue] = []
        self.lessons: dict[str, Lesson] = {}
        self._began = time.perf_counter() if began is None else began
        self._origin = {"refiner": refiner, "model": model, "prompt_hash": prompt_hash}
        self._source = source
        self._plans: dict[str, _LessonPlan] = {}

    def create(
        self,
        issues: Sequence[IssueEntry],
        offer: Offer,
        names: Iterable[str],
        *,
        status: Status | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> str:
        """Plan a lesson for issues of one agent, and return its id.

        Args:
            issues: the issues, which come behind it.
            offer: its words.
            names: its exact names, which have to be free.
            status: the status it begins with; None: the offer's.
            provenance: where it comes from, beside what is known of this run.
        """
        agent_name = issues[0].agent_name
        known = {**self._origin, "catalogue": offer.catalogue_id}
        lesson_id = self.ledger.create(
            agent_name,
            offer,
            keys=tuple(names),
            provenance={
                "refinement_run": self.run_id,
                "reporter": self.ledger.caller.principal,
                **{name: value for name, value in known.items() if value},
                **(provenance or {}),
            },
            status=status,
            issue_count=len(issues),
        )
        self._plans[lesson_id] = _LessonPlan(agent_name, offer, list(issues))
        return lesson_id

    def join(self, issues: Iterable[IssueEntry], lesson_id: str, agent_name: str, names: Iterable[str] = ()) -> None:
        """Plan issues as sightings of a lesson of an agent, which answers to further exact names from now on."""
        self._plans.setdefault(lesson_id, _LessonPlan(agent_name)).issues.extend(issues)
        self.ledger.name(lesson_id, agent_name, tuple(names))

    def agent_of(self, lesson_id: str) -> str:
        """Return whose lesson it is that was planned here."""
        return self._plans[lesson_id].agent_name

    def hold(self, looked: Mapping[str, Lesson]) -> None:
        """Hold the agents of all that was planned, and read again what is written of what was `looked` at.

        Raises:
            Retry: see `look_again`.
        """
        self.ledger.hold(plan.agent_name for plan in self._plans.values())
        self.look_again(looked[lesson_id] for lesson_id, plan in self._plans.items() if plan.offer is None)

    def look_again(self, looked: Iterable[Lesson]) -> None:
        """Read lessons again that were looked at before their agents were held.

        Raises:
            Retry: somebody has changed one meanwhile, so that what was decided may not hold; counters may change.
        """
        before = {lesson.id: lesson for lesson in looked}
        found = lesson_rows.find(self.ledger.connection, self.ledger.caller.project, before, lock=True)
        for lesson in found.values():
            known = before[lesson.id]
            if (known.status, known.version, known.trust) != (lesson.status, lesson.version, lesson.trust):
                raise Retry
        self.lessons |= found

    def lesson(self, lesson_id: str) -> Lesson:
        """Return a lesson as it is now, to be written if its agent is held.

        Raises:
            NotFound: it does not exist.
        """
        found = self.ledger.lessons([lesson_id])
        if lesson_id not in found:
            raise NotFound.lesson(lesson_id, self.ledger.caller.project)
        self.lessons |= found
        return found[lesson_id]

    def record(self, issue: IssueEntry, decision: Decision) -> None:
        """Note what becomes of an issue, for the run's counts and its answer."""
        line = RefinedIssue(
            issue_id=issue.id,
            action=decision.action,
            lesson_id=decision.lesson_id,
            agent_name=issue.agent_name,
            severity=issue.severity,
            category=issue.category,
            reason=decision.reason,
        )
        self.lines.append(line)

    def settle(self) -> None:
        """Index and count what was planned since the last call. The agents have to be held."""
        there = sorted(lesson_id for lesson_id, plan in self._plans.items() if plan.offer is None)
        self._index(there)
        self.ledger.start_counts({lesson_id: len(plan.issues) for lesson_id, plan in self._plans.items()})
        for lesson_id in there:
            self._count(self.lessons[lesson_id], len(self._plans[lesson_id].issues))
        self._plans.clear()

    def _index(self, there: Sequence[str]) -> None:
        """Let full-text search find lessons by their issues."""
        ledger = self.ledger
        bodies = lesson_rows.documents(ledger.connection, ledger.caller.project, there) if there else {}
        for lesson_id, plan in self._plans.items():
            text = plan.offer.text if plan.offer else self.lessons[lesson_id].lesson_text
            body = ledger.body_of(lesson_id)
            body = bodies.get(lesson_id, "") if body is None else body
            for issue in plan.issues:
                body = with_issue(body, text, issue.description, issue.file, issue.subjects)
            ledger.document(lesson_id, body)

    def _count(self, lesson: Lesson, sightings: int) -> None:
        """Raise the counters of a lesson that was there before. One that had expired is on probation again."""
        ledger = self.ledger
        values: Row = {"issue_count": lesson.issue_count + sightings, "last_seen_at": ledger.now}
        if lesson.status == "probation":
            values["expires_at"] = ledger.expiry()
        values |= self.scores.values_of(lesson)
        ledger.set(lesson, values)
        self.scores.move(replace(lesson, **values))
        if lesson.status == "expired":
            back: Row = {"status": "probation", "expires_at": ledger.expiry()}
            ledger.move(lesson, "recur", "Its issue came back.", back)

    def row(self, values: Mapping[str, Any] | None = None) -> Row:
        """Return the refinement run as it is stored, `values` on top."""
        counts = Counter(line.action for line in self.lines)
        return {
            "project": self.ledger.caller.project,
            "id": self.run_id,
            "principal": self.ledger.caller.principal,
            "source": self._source,
            **self._origin,
            "issues": len(self.lines),
            **{action: counts[action] for action in ACTIONS},
            "duration_ms": (time.perf_counter() - self._began) * 1000,
            "started_at": self.ledger.now,
            **(values or {}),
        }

    def close(self, details: Mapping[str, str] | None = None) -> Refinement:
        """Write the run and all that was planned; `details` go into its audit entry.

        Raises:
            Retry: another transaction was faster; run this one again.
        """
        issue_rows.add_refinement_run(self.ledger.connection, self.row())
        return self.finish(details)

    def finish(self, details: Mapping[str, str] | None = None) -> Refinement:
        """Write all that was planned, for a run whose row is there already. See `close`."""
        counts = Counter(line.action for line in self.lines)
        self.ledger.note("refine", self.run_id, {"issues": len(self.lines), **(details or {}), **counts})
        self.ledger.write()
        return Refinement(refinement_run_id=self.run_id, issues=self.lines)


def buried(offer: Offer, found: Iterable[str]) -> Decision | None:
    """Return that an offer's words were rejected, by the first lesson `found` that says so; None where it may be made.

    The catalogue and people may use rejected words again.
    """
    lesson_id = next(iter(found), None)
    if lesson_id is None or offer.trust in VOUCHED:
        return None
    return Decision("rejected", f"These words were rejected ({lesson_id}): nothing is learned again.", lesson_id)


def rejected(lesson_id: str) -> Decision:
    """Return that an issue is an instance of a lesson that was rejected."""
    return Decision("rejected", f"A lesson for it was rejected ({lesson_id}): nothing is learned again.", lesson_id)


def waiting(offer: Offer) -> str:
    """Return why the lesson of an offer waits."""
    return "The lesson waits for a person: " + "; ".join(offer.reasons) + "."


def reindex(ledger: Ledger, lesson: Lesson, most: int) -> None:
    """Plan a lesson's document from its words and the latest issues behind it, `most` at most."""
    body = document_of(lesson.lesson_text, lesson.rationale, lesson.rule_key, lesson.category)
    for issue in issue_rows.of_lesson(ledger.connection, ledger.caller.project, lesson.id, most):
        body = with_issue(body, lesson.lesson_text, issue["description"], issue["file"])
    ledger.document(lesson.id, body)
