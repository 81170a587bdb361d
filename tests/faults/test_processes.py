"""Many processes on one database, some of them killed: what was acknowledged is there, once, and adds up."""

import json
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.soundness import afterwards, assert_sound, stored_keys
from tests.forks import forked
from tests.patience import PATIENCE_S
from tests.store.scenario import ask, counted, scalar

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def worker(*arguments: object) -> list[str]:
    """Return what starts a worker."""
    return forked(str(Path(__file__).with_name("worker.py")), *map(str, arguments))


def said_by(*arguments: object) -> list[str]:
    """Run the worker to its end, and return what was acknowledged."""
    done = subprocess.run(worker(*arguments), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_two_processes_started_at_once_on_nothing_write_twenty_five_each(empty_url: str) -> None:
    writers = [
        subprocess.Popen(  # noqa: ASYNC220  # nothing else runs on this loop
            worker("write", empty_url, first, 25), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for first in (1_000, 2_000)
    ]
    ended = [writer.communicate(timeout=PATIENCE_S) for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], [error for _, error in ended]
    acknowledged = {line.split()[1] for said, _ in ended for line in said.splitlines()}
    assert len(acknowledged) == 50
    async with afterwards(empty_url) as work:
        assert await stored_keys(work, "report_issues") == acknowledged
        assert (await counted(work.store))["agent_issues"] == 50
        await assert_sound(work)


@pytest.mark.parametrize(("processes", "writes"), [(12, 4), pytest.param(64, 20, marks=pytest.mark.long)])
async def test_many_processes_at_once_on_nothing_all_get_through(empty_url: str, processes: int, writes: int) -> None:
    said = said_by("crowd", empty_url, processes, writes)
    assert [line for line in said if not line.startswith("report ")] == []
    assert len(set(said)) == processes * writes
    async with afterwards(empty_url) as work:
        assert await stored_keys(work, "report_issues") == {line.split()[1] for line in said}
        assert await scalar(work.store, "SELECT count(DISTINCT writer) FROM audit_heads") == processes
        await assert_sound(work)


@pytest.mark.parametrize(("kills", "seed"), [(10, 1), pytest.param(400, 2, marks=pytest.mark.long)])
async def test_processes_killed_in_mid_write_lose_nothing_they_acknowledged(
    empty_url: str, kills: int, seed: int
) -> None:
    said = said_by("killed", empty_url, kills, seed)
    assert [line for line in said if not re.match(r"(report|run|verdict) kind\w+", line)] == []
    acknowledged = {
        kind: [line.split()[1] for line in said if line.startswith(f"{kind} ")] for kind in ("report", "run", "verdict")
    }
    assert acknowledged["verdict"]  # most rounds wait for acknowledgements before they kill
    async with afterwards(empty_url) as work:
        assert set(acknowledged["report"]) <= await stored_keys(work, "report_issues")
        assert set(acknowledged["verdict"]) <= await stored_keys(work, "record_application", "qa")
        shown = Counter(
            row[0] for row in await ask(work.store, "SELECT run_id FROM agent_lesson_deliveries WHERE shown")
        )
        for line in said:
            if line.startswith("run "):
                _, name, count = line.split()
                assert shown[name] == int(count)
        await assert_sound(work)
        unfinished = await scalar(work.store, "SELECT count(*) FROM agent_issues") - len(set(acknowledged["verdict"]))
        assert 0 <= unfinished <= 1  # each one cut short was taken up by the next process, under the same key
