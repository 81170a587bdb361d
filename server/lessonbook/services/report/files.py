"""Files: what scanners, test runs and reviewers wrote, refined like any report."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import anyio.to_thread

from lessonbook.domain.findings import FileKind, Finding, Outcome, Refused, ReportKind, note_refused
from lessonbook.domain.lesson import Caller
from lessonbook.domain.loop import RefinedIssue, Refinement
from lessonbook.domain.operator import FileReport, RefusedRecord
from lessonbook.domain.vocabulary import Source
from lessonbook.intake import open_report
from lessonbook.intake.report_file import ReportFile
from lessonbook.services.report.refinement import Batch, refine
from lessonbook.services.workspace import Workspace, hash_of

TOOL: Final = "report_file"
TOLD_MAX: Final = 100
CHUNK: Final = 100
"""Findings a transaction: large files must not hold the write lock for long."""

_SOURCES: Final[dict[FileKind, Source]] = {"review": "review"}
"""Who speaks in files of a kind, where nobody says; otherwise CI."""


async def report_file(
    work: Workspace,
    caller: Caller,
    data: bytes | Path | BinaryIO,
    *,
    kind: ReportKind = "auto",
    place: str = "the report",
    agent_name: str = "",
    run_id: str = "",
    source: Source | None = None,
    idempotency_key: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FileReport:
    """Refine everything a file holds; one bad record never loses the rest.

    The file is seen to be whole before anything is stored, and then refined part by part, so that memory does not grow
    with its size. Each part is done once per idempotency key: after a break, the same file under the same key goes on
    where it stopped.

    Args:
        work: the workspace.
        caller: on whose behalf.
        data: the file's bytes, where it is on disk, or an open file that can be rewound.
        kind: what the file is; `auto`: its content tells.
        place: what errors call the file.
        agent_name: who made the code; empty: routed.
        run_id: the run the problems were seen in.
        source: who reports; None: `review` for comments of reviewers, else `ci`.
        idempotency_key: the same key on a retry; empty: the file is always refined.
        progress: told how many records of the file are done, of how many.

    Raises:
        InvalidInput: the file is of no known kind, or broken.
        NotFound: the run does not exist.
        Conflict: the idempotency key was used with another file, or with other words about this one.
    """
    file = ReportFile(data, place)
    reading = await anyio.to_thread.run_sync(open_report, file, kind)  # a large file must not hold up other callers
    digest = await anyio.to_thread.run_sync(file.digest) if idempotency_key else ""
    request = hash_of({"file": digest, "kind": reading.kind, "part": CHUNK})
    whole = Batch((), agent_name, run_id, source or _SOURCES.get(reading.kind, "ci"), idempotency_key, request=request)
    tally = _ReportTally()
    done = number = 0
    with closing(reading.outcomes) as outcomes:
        while (part := await anyio.to_thread.run_sync(partial(_take, outcomes))).records:
            if part.findings:
                tally.add(await refine(work, caller, whole.part(part.findings, _tool_of_part(number))))
                number += 1
            for record in part.refused:
                note_refused(tally.refused, record)
            done += part.records
            progress(done, max(done, reading.records))
    return tally.report()


def summary(lines: Sequence[RefinedIssue], refused: Sequence[Refused], run_ids: Sequence[str]) -> FileReport:
    """Return what became of findings, in counts."""
    tally = _ReportTally(refused=list(refused), run_ids=list(run_ids))
    tally.count(lines)
    return tally.report()


@dataclass(frozen=True, slots=True)
class _Part:
    """Some records of a file, as many as hold `CHUNK` findings."""

    findings: list[Finding] = field(default_factory=list[Finding])
    refused: list[Refused] = field(default_factory=list[Refused])
    records: int = 0


def _take(outcomes: Iterator[Outcome]) -> _Part:
    findings: list[Finding] = []
    refused: list[Refused] = []
    records = 0
    for outcome in outcomes:
        records += 1
        if isinstance(outcome, Refused):
            note_refused(refused, outcome)
        elif outcome is not None:
            findings.append(outcome)
            if len(findings) == CHUNK:
                break
    return _Part(findings, refused, records)


def _tool_of_part(number: int) -> str:
    """Return the name under which a part's answer is kept, so that no key of any other call can be the same."""
    return f"{TOOL}#{number}" if number else TOOL


@dataclass(slots=True)
class _ReportTally:
    """What became of the findings so far."""

    counts: Counter[str] = field(default_factory=Counter[str])
    lesson_ids: dict[str, None] = field(default_factory=dict[str, None])
    told: list[RefinedIssue] = field(default_factory=list[RefinedIssue])
    refused: list[Refused] = field(default_factory=list[Refused])
    run_ids: list[str] = field(default_factory=list[str])

    def add(self, refinement: Refinement) -> None:
        """Count a refinement run."""
        self.run_ids.append(refinement.refinement_run_id)
        self.count(refinement.issues)

    def count(self, lines: Sequence[RefinedIssue]) -> None:
        """Count what became of findings."""
        self.counts.update(line.action for line in lines)
        made = (line.lesson_id for line in lines if line.action == "created" and line.lesson_id)
        self.lesson_ids.update(dict.fromkeys(made))
        self.told += lines[: TOLD_MAX - len(self.told)]

    def report(self) -> FileReport:
        """Return the counts."""
        return FileReport(
            findings=self.counts.total(),
            created=self.counts["created"],
            merged=self.counts["merged"],
            pending=self.counts["pending"],
            quarantined=self.counts["quarantined"],
            rejected=self.counts["rejected"],
            refused=[RefusedRecord(place=record.place, reason=record.reason) for record in self.refused],
            refinement_run_ids=self.run_ids,
            lesson_ids=list(self.lesson_ids),
            issues=self.told,
        )
