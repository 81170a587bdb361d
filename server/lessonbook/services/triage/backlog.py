"""The backlog: pending issues are matched again, then their groups are put to the configured language model."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import anyio
import anyio.to_thread
from pydantic import BaseModel

from lessonbook.domain.agent_tools import RefinedIssue
from lessonbook.domain.lesson import Caller
from lessonbook.providers.language_model import check_extra, open_model
from lessonbook.services.triage.consultation import Consultation
from lessonbook.services.triage.rematch import rematch
from lessonbook.services.workspace import Workspace
from lessonbook.store import issues as issue_rows
from lessonbook.store import stats as figures

__all__ = ["BacklogReport", "Progress", "Wanted", "check_extra", "refine_backlog"]

log = logging.getLogger(__name__)

REMATCHED_AT_ONCE: Final = 100
CLOSE_TIMEOUT_S: Final = 3.0
ESTIMATED_MAX: Final = 1_000
LINES_MAX: Final = 1_000
"""Issues listed in the report; all are counted."""
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

Progress = Callable[[int, int], None]
"""Called with how many issues are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which pending issues to work on.

    `limit` is of issues, and the last group that the model is asked about may exceed it; 0: all. `again`: includes
    those for which the model has answered without a lesson. `rules`: match them again before the model is asked.
    """

    agent_name: str = ""
    limit: int = 0
    again: bool = False
    dry_run: bool = False
    rules: bool = True


class BacklogReport(BaseModel):
    """The outcome of work on the backlog.

    `waiting` issues were pending before, `pending` are now. The model was asked about `groups` with `asked` issues.
    `stopped` says why work ended early; `failed`: the model failed. Of a dry run, tokens and US dollars are the most
    that it may use, for `asked` issues.
    """

    dry_run: bool
    waiting: int
    asked: int = 0
    groups: int = 0
    created: int = 0
    merged: int = 0
    quarantined: int = 0
    rejected: int = 0
    pending: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    refinement_run_ids: list[str] = []
    failed: bool = False
    stopped: str = ""
    issues: list[RefinedIssue] = []


async def refine_backlog(
    work: Workspace, caller: Caller, wanted: Wanted, progress: Progress | None = None
) -> BacklogReport:
    """Work on pending issues: match them again, then ask the configured model until none is left.

    If the model fails, work ends; its issues stay pending for a later call.

    Raises:
        ConfigError: the configured model cannot be used.
        Unavailable: the database does not answer.
    """
    agent_name = work.roster.resolve(wanted.agent_name) if wanted.agent_name else ""
    report = BacklogReport(dry_run=wanted.dry_run, waiting=await _count(work, caller, agent_name))
    if wanted.rules and not wanted.dry_run:
        await _by_rules(work, caller, agent_name, wanted.limit or report.waiting, report)
    if work.settings.refiner.model and report.waiting:
        await _by_model(work, caller, agent_name, wanted, report, progress)
    elif not work.settings.refiner.model:
        report.stopped = "No model is configured (refiner.model)."
    report.pending = await _count(work, caller, agent_name)
    report.issues = report.issues[:LINES_MAX]
    return report


async def _count(work: Workspace, caller: Caller, agent_name: str) -> int:
    return await work.store.read(lambda connection: figures.pending(connection, caller.project, agent_name))


async def _by_rules(work: Workspace, caller: Caller, agent_name: str, most: int, report: BacklogReport) -> None:
    after: tuple[datetime, str] | None = None
    for start in range(0, most, REMATCHED_AT_ONCE):
        size = min(REMATCHED_AT_ONCE, most - start)
        rows = await work.store.read(
            lambda connection: issue_rows.pending(connection, caller.project, agent_name, after, size)  # noqa: B023  # awaited at once
        )
        if not rows:
            return
        after = rows[-1].created_at, rows[-1].id
        done = await rematch(work, caller, [row.id for row in rows])
        if done is not None:
            report.refinement_run_ids.append(done.refinement_run_id)
            _add(report, done.issues)


async def _by_model(
    work: Workspace, caller: Caller, agent_name: str, wanted: Wanted, report: BacklogReport, progress: Progress | None
) -> None:
    # Loading takes seconds; a server that is ending does not wait for it.
    model = await anyio.to_thread.run_sync(open_model, work.settings.refiner, abandon_on_cancel=True)
    if work.settings.refiner.daily_cost_usd and not model.has_price:
        log.warning("refiner.daily_cost_usd does not bind: the price of %s is unknown, so set it", model.name)
    try:
        since = work.now() if wanted.again else _EVER
        consultation = Consultation(work, caller, model, agent_name, since)
        most = wanted.limit or report.waiting
        if wanted.dry_run:
            bound = min(most, ESTIMATED_MAX)
            report.groups, report.asked, spent = await work.store.read(
                lambda connection: consultation.estimate(connection, bound)
            )
            report.tokens, report.cost_usd = spent.tokens, spent.cost_usd
        else:
            await _consult(consultation, most, report, progress)
    finally:
        with anyio.move_on_after(CLOSE_TIMEOUT_S, shield=True):
            await model.close()


async def _consult(consultation: Consultation, most: int, report: BacklogReport, progress: Progress | None) -> None:
    """Ask about groups, batch after batch, until `most` issues: it ends even if others add issues meanwhile."""
    while report.asked < most:
        batch = await consultation.claim(most - report.asked)
        if batch is None:
            return
        if isinstance(batch, str):
            report.stopped = batch
            return
        report.asked += batch.issues
        report.groups += len(batch.groups)
        report.refinement_run_ids.append(batch.run_id)
        outcome = await consultation.ask(batch)
        _add(report, outcome.lines)
        report.tokens += outcome.spent.tokens
        report.cost_usd += outcome.spent.cost_usd
        if progress:
            progress(min(report.asked, most), most)
        if outcome.failure:
            report.failed, report.stopped = True, outcome.failure
            return


def _add(report: BacklogReport, lines: list[RefinedIssue]) -> None:
    counts = Counter(line.action for line in lines)
    report.created += counts["created"]
    report.merged += counts["merged"]
    report.quarantined += counts["quarantined"]
    report.rejected += counts["rejected"]
    report.issues += lines
