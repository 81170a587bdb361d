"""A caller that goes away leaves a whole transaction or none, and no connection behind."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import anyio
import pytest
from store.scenario import AGENT, checked_out, counted, issue, scalar, tell

from lessonbook.models.lesson import Caller
from lessonbook.models.loop import LessonQuery
from lessonbook.services import serve
from lessonbook.services.maintain import diagnose
from lessonbook.services.workspace import Workspace

pytestmark = pytest.mark.anyio

CALLERS = 50


async def tasks_done() -> None:
    """Wait for what shielded calls left running in the background."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


async def calls(work: Workspace, agent: Caller, number: int, acknowledged: set[int]) -> None:
    if number % 3 == 0:
        await serve.get_lessons(work, agent, LessonQuery(agent_name=AGENT, task="uploads", run_id=f"r{number}"))
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


async def steps(count: int) -> None:
    """Let the loop turn `count` times."""
    for _ in range(count):
        await asyncio.sleep(0)


async def cancel_scopes(work: Workspace, agent: Caller, moments: random.Random, acknowledged: set[int]) -> int:
    """Run the calls in cancel scopes, as the SDK and the HTTP server do, and cancel each at its own moment."""
    cut = 0

    async def one(number: int) -> None:
        nonlocal cut
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_later(moments.uniform(0, 0.15), scope.cancel)
            await calls(work, agent, number, acknowledged)
        cut += scope.cancelled_caught

    async with anyio.create_task_group() as group:
        for number in range(CALLERS):
            group.start_soon(one, number)
    return cut


async def cancel_tasks(work: Workspace, agent: Caller, moments: random.Random, acknowledged: set[int]) -> int:
    """Cancel the calls' tasks outright, as `asyncio.wait_for` and `asyncio.timeout` do."""
    tasks = [asyncio.create_task(calls(work, agent, number, acknowledged)) for number in range(CALLERS)]
    order = list(tasks)
    moments.shuffle(order)
    for task in order:
        await steps(moments.randrange(12))
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ended if isinstance(end, Exception)] == []
    return sum(isinstance(end, asyncio.CancelledError) for end in ended)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("cancel", [cancel_scopes, cancel_tasks])
async def test_fifty_cancelled_callers_leave_no_half_transaction_and_no_connection(
    work: Workspace, agent: Caller, cancel: Callable[..., Awaitable[int]], seed: int
) -> None:
    acknowledged: set[int] = set()
    await cancel(work, agent, random.Random(seed), acknowledged)
    await tasks_done()
    await work.store.write(lambda connection: None)  # behind everything that still runs on a thread
    assert checked_out(work.store) == 0
    await assert_whole(work, acknowledged)
    await tell(work, agent, issue(9999))  # and it goes on


async def test_a_caller_that_is_cancelled_in_mid_write_is_told_so_only_after_the_commit(
    work: Workspace, agent: Caller
) -> None:
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await tell(work, agent, issue(1), idempotency_key="k")
        await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert (await counted(work.store))["agent_issues"] == 1
    assert checked_out(work.store) == 0
    again = await tell(work, agent, issue(1), idempotency_key="k")
    assert again.issues[0].action == "created"
    assert (await counted(work.store))["agent_issues"] == 1
