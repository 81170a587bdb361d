"""What must hold of a database after any fault: what was acknowledged is there, once, and everything adds up."""

import contextlib
from collections.abc import AsyncIterator, Collection

from lessonbook.config.settings import Settings
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate
from tests.store.scenario import ask, counted, scalar


@contextlib.asynccontextmanager
async def afterwards(url: str) -> AsyncIterator[Workspace]:
    """Open the database to look at what a fault left in it."""
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": url}}))
    yield work
    await work.store.close()


async def assert_sound(work: Workspace, acknowledged: Collection[str] = (), principal: str = "worker") -> None:
    """Every report is whole, there once, and all counters and chains follow from the evidence.

    `acknowledged` are the keys of reports that were answered. Each report has one issue, with words of its own.
    """
    assert set(acknowledged) <= await stored_keys(work, "report_issues", principal)
    assert await migrate.current(work.store) == migrate.HEAD
    assert await ask(work.store, "SELECT description FROM agent_issues GROUP BY description HAVING count(*) > 1") == []
    rows = await counted(work.store)
    keys = await scalar(work.store, "SELECT count(*) FROM idempotency_keys WHERE tool = 'report_issues'")
    assert keys == rows["agent_issues"] == rows["agent_refinement_runs"] == rows["agent_lessons"]
    assert rows["agent_lessons"] == rows["agent_lesson_versions"] == rows["agent_lesson_documents"]
    assert rows["agent_lesson_keys"] >= rows["agent_lessons"]
    if work.store.dialect == "sqlite":
        assert await ask(work.store, "PRAGMA integrity_check") == [("ok",)]
        assert await ask(work.store, "PRAGMA foreign_key_check") == []
    diagnosis = await diagnose(work)
    assert diagnosis.faults == []
    assert diagnosis.healthy


async def stored_keys(work: Workspace, tool: str, principal: str = "worker") -> set[str]:
    """Return the keys under which a principal's calls of a tool are stored."""
    query = "SELECT key FROM idempotency_keys WHERE tool = :tool AND principal = :principal"
    return {row[0] for row in await ask(work.store, query, tool=tool, principal=principal)}
