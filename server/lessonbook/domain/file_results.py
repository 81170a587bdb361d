"""What reading a report, an import or an export tells, and a lesson in an export file."""

from typing import Annotated

from pydantic import Field

from lessonbook.domain.agent_tools import (
    RefinedIssue,
    Result,
)
from lessonbook.domain.lesson_reviews import Languages, PathGlobs, WrittenLesson
from lessonbook.domain.lesson_status import Status
from lessonbook.domain.vocabulary import (
    AgentName,
    Line,
    Trust,
)


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


class PortableLesson(WrittenLesson):
    """One lesson in an export file, a JSON object per line.

    `status` None: the file has none; `names` None: they are made of the rule and the text.
    """

    agent_name: Annotated[AgentName, Field(min_length=1)] = "*"
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
