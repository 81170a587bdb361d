"""Caches of groups hold no lock while they read: whoever reads gives way to others of the same thread."""

import anyio
import pytest

from lessonbook.domain.lesson import Caller
from lessonbook.store import issue_groups, tables

pytestmark = pytest.mark.anyio


async def test_no_lock_is_held_while_the_database_is_read(loop, agent: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caches = loop.work.group_caches
    held: list[bool] = []
    read = issue_groups.worded_since

    def looking(*about):
        held.append(caches._lock.locked())
        return read(*about)

    monkeypatch.setattr(issue_groups, "worded_since", looking)
    await loop.report(agent, "The zeppelin exporter wobbles on Tuesdays")
    assert set(held) == {False}


async def test_reports_in_words_at_the_same_time_all_get_through(loop, agent: Caller) -> None:
    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(loop.report, agent, f"The flugelhorn of part {chr(97 + number)} is out of tune today")
    assert await loop.count(tables.issues) == [8]
