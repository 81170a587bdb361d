"""A caller that goes away leaves a whole transaction or none, and no connection behind."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.lesson import Caller
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from tests.patience import PATIENCE_S
from tests.store.scenario import AGENT, checked_out, counted, issue, scalar, tell

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

LONGEST_S = 0.006
"""About how long a caller takes, among many, when nobody goes away."""


async def wait_for_all_but(standing: set[asyncio.Task[object]]) -> None:
    """Wait for what shielded calls left running in the background."""
    if left := asyncio.all_tasks() - standing:
        await asyncio.wait(left)


async def calls(work: Workspace, agent: Caller, number: int, acknowledged: set[int]) -> None:
    if number % 3 == 0:
        await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, task="uploads", run_id=f"r{number}"))
    else:
        await tell(work, agent, issue(number), idempotency_key=f"k{number}")
    acknowledged.add(number)


async def assert_whole(work: Workspace, acknowledged: set[int]) -> None:
    rows = await counted(work.store)
    reports = {number for number in acknowledged if number % 3}
    assert rows["agent_refinement_runs"] == rows["agent_issues"] == rows["agent_lessons"]
    assert rows["agent_issues"] == rows["agent_lesson_versions"] == rows["agent_lesson_documents"]
    stored = await scalar(work.store, "SELECT count(*) FROM idempotency_keys WHERE tool = 'report_issues'")
    assert stored == rows["agent_issues"]
    assert len(reports) <= stored
    for number in reports:
        query = "SELECT count(*) FROM idempotency_keys WHERE key = :key"
        assert await scalar(work.store, query, key=f"k{number}") == 1
    assert (await diagnose(work)).faults == []


async def cancel_scopes(
    work: Workspace, agent: Caller, moments: random.Random, acknowledged: set[int], callers: int
) -> None:
    """Run the calls in cancel scopes, as the SDK and the HTTP server do, and cancel each at its own moment."""

    async def one(number: int) -> None:
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_later(moments.uniform(0, callers * LONGEST_S), scope.cancel)
            await calls(work, agent, number, acknowledged)

    async with anyio.create_task_group() as group:
        for number in range(callers):
            group.start_soon(one, number)


async def cancel_tasks(
    work: Workspace, agent: Caller, moments: random.Random, acknowledged: set[int], callers: int
) -> None:
    """Cancel the calls' tasks outright, as `asyncio.wait_for` and `asyncio.timeout` do."""
    tasks = [asyncio.create_task(calls(work, agent, number, acknowledged)) for number in range(callers)]
    for task in tasks:
        asyncio.get_running_loop().call_later(moments.uniform(0, callers * LONGEST_S), task.cancel)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ended if isinstance(end, Exception)] == []


@pytest.mark.parametrize(
    ("callers", "seed"),
    [(50, 1), (50, 2), (50, 3), *(pytest.param(200, seed, marks=pytest.mark.long) for seed in range(9))],
)
@pytest.mark.parametrize("cancel", [cancel_scopes, cancel_tasks])
async def test_cancelled_callers_leave_no_half_transaction_and_no_connection(
    work: Workspace, agent: Caller, cancel: Callable[..., Awaitable[None]], callers: int, seed: int
) -> None:
    acknowledged: set[int] = set()
    standing = asyncio.all_tasks()
    await cancel(work, agent, random.Random(seed), acknowledged, callers)
    await wait_for_all_but(standing)
    await work.store.write(lambda connection: None)  # behind everything that still runs on the writer's thread
    with anyio.fail_after(PATIENCE_S):
        while checked_out(work.store):  # readers have threads beside each other, and a cancelled task leaves its own
            await work.store.read(lambda connection: None)
    await assert_whole(work, acknowledged)
    await tell(work, agent, issue(9999))  # and it goes on


async def test_a_caller_that_is_cancelled_in_mid_write_is_told_so_only_after_the_commit(
    work: Workspace, agent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = work.store.write

    async def cancelled_write(act: Any) -> Any:
        asyncio.get_running_loop().call_soon(scope.cancel)
        return await write(act)

    with anyio.CancelScope() as scope, monkeypatch.context() as patch:
        patch.setattr(work.store, "write", cancelled_write)
        await tell(work, agent, issue(1), idempotency_key="k")
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert (await counted(work.store))["agent_issues"] == 1
    assert checked_out(work.store) == 0
    again = await tell(work, agent, issue(1), idempotency_key="k")
    assert again.issues[0].action == "created"
    assert (await counted(work.store))["agent_issues"] == 1
