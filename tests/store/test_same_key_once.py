import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from lessonbook.domain.agent_tools import Application, Flag, LessonQuery
from lessonbook.domain.errors import Conflict, InvalidInput
from lessonbook.domain.lesson import Caller
from lessonbook.services.feedback import applications
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import idempotency
from lessonbook.store.engine import Retry
from tests.store.scenario import AGENT, ask, checked_out, counted, issue, scalar, tell

pytestmark = pytest.mark.anyio

KEPT = {"project": "demo", "principal": "local", "tool": "tool"}


async def test_the_same_key_gives_the_same_answer_and_changes_nothing(work: Workspace, agent: Caller) -> None:
    first = await tell(work, agent, issue(1), idempotency_key="k")
    before = await counted(work.store)
    assert await tell(work, agent, issue(1), idempotency_key="k") == first
    assert await counted(work.store) == before


async def test_the_same_key_with_another_body_is_a_conflict_and_changes_nothing(work: Workspace, agent: Caller) -> None:
    await tell(work, agent, issue(1), idempotency_key="k")
    before = await counted(work.store)
    with pytest.raises(Conflict, match=r"'k' was already used.*use a new key"):
        await tell(work, agent, issue(2), idempotency_key="k")
    assert await counted(work.store) == before


async def test_a_key_belongs_to_one_principal_one_project_and_one_tool(
    work: Workspace, agent: Caller, qa: Caller
) -> None:
    made = await tell(work, agent, issue(1), idempotency_key="k")
    theirs = await tell(work, qa, issue(2), idempotency_key="k")
    elsewhere = await tell(work, Caller("other", agent.principal), issue(3), idempotency_key="k")
    lesson_id = made.issues[0].lesson_id
    assert lesson_id
    await applications.flag_lesson(work, agent, Flag(lesson_id=lesson_id, reason="it misled", idempotency_key="k"))
    assert len({made.refinement_run_id, theirs.refinement_run_id, elsewhere.refinement_run_id}) == 3
    assert await scalar(work.store, "SELECT count(*) FROM idempotency_keys WHERE key = 'k'") == 4


async def test_a_key_is_forgotten_after_a_day(work: Workspace, clock: Any, agent: Caller) -> None:
    first = await tell(work, agent, issue(1), idempotency_key="k")
    clock.go_on(hours=23, minutes=59)
    assert await tell(work, agent, issue(1), idempotency_key="k") == first
    clock.go_on(minutes=1)
    again = await tell(work, agent, issue(2), idempotency_key="k")
    assert again.refinement_run_id != first.refinement_run_id
    assert await tell(work, agent, issue(2), idempotency_key="k") == again


async def test_pruning_forgets_old_keys_only(work: Workspace, clock: Any, agent: Caller) -> None:
    await tell(work, agent, issue(1), idempotency_key="old")
    clock.go_on(hours=24)
    await tell(work, agent, issue(2), idempotency_key="new")
    assert await work.store.write(lambda connection: idempotency.prune(connection, clock())) == 1
    assert await ask(work.store, "SELECT key FROM idempotency_keys") == [("new",)]


async def test_a_request_that_failed_leaves_its_key_free(work: Workspace, agent: Caller) -> None:
    with pytest.raises(InvalidInput):
        await tell(work, agent, idempotency_key="k")
    assert await scalar(work.store, "SELECT count(*) FROM idempotency_keys") == 0
    await tell(work, agent, issue(1), idempotency_key="k")


async def test_twenty_callers_with_one_key_do_it_once(work: Workspace, agent: Caller) -> None:
    answers = await asyncio.gather(*(tell(work, agent, issue(1), idempotency_key="k") for _ in range(20)))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    rows = await counted(work.store)
    assert rows["agent_issues"] == rows["agent_lessons"] == rows["agent_refinement_runs"] == 1
    assert await scalar(work.store, "SELECT issue_count FROM agent_lessons") == 1
    assert checked_out(work.store) == 0


async def test_twenty_callers_with_one_key_and_two_bodies_do_one_of_them_once(work: Workspace, agent: Caller) -> None:
    calls = (tell(work, agent, issue(number % 2), idempotency_key="k") for number in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    conflicts = [answer for answer in answers if isinstance(answer, Conflict)]
    done = {answer.model_dump_json() for answer in answers if not isinstance(answer, BaseException)}
    assert len(conflicts) == 10
    assert len(done) == 1
    assert (await counted(work.store))["agent_issues"] == 1


async def test_twenty_callers_without_a_key_make_one_lesson_of_the_same_issue(work: Workspace, agent: Caller) -> None:
    await asyncio.gather(*(tell(work, agent, issue(1)) for _ in range(20)))
    rows = await counted(work.store)
    assert rows["agent_issues"] == 20
    assert rows["agent_lessons"] == 1
    assert await scalar(work.store, "SELECT issue_count FROM agent_lessons") == 20


async def test_twenty_calls_in_one_run_log_each_delivery_once(work: Workspace, agent: Caller) -> None:
    await tell(work, agent, issue(1), issue(2))
    query = LessonQuery(agent_name=AGENT, run_id="r")
    served = await asyncio.gather(*(delivery.get_lessons(work, agent, query) for _ in range(20)))
    assert len({answer.prompt_section for answer in served}) == 1
    assert (await counted(work.store))["agent_lesson_deliveries"] == 2


async def test_twenty_verdicts_with_one_key_count_once(work: Workspace, agent: Caller, qa: Caller) -> None:
    made = await tell(work, agent, issue(1))
    lesson_id = made.issues[0].lesson_id
    assert lesson_id
    await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, run_id="r"))
    verdict = Application(
        run_id="r", lesson_ids=[lesson_id], prevented_issue=True, source="qa", idempotency_key="verdict"
    )
    await asyncio.gather(*(applications.record_application(work, qa, verdict) for _ in range(20)))
    counters = await ask(work.store, "SELECT times_applied, times_verified, times_prevented FROM agent_lessons")
    assert counters == [(1, 1, 1)]


async def test_a_key_that_was_taken_meanwhile_asks_for_another_try(work: Workspace, clock: Any) -> None:
    asked: list[bool] = []

    def remember_twice(connection: Any) -> None:
        idempotency.remember(connection, *KEPT.values(), "k", "hash", {"n": 1}, clock())
        try:
            idempotency.remember(connection, *KEPT.values(), "k", "hash", {"n": 2}, clock())
        except Retry:
            asked.append(True)

    await work.store.write(remember_twice)
    assert asked == [True]
    assert await scalar(work.store, "SELECT count(*) FROM idempotency_keys") == 1


async def test_the_stored_answer_keeps_its_shape(work: Workspace) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    given = {"list": [1, None, {"ü": "\u2028"}], "text": "a 'quote'", "number": 0.1}
    await work.store.write(lambda connection: idempotency.remember(connection, *KEPT.values(), "k", "hash", given, now))
    found = await work.store.write(lambda connection: idempotency.answer(connection, *KEPT.values(), "k", "hash", now))
    assert found == given
