"""Pending issues before the rules of today: what a lesson answers by now is settled, what is doubtful waits on."""

import pytest

from lessonbook.domain.lesson import Caller
from lessonbook.services.triage import rematch
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

RULE = "Round money once, at the end, and never before tax is added."
ROUNDING = "The invoice total is rounded to whole euros before tax is added\nbilling/totals.py: total = round(net)"
ROUNDING_AGAIN = "The order total is rounded to whole euros before tax is added\nshop/cart.py: amount = round(x)"


async def pending(loop, caller: Caller, description: str) -> str:
    (line,) = (await loop.report(caller, description)).issues
    assert line.action == "pending"
    return line.issue_id


async def issue_of(loop, issue_id: str) -> dict:
    return next(row for row in await loop.rows(tables.issues) if row["id"] == issue_id)


async def test_an_issue_that_waits_alone_stays_as_it_is(loop, work: Workspace, agent: Caller) -> None:
    issue_id = await pending(loop, agent, ROUNDING)
    before = await issue_of(loop, issue_id)
    assert await rematch.rematch(work, agent, [issue_id]) is None
    assert await issue_of(loop, issue_id) == before
    assert before["runner_up"] is None, "an issue is not like itself"


async def test_the_like_of_a_lesson_that_was_rejected_meanwhile_waits_no_longer(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    issue_id = await pending(loop, agent, ROUNDING)
    lesson_id = await loop.learn(agent, RULE, ROUNDING)
    await loop.review(person, lesson_id, "reject", reason="Finance wants it so.")
    done = await rematch.rematch(work, agent, [issue_id])
    assert done is not None
    assert [(line.action, line.lesson_id) for line in done.issues] == [("rejected", lesson_id)]
    assert (await loop.lesson(lesson_id)).issue_count == 1
    await loop.assert_healthy()


async def test_a_curated_lesson_that_an_issue_may_be_about_is_not_made_a_second_time(
    loop, work: Workspace, agent: Caller
) -> None:
    (first,) = (await loop.report(agent, "Path traversal via dots in the file name")).issues
    issue_id = await pending(loop, agent, "Absolute path in the upload name is accepted")
    assert await rematch.rematch(work, agent, [issue_id]) is None
    assert (await issue_of(loop, issue_id))["runner_up"] == first.lesson_id
    assert await loop.count(tables.lessons) == [1]


async def test_issues_that_are_settled_or_not_there_are_passed_over(loop, work: Workspace, agent: Caller) -> None:
    await loop.learn(agent, RULE, ROUNDING)
    (line,) = (await loop.report(agent, ROUNDING_AGAIN)).issues
    assert line.action == "merged"
    before = await issue_of(loop, line.issue_id)
    assert await rematch.rematch(work, agent, [line.issue_id, "Inowhere"]) is None
    assert await issue_of(loop, line.issue_id) == before


async def test_a_strangers_issues_are_passed_over(loop, work: Workspace, agent: Caller, stranger: Caller) -> None:
    issue_id = await pending(loop, stranger, ROUNDING)
    await loop.learn(agent, RULE, ROUNDING)
    assert await rematch.rematch(work, agent, [issue_id]) is None
    assert (await issue_of(loop, issue_id))["action"] == "pending"
