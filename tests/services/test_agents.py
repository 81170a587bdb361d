"""Which names are agents, whose lessons are searched for a run, and to whom a report goes."""

import pytest

from lessonbook.domain.errors import Conflict, Forbidden, InvalidInput, NotFound
from lessonbook.domain.file_results import PortableLesson
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson
from lessonbook.services import agents, transfer
from lessonbook.services.background import doctor_checks
from lessonbook.services.lessons import review
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

AGENT, OTHER = "BackendDevelopmentAgent", "DatabaseAgent"
BOUND = "Pass user input to SQL as bound parameters, never inside the statement."
CLOSE = "Close every file with a context manager."
TIMEOUT = "Give each outgoing request a timeout, so that a slow peer cannot hold a worker for ever."
SQL_TASK = "build an SQL statement from user input with parameters"
TERRAFORM = "add a Terraform module for the cluster"
LABELS = ["Claude Code", "python developer", "assistant", "BackendDevelopementAgnt", "cursor-agent"]


async def add(loop, person: Caller, text: str, agent_name: str, **fields: str) -> str:
    new = NewLesson.model_validate({"text": text, "agent_name": agent_name, **fields})
    return (await review.add_lesson(loop.work, person, new)).lesson_id


def ids(served) -> list[str]:
    return [lesson.id for lesson in served.lessons]


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELS)
async def test_a_name_that_is_no_agent_is_served_as_if_none_had_been_named(loop, agent: Caller, person, name) -> None:
    await add(loop, person, BOUND, AGENT)
    await add(loop, person, CLOSE, OTHER)
    await add(loop, person, TIMEOUT, "*")
    for task in (SQL_TASK, "close the file", "give the request a timeout", "", "paint the shed"):
        labelled = await loop.get(agent, agent_name=name, task=task)
        unnamed = await loop.get(agent, agent_name="", task=task)
        assert ids(labelled) == ids(unnamed)
        assert labelled.agent_name == unnamed.agent_name
    assert name in labelled.note


async def test_a_label_is_kept_on_the_run_and_the_nearest_names_are_told(loop, agent: Caller, person) -> None:
    served = await loop.get(agent, agent_name="BackendDevelopementAgnt", task=TERRAFORM, files=["infra/main.tf"])
    (run,) = await loop.rows(tables.runs)
    assert (run["label"], run["agent_name"]) == ("BackendDevelopementAgnt", "InfrastructureDevelopmentAgent")
    assert run["routed"]
    assert AGENT in served.note
    assert served.agent_name == "InfrastructureDevelopmentAgent"


async def test_reports_under_a_label_make_no_second_copy(loop, agent: Caller) -> None:
    issue = {"description": "SQL from an f-string in the query of the orders table", "rule_id": "bandit:B608"}
    first = await loop.report(agent, issue, agent_name=AGENT)
    for name in LABELS:
        again = await loop.raw_report(agent, issue, agent_name=name)
        assert (again.issues[0].action, again.issues[0].lesson_id) == ("merged", first.issues[0].lesson_id)
        assert again.issues[0].agent_name == AGENT
    assert await loop.rows(tables.lessons, "agent_name") == [AGENT]


async def test_reports_under_a_label_go_to_the_agent_of_their_words(loop, agent: Caller) -> None:
    issue = {"description": "The Terraform module opens the cluster to the world", "file": "infra/main.tf"}
    labelled = await loop.raw_report(agent, issue, agent_name="Claude Code")
    assert labelled.issues[0].agent_name == "InfrastructureDevelopmentAgent"


async def test_a_label_in_a_named_run_reports_for_the_runs_agent(loop, agent: Caller, qa: Caller) -> None:
    run_id = (await loop.get(agent, agent_name=OTHER)).run_id
    refined = await loop.raw_report(qa, "Something odd", agent_name="Claude Code", run_id=run_id, source="qa")
    assert refined.issues[0].agent_name == OTHER


async def test_under_a_connections_agent_a_label_counts_for_that_agent(loop) -> None:
    caller = Caller("demo", "local", agent_name=AGENT)
    served = await loop.get(caller, agent_name="Claude Code", task=TERRAFORM)
    assert served.agent_name == AGENT
    assert (await loop.rows(tables.runs, "label")) == ["Claude Code"]


# --- which names are agents -------------------------------------------------------------------------------------------


async def test_roster_and_aliases_are_agents_in_any_spelling(loop, agent: Caller) -> None:
    for known in loop.work.roster.agents:
        for name in (known.name, known.name.upper(), *known.aliases):
            assert (await loop.get(agent, agent_name=name)).agent_name == known.name
    assert set(await loop.rows(tables.runs, "label")) == {""}


