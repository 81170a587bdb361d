"""Groups of pending issues: of one rule or in like words, across agents; one decision settles the whole group."""

import dataclasses

import pytest

from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import Authored, Authoring, PendingGroup, PendingListing
from lessonbook.domain.validation import parse
from lessonbook.services.queries import listings
from lessonbook.services.triage import authoring, rematch
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.services.conftest import AGENT
from tests.texts import unlike_any_other

pytestmark = pytest.mark.anyio

OTHER = "RAGAgent"
RULE = "Tighten every wheel before the machine starts."
WOBBLES = [{"description": f"Wheel {number} of the tractor wobbles", "rule_id": "wheels:W1"} for number in range(5)]
TOTALS = "Checkout's totals wobble on Sundays"
TOTALS_AGAIN = "The checkout totals wobble on each Sunday"
ADVICE = "Check the torque of each wheel nut with a calibrated wrench before every start."


async def groups_of(work: Workspace, caller: Caller, **listing) -> list[PendingGroup]:
    return (await listings.list_pending_issues(work, caller, parse(PendingListing, listing))).groups


async def decide(work: Workspace, caller: Caller, *group_ids: str, **decision) -> Authored:
    asked = {"lessons": [{"group_ids": list(group_ids), **decision}]}
    return await authoring.refine_issues(work, caller, parse(Authoring, asked))


async def names_in(loop) -> set[str]:
    return {name.partition(":")[0] for name in await loop.rows(tables.lesson_keys, "key")}


async def test_issues_of_one_rule_are_one_group_across_agents(loop, work: Workspace, agent: Caller, clock) -> None:
    await loop.report(agent, *WOBBLES)
    clock.go_on(minutes=5)
    await loop.report(agent, *WOBBLES[:2], agent_name=OTHER)
    (group,) = await groups_of(work, agent)
    assert (group.issues, group.rule_id) == (7, "wheels:W1")
    assert [(share.agent_name, share.issues) for share in group.agents] == [(AGENT, 5), (OTHER, 2)]
    assert group.first_seen < group.last_seen == clock().isoformat()
    assert len(group.examples) == 3
    assert {issue.group_id for issue in group.examples} == {group.group_id}
    assert await groups_of(work, agent, agent_name=OTHER) == [group]
    assert await groups_of(work, agent, agent_name="APITestAgent") == []


async def test_issues_in_like_words_are_one_group_and_never_join_one_of_a_rule(
    loop, work: Workspace, agent: Caller
) -> None:
    await loop.report(agent, {"description": TOTALS, "rule_id": "calls:C1"})
    await loop.report(agent, {"description": TOTALS, "rule_id": "calls:C2"})
    await loop.report(agent, TOTALS)
    await loop.report(agent, TOTALS_AGAIN, agent_name=OTHER)
    await loop.report(agent, unlike_any_other("something else"))
    groups = await groups_of(work, agent)
    assert sorted((group.rule_id, group.issues) for group in groups) == [
        ("", 1),
        ("", 2),
        ("calls:C1", 1),
        ("calls:C2", 1),
    ]
    assert groups[0].issues == 2, "the largest comes first"


async def test_a_group_keeps_its_id_in_another_process_and_after_it_was_settled(
    loop, other_process, work: Workspace, agent: Caller
) -> None:
    await loop.report(agent, TOTALS, WOBBLES[0])
    before = {group.rule_id: group.group_id for group in await groups_of(work, agent)}
    await decide(work, agent, before["wheels:W1"], lesson=RULE)
    await other_process.report(agent, TOTALS_AGAIN, {**WOBBLES[1], "rule_id": "wheels:W2"})
    after = {group.rule_id: (group.group_id, group.issues) for group in await groups_of(other_process.work, agent)}
    assert after[""] == (before[""], 2)
    assert after["wheels:W2"][0] != before["wheels:W1"]


