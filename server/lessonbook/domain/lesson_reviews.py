"""Requests and results of the operator tools about lessons: list, show, explain, review."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue

from lessonbook.domain.agent_tools import (
    Effect,
    NotEnough,
    Request,
    Result,
    beginning_and_end,
)
from lessonbook.domain.lesson import AuthoredWords, LessonWords
from lessonbook.domain.lesson_status import STATUSES, ReviewAction, Status
from lessonbook.domain.pending_issues import PendingIssue
from lessonbook.domain.vocabulary import (
    AgentName,
    Category,
    FilePath,
    Filled,
    IdempotencyKey,
    LessonId,
    Line,
    Severity,
    Text,
    Trust,
)
from lessonbook.domain.where_it_holds import LANGUAGES_MAX, PATHS_MAX


class LessonListing(Request):
    """Which lessons to list."""

    agent_name: AgentName = ""
    status: Annotated[list[Status], Field(max_length=len(STATUSES), description="default: all but rejected")] = []
    query: Annotated[Text, Field(max_length=2_000, description="full-text search; best first")] = ""
    severity: Severity | None = None
    category: Category | None = None
    cursor: Annotated[str, Field(max_length=500)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


def _is_absent(value: str | None) -> bool:
    return value is None


class ListedLesson(Result):
    """One lesson in a list."""

    id: str
    agent_name: str
    text: str
    why: str = ""
    severity: Severity
    category: Category
    status: Status
    status_reason: str = ""
    trust: Trust
    visible_to: Annotated[str | None, Field(exclude_if=_is_absent)] = None
    """The one principal to whom it is served, until a person approves it."""
    proposal_for: Annotated[str | None, Field(exclude_if=_is_absent)] = None
    """The lesson beside which the words were offered."""
    rule_key: str = ""
    pinned: bool = False
    issue_count: int
    times_applied: int
    times_verified: int
    times_prevented: int
    flags: int = 0
    effectiveness_score: float
    effect_low: float
    effect_high: float
    events: int
    version: int
    updated_at: str


class LessonPage(Result):
    """A page of lessons."""

    lessons: list[ListedLesson]
    next_cursor: str = ""


class TaskExplanation(Request):
    """A task for which it is asked why which lessons would be served."""

    agent_name: AgentName = ""
    task: Annotated[Text, AfterValidator(beginning_and_end), Field(description="as for get_lessons")] = ""
    files: Annotated[list[FilePath], Field(max_length=200)] = []
    limit: Annotated[int, Field(ge=1, le=100, description="at most so many lessons")] = 20
    cursor: Annotated[str, Field(max_length=500)] = ""


class ExplainedLesson(Result):
    """Why a lesson would be served for a task, or why not."""

    id: str
    agent_name: str
    text: str
    probability: float
    """That the task raises the lesson's issue."""
    because: str = ""
    verdict: Literal["served", "unlikely", "says the same", "no room"]


class Explanation(Result):
    """Which lessons would be served for a task, and why. Nothing is logged, and no coin is tossed."""

    agent_name: str
    languages: list[str]
    need: float
    """The probability that the task needs any lesson of the catalogue."""
    threshold: float
    lessons: list[ExplainedLesson]
    note: str = ""
    next_cursor: str = ""


class LessonChoice(Request):
    """Which lesson to look at."""

    lesson_id: LessonId
    cursor: Annotated[str, Field(max_length=500, description="next_cursor: the rest")] = ""


class ArmOutcome(Result):
    """One arm of a lesson's experiment: runs for which its coin was tossed, changes that came back checked, and events.

    `risk_low` and `risk_high` bound the share of assigned runs with an event: no unchecked run has one, or each has.
    They hold whatever decides which runs are checked, so they are wide where few are. `trouble` is the share of checked
    changes in which something went wrong that none of their lessons is about; None where no change was looked at so.
    """

    arm: Literal["shown", "withheld"]
    assigned: int
    checked: int
    events: int
    risk_low: float
    risk_high: float
    trouble: float | None = None


class EvidenceSummary(Result):
    """The evidence of a lesson's effect: events by arm, and the e-value against the lesson.

    An `e_value` ≥ 100 retires the lesson; it counts `verified` events only.
    """

    events_shown: int
    events_withheld: int
    verified: int
    e_value: float
    arms: list[ArmOutcome] = []
    """Both arms, once a coin was tossed."""


class LessonChange(Result):
    """One change of a lesson: the action, who and why, its words afterwards, and the numbers at the time."""

    change: int
    version: int
    action: str
    principal: str
    reason: str = ""
    status: str
    lesson_text: str
    rationale: str = ""
    severity: Severity
    category: str
    numbers: dict[str, JsonValue] = {}
    changed_at: str


class RaisedFlag(Result):
    """Who flagged a lesson, and why."""

    principal: str
    reason: str
    flagged_at: str


class FlaggedLesson(ListedLesson):
    """A lesson with every flag on it, oldest first."""

    raised: list[RaisedFlag]


class LessonDetail(Result):
    """One lesson with its history, provenance and evidence."""

    lesson: ListedLesson
    author: str
    approved_by: str | None = None
    superseded_by: str | None = None
    expires_at: str | None = None
    provenance: dict[str, JsonValue] = {}
    effect: Effect | NotEnough
    evidence: EvidenceSummary
    history: list[LessonChange] = []
    issues: list[PendingIssue] = []
    flags: list[RaisedFlag] = []
    next_cursor: str = ""
    """Where the rest of history, issues and flags begins, in this order."""


class LessonReview(Request):
    """What a person decides about a lesson."""

    lesson_id: LessonId
    action: ReviewAction
    reason: Annotated[Text, Field(max_length=2_000)] = ""
    text: Annotated[Text, Field(max_length=2_000, description="edit: the new text")] = ""
    idempotency_key: IdempotencyKey = ""


class Reviewed(Result):
    """A lesson after a review."""

    lesson_id: str
    action: str
    status: Status
    pinned: bool = False
    version: int
    note: str = ""


Languages = Annotated[
    list[Annotated[Line, Field(min_length=1, max_length=40)]],
    Field(max_length=LANGUAGES_MAX, description="languages or frameworks it holds for; omitted: all"),
]
PathGlobs = Annotated[
    list[Annotated[Line, Field(min_length=1, max_length=200)]],
    Field(max_length=PATHS_MAX, description="globs of the files it holds for, as src/api/**; omitted: all"),
]


class LessonText(Request):
    """The text of a lesson."""

    text: Annotated[Filled, Field(max_length=2_000)]


class WrittenLesson(AuthoredWords, LessonText):
    """A lesson that no report brings."""

    agent_name: Annotated[AgentName, Field(description="* : all agents")] = "*"
    severity: Severity = "medium"
    category: Category = "other"

    @property
    def words(self) -> LessonWords:
        """What its author says."""
        return self.with_text(self.text, self.severity, self.category)


class NewLesson(WrittenLesson):
    """A lesson written by a person."""

    rule_id: Annotated[Line, Field(max_length=200)] = ""
    languages: Languages = []
    paths: PathGlobs = []


class AgentChoice(Request):
    """A name for an agent."""

    agent_name: Annotated[AgentName, Field(min_length=1)]
