"""Requests and results of what takes back: clean up, roll back, forget."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from lessonbook.domain.agent_tools import (
    Request,
    Result,
)
from lessonbook.domain.vocabulary import (
    IdempotencyKey,
    Source,
)


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