async def test_one_decision_settles_a_group_across_agents_and_what_comes_later(
    loop, work: Workspace, agent: Caller
) -> None:
    await loop.report(agent, *WOBBLES)
    await loop.report(agent, *WOBBLES[:2], agent_name=OTHER)
    (group,) = await groups_of(work, agent)
    refined = await decide(work, agent, group.group_id, lesson=RULE)
    (settled,) = refined.groups
    assert (settled.group_id, settled.actions, settled.left) == (group.group_id, {"created": 7}, 0)
    lessons = [await loop.lesson(lesson_id) for lesson_id in settled.lesson_ids]
    assert {(lesson.agent_name, lesson.issue_count, lesson.status) for lesson in lessons} == {
        (AGENT, 5, "probation"),
        (OTHER, 2, "probation"),
    }
    assert await groups_of(work, agent) == []
    for name in (AGENT, OTHER):
        (later,) = (await loop.report(agent, {**WOBBLES[0], "description": "A wheel fell off"}, agent_name=name)).issues
        assert (later.action, later.agent_name) == ("merged", name)
        assert later.lesson_id in settled.lesson_ids
    assert "rule" not in await names_in(loop), "words offered for a rule never own its name"
    await loop.assert_healthy()


async def test_a_persons_words_for_a_group_own_the_name_of_its_rule(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    await loop.report(agent, *WOBBLES)
    (group,) = await groups_of(work, person)
    refined = await decide(work, person, group.group_id, lesson=RULE)
    lesson = await loop.lesson(refined.groups[0].lesson_ids[0])
    assert (lesson.status, lesson.trust, await names_in(loop)) == ("active", "approved", {"rule", "text"})


async def test_a_rules_own_advice_goes_before_what_was_offered_for_its_group(
    loop, work: Workspace, agent: Caller, qa: Caller
) -> None:
    await loop.report(agent, *WOBBLES)
    (group,) = await groups_of(work, agent)
    offered = (await decide(work, agent, group.group_id, lesson=RULE)).groups[0].lesson_ids[0]
    (person_made,) = (
        await loop.raw_report(dataclasses.replace(qa, person=True), {**WOBBLES[0], "lesson": ADVICE}, agent_name=AGENT)
    ).issues
    assert (person_made.action, person_made.lesson_id == offered) == ("created", False)
    catalogue = {"description": "A query is put together by hand", "rule_id": "bandit:B608"}
    (curated,) = (await loop.report(agent, catalogue)).issues
    assert curated.action == "created"


async def test_a_lesson_that_is_named_answers_to_the_group_on_every_shelf(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE, "A wheel is loose")
    await loop.report(agent, *WOBBLES[:3])
    await loop.report(agent, *WOBBLES[:2], agent_name=OTHER)
    (group,) = await groups_of(work, agent)
    refined = await decide(work, agent, group.group_id, lesson_id=lesson_id)
    assert refined.groups[0].actions == {"merged": 3, "created": 2}
    (copied,) = set(refined.groups[0].lesson_ids) - {lesson_id}
    copy = await loop.lesson(copied)
    assert (copy.agent_name, copy.lesson_text, copy.trust, copy.status) == (OTHER, RULE, "offered", "probation")
    for name in (AGENT, OTHER):
        (later,) = (await loop.report(agent, WOBBLES[4], agent_name=name)).issues
        assert later.action == "merged"
    assert "rule" not in await names_in(loop)
    await loop.assert_healthy()


async def test_an_entry_of_the_catalogue_may_be_named_for_a_group(loop, work: Workspace, agent: Caller) -> None:
    await loop.report(agent, {"description": "Odd thing in the query builder", "rule_id": "house:Q1"})
    (group,) = await groups_of(work, agent)
    entry = work.catalogue.rules[0]
    refined = await decide(work, agent, group.group_id, lesson_id=f"catalogue:{entry.id}")
    lesson = await loop.lesson(refined.groups[0].lesson_ids[0])
    assert (lesson.lesson_text, lesson.trust) == (entry.text, "curated")
    await loop.report(agent, WOBBLES[0])
    (wheels,) = await groups_of(work, agent)
    with pytest.raises(NotFound, match="catalogue has no entry"):
        await decide(work, agent, wheels.group_id, lesson_id="catalogue:no-such-entry")


async def test_what_is_near_is_suggested_for_the_group(loop, work: Workspace, agent: Caller) -> None:
    said = "The values of the request are concatenated into the SQL text of the query, an injection perhaps"
    await loop.report(agent, {"description": said, "rule_id": "house:Q1"})
    found = await groups_of(work, agent)
    if found:  # where the words alone make no lesson
        assert any(near.lesson_id.startswith("catalogue:") for near in found[0].suggestions)


async def test_a_dismissed_group_does_not_come_back(
    loop, other_process, work: Workspace, agent: Caller, person: Caller
) -> None:
    await loop.report(agent, *WOBBLES, TOTALS)
    wheels, calls = await groups_of(work, person)
    with pytest.raises(Forbidden, match="lessonbook refine"):
        await decide(work, agent, wheels.group_id, dismiss="No tractors here")
    refined = await decide(other_process.work, person, wheels.group_id, calls.group_id, dismiss="No tractors here")
    assert [group.actions for group in refined.groups] == [{"rejected": 5}, {"rejected": 1}]
    assert await groups_of(work, person) == []
    for told in (WOBBLES[0], TOTALS, TOTALS_AGAIN):
        for name in (AGENT, OTHER):
            (again,) = (await loop.report(agent, told, agent_name=name)).issues
            assert (again.action, again.lesson_id) == ("rejected", None)
            assert "No tractors here" in again.reason
    trail = await listings.get_audit(work, person, AuditQuery(subject=wheels.group_id))
    assert [entry.action for entry in trail.entries] == ["issue.dismiss"]
    assert (await loop.report(agent, {**WOBBLES[0], "rule_id": "wheels:W2"})).issues[0].action == "pending"
    await loop.assert_healthy()


async def test_a_person_may_word_a_lesson_for_a_group_that_was_dismissed(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    await loop.report(agent, *WOBBLES)
    (group,) = await groups_of(work, person)
    await decide(work, person, group.group_id, dismiss="No tractors here")
    with pytest.raises(NotFound, match=group.group_id):
        await decide(work, agent, group.group_id, lesson=RULE)
    refined = await decide(work, person, group.group_id, lesson=RULE)
    assert refined.groups[0].actions == {"created": 5}
    assert (await loop.report(agent, WOBBLES[0])).issues[0].action == "merged"
    await loop.assert_healthy()


async def test_an_issue_that_was_dismissed_alone_dismisses_nothing_else(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    first, *_ = (await loop.report(agent, *WOBBLES)).issues
    asked = {"lessons": [{"issue_ids": [first.issue_id], "dismiss": "A mistake"}]}
    await authoring.refine_issues(work, person, parse(Authoring, asked))
    assert (await loop.report(agent, WOBBLES[0])).issues[0].action == "pending"
    assert (await groups_of(work, agent))[0].issues == 5


async def test_a_group_may_stand_where_an_issue_is_meant_and_be_named_once(
    loop, work: Workspace, agent: Caller
) -> None:
    await loop.report(agent, *WOBBLES)
    (group,) = await groups_of(work, agent)
    with pytest.raises(InvalidInput, match="at least one issue or group"):
        parse(Authoring, {"lessons": [{"lesson": RULE}]})
    with pytest.raises(NotFound, match="Gnope"):
        await decide(work, agent, "Gnope", lesson=RULE)
    twice = {
        "lessons": [{"issue_ids": [group.group_id], "lesson": RULE}, {"group_ids": [group.group_id], "lesson": RULE}]
    }
    with pytest.raises(NotFound, match=group.group_id):
        await authoring.refine_issues(work, agent, parse(Authoring, twice))
    once = {"lessons": twice["lessons"][:1]}
    refined = await authoring.refine_issues(work, agent, parse(Authoring, once))
    assert refined.groups[0].actions == {"created": 5}


async def test_words_that_a_person_rejected_keep_no_group_from_other_words(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    await loop.report(agent, *WOBBLES[:2])
    (group,) = await groups_of(work, agent)
    bad = (await decide(work, agent, group.group_id, lesson="Never trust a wheel of another vendor.")).groups[0]
    await loop.review(person, bad.lesson_ids[0], "reject")
    assert (await loop.report(agent, WOBBLES[2])).issues[0].action == "pending"
    refined = await decide(work, agent, group.group_id, lesson=RULE)
    assert refined.groups[0].actions == {"created": 1}
    (later,) = (await loop.report(agent, WOBBLES[3])).issues
    assert (later.action, later.lesson_id) == ("merged", refined.groups[0].lesson_ids[0])
    await loop.assert_healthy()


async def test_pending_issues_of_a_group_that_got_its_lesson_meanwhile_join_it(
    loop, work: Workspace, agent: Caller
) -> None:
    (first, second) = (await loop.report(agent, *WOBBLES[:2])).issues
    asked = {"lessons": [{"issue_ids": [first.issue_id], "lesson": RULE}]}
    made = (await authoring.refine_issues(work, agent, parse(Authoring, asked))).issues[0]
    done = await rematch.rematch(work, agent, [second.issue_id])
    assert done is not None
    assert [(line.action, line.lesson_id) for line in done.issues] == [("merged", made.lesson_id)]


async def test_a_large_group_is_settled_in_one_call_and_listed_in_part(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    for _ in range(3):
        await loop.report(agent, *WOBBLES * 20)
    (group,) = await groups_of(work, agent)
    assert group.issues == 300
    refined = await decide(work, person, group.group_id, lesson=RULE)
    assert refined.groups[0].actions == {"created": 300}
    assert len(refined.issues) == authoring.LISTED_MAX
    assert (await loop.lesson(refined.groups[0].lesson_ids[0])).issue_count == 300
    assert await groups_of(work, agent) == []
    await loop.assert_healthy()


async def test_pages_hold_each_group_once_the_largest_first(loop, work: Workspace, agent: Caller, clock) -> None:
    for number in range(7):
        cases = [{"description": f"Case {number}", "rule_id": f"house:R{number}"}] * (1 + number // 3)
        await loop.report(agent, *cases)
        clock.go_on(seconds=number % 2)
    seen: list[PendingGroup] = []
    cursor = ""
    while True:
        page = await listings.list_pending_issues(work, agent, PendingListing(limit=2, cursor=cursor))
        assert len(page.groups) <= 2
        assert bool(page.issues) == (not cursor), "a page of groups repeats no issues"
        seen += page.groups
        if not (cursor := page.next_group_cursor):
            break
    assert [group.issues for group in seen] == [3, 2, 2, 2, 1, 1, 1]
    assert len({group.group_id for group in seen}) == 7
    (only,) = await groups_of(work, agent, group_id=seen[0].group_id)
    page = await listings.list_pending_issues(work, agent, PendingListing(group_id=only.group_id))
    assert len(page.issues) == 3


async def test_a_page_is_bounded_by_size(loop, work: Workspace, agent: Caller) -> None:
    await loop.report(agent, *(f"{unlike_any_other(str(number))} {'long ' * 3_500}" for number in range(12)))
    seen, cursor, pages = 0, "", 0
    while True:
        page = await listings.list_pending_issues(work, agent, PendingListing(limit=200, cursor=cursor))
        assert sum(len(issue.description) for issue in page.issues) <= listings.PAGE_CHARACTERS_MAX
        assert all(len(example.description) <= 600 for group in page.groups for example in group.examples)
        seen, pages = seen + len(page.issues), pages + 1
        if not (cursor := page.next_cursor):
            break
    assert seen == 12
    assert pages > 1


async def test_another_projects_groups_are_its_own(loop, work: Workspace, agent: Caller, stranger: Caller) -> None:
    await loop.report(agent, *WOBBLES)
    (group,) = await groups_of(work, agent)
    assert await groups_of(work, stranger) == []
    with pytest.raises(NotFound):
        await decide(work, stranger, group.group_id, lesson=RULE)
    await loop.report(stranger, WOBBLES[0])
    assert (await groups_of(work, stranger))[0].issues == 1


async def test_a_group_counts_once_against_a_principals_lessons(loop, work: Workspace, agent: Caller) -> None:
    limits = work.settings.limits.model_copy(update={"lessons_per_hour": 3, "issues_per_hour": 12})
    few = dataclasses.replace(work, settings=work.settings.model_copy(update={"limits": limits}))
    await loop.report(agent, *WOBBLES)
    await decide(few, agent, (await groups_of(work, agent))[0].group_id, lesson=RULE)
    await dataclasses.replace(loop, work=few).report(agent, *WOBBLES)
