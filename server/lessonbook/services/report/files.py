"""Files of scanners, test runs and reviewers, refined like any report."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import anyio.to_thread

from lessonbook.domain.agent_tools import RefinedIssue, Refinement
from lessonbook.domain.file_results import FileReport, RefusedRecord, ReportedFile
from lessonbook.domain.findings import FileKind, Finding, Outcome, Reading, Refused, ReportKind, note_refused
from lessonbook.domain.lesson import Caller
from lessonbook.domain.vocabulary import Source
from lessonbook.intake.report_file import ReportFile
from lessonbook.screening.redact import redact
from lessonbook.services.report.refinement import CHECKED, Batch, refine
from lessonbook.services.workspace import Workspace, hash_of

TOOL: Final = "report_file"
LISTED_MAX: Final = 100
SCANNER_MAX: Final = 100
CHUNK: Final = 100
"""Findings in one transaction: large files must not hold the write lock for long."""

_SOURCES: Final[dict[FileKind, Source]] = {"review": "review"}
"""The source of files of a format, where none is named; otherwise `ci`."""


async def report_file(
    work: Workspace,
    caller: Caller,
    data: bytes | Path | BinaryIO | ReportFile,
    *,
    kind: ReportKind = "auto",
    place: str = "the report",
    agent_name: str = "",
    run_ids: Sequence[str] = (),
    source: Source | None = None,
    idempotency_key: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FileReport:
    """Refine all findings of a file; a bad record is refused, and the others are refined.

    The file is read to its end before anything is stored, and then refined part by part, so that memory does not grow
    with its size. Each part is done once per idempotency key: after an interruption, the same file under the same key
    continues where it stopped.

    Args:
        work: the workspace.
        caller: on whose behalf.
        data: the file's bytes, where it is on disk, an open file that can be rewound, or a part of an archive.
        kind: the file's format; `auto`: found by its content.
        place: the file's name in errors.
        agent_name: who made the code; empty: routed.
        run_ids: the runs the problems were seen in, all of one change; they are checked, also by a file without any.
        source: who reports; None: `review` for comments of reviewers, else `ci`.
        idempotency_key: the same key on a retry; empty: the file is always refined.
        progress: called with how many records are done, and of how many.

    Raises:
        InvalidInput: the file is of no known format, or damaged.
        Conflict: the idempotency key was used with another file, or with other arguments.
    """
    file = data if isinstance(data, ReportFile) else ReportFile(data, place)
    reading = await anyio.to_thread.run_sync(_opened, file, kind)  # a large file must not hold up other callers
    digest = await anyio.to_thread.run_sync(file.digest) if idempotency_key else ""
    request = hash_of({"file": digest, "kind": reading.kind, "part": CHUNK})
    whole = Batch(
        (),
        agent_name,
        tuple(dict.fromkeys(run_ids)),
        source or _SOURCES.get(reading.kind, "ci"),
        idempotency_key,
        request=request,
        scanner=redact(reading.name or reading.kind)[0][:SCANNER_MAX],
        is_routine=reading.kind != "text",
    )
    read = ReportedFile(
        place=file.place,
        kind=reading.kind,
        format=reading.name,
        findings=0,
        notes=[redact(note)[0] for note in reading.notes],
    )
    tally = _ReportTally(read)
    done = number = 0
    with closing(reading.outcomes) as outcomes:
        while records := await anyio.to_thread.run_sync(partial(_take, outcomes)):
            for record in records:
                if isinstance(record, Refused):
                    note_refused(tally.refused, record)
            if findings := [record for record in records if isinstance(record, Finding)]:
                # The answer of each part is kept under a name of its own, which no other call's key can meet.
                part = replace(whole, findings=findings, tool=f"{TOOL}#{number}" if number else TOOL)
                refined = await refine(work, caller, part)
                tally.add(refined)
                if whole.run_ids:
                    tally.note(refined)
                number += 1
            done += len(records)
            progress(done, max(done, reading.records))
        if not number and whole.run_ids and whole.is_routine:
            checked = await refine(work, caller, replace(whole, tool=TOOL))
            tally.note(checked)
    return tally.report()


def summary(refinement: Refinement) -> FileReport:
    """Return the outcomes of one refinement run in counts."""
    tally = _ReportTally()
    tally.add(refinement)
    return tally.report().model_copy(update={"note": refinement.note})


def _opened(file: ReportFile, kind: ReportKind) -> Reading:
    from lessonbook.intake.readers import open_report  # noqa: PLC0415  # 45 modules, which reporting words does without

    return open_report(file, kind)


def _take(outcomes: Iterator[Outcome]) -> list[Outcome]:
    """Return the next records, up to the `CHUNK`th finding among them."""
    records: list[Outcome] = []
    findings = 0
    for outcome in outcomes:
        records.append(outcome)
        findings += isinstance(outcome, Finding)
        if findings == CHUNK:
            break
    return records


@dataclass(slots=True)
class _ReportTally:
    """The outcomes of the findings so far."""

    file: ReportedFile | None = None
    counts: Counter[str] = field(default_factory=Counter[str])
    lesson_ids: dict[str, None] = field(default_factory=dict[str, None])
    listed: list[RefinedIssue] = field(default_factory=list[RefinedIssue])
    refused: list[Refused] = field(default_factory=list[Refused])
    run_ids: list[str] = field(default_factory=list[str])
    notes: dict[str, None] = field(default_factory=dict[str, None])
    """What the reporter should know of what the file measures, where it names runs."""

    def add(self, refinement: Refinement) -> None:
        """Count a refinement run."""
        lines = refinement.issues
        self.run_ids.append(refinement.refinement_run_id)
        self.counts.update(line.action for line in lines)
        made = (line.lesson_id for line in lines if line.action == "created" and line.lesson_id)
        self.lesson_ids.update(dict.fromkeys(made))
        self.listed += lines[: LISTED_MAX - len(self.listed)]

    def note(self, refinement: Refinement) -> None:
        """Keep what a refinement run tells its reporter, once; that nothing was found, the file's line says."""
        if refinement.note and refinement.note != CHECKED:
            self.notes[refinement.note] = None

    def report(self) -> FileReport:
        """Return the counts."""
        findings = self.counts.total()
        files: list[ReportedFile] = []
        if self.file is not None:
            told = {"findings": findings, "notes": [*self.file.notes, *self.notes]}
            files = [self.file.model_copy(update=told)]
        return FileReport(
            findings=findings,
            created=self.counts["created"],
            merged=self.counts["merged"],
            pending=self.counts["pending"],
            quarantined=self.counts["quarantined"],
            rejected=self.counts["rejected"],
            refused=[RefusedRecord(place=record.place, reason=record.reason) for record in self.refused],
            refinement_run_ids=self.run_ids,
            lesson_ids=list(self.lesson_ids),
            issues=self.listed,
            files=files,
        )
