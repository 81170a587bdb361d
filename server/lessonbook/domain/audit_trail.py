"""Requests and results about the audit trail."""

from typing import Annotated

from pydantic import Field, JsonValue

from lessonbook.domain.agent_tools import (
    Request,
    Result,
)
from lessonbook.domain.vocabulary import (
    Line,
)


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