async def test_a_name_is_an_agent_once_it_was_given_in_any_of_the_ways(loop, person: Caller, agent: Caller) -> None:
    await agents.add_agent(loop.work, person, "Tinker")
    await add(loop, person, BOUND, "Tailor")
    portable = PortableLesson(text=CLOSE, agent_name="Soldier")
    await transfer.import_lessons(loop.work, person, [("file", portable)])
    await loop.get(Caller("demo", "local", agent_name="Sailor"), agent_name="")
    for name in ("Tinker", "Tailor", "Soldier", "Sailor"):
        for spelling in (name, name.lower(), f"{name}Agent"):
            served = await loop.get(agent, agent_name=spelling)
            assert (served.agent_name, served.note.count("no agent here")) == (name, 0)
            assert (await loop.raw_report(agent, "It broke", agent_name=spelling)).issues[0].agent_name == name
    assert (await loop.get(Caller("elsewhere", "local"), agent_name="Tinker")).agent_name == "*"


async def test_a_name_with_lessons_in_the_project_is_an_agent(loop, agent: Caller) -> None:
    await loop.made_for_label(agent, "Claude Code", BOUND)
    served = await loop.get(agent, agent_name="Claude Code", task=SQL_TASK)
    assert (served.agent_name, [lesson.text for lesson in served.lessons]) == ("Claude Code", [BOUND])


async def test_only_a_person_adds_and_merges_agents_and_what_is_wrong_is_told(loop, agent, person) -> None:
    for caller, name, error in (
        (agent, "Tinker", Forbidden),
        (person, " ", InvalidInput),
        (person, "backend development", Conflict),
        (person, "*", Conflict),
    ):
        with pytest.raises(error):
            await agents.add_agent(loop.work, caller, name)
    await agents.add_agent(loop.work, person, "Tinker")
    with pytest.raises(Conflict):
        await agents.add_agent(loop.work, person, "Tinker")
    for caller, source, target, error in (
        (agent, "Tinker", AGENT, Forbidden),
        (person, "Nobody", AGENT, NotFound),
        (person, "Tinker", "Nobody", NotFound),
        (person, "Tinker", "tinker", InvalidInput),
        (person, AGENT, "Tinker", InvalidInput),
        (person, "*", "Tinker", InvalidInput),
    ):
        with pytest.raises(error):
            await agents.merge_agents(loop.work, caller, source, target)


# --- all shelves ------------------------------------------------------------------------------------------------------


async def test_without_an_agent_every_lesson_of_the_project_can_be_found(loop, person, agent, stranger) -> None:
    made = {await add(loop, person, BOUND, AGENT), await add(loop, person, CLOSE, OTHER)}
    made.add(await add(loop, person, TIMEOUT, "Tinker"))
    task = f"{SQL_TASK}; close the file; give each request a timeout"
    assert set(ids(await loop.get(agent, agent_name="", task=task))) == made
    assert ids(await loop.get(stranger, agent_name="", task=task)) == []
    assert set(ids(await loop.get(agent, agent_name=AGENT, task=task))) < made


async def test_the_run_counts_for_the_agent_found_and_a_delivery_for_the_agent_of_its_lesson(
    loop, person, agent
) -> None:
    bound, shared = await add(loop, person, BOUND, OTHER), await add(loop, person, CLOSE, "*")
    task = "add a Terraform module for the cluster; pass user input to SQL as bound parameters; close the file"
    served = await loop.get(agent, agent_name="", task=task, files=["infra/main.tf"])
    assert served.agent_name == "InfrastructureDevelopmentAgent"
    assert await loop.rows(tables.runs, "agent_name") == ["InfrastructureDevelopmentAgent"]
    delivered = {row["lesson_id"]: row["agent_name"] for row in await loop.rows(tables.deliveries)}
    assert delivered == {bound: OTHER, shared: "*"}
    await loop.assert_healthy()


async def test_where_nothing_tells_the_agent_the_run_counts_for_all_of_them(
    loop, person: Caller, agent: Caller
) -> None:
    own = await add(loop, person, CLOSE, AGENT)
    served = await loop.get(agent, agent_name="", task="close the file")
    assert (served.agent_name, ids(served)) == ("*", [own])
    assert served.note == ""


async def test_a_lesson_that_several_agents_have_is_served_once_for_the_agent_found(loop, person, agent) -> None:
    task, infra = "add a Terraform module for the cluster and close every file", "InfrastructureDevelopmentAgent"
    made = [await add(loop, person, CLOSE, name) for name in (AGENT, OTHER, infra, "RAGAgent")]
    assert ids(await loop.get(agent, agent_name="", task=task, files=["main.tf"])) == [made[2]]


async def test_what_is_pinned_for_one_agent_is_not_shown_in_runs_of_others(loop, person, agent) -> None:
    pinned, shared = await add(loop, person, CLOSE, AGENT), await add(loop, person, TIMEOUT, "*")
    for lesson_id in (pinned, shared):
        await loop.review(person, lesson_id, "pin")
    elsewhere = await loop.get(agent, agent_name="", task=TERRAFORM, files=["main.tf"])
    assert ids(elsewhere) == [shared]
    assert set(ids(await loop.get(agent, agent_name=AGENT, task=TERRAFORM))) == {pinned, shared}


