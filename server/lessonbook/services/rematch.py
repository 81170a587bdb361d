"""Rematch: pending issues go through the present rules again, since lessons and catalogue have grown meanwhile."""

from collections.abc import Sequence

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.models.findings import Finding
from lessonbook.models.lesson import Caller
from lessonbook.models.loop import Refinement
from lessonbook.models.vocabulary import SEVERITY_OF_RANK, SHARED_AGENT
from lessonbook.refinery.prepare import Prepared, prepare
from lessonbook.services.lifecycle import Ledger
from lessonbook.services.settling import Settling
from lessonbook.services.workspace import Workspace
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.types import Row


async def rematch(work: Workspace, caller: Caller, issue_ids: Sequence[str]) -> Refinement | None:
    """Return what became of the pending issues that a lesson or the catalogue answers by now; None where none does.

    Issues that are not pending, or not there, are passed over.
    """
    rows = await work.store.read(lambda connection: issue_rows.find(connection, caller.project, issue_ids))
    prepared = await anyio.to_thread.run_sync(_prepared, work, list(rows.values()))

    def act(connection: Connection) -> Refinement | None:
        held = issue_rows.hold(connection, caller.project, prepared)
        waiting = [row for row in held.values() if row["action"] == "pending"]
        settling = Settling(Ledger(work, caller, connection, work.now()), work.new_id("R"), "rules")
        for row in waiting:
            _match(settling, row, prepared[row["id"]])
        return settling.close() if settling.lines else None

    return await work.store.write(act)


def _prepared(work: Workspace, rows: Sequence[Row]) -> dict[str, Prepared]:
    """Return issues as a report would prepare them today, by id."""
    return {
        row["id"]: prepare(
            Finding(
                description=row["description"],
                severity=SEVERITY_OF_RANK[row["severity"]],
                category=row["category"],
                file=row["file"],
                line=row["line"],
                rule_id=row["rule_id"],
            ),
            work.catalogue,
            review=work.settings.trust.review,
        )
        for row in rows
    }


def _match(settling: Settling, row: Row, item: Prepared) -> None:
    """Settle an issue by its exact names, or by what the catalogue has for them; else leave it as it is."""
    ledger = settling.ledger
    names = [key for key in item.keys if not key.startswith("text:")]
    named = lesson_rows.find_by_keys(ledger.connection, ledger.caller.project, [row["agent_name"]], names)
    for key in names:
        for owner in (row["agent_name"], SHARED_AGENT):
            if (lesson_id := named.get((owner, key))) is not None:
                settling.join([row], lesson_id, f"Same as lesson {lesson_id} by its exact name.")
                return
    if item.offer is not None and item.offer.trust == "curated":
        settling.word([row], item.offer, item.offer.status, names)
