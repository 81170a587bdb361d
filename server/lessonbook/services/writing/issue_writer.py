"""The one path of an issue: it makes or joins a lesson, which is indexed and counted, in one refinement run."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from lessonbook.domain.agent_tools import RefinedIssue, Refinement
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_names import name_of_issue
from lessonbook.domain.lesson_status import Status, targets
from lessonbook.domain.vocabulary import VOUCHED, Category, IssueAction, Severity, Source
from lessonbook.screening.offer import Offer
from lessonbook.search.document import Subjects
from lessonbook.search.subjects import document_of, with_issue
from lessonbook.services.writing.checked_runs import Scores
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.types import Row

Refiner = Literal["author", "llm", "rules"]

ACTIONS: Final[tuple[IssueAction, ...]] = ("created", "merged", "pending", "quarantined", "rejected")
"""The outcomes that a refinement run counts."""


@dataclass(frozen=True, slots=True)
class IssueEntry:
    """What deciders and models read of an issue.

    `subjects`: the weaknesses it is about, None where not computed. `group_id`: as of `store/issues.IssueRow`.
    """

    id: str
    agent_name: str
    description: str
    severity: Severity
    category: Category
    file: str = ""
    rule_key: str = ""
    subjects: Subjects | None = None
    group_id: str | None = None

    @property
    def name(self) -> str:
        """The most specific exact name of the issue."""
        return name_of_issue(self.rule_key, self.description)


def entry_of(row: issue_rows.IssueRow) -> IssueEntry:
    """Return a stored issue as deciders read it."""
    return IssueEntry(
        row.id,
        row.agent_name,
        row.description,
        row.severity_name,
        row.category,
        row.file,
        rule_key=row.rule_id,
        group_id=row.group_id,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of an issue. `lesson_id`: the lesson that it made or joined, or that was rejected before."""

    action: IssueAction
    reason: str
    lesson_id: str | None = None


@dataclass(slots=True)
class _LessonPlan:
    """What is to be written of one lesson: its `offer` where it is new, and the issues that join it."""

    agent_name: str
    offer: Offer | None = None
    issues: list[IssueEntry] = field(default_factory=list[IssueEntry])


