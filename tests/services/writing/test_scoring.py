"""Measuring: when a coin decides, what counts as an event, what it makes of a lesson, and when serving stops."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from lessonbook.config.settings import LearningSettings
from lessonbook.domain.errors import Conflict, Forbidden
from lessonbook.domain.lesson import Caller
from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.serving_policy import HOLDOUT_SHARE, POLICY_VERSION
from lessonbook.services import prompt_section
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.cache.evidence import EVENTS_MIN, RUNS_MIN
from lessonbook.services.lessons import merge
from lessonbook.store import dialect, run_checks, tables
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from tests.texts import unlike_any_other

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."
ISSUE = "The call hangs for ever when the peer is slow"
WEEK = 2_930
"""The week of the tests' clock."""


@pytest.fixture
def mode() -> str:
    return "measured"


@pytest.fixture
def settings(settings: Any, mode: str) -> Any:
    return settings.model_copy(update={"learning": LearningSettings(mode=mode)})


async def runs_until(loop, agent: Caller, lesson_id: str, *, shown: bool, most: int = 200) -> str:
    """Serve runs until the coin falls so for the lesson, and return that run's id."""
    for number in range(most):
        served = await loop.get(agent, run_id=f"{'shown' if shown else 'withheld'}-{number}")
        (row,) = [row for row in await deliveries(loop) if row["run_id"] == served.run_id]
        if row["shown"] is shown and not row["exempt"]:
            return served.run_id
    raise AssertionError("the coin never fell so")


async def deliveries(loop) -> list[dict[str, Any]]:
    return await loop.rows(tables.deliveries)


async def evidence(loop, lesson_id: str) -> Evidence:
    return Evidence.from_document((await loop.lesson(lesson_id)).evidence)


async def plant(loop, lesson_id: str, found: Evidence) -> None:
    """Put evidence behind a lesson, as if the coin had been tossed for it in a thousand runs."""
    lesson = await loop.lesson(lesson_id)
    exposures = {
        "project": "demo",
        "agent_name": AGENT,
        "week": WEEK,
        "lesson_id": lesson_id,
        "deliveries": 1_000,
        "shown": 500,
        "randomised": 1_000,
        "randomised_shown": 500,
        "last_delivered_at": loop.work.now(),
    }
    values = {"evidence": found.to_document(), "events": found.events}
    planted = update(tables.lessons).where(tables.lessons.c.id == lesson_id).values(**values)

    def act(connection) -> None:
        connection.execute(planted)
        dialect.insert_new(connection, tables.delivery_weeks, [exposures])
        lesson_rows.mark_changed(connection, "demo", {lesson_id: lesson.agent_name})

    await loop.work.store.write(act)


def events(*, shown: int, withheld: int, reporters: int = 2, p_show: float = 0.5) -> Evidence:
    """Return a thousand checked rows, of which so many have an event, told of by so many reporters in turn."""
    found = Evidence(periods={WEEK: Period(coins={p_show: (round(1_000 * p_show), round(1_000 * (1 - p_show)))})})
    for was_shown, count in ((True, shown), (False, withheld)):
        for number in range(count):
            reporter = f"reporter-{number % reporters}"
            found = found.add_event(shown=was_shown, share=p_show, reporter=reporter, period=WEEK)
    return found


async def watched(loop, agent: Caller, qa: Caller) -> str:
    """Return a lesson whose issue CI has found before; CI reports every run, findings or not."""
    lesson_id = await loop.learn(agent, RULE, ISSUE, rule_id="tool:X1")
    await loop.report(qa, {"description": f"{ISSUE} long ago", "rule_id": "tool:X1", "file": "old.py"}, source="ci")
    await loop.check(qa, "a run before")
    return lesson_id


