"""A lesson as it is stored, and the caller of a use case."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lessonbook.domain.errors import Forbidden
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import SEVERITY_OF_RANK, VOUCHED, Category, Severity, Trust

LOCAL: Final = "local"
"""The principal of everybody over stdio, in the same process, and over HTTP without authorisation."""


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
    run_id: str = ""
    """The run of this connection, used when a call of `get_lessons` names none."""

    def require_person(self, action: str, command: str) -> None:
        """Check that the caller is a person, who alone may do `action`: by `command` at the terminal.

        Raises:
            Forbidden: it is not.
        """
        if not self.person:
            raise Forbidden(f"Only a person can {action}: run `lessonbook {command}`")

    def may_verify(self, run_principal: str) -> bool:
        """Return whether the caller's evidence on a run of `run_principal` is verified, not only declared.

        Nobody verifies their own work, and `local` is everybody without a name, such as an agent whose hook gets its
        lessons by the command line.
        """
        return self.person or self.principal not in {LOCAL, run_principal}


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

    @property
    def severity_name(self) -> Severity:
        """The severity as a word."""
        return SEVERITY_OF_RANK[self.severity]

    @property
    def is_vouched_for(self) -> bool:
        """Whether a person or the catalogue vouches for the lesson, so that only a person may withdraw it."""
        return self.pinned or self.approved_by is not None or self.trust in VOUCHED

    def is_exempt(self, always_show: Collection[Severity]) -> bool:
        """Return whether the lesson is shown without a coin: pinned, or approved by a person with such a severity."""
        return self.pinned or (self.approved_by is not None and self.severity_name in always_show)
