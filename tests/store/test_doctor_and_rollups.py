"""Counts: the doctor counts anew from the evidence, and folding deliveries changes no figure."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from lessonbook.domain.agent_figures import AgentFigures
from lessonbook.domain.agent_tools import Flag, LessonQuery, StatsQuery
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview
from lessonbook.domain.pending_issues import AuthoredLesson, Authoring
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.feedback import applications
from lessonbook.services.lessons import merge, review
from lessonbook.services.queries import stats
from lessonbook.services.serve import delivery
from lessonbook.services.triage import authoring
from lessonbook.services.workspace import Workspace
from lessonbook.store import rollups
from tests.store.scenario import AGENT, PROJECT, Played, ask, counted, issue, play, scalar, tamper, tell

pytestmark = pytest.mark.anyio

COUNTERS = ("times_applied", "times_verified", "times_prevented", "issue_count", "flags")


@pytest.fixture
async def played(work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller) -> Played:
    return await play(work, clock, agent, qa, person)


async def test_an_empty_database_is_healthy(work: Workspace) -> None:
    diagnosis = await diagnose(work)
    assert diagnosis.healthy
    assert diagnosis.faults == []


async def test_a_database_in_which_the_loop_has_turned_is_healthy(work: Workspace, played: Played) -> None:
    diagnosis = await diagnose(work)
    assert diagnosis.faults == []
    assert diagnosis.healthy


async def test_a_counter_that_differs_from_the_evidence_is_named_with_both_numbers(
    work: Workspace, played: Played
) -> None:
    for name in COUNTERS:
        right = await scalar(work.store, f"SELECT {name} FROM agent_lessons WHERE id = :id", id=played.injection)
        put = f"UPDATE agent_lessons SET {name} = :value WHERE id = :id"
        await tamper(work.store, put, id=played.injection, value=right + 7)
        diagnosis = await diagnose(work)
        assert not diagnosis.healthy, name
        sentence = f"lesson {played.injection}: {name} is {right + 7}, the evidence says {right}"
        assert diagnosis.faults == [f"project {PROJECT}: {sentence}"]
        await tamper(work.store, put, id=played.injection, value=right)
    assert (await diagnose(work)).healthy


async def test_evidence_that_went_missing_shows_in_its_counter(work: Workspace, played: Played) -> None:
    for evidence, name in (
        ("UPDATE agent_lesson_applications SET verdict = NOT verdict WHERE lesson_id = :id", "times_prevented"),
        ("UPDATE agent_lesson_applications SET verdict = NULL WHERE lesson_id = :id", "times_verified"),
        ("DELETE FROM agent_lesson_applications WHERE lesson_id = :id", "times_applied"),
        ("DELETE FROM agent_issues WHERE lesson_id = :id", "issue_count"),
        ("DELETE FROM agent_lesson_flags WHERE lesson_id = :id", "flags"),
    ):
        start = f"project {PROJECT}: lesson {played.requests}: {name} is 1, "
        assert not any(fault.startswith(start) for fault in (await diagnose(work)).faults), name
        assert await tamper(work.store, evidence, id=played.requests)
        assert any(fault.startswith(start) for fault in (await diagnose(work)).faults), name


async def test_counters_stay_right_through_merging_splitting_and_authoring(
    work: Workspace, played: Played, agent: Caller, person: Caller
) -> None:
    made = await tell(work, agent, issue(1), issue(2), issue(3), issue(1))
    first, second, _, again = (line.lesson_id for line in made.issues)
    assert first == again
    assert first
    assert second
    await merge.merge_lessons(work, person, second, first, "they say the same")
    moved = await ask(work.store, "SELECT id FROM agent_issues WHERE lesson_id = :id ORDER BY id", id=first)
    await merge.split_lesson(
        work, person, first, [moved[0][0]], "Refuse an upload whose name climbs out of its folder.", ""
    )
    pending = await scalar(work.store, "SELECT id FROM agent_issues WHERE action = 'pending'")
    lesson = AuthoredLesson(issue_ids=[pending], lesson="Round money once, at the end of the sum.")
    await authoring.refine_issues(work, agent, Authoring(lessons=[lesson]))
    assert (await diagnose(work)).faults == []


async def test_counters_stay_right_when_a_suspended_lesson_is_restored(
    work: Workspace, played: Played, qa: Caller, person: Caller
) -> None:
    await applications.flag_lesson(work, qa, Flag(lesson_id=played.requests, reason="it misled me too"))
    await review.review_lesson(work, person, LessonReview(lesson_id=played.requests, action="suspend"))
    assert (
        await scalar(work.store, "SELECT status FROM agent_lessons WHERE id = :id", id=played.requests) == "suspended"
    )
    await review.review_lesson(work, person, LessonReview(lesson_id=played.requests, action="restore"))
    assert (await diagnose(work)).faults == []
    await applications.flag_lesson(
        work, Caller(PROJECT, "another"), Flag(lesson_id=played.requests, reason="it misleads")
    )
    assert await scalar(work.store, "SELECT flags FROM agent_lessons WHERE id = :id", id=played.requests) == 3
    assert (await diagnose(work)).faults == []


async def test_counters_and_chains_stay_right_when_a_lesson_is_deleted(
    work: Workspace, played: Played, person: Caller
) -> None:
    await review.review_lesson(work, person, LessonReview(lesson_id=played.injection, action="delete"))
    assert (await diagnose(work)).faults == []


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_a_row_that_points_at_nothing_is_named(work: Workspace, played: Played) -> None:
    def orphan(connection: Connection) -> None:
        connection.execute(text("INSERT INTO agent_lesson_keys VALUES ('demo', 'A', 'k', 'no such lesson')"))

    await work.store.migrate(orphan)  # migrations go without foreign keys
    assert "a row of agent_lesson_keys refers to a row that does not exist" in (await diagnose(work)).faults


async def test_a_diagnosis_under_load_sees_one_moment(work: Workspace, agent: Caller) -> None:
    writes = [tell(work, agent, issue(number % 5)) for number in range(60)]
    looks = [diagnose(work) for _ in range(10)]
    mixed = [call for index in range(60) for call in (writes[index], *([looks[index // 6]] if index % 6 == 0 else []))]
    found = await asyncio.gather(*mixed)
    assert [answer.faults for answer in found if isinstance(answer, doctor_checks.Diagnosis) and answer.faults] == []


# Folds


COUNTED = [name for name, field in AgentFigures.model_fields.items() if field.annotation in (int, str)]


async def figures(work: Workspace, caller: Caller, lesson_ids: Sequence[str]) -> list[Any]:
    """Return every figure in which deliveries are counted; the view and the listing of agents say the same."""
    view = await ask(work.store, f"SELECT {', '.join(COUNTED)} FROM agent_learning_stats ORDER BY agent_name")
    totals = (await stats.get_stats(work, caller, StatsQuery())).totals
    of_lessons = [(await stats.get_stats(work, caller, StatsQuery(lesson_id=name))).totals for name in lesson_ids]
    by_agent = await stats.by_agent(work, caller)
    told = [tuple(getattr(row, name) for name in COUNTED) for row in by_agent]
    assert [tuple(line) for line in view if line[0] == caller.project] == told
    return [
        view,
        totals.deliveries,
        [lesson.deliveries for lesson in of_lessons],
        [row.deliveries for row in by_agent],
    ]


async def serve_for_days(work: Workspace, clock: Any, agent: Caller, days: int) -> list[str]:
    """Let two agents be served three times a day, and return the lessons' ids."""
    mine = await tell(work, agent, issue(1), issue(2))
    theirs = await tell(work, agent, issue(3), agent_name="DatabaseAgent")
    for day in range(days):
        for call in range(3):
            name = "DatabaseAgent" if call == 2 else AGENT
            await delivery.get_lessons(work, agent, LessonQuery(agent_name=name, run_id=f"d{day}-{call}"))
            clock.go_on(hours=8)
    return [line.lesson_id for line in (*mine.issues, *theirs.issues) if line.lesson_id]