# --- whether a coin decides -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["curated", "auto"])
async def test_without_enough_evidence_everything_is_shown_and_nothing_is_claimed(loop, agent: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    for _ in range(30):
        served = await loop.get(agent)
        assert [lesson.id for lesson in served.lessons] == [lesson_id]
    assert {(row["p_show"], row["exempt"], row["shown"]) for row in await deliveries(loop)} == {(1.0, True, True)}
    assert {row["p_holdout"] for row in await loop.rows(tables.runs)} == {0.0}


@pytest.mark.parametrize(
    ("mode", "runs", "found", "tosses"),
    [
        ("auto", RUNS_MIN, EVENTS_MIN, True),
        ("auto", RUNS_MIN - 1, EVENTS_MIN, False),
        ("auto", RUNS_MIN, EVENTS_MIN - 1, False),
        ("curated", 2 * RUNS_MIN, 2 * EVENTS_MIN, False),
        ("measured", 0, 0, True),
    ],
)
async def test_a_coin_is_tossed_for_agents_with_enough_checked_runs_and_events(
    loop, agent: Caller, qa: Caller, clock, runs: int, found: int, tosses: bool
) -> None:
    lesson_id = await loop.learn(agent, RULE, ISSUE)
    served = [(await loop.get(agent)).run_id for _ in range(found)]
    for number, run_id in enumerate(served):
        # Each is a new problem of the same class: same rule, other words.
        issue = {"description": f"{ISSUE}, {unlike_any_other(f'n{number}')}", "file": f"a{number}.py"}
        await loop.report(qa, {**issue, "rule_id": ""}, run_id=run_id, source="ci")

    def more(connection) -> None:
        if runs:
            run_checks.count_checked(connection, "demo", AGENT, runs, clock())
        fix = update(tables.issues).where(tables.issues.c.run_id.is_not(None))
        connection.execute(fix.values(is_event=True, event_verified=True, lesson_id=lesson_id))

    await loop.work.store.write(more)
    clock.go_on(minutes=2)
    told = (await loop.stats(agent, agent_name=AGENT)).lift.note
    await loop.get(agent, run_id="asked")
    (row,) = [row for row in await loop.rows(tables.runs) if row["run_id"] == "asked"]
    assert (row["p_holdout"] > 0) is tosses
    assert (told == "Measured against a logged holdout.") is tosses
    clock.go_on(days=92)
    await loop.get(agent, run_id="later")
    (row,) = [row for row in await loop.rows(tables.runs) if row["run_id"] == "later"]
    # What was long ago is no reason any more; `measured` needs none.
    assert (row["p_holdout"] > 0) is (tosses and found == 0)


async def test_the_coin_is_logged_before_the_answer_and_falls_the_same_way_again(
    loop, other_process, agent: Caller
) -> None:
    await loop.learn(agent, RULE)
    for number in range(100):
        here = await loop.get(agent, run_id=f"run-{number}")
        if number < 10:
            assert await other_process.get(agent, run_id=f"run-{number}") == here
    rows = await deliveries(loop)
    assert len(rows) == 100
    assert {row["policy_version"] for row in rows} == {POLICY_VERSION}
    tossed = [row for row in rows if not row["exempt"]]
    assert all(0 < row["p_show"] < 1 for row in tossed)
    assert {row["shown"] for row in tossed} == {True, False}


async def test_two_processes_toss_the_same_coin_without_speaking_to_each_other(
    loop, other_process, agent: Caller
) -> None:
    await loop.learn(agent, RULE)
    seen = []
    for process in (loop, other_process):
        for number in range(20):
            await process.get(agent, run_id=f"run-{number}")
        seen.append({row["run_id"]: row["shown"] for row in await deliveries(loop)})

        def forget(connection) -> None:
            for table in (tables.deliveries, tables.runs, tables.idempotency_keys):
                connection.execute(table.delete())

        await loop.work.store.write(forget)
    assert seen[0] == seen[1]


async def test_an_answer_from_which_everything_is_withheld_is_that_of_a_task_that_nothing_fits(
    loop, agent: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    run_id = await runs_until(loop, agent, lesson_id, shown=False)
    withheld = await loop.get(agent, run_id=run_id)
    nothing = await loop.get(agent, task="paint the shed", run_id="elsewhere")
    mark = prompt_section.delimiter
    names = {run_id: "elsewhere", mark(loop.work.secret, "demo", run_id): mark(loop.work.secret, "demo", "elsewhere")}
    said, told = withheld.model_dump_json(exclude={"tokens"}), nothing.model_dump_json(exclude={"tokens"})
    for of_this_run, of_the_other in names.items():
        said = said.replace(of_this_run, of_the_other)
    assert said == told
    assert lesson_id not in said


async def test_what_people_stand_for_is_shown_without_a_coin(loop, agent: Caller, person: Caller) -> None:
    pinned = await loop.learn(agent, RULE)
    critical = await loop.learn(agent, "Close every file with a context manager.")
    tossed = await loop.learn(agent, "Bound the retries of a call.")
    await loop.review(person, pinned, "pin")
    await loop.review(person, critical, "approve")
    severe = update(tables.lessons).where(tables.lessons.c.id == critical).values(severity=4)

    def make_severe(connection) -> None:
        connection.execute(severe)
        lesson_rows.mark_changed(connection, "demo", {critical: AGENT})

    await loop.work.store.write(make_severe)
    for _ in range(20):
        shown = {lesson.id for lesson in (await loop.get(agent)).lessons}
        assert {pinned, critical} <= shown
    by_lesson = {row["lesson_id"]: row for row in await deliveries(loop)}
    assert (by_lesson[pinned]["exempt"], by_lesson[pinned]["p_show"]) == (True, 1.0)
    assert (by_lesson[critical]["exempt"], by_lesson[critical]["p_show"]) == (True, 1.0)
    assert not by_lesson[tossed]["exempt"]


async def test_a_run_that_is_held_out_gets_only_what_people_pinned(loop, agent: Caller, person: Caller, qa) -> None:
    pinned, other = await loop.learn(agent, RULE), await loop.learn(agent, "Bound the retries of a call.")
    await loop.review(person, pinned, "pin")
    for number in range(900):
        served = await loop.get(agent, run_id=f"run-{number}")
        (run,) = [row for row in await loop.rows(tables.runs) if row["run_id"] == served.run_id]
        if run["holdout"]:
            break
    assert run["p_holdout"] == HOLDOUT_SHARE
    assert [lesson.id for lesson in served.lessons] == [pinned]
    (row,) = [row for row in await deliveries(loop) if (row["run_id"], row["lesson_id"]) == (run["run_id"], other)]
    assert (row["shown"], row["p_show"], row["exempt"]) == (False, 0.0, True)
    again = await loop.get(agent, run_id=run["run_id"], task="retries of a call")
    assert other not in {lesson.id for lesson in again.lessons}
    assert (await loop.stats(agent)).withheld_by_reason["holdout"] >= 1


# --- what counts as an event ------------------------------------------------------------------------------------------


async def test_the_first_independent_issue_in_a_run_is_the_event_however_often_it_is_reported(
    loop, agent: Caller, qa: Caller, reviewer: Caller
) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    issues = [{"description": f"{ISSUE} {number}", "rule_id": "tool:X1", "line": number} for number in range(40)]
    await loop.report(qa, *issues, run_id=run_id, source="ci")
    await loop.report(
        reviewer, {"description": f"{ISSUE}, again", "rule_id": "tool:X1"}, run_id=run_id, source="review"
    )
    found = await evidence(loop, lesson_id)
    assert found.events == 1
    assert sum(map(sum, found.verified.values())) == 1
    assert (await loop.lesson(lesson_id)).events == 1
    await loop.assert_healthy()


async def test_what_an_agent_reports_of_its_own_work_is_no_event(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    await loop.report(agent, {"description": f"{ISSUE} once", "rule_id": "tool:X1"}, run_id=run_id)
    assert (await evidence(loop, lesson_id)).events == 0
    await loop.report(qa, {"description": f"{ISSUE} twice", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    assert (await evidence(loop, lesson_id)).events == 1


async def test_a_declared_event_counts_when_somebody_else_reports_it(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=False)
    issue = {"description": f"{ISSUE} there", "rule_id": "tool:X1"}
    await loop.report(agent, issue, run_id=run_id, source="ci")  # the run's own principal says so
    found = await evidence(loop, lesson_id)
    assert (found.events, dict(found.verified)) == (0, {})
    for _ in range(2):
        await loop.report(qa, issue, run_id=run_id, source="ci")
        found = await evidence(loop, lesson_id)
        assert found.events == 1
        assert list(found.verified.values()) == [(0, 1)]
    await loop.assert_healthy()


async def test_an_issue_in_a_run_where_the_lesson_was_not_eligible_is_no_event(loop, agent: Caller, qa: Caller) -> None:
    run_id = (await loop.get(agent)).run_id
    lesson_id = await watched(loop, agent, qa)
    await loop.report(qa, {"description": f"{ISSUE} there", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    assert (await evidence(loop, lesson_id)).events == 0


async def test_a_finding_that_the_project_has_seen_before_is_no_event(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    old = {"description": f"{ISSUE} there", "rule_id": "tool:X1", "file": "a.py"}
    await loop.report(qa, old, source="ci")
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    await loop.report(qa, old, run_id=run_id, source="ci")
    assert (await evidence(loop, lesson_id)).events == 0


async def test_an_event_of_an_exempt_delivery_says_nothing_of_the_effect(
    loop, agent: Caller, qa: Caller, person: Caller
) -> None:
    lesson_id = await watched(loop, agent, qa)
    await loop.review(person, lesson_id, "pin")
    run_id = (await loop.get(agent)).run_id
    await loop.report(qa, {"description": f"{ISSUE} there", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    assert [row["is_event"] for row in await loop.rows(tables.issues) if row["run_id"]] == [True]
    assert (await evidence(loop, lesson_id)).events == 0
    told = await loop.stats(agent, lesson_id=lesson_id)
    assert told.lift.runs_without_a_coin == 1
    await loop.assert_healthy()


async def test_other_words_start_with_other_evidence(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    before = await runs_until(loop, agent, lesson_id, shown=True)
    late = (await runs_until(loop, agent, lesson_id, shown=False)) if before else ""
    await loop.report(qa, {"description": f"{ISSUE} there", "rule_id": "tool:X1"}, run_id=before, source="ci")
    assert (await loop.lesson(lesson_id)).events == 1
    await loop.review(person, lesson_id, "edit", text="Give each outgoing request a timeout of its own.")
    assert (await loop.lesson(lesson_id)).events == 0
    await loop.report(qa, {"description": f"{ISSUE} late", "rule_id": "tool:X1"}, run_id=late, source="ci")
    assert (await loop.lesson(lesson_id)).events == 0  # that run had the old words
    await loop.assert_healthy()


async def test_merging_takes_no_events_along(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    one = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, one, shown=True)
    await loop.report(qa, {"description": f"{ISSUE} there", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    other = await loop.learn(agent, "Bound the retries of a call.")
    await merge.merge_lessons(loop.work, person, one, other, "")
    assert (await loop.lesson(other)).events == 0
    await loop.assert_healthy()


async def test_what_an_agent_claims_is_kept_as_said_last_and_moves_nothing(loop, agent: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    run_id = (await loop.get(agent)).run_id
    await loop.record(agent, run_id, lesson_id, prevented_issue=True)
    await loop.record(agent, run_id, lesson_id, prevented_issue=True)
    before = await evidence(loop, lesson_id)
    assert [row["self_report"] for row in await loop.rows(tables.applications)] == [True]
    await loop.record(agent, run_id, lesson_id, prevented_issue=False)
    assert [row["self_report"] for row in await loop.rows(tables.applications)] == [False]
    assert await evidence(loop, lesson_id) == before
    await loop.assert_healthy()


async def test_the_doctor_sees_evidence_that_was_changed(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    await loop.report(qa, {"description": f"{ISSUE} there", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    await plant(loop, lesson_id, events(shown=0, withheld=1))
    assert any("evidence differs" in fault for fault in (await doctor_checks.diagnose(loop.work)).faults)
    await plant(loop, lesson_id, events(shown=5, withheld=0))
    faults = (await doctor_checks.diagnose(loop.work)).faults
    assert any("events is 5, the evidence says 1" in fault for fault in faults)


@pytest.mark.parametrize(
    ("steps", "events_met"), [(["apply"], 0), (["apply", "issue"], 1), (["issue", "apply", "apply"], 1), (["issue"], 0)]
)
async def test_applications_of_what_a_coin_showed_are_counted_in_checked_runs_with_the_events_they_met(
    loop, agent: Caller, qa: Caller, steps: list[str], events_met: int
) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    for step in steps:
        if step == "apply":
            await loop.record(agent, run_id, lesson_id)
        else:
            issue = {"description": f"{ISSUE} there", "rule_id": "tool:X1"}
            await loop.report(qa, issue, run_id=run_id, source="ci")
    total = (await evidence(loop, lesson_id)).total()
    assert (total.applied, total.applied_events) == (int({"apply", "issue"} <= set(steps)), events_met)
    assert total.events == int("issue" in steps)
    await loop.assert_healthy()


async def test_applying_what_was_withheld_is_no_application_by_the_coin(loop, agent: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    run_id = await runs_until(loop, agent, lesson_id, shown=False)
    await loop.record(agent, run_id, lesson_id)
    assert (await evidence(loop, lesson_id)).total().applied == 0
    await loop.assert_healthy()


# --- what events make of a lesson -------------------------------------------------------------------------------------


async def one_more_event(loop, agent: Caller, qa: Caller, lesson_id: str, *, shown: bool) -> None:
    run_id = await runs_until(loop, agent, lesson_id, shown=shown)
    await loop.report(qa, {"description": f"{ISSUE} once more", "rule_id": "tool:X1"}, run_id=run_id, source="ci")


async def test_a_lesson_that_helps_is_promoted_with_its_numbers(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    await plant(loop, lesson_id, events(shown=4, withheld=40))
    await one_more_event(loop, agent, qa, lesson_id, shown=False)
    lesson = await loop.lesson(lesson_id)
    assert (lesson.status, lesson.events) == ("active", 45)
    assert 0.5 < lesson.effect_low < lesson.effectiveness_score < lesson.effect_high <= 1
    history = await loop.rows(tables.lesson_versions)
    (change,) = [row for row in history if row["action"] == "promote"]
    assert change["numbers"]["events"] == 45
    assert change["numbers"]["p_positive"] > 0.9
    assert [row["action"] for row in await loop.rows(tables.audit_log)].count("lesson.promote") == 1
    told = (await loop.stats(agent, lesson_id=lesson_id)).effect
    assert (told.events, told.low) == (45, round(lesson.effect_low, 3))


async def test_a_lesson_that_does_harm_is_retired_where_more_than_one_reporter_says_so(
    loop, agent: Caller, qa: Caller
) -> None:
    lesson_id = await watched(loop, agent, qa)
    await plant(loop, lesson_id, events(shown=60, withheld=15, reporters=1))
    await one_more_event(loop, agent, qa, lesson_id, shown=False)
    assert (await loop.lesson(lesson_id)).status == "probation"  # one reporter's evidence alone retires nothing
    await plant(loop, lesson_id, events(shown=60, withheld=15))
    run_id = (await loop.get(agent)).run_id
    await loop.report(qa, {"description": f"{ISSUE} anew", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    lesson = await loop.lesson(lesson_id)
    assert (lesson.status, lesson.is_active) == ("retired", False)
    assert "By evidence" in lesson.status_reason
    (change,) = [row for row in await loop.rows(tables.lesson_versions) if row["action"] == "retire"]
    assert change["numbers"]["e_value"] >= 100
    assert (await loop.get(agent)).lessons == []


async def test_a_pinned_lesson_is_never_retired_by_evidence(loop, agent: Caller, qa: Caller, person: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    await loop.review(person, lesson_id, "pin")
    await plant(loop, lesson_id, events(shown=90, withheld=5))
    await loop.report(qa, {"description": f"{ISSUE} anew", "rule_id": "tool:X1"}, run_id=run_id, source="ci")
    lesson = await loop.lesson(lesson_id)
    assert (lesson.status, lesson.pinned, lesson.events) == ("probation", True, 96)


async def test_an_active_lesson_that_more_likely_costs_goes_back_to_probation(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await watched(loop, agent, qa)
    active = update(tables.lessons).values(status="active")
    await loop.work.store.write(lambda connection: connection.execute(active).rowcount)
    await plant(loop, lesson_id, events(shown=40, withheld=12, reporters=1))
    await one_more_event(loop, agent, qa, lesson_id, shown=False)
    assert (await loop.lesson(lesson_id)).status == "probation"
    assert "demote" in [row["action"] for row in await loop.rows(tables.lesson_versions)]


async def test_lessons_that_help_are_shown_more_often_than_those_that_harm(loop, agent: Caller) -> None:
    good, bad = await loop.learn(agent, RULE), await loop.learn(agent, "Bound the retries of a call.")
    await plant(loop, good, events(shown=4, withheld=40))
    await plant(loop, bad, events(shown=40, withheld=10))
    for _ in range(30):
        await loop.get(agent)
    chances = {row["lesson_id"]: row["p_show"] for row in await deliveries(loop) if not row["exempt"]}
    assert chances[good] > 0.8
    assert chances[bad] < 0.3
    shown = [row["lesson_id"] for row in await deliveries(loop) if row["shown"]]
    assert shown.count(good) > shown.count(bad)


@pytest.mark.parametrize("mode", ["auto"])
async def test_a_lesson_told_to_do_harm_does_not_come_back_when_nobody_reports_any_more(loop, agent: Caller) -> None:
    harmful, other = await loop.learn(agent, RULE), await loop.learn(agent, "Bound the retries of a call.")
    told = (
        update(tables.lessons).where(tables.lessons.c.id == harmful).values(events=40, effect_low=-3, effect_high=-0.2)
    )

    def act(connection) -> None:
        connection.execute(told)
        lesson_rows.mark_changed(connection, "demo", {harmful: AGENT})

    await loop.work.store.write(act)
    assert [lesson.id for lesson in (await loop.get(agent)).lessons] == [other]


# --- the whole service ------------------------------------------------------------------------------------------------


async def with_runs(loop, *, served: tuple[int, int], held_out: tuple[int, int]) -> None:
    """Pretend that runs were served and held out, with so many issues in each kind."""
    rows = [
        {
            "project": "demo",
            "run_id": f"{kind}{number}",
            "agent_name": AGENT,
            "principal": "local",
            "holdout": kind == "held",
            "p_holdout": HOLDOUT_SHARE,
            "task_hash": "",
            "started_at": loop.work.now() - timedelta(hours=3),
        }
        for kind, (count, _) in (("served", served), ("held", held_out))
        for number in range(count)
    ]

    sums = {"served_issues": served[1], "served_squares": served[1], "served_runs": served[0]}
    sums |= {"held_out_issues": held_out[1], "held_out_squares": held_out[1], "held_out_runs": held_out[0]}
    looked = [
        run_checks.RunCheck("demo", "served0", "ci", "", name, 0, True, loop.work.now()) for name in ("one", "two")
    ]

    def act(connection) -> None:
        connection.execute(tables.runs.insert(), rows)
        evidence_rows.put(connection, evidence_rows.hold(connection, "demo", AGENT)._replace(**sums))
        for check in looked:
            run_checks.add_check(connection, check)

    await loop.work.store.write(act)


async def test_serving_stops_by_itself_where_it_does_harm_and_a_person_resumes_it(
    loop, agent: Caller, person: Caller, clock
) -> None:
    pinned, lesson_id = await loop.learn(agent, "Bound the retries of a call."), await loop.learn(agent, RULE)
    await loop.review(person, pinned, "pin")
    await with_runs(loop, served=(9_000, 6_000), held_out=(90, 3))
    assert (await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))).stopped
    assert not (await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))).stopped  # it has stopped already
    clock.go_on(minutes=2)
    served = await loop.get(agent)
    assert [lesson.id for lesson in served.lessons] == [pinned]
    assert "Serving is stopped" in served.note
    assert "more issues" in (await loop.stats(agent)).lift.stopped
    with pytest.raises(Forbidden):
        await maintenance.resume(loop.work, agent, "")
    await maintenance.resume(loop.work, person, "the cause is mended")
    clock.go_on(minutes=2)
    assert "stopped" not in (await loop.get(agent)).note
    assert not (
        await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))
    ).stopped  # counted from the resumption on
    with pytest.raises(Conflict):
        await maintenance.resume(loop.work, person, "")
    actions = [row["action"] for row in await loop.rows(tables.audit_log)]
    assert (actions.count("service.stop"), actions.count("service.resume")) == (1, 1)
    assert lesson_id
    await loop.assert_healthy()


@pytest.mark.parametrize(
    ("served", "held_out"), [((9_000, 300), (90, 40)), ((9_000, 3_000), (90, 30)), ((50, 50), (5, 0))]
)
async def test_serving_goes_on_where_it_helps_or_nobody_can_tell(
    loop, agent: Caller, served: tuple[int, int], held_out: tuple[int, int]
) -> None:
    await loop.learn(agent, RULE)
    await with_runs(loop, served=served, held_out=held_out)
    assert not (await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))).stopped


async def test_the_lift_of_the_service_is_told_with_its_interval(loop, agent: Caller) -> None:
    await with_runs(loop, served=(9_000, 900), held_out=(90, 65))
    told = (await loop.stats(agent)).lift
    assert (told.status, told.comparisons, told.runs_with_lessons) == ("measured", 90, 9_000)
    assert told.low < told.estimate < told.high
    assert told.estimate > 30


async def test_issues_of_measured_runs_are_counted_on_their_side(loop, agent: Caller, qa: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    run_id = await runs_until(loop, agent, lesson_id, shown=True)
    await loop.check(qa, "a run before")
    for number in range(3):
        await loop.report(
            qa, unlike_any_other(f"x{number}"), unlike_any_other(f"y{number}"), run_id=run_id, source="ci"
        )
    await loop.report(agent, unlike_any_other("mine"), run_id=run_id)
    await loop.report(qa, unlike_any_other("y0"), run_id=run_id, source="ci")  # seen before
    (sums,) = await loop.rows(tables.evidence)
    assert (sums["served_issues"], sums["served_squares"], sums["held_out_issues"]) == (6, 36, 0)


# --- what has its time over -------------------------------------------------------------------------------------------


async def test_an_active_lesson_that_is_no_longer_delivered_goes_back_to_probation(
    loop, agent: Caller, qa: Caller, clock
) -> None:
    lesson_id = await watched(loop, agent, qa)
    await plant(loop, lesson_id, events(shown=4, withheld=40))
    await one_more_event(loop, agent, qa, lesson_id, shown=False)
    assert (await loop.lesson(lesson_id)).status == "active"
    clock.go_on(days=60)
    await loop.get(agent)
    clock.go_on(days=60)
    await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))
    assert (await loop.lesson(lesson_id)).status == "active"  # delivered sixty days ago
    clock.go_on(days=60)
    await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))
    assert (await loop.lesson(lesson_id)).status == "probation"
    clock.go_on(days=91)
    await maintenance.keep_up(loop.work, Caller("demo", "upkeep"))
    assert (await loop.lesson(lesson_id)).status == "expired"


async def test_a_report_without_a_run_is_told_how_to_be_counted(loop, agent: Caller, qa: Caller) -> None:
    run_id = (await loop.get(agent)).run_id
    assert "Lessonbook-Run" in (await loop.report(qa, unlike_any_other("one"), source="ci")).note
    assert (await loop.report(qa, unlike_any_other("two"), source="ci", run_id=run_id)).note == ""
    assert (await loop.report(agent, unlike_any_other("three"))).note == ""
