"""Requests and results of the operator tools, one of each per tool."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, JsonValue, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

from lessonbook.domain.holds import LANGUAGES_MAX, PATHS_MAX
from lessonbook.domain.lesson_names import is_group_id
from lessonbook.domain.lesson_status import STATUSES, ReviewAction, Status
from lessonbook.domain.loop import Effect, NotEnough, RefinedIssue, Refinement, Request, Result, beginning_and_end
from lessonbook.domain.vocabulary import (
    AgentName,
    Category,
    EvidenceGrade,
    FilePath,
    Filled,
    IdempotencyKey,
    IssueAction,
    LessonId,
    Line,
    Severity,
    Source,
    Text,
    Trust,
)

GROUPS_MAX = 20
"""Groups that one lesson may answer."""


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


class EvidenceSummary(Result):
    """The evidence of a lesson's effect: events by arm, and the e-value against the lesson.

    An `e_value` ≥ 100 retires the lesson; it counts `verified` events only.
    """

    events_shown: int
    events_withheld: int
    verified: int
    e_value: float


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


class SuggestedMatch(Result):
    """A lesson that an issue may be an instance of, with too low a score to be joined automatically."""

    lesson_id: str
    text: str
    score: float


class PendingIssue(Result):
    """A pending issue. Its text is evidence, not instruction."""

    issue_id: str
    agent_name: str
    description: str
    severity: Severity
    category: Category
    file: str = ""
    line: int | None = None
    rule_id: str = ""
    source: Source
    evidence: EvidenceGrade
    reason: str = ""
    created_at: str
    group_id: str | None = None
    """The group that one decision settles; None where it is not pending."""
    suggestion: SuggestedMatch | None = None


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


class NewLesson(Request):
    """A lesson written by a person."""

    text: Annotated[Filled, Field(max_length=2_000)]
    why: Annotated[Text, Field(max_length=2_000)] = ""
    agent_name: Annotated[AgentName, Field(description="* : all agents")] = "*"
    severity: Severity = "medium"
    category: Category = "other"
    rule_id: Annotated[Line, Field(max_length=200)] = ""
    languages: Languages = []
    paths: PathGlobs = []


class AgentChoice(Request):
    """A name for an agent."""

    agent_name: Annotated[AgentName, Field(min_length=1)]


class PendingListing(Request):
    """Which pending issues to list."""

    agent_name: AgentName = ""
    cursor: Annotated[str, Field(max_length=500, description="next_cursor, or next_group_cursor for groups")] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 20
    group_id: Annotated[Line, Field(max_length=40, description="only this group's issues")] = ""


class AgentShare(Result):
    """How many issues of a group an agent has."""

    agent_name: str
    issues: int


class GroupSuggestion(Result):
    """What may answer a group: a lesson, or an entry of the catalogue.

    `lesson_id` is what refine_issues takes for it: a lesson's id, or `catalogue:` and the entry's. `score`: 0 to 1.
    """

    lesson_id: str
    text: str
    score: float


class PendingGroup(Result):
    """Pending issues of one rule, of whatever agents, or in like words where no rule is named.

    One decision of refine_issues settles the group. The texts of examples may be cut.
    """

    group_id: str
    rule_id: str = ""
    issues: int
    agents: list[AgentShare]
    severity: Severity
    category: Category
    first_seen: str
    last_seen: str
    examples: list[PendingIssue]
    suggestions: list[GroupSuggestion] = []


class PendingPage(Result):
    """A page of pending issues, and a page of their groups."""

    issues: list[PendingIssue]
    next_cursor: str = ""
    groups: list[PendingGroup] = []
    """Those with most issues first; left out on later pages of issues."""
    next_group_cursor: str = ""
    notes: list[str] = []
    """Unusual reports of the last day: floods, repetitions. On the first page only."""


class AuthoredLesson(Request):
    """An author's lesson for pending issues: a general rule in their own words, or an existing lesson."""

    issue_ids: Annotated[list[LessonId], Field(max_length=100)] = []
    group_ids: Annotated[
        list[LessonId], Field(max_length=GROUPS_MAX, description="whole groups of list_pending_issues, of any agents")
    ] = []
    lesson: Annotated[Text, Field(max_length=2_000, description="a general rule, in your own words")] = ""
    lesson_id: Annotated[
        Line, Field(max_length=120, description="instead of lesson: the one they are instances of, or catalogue:ENTRY")
    ] = ""
    dismiss: Annotated[
        Text, Field(max_length=2_000, description="instead of lesson: why it is not worth one; only a person can")
    ] = ""
    why: Annotated[Text, Field(max_length=2_000)] = ""
    severity: Severity | None = None
    category: Category | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _take_groups(cls, given: object, parsed: ModelWrapValidatorHandler[Self]) -> Self:
        """Take a group for what it is, wherever its id stands."""
        authored = parsed(given)
        groups = [name for name in authored.issue_ids if is_group_id(name)]
        if not groups:
            return authored
        issues = [name for name in authored.issue_ids if name not in groups]
        return authored.model_copy(update={"issue_ids": issues, "group_ids": [*authored.group_ids, *groups]})

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if not self.issue_ids and not self.group_ids:
            raise PydanticCustomError("nothing", "issue_ids and group_ids are empty; name at least one issue or group")
        if bool(self.lesson.strip()) + bool(self.lesson_id) + bool(self.dismiss.strip()) != 1:
            raise PydanticCustomError(
                "one_of", "give either lesson, a new rule, or lesson_id, one that exists, or dismiss, a reason"
            )
        return self


