"""Files: what scanners and test runs wrote, refined like any report."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import anyio.to_thread

from lessonbook.models.findings import Refused
from lessonbook.models.lesson import Caller
from lessonbook.models.loop import RefinedIssue
from lessonbook.models.operator import FileReport, RefusedRecord
from lessonbook.models.vocabulary import Source
from lessonbook.refinery.intake import ReportKind, read_report
from lessonbook.services.report import Batch, refine
from lessonbook.services.workspace import Workspace

TOLD_MAX: Final = 100
CHUNK: Final = 500
"""Findings a transaction: large files must not hold the write lock for long."""


async def report_file(
    work: Workspace,
    caller: Caller,
    data: bytes,
    *,
    kind: ReportKind = "auto",
    place: str = "the report",
    agent_name: str = "",
    run_id: str = "",
    source: Source = "ci",
    idempotency_key: str = "",
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> FileReport:
    """Refine everything a file holds; one bad record never loses the rest.

    `progress` is told how many findings are done, of how many.

    Raises:
        InvalidInput: the file is of no known kind, or broken.
        NotFound: the run does not exist.
    """
    reading = partial(read_report, data, kind=kind, place=place)
    intake = await anyio.to_thread.run_sync(reading)  # a large file must not hold up other callers
    lines: list[RefinedIssue] = []
    run_ids: list[str] = []
    for start in range(0, len(intake.findings), CHUNK):
        findings = intake.findings[start : start + CHUNK]
        key = f"{idempotency_key}#{start}" if idempotency_key else ""
        refinement = await refine(work, caller, Batch(findings, agent_name, run_id, source, key))
        lines += refinement.issues
        run_ids.append(refinement.refinement_run_id)
        progress(len(lines), len(intake.findings))
    return summary(lines, intake.refused, run_ids)


def summary(lines: list[RefinedIssue], refused: Sequence[Refused], run_ids: list[str]) -> FileReport:
    """Return what became of a file's findings, in counts."""
    counts = Counter(line.action for line in lines)
    made = dict.fromkeys(line.lesson_id for line in lines if line.action == "created" and line.lesson_id)
    return FileReport(
        findings=len(lines),
        created=counts["created"],
        merged=counts["merged"],
        pending=counts["pending"],
        quarantined=counts["quarantined"],
        rejected=counts["rejected"],
        refused=[RefusedRecord(place=record.place, reason=record.reason) for record in refused],
        refinement_run_ids=run_ids,
        lesson_ids=list(made),
        issues=lines[:TOLD_MAX],
    )
