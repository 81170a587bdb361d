"""Merging and splitting: names, issues and counts go where a person sends them."""

import dataclasses

import pytest

from lessonbook.domain.errors import Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.services.lessons import merge
from lessonbook.services.queries import listings
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.conftest import on_both

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."
THIRD_RULE = "Bound the number of retries."


@pytest.fixture
async def pair(loop, agent: Caller) -> tuple[str, str]:
    """Two lessons: the first with two issues behind it, the second with one."""
    first = await loop.learn(agent, RULE, "The call hangs")
    second = await loop.learn(agent, OTHER_RULE, "The handle leaks")
    await loop.report(agent, {"description": "The zeppelin stalls", "lesson": RULE})
    return first, second


async def issue_ids(loop, lesson_id: str) -> set[str]:
    return {row["id"] for row in await loop.rows(tables.issues) if row["lesson_id"] == lesson_id}


@on_both
async def test_a_merged_lesson_hands_its_names_and_issues_over(loop, work: Workspace, pair, person: Caller) -> None:
    source, target = pair
    moved = await issue_ids(loop, source)
    merged = await merge.merge_lessons(work, person, source, target, "The same.")
    assert (merged.lesson_id, merged.status) == (target, "probation")
    assert moved < await issue_ids(loop, target)
    before, after = await loop.lesson(source), await loop.lesson(target)
    assert (before.status, before.superseded_by, before.issue_count) == ("superseded", target, 0)
    assert (after.issue_count, after.lesson_text) == (3, OTHER_RULE)
    assert set(await loop.rows(tables.lesson_keys, "lesson_id")) == {target}
    await loop.assert_healthy()


async def test_after_a_merge_issues_of_both_find_the_one_that_stands(
    loop, work: Workspace, pair, agent: Caller, person: Caller
) -> None:
    source, target = pair
    await loop.get(agent)
    await merge.merge_lessons(work, person, source, target, "The same.")
    refined = await loop.report(agent, "The call hangs", "The handle leaks", {"description": "new", "lesson": RULE})
    assert {(line.action, line.lesson_id) for line in refined.issues} == {("merged", target)}
    served = await loop.get(agent, task="zeppelin")
    assert [lesson.id for lesson in served.lessons] == [target]
    assert [lesson.id for lesson in await loop.found(person, query="zeppelin", status=["probation"])] == [target]


async def test_after_a_merge_the_words_of_issues_stand_with_one_lesson_alone(
    loop, work: Workspace, pair, person: Caller
) -> None:
    source, target = pair
    await merge.merge_lessons(work, person, source, target, "The same.")
    bodies = {row["lesson_id"]: row["body"] for row in await loop.rows(tables.lesson_documents)}
    assert "The call hangs" in bodies[target]
    assert "The call hangs" not in bodies[source]
    await loop.review(person, target, "delete")
    assert "The call hangs" not in repr(await loop.rows(tables.lesson_documents))


async def test_both_sides_of_a_merge_are_told_in_the_history(loop, work: Workspace, pair, person: Caller) -> None:
    source, target = pair
    await merge.merge_lessons(work, person, source, target, "The same.")
    for lesson_id in pair:
        last = (await listings.get_lesson(work, person, lesson_id)).history[-1]
        assert (last.action, last.reason, last.principal) == ("merge", "The same.", "cli")
    assert last.numbers == {"merged": source, "issues": 2}


async def test_verdicts_stay_with_the_lesson_that_earned_them(
    loop, work: Workspace, pair, agent: Caller, qa: Caller, person: Caller
) -> None:
    source, target = pair
    run_id = (await loop.get(agent)).run_id
    await loop.record(qa, run_id, source, prevented_issue=True, source="qa")
    await merge.merge_lessons(work, person, source, target, "The same.")
    assert (await loop.lesson(source)).times_prevented == 1
    assert (await loop.lesson(target)).times_prevented == 0
    await loop.assert_healthy()


async def test_a_lesson_that_was_rejected_for_a_while_merges_with_right_counts(
    loop, work: Workspace, pair, agent: Caller, person: Caller
) -> None:
    source, target = pair
    await loop.review(person, source, "reject")
    await loop.report(agent, "The call hangs")
    await loop.review(person, source, "restore")
    await merge.merge_lessons(work, person, source, target, "The same.")
    await loop.assert_healthy()


async def test_events_in_the_same_run_do_not_collide_in_a_merge(
    loop, work: Workspace, pair, agent: Caller, qa: Caller, person: Caller
) -> None:
    run_id = (await loop.get(agent)).run_id
    for words in (RULE, OTHER_RULE):
        await loop.report(qa, {"description": f"again: {words}", "lesson": words}, run_id=run_id, source="qa")
    assert sum(await loop.rows(tables.issues, "is_event")) == 2
    await merge.merge_lessons(work, person, *pair, "The same.")
    assert sum(await loop.rows(tables.issues, "is_event")) == 1
    await loop.assert_healthy()


