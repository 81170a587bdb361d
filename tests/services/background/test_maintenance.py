"""Maintenance: useless lessons put aside, stale ones expired, and the doctor's recount."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from lessonbook.classify.starters import starter_rules
from lessonbook.domain.errors import Conflict, Forbidden
from lessonbook.domain.lesson import Caller
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.lessons import review
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.conftest import on_both

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."


async def judge(loop, agent: Caller, qa: Caller, lesson_id: str, *, prevented: int, not_prevented: int, open_: int = 0):
    """Apply a lesson in runs of its own, with that many verdicts of each kind."""
    verdicts = [True] * prevented + [False] * not_prevented + [None] * open_
    for verdict in verdicts:
        run_id = (await loop.get(agent)).run_id
        await loop.record(agent, run_id, lesson_id)
        await loop.record(qa, run_id, lesson_id, prevented_issue=verdict, source="qa")


async def update(loop, table, **values) -> None:
    await loop.work.store.write(lambda connection: connection.execute(table.update().values(**values)).rowcount)


# --- clean-up ---------------------------------------------------------------------------------------------------------


async def test_a_useless_lesson_is_suspended(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    useless, useful = await loop.learn(agent, RULE), await loop.learn(agent, OTHER_RULE)
    await judge(loop, agent, qa, useless, prevented=1, not_prevented=4)
    await judge(loop, agent, qa, useful, prevented=4, not_prevented=1)
    done = await loop.cleanup(person, dry_run=False)
    assert (done.dry_run, done.suspended) == (False, 1)
    assert {(line.lesson_id, line.suspended) for line in done.lessons} == {(useless, True), (useful, False)}
    assert [lesson.id for lesson in (await loop.get(agent)).lessons] == [useful]
    lesson = await loop.lesson(useless)
    assert (lesson.status, lesson.status_reason) == ("suspended", "clean-up: prevented its issue in 1 of 5 verdicts")
    await loop.review(person, useless, "restore")
    assert len((await loop.get(agent)).lessons) == 2
    await loop.assert_healthy()


async def test_a_dry_run_tells_the_same_and_changes_nothing(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    before = [await loop.rows(table) for table in (tables.lessons, tables.lesson_versions, tables.audit_log)]
    told = await loop.cleanup(person, idempotency_key="k")
    assert [await loop.rows(table) for table in (tables.lessons, tables.lesson_versions, tables.audit_log)] == before
    done = await loop.cleanup(person, dry_run=False, idempotency_key="k")
    assert (told.suspended, told.lessons) == (done.suspended, done.lessons)
    assert (await loop.lesson(lesson_id)).status == "suspended"


async def test_a_clean_up_under_the_same_key_is_done_once(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    first = await loop.cleanup(person, dry_run=False, idempotency_key="k")
    await loop.review(person, lesson_id, "restore")
    assert await loop.cleanup(person, dry_run=False, idempotency_key="k") == first
    assert (await loop.lesson(lesson_id)).status == "probation"
    with pytest.raises(Conflict):
        await loop.cleanup(person, dry_run=False, threshold=0.9, idempotency_key="k")


@pytest.mark.parametrize(
    ("prevented", "not_prevented", "open_", "asked", "suspended"),
    [
        (3, 7, 0, {"threshold": 0.3}, False),  # the share reaches the threshold
        (3, 7, 0, {"threshold": 0.31}, True),
        (0, 4, 0, {}, False),  # applied too seldom
        (0, 4, 1, {}, True),  # an application without a verdict counts as one
        (0, 4, 0, {"min_applications": 4}, True),
        (0, 0, 6, {}, False),  # nobody has given a verdict
        (0, 5, 0, {"threshold": 0.0}, False),
        (4, 1, 0, {"threshold": 1.0}, True),
        (5, 0, 0, {"threshold": 1.0}, False),
        (0, 1, 0, {"min_applications": 1}, True),
    ],
)
async def test_both_bounds_decide(
    prevented: int,
    not_prevented: int,
    open_: int,
    asked,
    suspended: bool,
    loop,
    agent: Caller,
    qa: Caller,
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=prevented, not_prevented=not_prevented, open_=open_)
    done = await loop.cleanup(replace(agent, person=True), dry_run=False, **asked)
    assert done.suspended == suspended
    assert ((await loop.lesson(lesson_id)).status == "suspended") == suspended


async def test_a_pinned_lesson_is_spared_and_the_answer_says_so(
    loop, agent: Caller, qa: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await loop.review(person, lesson_id, "pin")
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    done = await loop.cleanup(person, dry_run=False)
    assert (done.suspended, done.lessons[0].suspended) == (0, False)
    assert "pinned" in done.lessons[0].reason


@on_both
async def test_a_lesson_whose_measured_effect_is_good_is_spared(
    loop, agent: Caller, qa: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    await update(loop, tables.lessons, events=10, effect_low=0.01)
    done = await loop.cleanup(person, dry_run=False)
    assert "measured" in done.lessons[0].reason
    await update(loop, tables.lessons, events=9)
    assert (await loop.cleanup(person, dry_run=False)).suspended == 1
    assert (await loop.lesson(lesson_id)).status == "suspended"


async def test_only_a_person_carries_a_clean_up_out(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    for caller in (agent, qa):
        with pytest.raises(Forbidden, match="lessonbook cleanup --execute"):
            await loop.cleanup(caller, dry_run=False)
        assert (await loop.cleanup(caller)).suspended == 1
    assert (await loop.lesson(lesson_id)).status == "probation"


async def test_verdicts_on_ones_own_runs_take_no_lesson_away(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    for _ in range(6):
        run_id = (await loop.get(agent)).run_id
        await loop.record(agent, run_id, lesson_id, prevented_issue=False, source="qa")
    told = await loop.cleanup(person)
    assert (told.suspended, told.lessons[0].times_verified) == (0, 6)
    assert "nobody but those who applied it" in told.lessons[0].reason
    await loop.record(qa, run_id, lesson_id, prevented_issue=False, source="qa")
    assert (await loop.cleanup(person)).lessons[0].reason == "prevented its issue in 0 of 1 verdict"


@on_both
@pytest.mark.parametrize("who", ["the catalogue", "a person"])
async def test_what_somebody_vouches_for_is_only_proposed_for_suspension(
    who: str, loop, work: Workspace, agent: Caller, qa: Caller, person: Caller
) -> None:
    if who == "a person":
        lesson_id = await loop.learn(agent, RULE)
        await loop.review(person, lesson_id, "approve")
    else:
        (lesson_id,) = await review.add_starters(work, person, AGENT, [work.catalogue.find("CWE-89")])
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    before = (await loop.lesson(lesson_id)).status
    done = await loop.cleanup(person, dry_run=False)
    assert (done.suspended, done.proposed, done.lessons[0].proposed) == (0, 1, True)
    assert f"{who} vouches for it" in done.lessons[0].reason
    assert f"lessonbook lessons suspend {lesson_id}" in done.lessons[0].reason
    assert (await loop.lesson(lesson_id)).status == before
    assert "lesson.propose_suspension" in await loop.rows(tables.audit_log, "action")


async def test_a_lesson_out_of_service_is_left_as_it_is(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    await loop.review(person, lesson_id, "retire")
    done = await loop.cleanup(person, dry_run=False)
    assert (done.suspended, (await loop.lesson(lesson_id)).status) == (0, "retired")


async def test_an_agents_praise_does_not_save_a_lesson(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    for _ in range(10):
        await loop.record(agent, (await loop.get(agent)).run_id, lesson_id, prevented_issue=True)
    assert (await loop.cleanup(person, dry_run=False)).suspended == 1


async def test_another_projects_lessons_are_not_cleaned_up(loop, agent: Caller, qa: Caller, stranger: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    await judge(loop, agent, qa, lesson_id, prevented=0, not_prevented=5)
    assert (await loop.cleanup(replace(stranger, person=True), dry_run=False)).lessons == []
    assert (await loop.lesson(lesson_id)).status == "probation"


# --- expiry -----------------------------------------------------------------------------------------------------------


@on_both
async def test_a_lesson_on_probation_expires_in_time(loop, work: Workspace, agent: Caller, clock) -> None:
    lesson_id = await loop.learn(agent, RULE)
    clock.go_on(days=90, seconds=-1)
    assert (await maintenance.keep_up(work, agent)).expired == 0
    clock.go_on(seconds=1)
    assert (await maintenance.keep_up(work, agent)).expired == 1
    lesson = await loop.lesson(lesson_id)
    assert (lesson.status, lesson.is_active) == ("expired", False)
    assert (await loop.get(agent)).lessons == []
    assert (await maintenance.keep_up(work, agent)).expired == 0


async def test_a_lesson_whose_issue_is_seen_again_gets_more_time(loop, work: Workspace, agent: Caller, clock) -> None:
    lesson_id = await loop.learn(agent, RULE, "The call hangs")
    clock.go_on(days=60)
    await loop.report(agent, "The call hangs")
    clock.go_on(days=60)
    assert (await maintenance.keep_up(work, agent)).expired == 0
    clock.go_on(days=30)
    assert (await maintenance.keep_up(work, agent)).expired == 1
    assert (await loop.lesson(lesson_id)).status == "expired"


async def test_lessons_that_people_stand_for_do_not_expire(
    loop, work: Workspace, agent: Caller, person: Caller, clock
) -> None:
    pinned, approved, edited = [await loop.learn(agent, f"{RULE} In case {name}.") for name in ("aa", "bb", "cc")]
    await loop.review(person, pinned, "pin")
    await loop.review(person, approved, "approve")
    await loop.review(person, edited, "edit", text=OTHER_RULE)
    clock.go_on(days=1_000)
    assert (await maintenance.keep_up(work, agent)).expired == 0
    assert len((await loop.get(agent)).lessons) == 3


async def test_a_lesson_restored_to_probation_has_its_time_again(
    loop, work: Workspace, agent: Caller, person: Caller, clock
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    clock.go_on(days=90)
    await maintenance.keep_up(work, agent)
    await loop.review(person, lesson_id, "restore")
    clock.go_on(days=89)
    assert (await maintenance.keep_up(work, agent)).expired == 0
    clock.go_on(days=1)
    assert (await maintenance.keep_up(work, agent)).expired == 1


@on_both
async def test_an_expiry_stands_in_the_history_and_only_in_its_own_project(
    loop, work: Workspace, agent: Caller, stranger: Caller, clock
) -> None:
    await loop.learn(agent, RULE)
    clock.go_on(days=91)
    assert (await maintenance.keep_up(work, stranger)).expired == 0
    await maintenance.keep_up(work, agent)
    assert sorted(await loop.rows(tables.lesson_versions, "action")) == ["create", "expire"]
    await loop.assert_healthy()


async def test_old_keys_and_deliveries_are_folded_away_without_changing_a_figure(
    loop, work: Workspace, agent: Caller, clock
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    for _ in range(3):
        for _ in range(2):
            await loop.get(agent, run_id=f"run-{clock():%d-%H%M%S}")
            clock.go_on(minutes=1)
        clock.go_on(days=1)
    before = (await loop.stats(agent)).totals, (await loop.stats(agent, lesson_id=lesson_id)).totals
    done = await maintenance.keep_up(work, agent)
    assert done.folded > 0
    assert done.forgotten_keys > 0
    assert ((await loop.stats(agent)).totals, (await loop.stats(agent, lesson_id=lesson_id)).totals) == before
    assert before[0].deliveries == before[1].deliveries == 6
    assert (await maintenance.keep_up(work, agent)).folded == 0
    clock.go_on(days=5)
    await maintenance.keep_up(work, agent)
    assert (await loop.stats(agent)).totals == before[0]


# --- the doctor -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def busy(loop, agent: Caller, qa: Caller, reviewer: Caller):
    lesson_id = await loop.learn(agent, RULE, "The call hangs")
    run_id = (await loop.get(agent)).run_id
    await loop.record(qa, run_id, lesson_id, prevented_issue=True, source="qa")
    await loop.flag(reviewer, lesson_id)
    return loop


async def test_an_empty_and_a_busy_database_are_healthy(loop, busy) -> None:
    await busy.assert_healthy()


@on_both
@pytest.mark.parametrize("counter", ["times_applied", "times_verified", "times_prevented", "issue_count", "flags"])
async def test_a_counter_that_differs_from_the_evidence_is_found(counter: str, busy) -> None:
    await update(busy, tables.lessons, **{counter: 7})
    diagnosis = await doctor_checks.diagnose(busy.work)
    assert not diagnosis.healthy
    (fault,) = diagnosis.faults
    assert f"{counter} is 7, the evidence says 1" in fault
    assert fault.startswith("project demo: lesson L")


@on_both
@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit_log SET principal = 'somebody' WHERE seq = 1",
        "UPDATE audit_log SET action = 'lesson.approve' WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = 2",
        "DELETE FROM audit_log WHERE seq = (SELECT max(seq) FROM audit_log)",
        "DELETE FROM audit_log",
        "UPDATE audit_heads SET seq = seq - 1",
    ],
)
async def test_a_changed_or_cut_audit_trail_is_found(tampering: str, busy) -> None:
    await busy.work.store.write(lambda connection: connection.execute(text(tampering)).rowcount)
    diagnosis = await doctor_checks.diagnose(busy.work)
    assert not diagnosis.healthy
    assert all("audit chain" in fault for fault in diagnosis.faults)


@on_both
async def test_every_project_is_looked_at(busy, stranger: Caller) -> None:
    lesson_id = await busy.learn(stranger, RULE)
    change = tables.lessons.update().where(tables.lessons.c.id == lesson_id).values(issue_count=9)
    await busy.work.store.write(lambda connection: connection.execute(change).rowcount)
    (fault,) = (await doctor_checks.diagnose(busy.work)).faults
    assert fault.startswith("project elsewhere:")


@on_both
async def test_two_processes_write_chains_of_their_own(loop, other_process, agent: Caller) -> None:
    for number in range(3):
        await loop.learn(agent, f"{RULE} In case {'a' * (number + 1)}.")
        await other_process.learn(agent, f"{OTHER_RULE} In case {'b' * (number + 1)}.")
    assert len(set(await loop.rows(tables.audit_log, "writer"))) == 2
    await loop.assert_healthy()


async def test_a_database_that_answers_is_alive(work: Workspace) -> None:
    assert await maintenance.is_alive(work)


@on_both
async def test_starters_expire_like_any_lesson_on_probation(work: Workspace, loop, person: Caller, clock) -> None:
    await review.add_starters(work, person, AGENT, starter_rules(work.catalogue, AGENT)[:3])
    clock.moment += timedelta(days=work.settings.learning.ttl_days)
    assert (await maintenance.keep_up(work, person)).expired == 3
