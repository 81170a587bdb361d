"""Requests and results of the agent tools, one of each per tool."""

from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    WrapValidator,
)

from lessonbook.domain.corrections import correction_of
from lessonbook.domain.vocabulary import (
    AgentName,
    Category,
    EffectState,
    FilePath,
    Filled,
    IdempotencyKey,
    IssueAction,
    LessonId,
    Line,
    RuleId,
    RunId,
    Severity,
    Source,
    Text,
    Trust,
)

UNSTORABLE: Final = frozenset({"nul", "surrogate", "string_unicode"})
"""The kinds of faults of a text that no database stores."""


class Request(BaseModel):
    """Arguments of one call. Unknown ones are errors, so that a misspelt one never loses evidence."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, defer_build=True, hide_input_in_errors=True
    )  # a process needs few of them


class Result(BaseModel):
    """Answer of one call.

    A field that may say nothing has that value for its default (None, empty): structured content leaves it out then.
    """

    model_config = ConfigDict(frozen=True, defer_build=True, hide_input_in_errors=True)


TASK_MAX: Final = 20_000
"""Characters that are kept of a task: the beginning, and a quarter of them from the end."""


def beginning_and_end(task: str) -> str:
    """Return a task, or the beginning and the end of one that is longer than `TASK_MAX`."""
    end = TASK_MAX // 4
    return task if len(task) <= TASK_MAX else f"{task[: TASK_MAX - end - 1]}\n{task[-end:]}"


class LessonQuery(Request):
    """Which lessons fit a task."""

    agent_name: Annotated[AgentName, Field(description="your role; omitted: routed by task and files")] = ""
    task: Annotated[Text, AfterValidator(beginning_and_end), Field(description="what you are about to do")] = ""
    files: Annotated[list[FilePath], Field(max_length=200, description="paths you will touch")] = []
    categories: Annotated[list[Category], Field(max_length=12)] = []
    max_lessons: Annotated[int, Field(ge=1, le=50)] = 5
    max_tokens: Annotated[int, Field(ge=50, le=8_000)] = 600
    run_id: Annotated[
        RunId, Field(description="yours (branch, pull request) or from an earlier call; omitted: new")
    ] = ""


class Effect(Result):
    """How much a lesson cuts its issue: 1 − rate ratio, with its 95 % interval and the events behind it."""

    estimate: float
    low: float
    high: float
    events: int


NotEnough = Literal["not enough data"]
"""Reported instead of an effect below ten events."""

TooFew = Literal["too few runs for side effects"]
"""Reported instead of a side effect while its interval is too wide to tell anything."""


class ServedLesson(Result):
    """One lesson as an agent gets it."""

    id: str
    text: str
    why: str = ""
    severity: Severity
    category: Category = "other"
    trust: Trust
    effect: Effect | None = None
    """None below ten events."""
    review: str = ""
    """That no person reviewed the words, and whose they are; empty where the catalogue or a person vouches for them."""


class Lessons(Result):
    """The lessons for a task, with the section to put in a prompt and the run to report against.

    It never says whether something was withheld: an answer without lessons is the same whatever the reason.
    """

    run_id: str
    agent_name: str
    guidance: str
    """How to read the lessons, and the commit trailer."""
    lessons: list[ServedLesson]
    tokens: int
    """Estimated tokens of the longer form, the prompt section or the structured content."""
    more_available: int = 0
    """Lessons that fit the task, beyond `max_lessons`."""
    note: str = ""
    prompt_section: str = ""
    """All of the above as text; structured content has no copy of it."""


class ReportedIssue(Request):
    """One concrete problem somebody saw."""

    description: Annotated[Filled, Field(max_length=20_000)]
    severity: Severity | None = None
    category: Category | None = None
    file: FilePath = ""
    line: Annotated[int | None, Field(ge=0, le=10_000_000)] = None
    rule_id: Annotated[RuleId, Field(description="scanner rule or CWE: bandit:B608, CWE-89")] = ""
    lesson: Annotated[
        Text, Field(max_length=2_000, description="a general rule that would have avoided it, in your own words")
    ] = ""
    why: Annotated[Text, Field(max_length=2_000, description="why that rule")] = ""
    _refusal: str = PrivateAttr("")

    @property
    def refusal(self) -> str:
        """Why the issue cannot be stored; empty where it can."""
        return self._refusal

    @classmethod
    def refused(cls, reason: str) -> "ReportedIssue":
        """Return an issue without words that says why those it had cannot be stored."""
        issue = cls.model_construct(description="")
        issue._refusal = reason  # noqa: SLF001  # of its own class
        return issue


def _or_refused(given: object, parsed: ModelWrapValidatorHandler[ReportedIssue]) -> ReportedIssue:
    """Return an issue; one with text that cannot be stored is refused alone, not the whole report."""
    try:
        return parsed(given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        if any(fault["type"] not in UNSTORABLE for fault in faults):
            raise
        reason = "has half of a surrogate pair" if faults[0]["type"] == "string_unicode" else correction_of(faults[0])
        return ReportedIssue.refused(f"{faults[0]['loc'][-1]} {reason}")


class Report(Request):
    """Issues seen in one run, or outside any."""

    issues: Annotated[
        list[Annotated[ReportedIssue, WrapValidator(_or_refused)]],
        Field(max_length=100, description="[] with a run_id: checked, and nothing found"),
    ]
    agent_name: Annotated[AgentName, Field(description="who made the code; omitted: routed")] = ""
    run_id: Annotated[RunId, Field(description="run the issues were seen in")] = ""
    source: Annotated[Source, Field(description="agent: you made it yourself")] = "agent"
    idempotency_key: Annotated[IdempotencyKey, Field(description="same key on a retry: done once")] = ""


class RefinedIssue(Result):
    """The outcome of one reported issue. One that was refused is not stored: it has only an action and a reason."""

    issue_id: str = ""
    action: IssueAction
    lesson_id: str | None = None
    agent_name: str = ""
    severity: Severity | None = None
    category: Category | None = None
    reason: str


class Refinement(Result):
    """The outcome of a report: the audited refinement run and a line per issue."""

    refinement_run_id: str
    issues: list[RefinedIssue]
    note: str = ""


class Application(Request):
    """Lessons applied in a run, or QA's verdict on them."""

    run_id: Annotated[RunId, Field(min_length=1, description="from get_lessons")]
    lesson_ids: Annotated[list[LessonId], Field(min_length=1, max_length=100)]
    prevented_issue: Annotated[bool | None, Field(description="true/false once known")] = None
    source: Source = "agent"
    notes: Annotated[Text, Field(max_length=4_000)] = ""
    idempotency_key: IdempotencyKey = ""