async def test_folding_deliveries_changes_no_figure(work: Workspace, clock: Any, agent: Caller) -> None:
    lesson_ids = await serve_for_days(work, clock, agent, days=6)
    before = await figures(work, agent, lesson_ids)
    assert before[1] == 6 * (2 + 2 + 1)
    done = await maintenance.keep_up(work, agent)
    assert done.folded > 0
    assert await figures(work, agent, lesson_ids) == before
    folded = await ask(work.store, "SELECT min(day), max(day) FROM agent_delivery_folds")
    assert folded == [("2026-03-01", "2026-03-07")]
    mark = await scalar(work.store, "SELECT CAST(folded_before AS text) FROM agent_delivery_marks")
    assert str(mark).startswith("2026-03-07 11:00")  # what is younger than a quarter of an hour is counted one by one
    assert (await maintenance.keep_up(work, agent)).folded == 0
    assert await figures(work, agent, lesson_ids) == before


async def test_deliveries_after_a_fold_are_added_to_it(work: Workspace, clock: Any, agent: Caller) -> None:
    lesson_ids = await serve_for_days(work, clock, agent, days=4)
    await maintenance.keep_up(work, agent)
    before = await figures(work, agent, lesson_ids)
    await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, run_id="later"))
    after = await figures(work, agent, lesson_ids)
    assert after[1] == before[1] + 2
    for _ in range(5):
        clock.go_on(days=1)
        await maintenance.keep_up(work, agent)
        assert await figures(work, agent, lesson_ids) == after
    everything = await scalar(work.store, "SELECT sum(deliveries) FROM agent_delivery_folds")
    assert everything == after[1]


