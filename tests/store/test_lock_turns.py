"""Who wants a lock that others want waits in this process: in order, without a connection, and never in a circle."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable

import anyio
import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import postgres
from lessonbook.store.lock_turns import AT_ONCE, Claim, NotYet, Turns
from tests.patience import PATIENCE_S
from tests.store.scenario import AGENT, checked_out, counted, issue, tell

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["postgresql"])]

SOON_S = 0.2
WRITERS = postgres.POOL_SIZE + 6


async def turn_of_the_loop() -> None:
    """Let every task that can go on go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def work_with(turns: Turns, names: set[str], done: list[str], name: str, go_on: asyncio.Event) -> None:
    """Do as a transaction does."""
    turn = Claim(turns)
    try:
        while True:
            try:
                turn.take(names)
                break
            except NotYet:
                if not await turn.wait():
                    return
        await go_on.wait()
        done.append(name)
    finally:
        turn.end()


async def test_transactions_pass_in_the_order_in_which_they_came(dialect: str) -> None:
    turns, done, go_on = Turns(), list[str](), asyncio.Event()
    tasks = [asyncio.create_task(work_with(turns, {"a"}, done, str(number), go_on)) for number in range(20)]
    await turn_of_the_loop()
    go_on.set()
    await asyncio.gather(*tasks)
    assert done == [str(number) for number in range(20)]


async def test_who_wants_two_names_is_not_overtaken_by_those_who_want_one(dialect: str) -> None:
    turns, done, go_on, at_once = Turns(), list[str](), asyncio.Event(), asyncio.Event()
    at_once.set()
    first = [asyncio.create_task(work_with(turns, {"a"}, done, "first", go_on)) for _ in range(AT_ONCE)]
    await turn_of_the_loop()
    both = asyncio.create_task(work_with(turns, {"a", "b"}, done, "both", at_once))
    await turn_of_the_loop()
    later = [asyncio.create_task(work_with(turns, {"b"}, done, "later", at_once)) for _ in range(3)]
    other = asyncio.create_task(work_with(turns, {"c"}, done, "other", at_once))
    await other
    assert done == ["other"]
    go_on.set()
    await asyncio.gather(*first, both, *later)
    assert done == ["other", *["first"] * AT_ONCE, "both", "later", "later", "later"]


async def test_a_transaction_that_wants_more_when_it_runs_again_waits_for_all_of_it(dialect: str) -> None:
    turns = Turns()
    holders = [Claim(turns) for _ in range(AT_ONCE)]
    for holder in holders:
        holder.take(["b"])
    turn = Claim(turns)
    turn.take(["a"])
    with pytest.raises(NotYet):
        turn.take(["b"])
    waiting = asyncio.create_task(turn.wait())
    await turn_of_the_loop()
    assert not waiting.done()
    holders[0].end()
    assert await waiting
    Claim(turns).take(["a"])  # the second of two
    for name in ("a", "b"):
        with pytest.raises(NotYet):
            Claim(turns).take([name])


@pytest.mark.parametrize("seed", range(5))
async def test_whoever_is_cancelled_at_whatever_moment_leaves_nothing_taken(dialect: str, seed: int) -> None:
    turns, done, moments, go_on = Turns(), list[str](), random.Random(seed), asyncio.Event()
    go_on.set()
    tasks = [
        asyncio.create_task(work_with(turns, set(moments.sample("abcd", moments.randint(1, 3))), done, "", go_on))
        for _ in range(60)
    ]
    for task in moments.sample(tasks, 40):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(done) >= 20
    for _ in range(AT_ONCE):
        Claim(turns).take("abcd")
    with pytest.raises(NotYet):
        Claim(turns).take("a")


async def test_giving_up_ends_every_wait(dialect: str) -> None:
    turns = Turns()
    for _ in range(AT_ONCE):
        Claim(turns).take(["a"])
    turn = Claim(turns)
    with pytest.raises(NotYet):
        turn.take(["a"])
    waiting = asyncio.create_task(turn.wait())
    await turn_of_the_loop()
    turns.give_up()
    assert await waiting is False


@contextlib.asynccontextmanager
async def held(work: Workspace) -> AsyncIterator[Callable[[], None]]:
    """Hold the agent in a transaction of this process; yields what ends that."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        entered.set()
        await go_on.wait()

    def hold(connection: Connection) -> None:
        lesson_rows.hold_agents(connection, "demo", [AGENT])
        await_only(wait())

    holder = asyncio.create_task(work.store.write(hold))
    await entered.wait()
    try:
        yield go_on.set
    finally:
        go_on.set()
        await holder


async def test_writers_who_wait_for_one_agent_leave_the_connections_to_others(work: Workspace, agent: Caller) -> None:
    await tell(work, agent, issue(0))
    async with held(work) as let_go:
        writers = [asyncio.create_task(tell(work, agent, issue(number))) for number in range(1, WRITERS)]
        for number in range(3):  # others are served meanwhile
            await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, task="uploads", run_id=f"r{number}"))
        with anyio.fail_after(PATIENCE_S):
            while checked_out(work.store) > AT_ONCE:  # until each of them has looked once
                await counted(work.store)
        let_go()
        await asyncio.gather(*writers)
    assert (await counted(work.store))["agent_issues"] == WRITERS
    assert checked_out(work.store) == 0


async def test_a_writer_whose_turn_does_not_come_is_told_so(
    work: Workspace, agent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held(work) as let_go:
        second = asyncio.create_task(tell(work, agent, issue(1)))
        while checked_out(work.store) < AT_ONCE:
            await counted(work.store)
        with monkeypatch.context() as patch:
            patch.setattr(postgres, "TRANSACTION_TIMEOUT_S", SOON_S)
            with pytest.raises(Unavailable, match=r"(busy|too long); nothing was changed"):
                await tell(work, agent, issue(2))
        let_go()
        await second
    assert (await counted(work.store))["agent_issues"] == 1