class RecordedApplication(Result):
    """One lesson's line in the answer to an application."""

    lesson_id: str
    result: Literal["recorded", "updated", "unknown"]
    times_applied: int | None = None
    times_prevented: int | None = None


class Applied(Result):
    """The answer to an application: a line per lesson, in the order of the request."""

    results: list[RecordedApplication]
    note: str = ""


class Flag(Request):
    """A lesson that misled, with the reason."""

    lesson_id: LessonId
    reason: Annotated[Filled, Field(max_length=2_000)]
    run_id: RunId = ""
    idempotency_key: IdempotencyKey = ""


class Flagged(Result):
    """What a flag did: noted, suspended (two principals flagged it), or review queued (a person vouches for it)."""

    result: Literal["noted", "suspended", "review queued"]
    lesson_id: str
    flags: int
    note: str = ""


class StatsQuery(Request):
    """Figures of the project, an agent or a lesson."""

    agent_name: AgentName = ""
    lesson_id: Annotated[Line, Field(max_length=40)] = ""
    days: Annotated[int, Field(ge=0, le=3_650, description="0: all time")] = 0


class Totals(Result):
    """Counts behind the figures."""

    lessons: int
    active: int
    issues: int
    pending: int
    runs: int
    deliveries: int
    applications: int
    verified: int
    prevented: int


class RecurringIssue(Result):
    """A lesson whose issue keeps coming back."""

    lesson_id: str
    text: str
    agent_name: str
    severity: Severity
    issues: int
    last_seen_at: str | None = None


class PreventionRate(Result):
    """Verdicts that say prevented ÷ all verdicts, with its 95 % Wilson interval. It has no control group."""

    ratio: float
    low: float
    high: float
    verdicts: int


class WeekFigures(Result):
    """What happened in one week; `begins` is its first day."""

    begins: str
    runs: int
    issues: int
    deliveries: int
    tokens: int
    issues_per_100_runs: float | None = None
    """None where there was no run."""


def _is_absent(value: float | str | None) -> bool:
    return value is None


Measured = Annotated[float | None, Field(exclude_if=_is_absent)]
"""A figure that is left out of the answer where it is not known."""
Remark = Annotated[str | None, Field(exclude_if=_is_absent)]
"""A sentence that is left out of the answer where there is none."""


class ServiceLift(Result):
    """Issues prevented per 100 runs: runs with lessons against the `comparisons` held out, with a 95 % interval."""

    status: Literal["measured", "not enough data"]
    comparisons: int
    runs_with_lessons: int
    unit: str
    note: Remark = None
    """What an agent's measurement still lacks."""
    stopped: Remark = None
    """Why serving is stopped."""
    estimate: Measured = None
    low: Measured = None
    high: Measured = None


class LessonLift(Result):
    """Issues prevented per 100 runs in which a coin decided: shown against the `comparisons` that were withheld."""

    status: Literal["measured", "not enough data"]
    comparisons: int
    runs_shown: int
    runs_without_a_coin: int
    unit: str
    estimate: Measured = None
    low: Measured = None
    high: Measured = None


class EffectStanding(Result):
    """What the evidence says; `runs_to_go`: checked runs until a cut of 15 % can be told, absent where none will."""

    state: EffectState
    events: int
    reason: str
    runs_to_go: Annotated[int | None, Field(exclude_if=_is_absent)] = None


class SideEffectFound(Result):
    """How much more of the changes shown a lesson go wrong elsewhere: share, shown less withheld."""

    estimate: float
    low: float
    high: float
    runs: int


class Stats(Result):
    """Figures of the project, an agent or a lesson."""

    totals: Totals
    effect: Effect | NotEnough
    state: EffectStanding
    side_effect: SideEffectFound | TooFew
    lift: ServiceLift | LessonLift
    top_recurring: list[RecurringIssue]
    withheld_by_reason: dict[str, int]
    prevention_rate: PreventionRate | None = None
    tokens_served: int = 0
    trend: list[WeekFigures] = []
