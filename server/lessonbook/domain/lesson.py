"""A lesson: what its author says, and as it is stored; and the caller of a use case."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, Final, Self

from pydantic import Field

from lessonbook.domain.agent_tools import Request
from lessonbook.domain.errors import Forbidden
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.principals import LOCAL, SCRIPT, TERMINAL
from lessonbook.domain.token_scopes import Scope
from lessonbook.domain.vocabulary import (
    SEVERITY_OF_RANK,
    SEVERITY_RANK,
    UNOWNED,
    VOUCHED,
    Category,
    Severity,
    Source,
    Text,
    Trust,
)

INDEPENDENT: Final[frozenset[Source]] = frozenset({"qa", "ci", "review"})
"""The sources that only a caller with `evidence:write` may claim."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and for which project.

    `person` is true if a human decides: at the terminal, or by elicitation.
    """

    project: str
    principal: str
    person: bool = False
    agent_name: str = ""
    """The agent of this connection, used when a call names none."""
    scopes: frozenset[Scope] | None = None
    """What the caller's token allows; None: there is no token, as on stdio and at the terminal."""
    is_bound: bool = False
    """Whether the caller serves and reports as `agent_name` alone."""
    run_id: str = ""
    """The run of this connection, used when a call of `get_lessons` names none."""
    change: str = ""
    """What this connection works on (a branch, a session): all its runs have the same coins. Empty: each run alone."""
    project_note: str = ""
    """Why the project is named after its folder, where git failed: said in answers. Empty: it did not fail."""

    def may(self, scope: Scope) -> bool:
        """Return whether the caller's token has a scope, or none is needed."""
        return self.scopes is None or scope in self.scopes

    def require_person(self, action: str, command: str) -> None:
        """Check that the caller is a person, who alone may do `action`: by `command` at the terminal.

        Raises:
            Forbidden: it is not.
        """
        if not self.person:
            raise Forbidden(f"Only a person can {action}: run `lessonbook {command}`")

    @property
    def reads_waiting_words(self) -> bool:
        """Whether the caller may read lessons that are not served to it: words that wait or were withdrawn."""
        return self.scopes is None or not self.scopes.isdisjoint({"lessons:propose", "lessons:approve"})

    @property
    def is_reviewer(self) -> bool:
        """Whether the caller decides for people: a person, or a token that people gave `lessons:approve`."""
        return self.person or (self.scopes is not None and "lessons:approve" in self.scopes)

    def require_reviewer(self, action: str, command: str) -> None:
        """Check that the caller is a reviewer, who alone may do `action`: by `command` at the terminal.

        Raises:
            Forbidden: it is not.
        """
        if not self.is_reviewer:
            with_token = "" if self.scopes is None else ", or use a token that has lessons:approve"
            raise Forbidden(f"Only a person can {action}: run `lessonbook {command}`{with_token}")

    def may_verify(self, run_principal: str) -> bool:
        """Return whether the caller's evidence on a run of `run_principal` is verified, not only declared.

        Nobody verifies their own work, and `local` is everybody without a name, such as an agent whose hook gets its
        lessons by the command line. A token needs `evidence:write`.
        """
        return self.person or (self.principal not in {LOCAL, SCRIPT, run_principal} and self.may("evidence:write"))

    def source_of(self, claimed: Source) -> Source:
        """Return the source that a report counts as: QA, CI and review only where the caller's token may name it."""
        return claimed if claimed not in INDEPENDENT or self.may("evidence:write") else "agent"


def not_independent(claimed: Source) -> str:
    """Return the note on a report whose caller may not claim its source."""
    return f"Counted as the agent's own report: source {claimed!r} needs a token with evidence:write."