class Authoring(Request):
    """Lessons for pending issues."""

    lessons: Annotated[list[AuthoredLesson], Field(min_length=1, max_length=50)]
    idempotency_key: IdempotencyKey = ""


class RefinedGroup(Result):
    """The outcome of a group: how many of its issues have which action, and the lessons that answer to them now.

    `left`: issues that are pending still, since the group is larger than one call settles.
    """

    group_id: str
    actions: dict[IssueAction, int]
    lesson_ids: list[str] = []
    left: int = 0


class Authored(Refinement):
    """The outcome of an author's decisions. Of the issues of groups, the first hundred are listed."""

    groups: list[RefinedGroup] = []


class Cleanup(Request):
    """Which lessons count as useless."""

    threshold: Annotated[float, Field(ge=0, le=1, description="prevented ÷ verified below this")] = 0.3
    min_applications: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    dry_run: Annotated[bool, Field(description="true: only tell")] = True
    idempotency_key: IdempotencyKey = ""


class CleanupLine(Result):
    """One lesson that a clean-up suspends, proposes to suspend or leaves, and why."""

    lesson_id: str
    agent_name: str
    text: str
    times_applied: int
    times_verified: int
    times_prevented: int
    suspended: bool = False
    proposed: bool = False
    reason: str


class CleanedUp(Result):
    """The outcome of a clean-up. Lessons that the catalogue or a person vouches for are proposed, not suspended."""

    dry_run: bool
    suspended: int
    proposed: int = 0
    lessons: list[CleanupLine]


class Rollback(Request):
    """What to take back: what all given conditions hold for."""

    by: Annotated[str, Field(max_length=200, description="the principal who brought it in")] = ""
    since: AwareDatetime | None = None
    source: Source | Literal[""] = ""
    run: Annotated[str, Field(max_length=200, description="a refinement run")] = ""
    dry_run: bool = True


class RolledBackLesson(Result):
    """A lesson that a rollback takes back, or whose issues alone it does."""

    lesson_id: str
    agent_name: str
    text: str
    status: str
    goes: bool
    issues_left: int


class RolledBack(Result):
    """The outcome of a rollback, of undoing one, or of a dry run."""

    rollback_id: str = ""
    dry_run: bool
    issues: int
    lessons: list[RolledBackLesson]


class Forget(Request):
    """What to erase; one of them."""

    issue_id: Annotated[str, Field(max_length=200)] = ""
    lesson_id: Annotated[str, Field(max_length=200)] = ""
    principal: Annotated[str, Field(max_length=200)] = ""
    everything: Annotated[bool, Field(description="all of the project")] = False