class IssueWriter:
    """One refinement run inside one transaction.

    `create` and `join` only plan, so deciders may call them while they read without locks. The agents are held before
    `settle` writes; what was read without locks is read again then (`read_planned`, `stands_as`).

    Attributes:
        ledger: writes lessons and the audit trail.
        scores: counts the events of this run.
        lines: the outcome of each issue, in the order of the calls of `record`.
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
            issues: the issues that join it.
            offer: its words.
            names: its exact names, which have to be free.
            status: the status it begins with; None: the offer's.
            provenance: its origin, in addition to what is known of this run.
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

    def propose(
        self, agent_name: str, offer: Offer, name: str, provenance: Mapping[str, Any], beside: str | None
    ) -> str:
        """Plan a lesson that no issue joins, and return its id: words that were offered beside another lesson.

        Args:
            agent_name: the agent for whom it is.
            offer: its words.
            name: its exact name, which has to be free.
            provenance: its origin, in addition to what is known of this run.
            beside: the lesson for which it is a proposal; None where it stands for itself.
        """
        known = {
            "refinement_run": self.run_id,
            "reporter": self.ledger.caller.principal,
            "refiner": self._origin["refiner"],
        }
        lesson_id = self.ledger.create(
            agent_name, offer, keys=(name,), provenance={**known, **provenance}, proposal_for=beside
        )
        self._plans[lesson_id] = _LessonPlan(agent_name, offer)
        return lesson_id

    def join(self, issues: Iterable[IssueEntry], lesson_id: str, agent_name: str, names: Iterable[str] = ()) -> None:
        """Plan issues as instances of a lesson of an agent, and `names` as further exact names of it."""
        self._plans.setdefault(lesson_id, _LessonPlan(agent_name)).issues.extend(issues)
        self.ledger.name(lesson_id, agent_name, tuple(names))

    def agent_of(self, lesson_id: str) -> str:
        """Return the agent of a lesson that was planned here."""
        return self._plans[lesson_id].agent_name

    @property
    def agents(self) -> frozenset[str]:
        """The agents of all lessons that were planned."""
        return frozenset(plan.agent_name for plan in self._plans.values())

    def read_planned(self) -> None:
        """Read those planned lessons that are not new, once their agents are held."""
        project, existing = self.ledger.caller.project, self._existing()
        self.lessons |= lesson_rows.find(self.ledger.connection, project, existing, lock=True)

    def lesson(self, lesson_id: str) -> Lesson:
        """Return a lesson as it is now, to be written if its agent is held.

        Raises:
            NotFound: it does not exist.
        """
        found = self.ledger.lesson(lesson_id)
        self.lessons[lesson_id] = found
        return found

    def record(self, issue: IssueEntry, decision: Decision) -> None:
        """Note the outcome of an issue, for the run's counts and its answer."""
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
        existing = sorted(self._existing())
        self._index(existing)
        self.ledger.start_counts({lesson_id: len(plan.issues) for lesson_id, plan in self._plans.items()})
        self._count(existing)
        self.scores.settle(existing)
        self._plans.clear()

    def _existing(self) -> list[str]:
        """Return the planned lessons that are not new."""
        return [lesson_id for lesson_id, plan in self._plans.items() if plan.offer is None]

    def _index(self, existing: Sequence[str]) -> None:
        """Add the issues to what full-text search reads of their lessons."""
        ledger = self.ledger
        bodies = lesson_rows.documents(ledger.connection, ledger.caller.project, existing) if existing else {}
        for lesson_id, plan in self._plans.items():
            text = plan.offer.text if plan.offer else self.lessons[lesson_id].lesson_text
            known = body = ledger.documents.get(lesson_id, bodies.get(lesson_id, ""))
            for issue in plan.issues:
                body = with_issue(body, text, issue.description, issue.file, issue.subjects)
            if body != known:
                ledger.documents[lesson_id] = body

    def _count(self, lesson_ids: Iterable[str]) -> None:
        """Count the planned issues of lessons that are not new. An expired lesson returns to probation."""
        ledger = self.ledger
        counted: list[tuple[Lesson, Row]] = []
        for lesson in (self.lessons[lesson_id] for lesson_id in lesson_ids):
            more = len(self._plans[lesson.id].issues)
            values: Row = {"issue_count": lesson.issue_count + more, "last_seen_at": ledger.now}
            if lesson.status == "probation":
                values["expires_at"] = ledger.expiry()
            counted.append((lesson, values | self.scores.values_of(lesson)))
        ledger.set_each(counted)
        for lesson, values in counted:
            self.scores.move(replace(lesson, **values))
            if came_back := targets("recur", lesson.status):
                back = {"status": came_back[0], "expires_at": ledger.expiry()}
                ledger.move(lesson, "recur", "Its issue came back.", back)

    def row(self, values: Mapping[str, Any] | None = None) -> Row:
        """Return the refinement run as it is stored, with `values` in place of its own."""
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
        """Write all that was planned, for a run whose row exists already. See `close`."""
        counts = Counter(line.action for line in self.lines)
        self.ledger.note("refine", self.run_id, {"issues": len(self.lines), **(details or {}), **counts})
        self.ledger.write()
        return Refinement(refinement_run_id=self.run_id, issues=self.lines)


def stands_as(known: Lesson, now: Lesson | None) -> bool:
    """Return whether a lesson is what it was when it was decided on. Its counters may have changed."""
    if now is None:
        return False
    one, other = (
        (lesson.status, lesson.version, lesson.trust, lesson.agent_name, lesson.visible_to) for lesson in (known, now)
    )
    return one == other


def buried(offer: Offer, found: Iterable[str]) -> Decision | None:
    """Return the rejection of an offer whose words were rejected before, in a lesson of `found`; else None.

    The catalogue and people may use rejected words again.
    """
    lesson_id = next(iter(found), None)
    if lesson_id is None or offer.trust in VOUCHED:
        return None
    return Decision("rejected", f"These words were rejected ({lesson_id}): nothing is learned again.", lesson_id)


def rejected(lesson_id: str) -> Decision:
    """Return the rejection of an issue that is an instance of a rejected lesson."""
    return Decision("rejected", f"A lesson for it was rejected ({lesson_id}): nothing is learned again.", lesson_id)


def waiting(offer: Offer) -> str:
    """Return a sentence on why the lesson of an offer is quarantined."""
    return "The lesson waits for a person: " + "; ".join(offer.reasons) + "."


def reindex(ledger: Ledger, lesson: Lesson, most: int) -> None:
    """Plan a lesson's document from its words and its latest issues, `most` at most."""
    body = document_of(lesson.lesson_text, lesson.rationale, lesson.rule_key, lesson.category)
    for issue in issue_rows.of_lesson(ledger.connection, ledger.caller.project, lesson.id, most):
        body = with_issue(body, lesson.lesson_text, issue.description, issue.file)
    ledger.documents[lesson.id] = body