@dataclass(frozen=True, slots=True)
class LessonWords:
    """What the author of a lesson says: kept with each version of it, exported, and blanked when it is forgotten."""

    text: str
    why: str
    severity: Severity
    category: Category

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the words that the columns of a lesson, or of a version of it, keep."""
        values: dict[str, Any] = {name: row[column] for name, column in COLUMNS.items()}
        values["severity"] = SEVERITY_OF_RANK[row["severity"]]
        return cls(**values)

    def as_row(self) -> dict[str, Any]:
        """Return the columns that keep the words."""
        values = {column: getattr(self, name) for name, column in COLUMNS.items()}
        return {**values, "severity": SEVERITY_RANK[self.severity]}


COLUMNS: Final[Mapping[str, str]] = {
    one.name: {"text": "lesson_text", "why": "rationale"}.get(one.name, one.name) for one in fields(LessonWords)
}
"""The column of each field of `LessonWords`, in the tables of lessons and of their versions."""
LABELS: Final[Mapping[str, str]] = {
    one.name.replace("_", " ").capitalize(): one.name
    for one in fields(LessonWords)
    if one.type is str and one.name != "text"
}
"""The texts beside a lesson's own, by the names under which people read them."""
TEXT_COLUMNS: Final[tuple[str, ...]] = tuple(COLUMNS[name] for name in ("text", *LABELS.values()))
"""The columns that are blank where words are forgotten."""


class AuthoredWords(Request):
    """What an author may say beside a lesson's text, whichever way it is given: each is a field of `LessonWords`."""

    why: Annotated[Text, Field(max_length=2_000)] = ""

    def with_text(self, text: str, severity: Severity, category: Category) -> LessonWords:
        """Return a lesson's words: those that are given here, and its text."""
        given = {name: getattr(self, name) for name in AuthoredWords.model_fields}
        return LessonWords(text=text, severity=severity, category=category, **given)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One general rule, with its status and its counters. `severity` is the rank, 4 = critical."""

    id: str
    agent_name: str
    lesson_text: str
    rationale: str
    severity: int
    category: Category
    rule_key: str
    status: Status
    is_active: bool
    pinned: bool
    version: int
    trust: Trust
    author: str
    approved_by: str | None
    issue_count: int
    times_applied: int
    times_verified: int
    times_prevented: int
    effectiveness_score: float
    effect_low: float
    effect_high: float
    events: int
    flags: int
    status_reason: str
    last_seen_at: datetime | None
    last_applied_at: datetime | None
    expires_at: datetime | None
    superseded_by: str | None
    token_count: int
    revision: int
    created_at: datetime
    updated_at: datetime
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    evidence: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Events and self-reports, as `experiment.evidence.Evidence.to_document` writes them."""
    visible_to: str | None = None
    """The one principal to whom the lesson is served, until a person approves its words; None: to all."""
    proposal_for: str | None = None
    """The lesson beside which these words were offered, for a person to compare."""

    @property
    def words(self) -> LessonWords:
        """What its author says."""
        return LessonWords.of_row({column: getattr(self, column) for column in COLUMNS.values()})

    @property
    def severity_name(self) -> Severity:
        """The severity as a word."""
        return SEVERITY_OF_RANK[self.severity]

    @property
    def is_vouched_for(self) -> bool:
        """Whether a person or the catalogue vouches for the lesson, so that only a person may withdraw it."""
        return self.pinned or self.approved_by is not None or self.trust in VOUCHED

    @property
    def is_unreviewed(self) -> bool:
        """Whether the words are an agent's or a model's, and no person wrote, approved or pinned them."""
        is_a_persons = self.approved_by is not None or (self.author == TERMINAL and self.trust == "offered")
        return self.trust in UNOWNED and not is_a_persons and not self.pinned

    def is_visible_to(self, principal: str) -> bool:
        """Return whether the lesson may be served to a principal."""
        return self.visible_to is None or self.visible_to == principal

    def is_exempt(self, always_show: Collection[Severity]) -> bool:
        """Return whether the lesson is shown without a coin: pinned, or approved by a person with such a severity."""
        return self.pinned or (self.approved_by is not None and self.severity_name in always_show)