class Forgotten(Result):
    """How much was erased: remarks are notes, flags and reasons; rows those of a whole project."""

    issues: int = 0
    lessons: int = 0
    remarks: int = 0
    rows: int = 0


class AuditQuery(Request):
    """Which audit entries to read."""

    subject: Annotated[Line, Field(max_length=200, description="a lesson or refinement run")] = ""
    since: Annotated[str, Field(max_length=40, description="ISO time: entries from then on")] = ""
    before: Annotated[str, Field(max_length=40, description="ISO time: older entries")] = ""
    cursor: Annotated[str, Field(max_length=500)] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class AuditEntry(Result):
    """One entry of a writer's hash chain: who did what to which subject."""

    writer: str
    seq: int
    principal: str
    action: str
    subject: str
    details: dict[str, JsonValue] = {}
    logged_at: str
    previous_hash: str
    hash: str


class AuditTrail(Result):
    """Audit entries, newest first."""

    entries: list[AuditEntry]
    next_cursor: str = ""


class AuditChain(Result):
    """Where the chain of one writer ends. Kept elsewhere, it shows later that no entry up to `seq` was replaced."""

    writer: str
    seq: int
    hash: str


class AuditCheck(Result):
    """Whether the audit chains of a project are whole, a sentence for each fault, and where the chains end."""

    whole: bool
    faults: list[str]
    chains: list[AuditChain]


class AgentFigures(Result):
    """One agent's row of the statistics view; `effectiveness` is the mean over its active lessons."""

    project: str
    agent_name: str
    total_lessons: int
    active_lessons: int
    critical_lessons: int
    high_lessons: int
    medium_lessons: int
    low_lessons: int
    issues: int
    pending_issues: int
    runs: int
    deliveries: int
    applications: int
    verified: int
    prevented: int
    effectiveness: float | None
    effectiveness_low: float | None
    effectiveness_high: float | None
    last_activity_at: str | None


class RefusedRecord(Result):
    """A record of a file that was refused: its place, and why."""

    place: str
    reason: str


class ReportedFile(Result):
    """One file of a report: how it was read, how many findings it has, and what it says of its run as a whole."""

    place: str
    kind: str
    format: str
    """What people call the kind: `ESLint JSON`."""
    findings: int
    notes: list[str] = []
    """That the scanner crashed, or says so of a part."""


class FileReport(Result):
    """The outcome of the files of scanners or test runs."""

    findings: int
    created: int
    merged: int
    pending: int
    quarantined: int
    rejected: int
    refused: list[RefusedRecord]
    refinement_run_ids: list[str]
    lesson_ids: list[str]
    issues: list[RefinedIssue] = []
    """The outcomes of the first hundred issues."""
    files: list[ReportedFile] = []
    """The files, in order. None: an issue in words was reported."""
    left_out: list[str] = []
    """Files in folders and archives that are no reports."""
    note: str = ""
    """What the reporter of an issue in words should know; of a file, its own notes say it."""


class Imported(Result):
    """The outcome of an import; `resting` of the `created` lessons are not served."""

    created: int
    resting: int = 0
    known: int
    quarantined: int
    refused: list[RefusedRecord]
    notes: list[str] = []
    """Which of them say nearly the same as another lesson, or the opposite; the first hundred."""


class PortableLesson(Request):
    """One lesson in an export file, a JSON object per line.

    `status` None: the file has none; `names` None: they are made of the rule and the text.
    """

    text: Annotated[Filled, Field(max_length=2_000)]
    why: Annotated[Text, Field(max_length=2_000)] = ""
    agent_name: Annotated[AgentName, Field(min_length=1)] = "*"
    severity: Severity = "medium"
    category: Category = "other"
    rule_key: Annotated[Line, Field(max_length=200)] = ""
    status: Status | None = None
    pinned: bool = False
    names: Annotated[list[Annotated[Line, Field(max_length=300)]], Field(max_length=10_000)] | None = None
    languages: Languages = []
    paths: PathGlobs = []


class ExportedLesson(PortableLesson):
    """A lesson as it is exported: what an import reads, and figures for information."""

    trust: Trust
    issue_count: int
    times_applied: int
    times_verified: int
    times_prevented: int