async def test_a_lesson_is_merged_once(loop, work: Workspace, pair, agent: Caller, person: Caller) -> None:
    source, target = pair
    await merge.merge_lessons(work, person, source, target, "The same.")
    with pytest.raises(InvalidInput, match=f"merged already, into {target}"):
        await merge.merge_lessons(work, person, source, target, "The same.")
    other = await loop.learn(agent, THIRD_RULE)
    with pytest.raises(InvalidInput, match="merged already"):
        await merge.merge_lessons(work, person, source, other, "The same.")


async def test_merges_that_make_no_sense_are_refused_and_change_nothing(
    loop, work: Workspace, pair, agent: Caller, person: Caller, stranger: Caller
) -> None:
    first, second = pair
    foreign = await loop.learn(agent, THIRD_RULE, agent_name="RAGAgent")
    resting = await loop.learn(agent, THIRD_RULE)
    await loop.review(person, resting, "reject")
    with pytest.raises(InvalidInput, match="itself"):
        await merge.merge_lessons(work, person, first, first, "")
    with pytest.raises(InvalidInput, match="RAGAgent"):
        await merge.merge_lessons(work, person, first, foreign, "")
    with pytest.raises(InvalidInput, match="rejected"):
        await merge.merge_lessons(work, person, first, resting, "")
    with pytest.raises(NotFound, match="Lnowhere"):
        await merge.merge_lessons(work, person, first, "Lnowhere", "")
    with pytest.raises(NotFound):
        await merge.merge_lessons(work, dataclasses.replace(stranger, person=True), first, second, "")
    with pytest.raises(Forbidden):
        await merge.merge_lessons(work, agent, first, second, "")
    assert (await loop.lesson(first)).status == "probation"
    assert len(await issue_ids(loop, first)) == 2
    await loop.assert_healthy()


# --- split ------------------------------------------------------------------------------------------------------------


@on_both
async def test_a_split_gives_issues_a_lesson_of_their_own(
    loop, work: Workspace, pair, agent: Caller, person: Caller
) -> None:
    lesson_id = pair[0]
    rows = await loop.rows(tables.issues)
    gone = next(row["id"] for row in rows if row["description"] == "The zeppelin stalls")
    made = await merge.split_lesson(work, person, lesson_id, [gone], THIRD_RULE, "Zeppelins tire.")
    old, new = await loop.lesson(lesson_id), await loop.lesson(made.lesson_id)
    assert (old.issue_count, new.issue_count) == (1, 1)
    assert (new.lesson_text, new.status, new.trust, new.agent_name) == (
        THIRD_RULE,
        "active",
        "approved",
        old.agent_name,
    )
    assert await issue_ids(loop, made.lesson_id) == {gone}
    assert [lesson.id for lesson in await loop.found(person, query="zeppelin")] == [made.lesson_id]
    last = (await listings.get_lesson(work, person, lesson_id)).history[-1]
    assert (last.action, last.numbers) == ("split", {"into": made.lesson_id, "issues": 1})
    assert {lesson.id for lesson in (await loop.get(agent)).lessons} == {lesson_id, made.lesson_id, pair[1]}
    await loop.assert_healthy()


async def test_a_split_that_makes_no_sense_is_refused_and_changes_nothing(
    loop, work: Workspace, pair, agent: Caller, person: Caller, stranger: Caller
) -> None:
    first, second = pair
    (foreign,) = await issue_ids(loop, second)
    own = sorted(await issue_ids(loop, first))
    before = [await loop.rows(table) for table in (tables.lessons, tables.issues, tables.audit_log)]
    with pytest.raises(InvalidInput, match="at least one"):
        await merge.split_lesson(work, person, first, [], THIRD_RULE, "")
    for ids in ([foreign], [own[0], "Inowhere"]):
        with pytest.raises(NotFound, match="behind"):
            await merge.split_lesson(work, person, first, ids, THIRD_RULE, "")
    with pytest.raises(InvalidInput, match="exists already"):
        await merge.split_lesson(work, person, first, own[:1], OTHER_RULE, "")
    with pytest.raises(InvalidInput, match="not a rule"):
        await merge.split_lesson(work, person, first, own[:1], "Hm.", "")
    with pytest.raises(NotFound):
        await merge.split_lesson(work, person, "Lnowhere", own, THIRD_RULE, "")
    with pytest.raises(NotFound):
        await merge.split_lesson(work, dataclasses.replace(stranger, person=True), first, own, THIRD_RULE, "")
    with pytest.raises(Forbidden):
        await merge.split_lesson(work, agent, first, own, THIRD_RULE, "")
    assert [await loop.rows(table) for table in (tables.lessons, tables.issues, tables.audit_log)] == before


@on_both
async def test_issues_that_were_never_counted_are_not_counted_after_a_split(
    loop, work: Workspace, pair, agent: Caller, person: Caller
) -> None:
    lesson_id = pair[0]
    await loop.review(person, lesson_id, "reject")
    refused = (await loop.report(agent, "The call hangs")).issues[0].issue_id
    await loop.review(person, lesson_id, "restore")
    await merge.split_lesson(work, person, lesson_id, [refused, refused], THIRD_RULE, "")
    await loop.assert_healthy()