async def test_folds_of_one_project_leave_others_alone(work: Workspace, clock: Any, agent: Caller) -> None:
    elsewhere = Caller("other", "local")
    await serve_for_days(work, clock, agent, days=4)
    await serve_for_days(work, clock, elsewhere, days=2)
    before = await figures(work, elsewhere, [])
    await maintenance.keep_up(work, agent)
    assert await ask(work.store, "SELECT DISTINCT project FROM agent_delivery_folds") == [(PROJECT,)]
    assert await figures(work, elsewhere, []) == before


@pytest.mark.parametrize("folded_before", [False, True])
async def test_eight_processes_that_keep_up_at_once_fold_each_delivery_once(
    work: Workspace, clock: Any, agent: Caller, folded_before: bool
) -> None:
    lesson_ids = await serve_for_days(work, clock, agent, days=5)
    before = await figures(work, agent, lesson_ids)
    if folded_before:
        await maintenance.keep_up(work, agent)
        clock.go_on(days=1)
    done = await asyncio.gather(*(maintenance.keep_up(work, agent) for _ in range(8)))
    assert any(each.folded for each in done) != folded_before
    assert await scalar(work.store, "SELECT sum(deliveries) FROM agent_delivery_folds") == before[1]
    assert await figures(work, agent, lesson_ids) == before


async def test_a_clock_that_went_backwards_folds_nothing_twice(work: Workspace, clock: Any, agent: Caller) -> None:
    lesson_ids = await serve_for_days(work, clock, agent, days=5)
    await maintenance.keep_up(work, agent)
    before = await figures(work, agent, lesson_ids)
    clock.go_on(days=-2)
    assert (await maintenance.keep_up(work, agent)).folded == 0
    clock.go_on(days=2)
    await maintenance.keep_up(work, agent)
    assert await figures(work, agent, lesson_ids) == before


async def test_many_deliveries_are_folded_in_one_go(work: Workspace, clock: Any, agent: Caller) -> None:
    await serve_for_days(work, clock, agent, days=1)
    copies = (
        "INSERT INTO agent_lesson_deliveries (project, run_id, lesson_id, agent_name, eligible, shown, p_show, exempt, "
        "policy_version, position, delivered_at, lesson_version, tokens) "
        "SELECT project, run_id, lesson_id || '-' || n, agent_name, eligible, shown, p_show, exempt, "
        "policy_version, position, delivered_at, lesson_version, tokens FROM agent_lesson_deliveries, "
        "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000) "
        "SELECT n FROM numbers) many"
    )
    await tamper(work.store, copies)
    clock.go_on(days=3)
    every = (await counted(work.store))["agent_lesson_deliveries"]
    assert every == 5 * 2_001
    while await work.store.write(lambda connection: rollups.roll_up(connection, PROJECT, clock())):
        pass
    assert await scalar(work.store, "SELECT sum(deliveries) FROM agent_delivery_folds") == every
    assert await scalar(work.store, "SELECT sum(deliveries) FROM agent_learning_stats") == every