async def test_a_finding_in_a_run_without_a_named_agent_joins_the_lesson_that_was_served(
    loop, agent, qa, person
) -> None:
    issue = {"description": "SQL from an f-string", "rule_id": "bandit:B608"}
    lesson_id = (await loop.report(qa, issue, agent_name=OTHER)).issues[0].lesson_id
    run_id = (await loop.get(agent, agent_name="", task="build a statement in SQL from a string")).run_id
    assert await loop.rows(tables.deliveries, "lesson_id") == [lesson_id]
    later = {**issue, "description": "Another statement by concatenation", "file": "src/components/Form.tsx"}
    refined = await loop.raw_report(qa, later, run_id=run_id, source="ci")
    assert (refined.issues[0].action, refined.issues[0].lesson_id) == ("merged", lesson_id)
    assert await loop.rows(tables.issues, "is_event") == [False, True]
    await loop.assert_healthy()


async def test_another_process_sees_new_shelves_and_changes_on_the_next_unnamed_call(
    loop, other_process, person: Caller, agent: Caller
) -> None:
    assert ids(await loop.get(agent, agent_name="", task=SQL_TASK)) == []
    lesson_id = await add(other_process, person, BOUND, "Tinker")
    assert ids(await loop.get(agent, agent_name="", task=SQL_TASK)) == [lesson_id]
    await other_process.review(person, lesson_id, "suspend")
    assert ids(await loop.get(agent, agent_name="", task=SQL_TASK)) == []


# --- shelves that were made for labels --------------------------------------------------------------------------------


async def test_the_doctor_lists_what_was_made_for_labels_until_it_is_merged_or_added(loop, person, agent) -> None:
    await add(loop, person, CLOSE, "Tailor")
    await loop.report(agent, {"description": "x", "rule_id": "bandit:B608"})
    for name in ("Claude Code", "python developer"):
        await loop.made_for_label(agent, name, BOUND)

    async def told() -> list[str]:
        found = await doctor_checks.diagnose(loop.work)
        assert found.healthy
        return [line for line in found.warnings if "is not an agent" in line]

    lines = await told()
    for line, name in zip(lines, ("'Claude Code'", "'python developer'"), strict=True):
        assert f"`lessonbook agents add {name} --project demo`" in line
        assert f"`lessonbook agents merge {name} AGENT --project demo`" in line
    await agents.add_agent(loop.work, person, "python developer")
    await agents.merge_agents(loop.work, person, "Claude Code", AGENT)
    assert await told() == []


async def test_merging_moves_lessons_with_their_ids_names_and_waiting_issues(
    loop, other_process, person: Caller, agent: Caller, qa: Caller
) -> None:
    moved = await loop.made_for_label(agent, "Claude Code", TIMEOUT)
    copy = await loop.made_for_label(agent, "Claude Code", BOUND)
    kept = await loop.learn(agent, BOUND)
    pending = (await loop.raw_report(agent, "Something odd went wrong", agent_name="Claude Code")).issues[0]
    assert (pending.action, pending.agent_name) == ("pending", "Claude Code")
    for process in (loop, other_process):  # both hold the shelves as they were
        await process.get(agent, task=TIMEOUT)
        await process.get(agent, agent_name="", task=TIMEOUT)
    done = await agents.merge_agents(loop.work, person, "Claude Code", AGENT)
    assert (done.moved, done.joined, done.issues) == (1, 1, 1)
    assert (await loop.lesson(moved)).agent_name == AGENT
    assert ((await loop.lesson(copy)).status, (await loop.lesson(copy)).superseded_by) == ("superseded", kept)
    assert (await loop.lesson(kept)).issue_count == 2
    assert set(await loop.rows(tables.lesson_keys, "agent_name")) == {AGENT}
    for process in (loop, other_process):
        for name in ("Claude Code", AGENT, ""):
            task = "give the outgoing request a timeout, since a peer is slow"
            assert ids(await process.get(agent, agent_name=name, task=task)) == [moved]
            assert ids(await process.get(agent, agent_name=name, task=SQL_TASK)) == [kept]
    again = await loop.raw_report(agent, {"description": "more", "lesson": TIMEOUT}, agent_name="Claude Code")
    assert again.issues[0].agent_name != "Claude Code"
    assert {"agent.merge", "lesson.move"} <= set(await loop.rows(tables.audit_log, "action"))
    await loop.assert_healthy()


async def test_agents_are_listed_with_their_origin_and_their_lessons(loop, person: Caller, agent: Caller) -> None:
    await agents.add_agent(loop.work, person, "Tinker")
    await add(loop, person, CLOSE, "Tailor")
    await loop.made_for_label(agent, "Claude Code", BOUND)
    await add(loop, person, TIMEOUT, AGENT)
    listed = {one.agent_name: (one.origin, one.lessons) for one in await agents.list_agents(loop.work, agent)}
    assert listed[AGENT] == ("roster", 1)
    assert listed["Tinker"] == ("a person", 0)
    assert listed["Tailor"] == ("a lesson's author", 1)
    assert listed["Claude Code"] == ("made for a label", 1)
