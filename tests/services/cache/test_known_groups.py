"""What is remembered of an agent's lessons and issues, from one report to the next and from process to process."""

import pytest

from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson
from lessonbook.domain.pending_issues import Authoring
from lessonbook.services.cache import known_groups
from lessonbook.services.lessons import merge, review
from lessonbook.services.triage import authoring
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.services.conftest import AGENT

pytestmark = pytest.mark.anyio

RULE = "Round money once, at the end, and never before tax is added."
OTHER_RULE = "Put everything an answer depends on into its cache key."
ROUNDING = "The invoice total is rounded to whole euros before tax is added\nbilling/totals.py: total = round(net)"
ROUNDING_AGAIN = "The order total is rounded to whole euros before tax is added\nshop/cart.py: amount = round(x)"
CACHE = "The cache key leaves out the tenant, so customers see each other's price lists"
CACHE_AGAIN = "The cache key leaves out the tenant, so customers see each other's discounts"
UNLIKE = "The login page is slow on Mondays"
UNLIKE_TOO = "Fonts flicker while the map zooms"


async def written(work: Workspace, person: Caller, text: str) -> str:
    """Return a lesson that a person wrote: no issue is behind it."""
    return (await review.add_lesson(work, person, NewLesson(text=text, agent_name=AGENT))).lesson_id


async def joined(work: Workspace, caller: Caller, issue_id: str, lesson_id: str) -> None:
    asked = {"lessons": [{"issue_ids": [issue_id], "lesson_id": lesson_id}]}
    await authoring.refine_issues(work, caller, Authoring.model_validate(asked))


async def pending(loop, caller: Caller, description: str) -> str:
    (line,) = (await loop.report(caller, description)).issues
    assert line.action == "pending"
    return line.issue_id


async def runner_up(loop, issue_id: str) -> str | None:
    return next(row["runner_up"] for row in await loop.rows(tables.issues) if row["id"] == issue_id)


async def test_a_lessons_own_words_stand_for_it_while_no_issue_does(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await written(work, person, OTHER_RULE)
    (line,) = (await loop.report(agent, OTHER_RULE)).issues
    assert (line.action, line.lesson_id) == ("merged", lesson_id)


async def test_a_lessons_own_words_stand_for_it_no_more_once_an_issue_does(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await written(work, person, OTHER_RULE)
    await joined(work, person, await pending(loop, agent, UNLIKE), lesson_id)
    await pending(loop, agent, OTHER_RULE)


async def test_deleted_issues_are_forgotten_in_memory_here_and_elsewhere(
    loop, other_process, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await written(work, person, OTHER_RULE)
    await joined(work, person, await pending(loop, agent, CACHE), lesson_id)
    for process in (loop, other_process):
        (line,) = (await process.report(agent, CACHE_AGAIN)).issues
        assert line.lesson_id == lesson_id
    await loop.review(person, lesson_id, "delete")
    for process in (loop, other_process):
        await process.report(agent, UNLIKE)
        known = process.work.precedent_caches._caches["demo", AGENT].precedents
        assert known.members_of(lesson_id) == []


async def test_the_words_of_a_merged_lesson_find_nothing_any_more(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    source, target = await written(work, person, OTHER_RULE), await loop.learn(agent, RULE, ROUNDING)
    await pending(loop, agent, UNLIKE)  # both are remembered by now
    await merge.merge_lessons(work, person, source, target, "One thing.")
    assert await runner_up(loop, await pending(loop, agent, OTHER_RULE)) is None


async def test_every_issue_behind_a_lesson_is_compared_with(
    loop, other_process, work: Workspace, agent: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE, ROUNDING)
    await joined(work, agent, await pending(loop, agent, CACHE), lesson_id)
    lines = (await loop.report(agent, CACHE_AGAIN)).issues
    lines += (await other_process.report(agent, ROUNDING_AGAIN)).issues
    assert [(line.action, line.lesson_id) for line in lines] == [("merged", lesson_id)] * 2


async def test_an_issue_that_is_stored_late_is_still_told(loop, other_process, agent: Caller, clock) -> None:
    await pending(other_process, agent, UNLIKE)
    clock.go_on(minutes=5)
    await pending(other_process, agent, UNLIKE_TOO)
    await pending(other_process, agent, "Backups end on the tenth tape")  # the one before it is remembered by now
    clock.go_on(seconds=-30)
    late = await pending(loop, agent, ROUNDING)
    clock.go_on(minutes=1)
    assert await runner_up(loop, await pending(other_process, agent, ROUNDING_AGAIN)) == late


async def test_what_a_failed_report_compared_is_forgotten(loop, work: Workspace, agent: Caller, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("lessonbook.services.writing.ledger.Ledger.write", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await loop.report(agent, {"description": ROUNDING, "lesson": RULE}, ROUNDING_AGAIN)
    (line,) = (await loop.report(agent, ROUNDING_AGAIN)).issues
    assert (line.action, await runner_up(loop, line.issue_id)) == ("pending", None)


async def test_the_memory_of_the_agent_used_least_recently_is_given_up_first(
    loop, work: Workspace, agent: Caller, monkeypatch
) -> None:
    for name in ("a", "b", "c"):
        await loop.learn(agent, RULE, agent_name=name)
    read: list[str] = []
    words_since = known_groups.lesson_rows.words_since

    def told(connection, project, agent_name, revision):
        if revision < 0 and project == "demo":
            read.append(agent_name)
        return words_since(connection, project, agent_name, revision)

    monkeypatch.setattr(known_groups.lesson_rows, "words_since", told)
    precedent_caches = known_groups.PrecedentCaches(most=2)

    async def asked(agent_name: str) -> None:
        await work.store.read(lambda connection: precedent_caches.fresh(connection, "demo", agent_name, work.catalogue))

    for name in ("a", "b", "a", "c", "a", "b"):
        await asked(name)
    assert read == ["a", "b", "c", "b"]
