"""Checks: who looks at every run, what that tells about lessons, and what one change is."""

import json
from math import prod
from typing import Any

import pytest

from lessonbook.config.settings import LearningSettings
from lessonbook.domain.errors import Forbidden
from lessonbook.domain.lesson import Caller
from lessonbook.experiment.evidence import Evidence, Period, SideCounts
from lessonbook.services.background import doctor_checks, experiment
from lessonbook.services.queries import listings
from lessonbook.services.report import files
from lessonbook.services.writing.checked_runs import COUNTED_FOR, ROUTINE_CHECKS
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import tables
from tests.conftest import on_both
from tests.services.conftest import AGENT

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

RULE = "Give each outgoing request a timeout."
ISSUE = {"description": "The call hangs when the peer is slow", "rule_id": "tool:X1", "file": "a.py"}


@pytest.fixture
def mode() -> str:
    return "measured"


@pytest.fixture
def settings(settings: Any, mode: Any) -> Any:
    return settings.model_copy(update={"learning": LearningSettings(mode=mode)})


@pytest.fixture
async def lesson_id(loop, agent: Caller, qa: Caller) -> str:
    """A lesson whose issue CI has found before; CI reports every run, findings or not."""
    lesson_id = await loop.learn(agent, RULE, **ISSUE)
    await loop.report(qa, {**ISSUE, "file": "old.py"}, source="ci")
    await loop.check(qa, "a run before")
    return lesson_id


async def rows_of(loop) -> list[tuple[str, bool, bool, str | None]]:
    """Return the rows of the experiment: (change, shown, left out, who reported its event)."""
    found = await loop.rows(tables.checked_lessons)
    return sorted((row["change"], row["shown"], row["left_out"], row["event_by"]) for row in found)


async def runs(loop, agent: Caller, *wanted: bool, prefix: str = "run") -> list[str]:
    """Return a run for each of `wanted`: whether the coin showed the lesson in it."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for number in range(400):
        if all(len(found[shown]) >= wanted.count(shown) for shown in found):
            break
        run_id = f"{prefix}-{number}"
        found[bool((await loop.get(agent, run_id=run_id)).lessons)].append(run_id)
    return [found[shown].pop() for shown in wanted]


# --- what a check tells about -----------------------------------------------------------------------------------------


async def test_a_check_that_found_nothing_is_a_row_without_an_event(loop, agent: Caller, qa: Caller, lesson_id) -> None:
    (run_id,) = await runs(loop, agent, True)
    assert "nothing was found" in (await loop.check(qa, run_id)).note
    await loop.check(qa, run_id)
    assert await rows_of(loop) == [(run_id, True, False, None)]
    evidence = Evidence.from_document((await loop.lesson(lesson_id)).evidence)
    assert (evidence.rows, evidence.events) == (1, 0)
    await loop.assert_healthy()


async def test_a_lessons_detail_tells_how_many_of_each_arm_came_back_and_what_the_others_may_hold(
    loop, agent: Caller, qa: Caller, person: Caller, lesson_id
) -> None:
    assert (await listings.get_lesson(loop.work, person, lesson_id)).evidence.arms == []
    (run_id,) = await runs(loop, agent, True)
    await loop.report(qa, {**ISSUE, "file": "e.py"}, run_id=run_id, source="ci")
    shown, withheld = (await listings.get_lesson(loop.work, person, lesson_id)).evidence.arms
    assert (shown.arm, shown.checked, shown.events) == ("shown", 1, 1)
    assert (withheld.arm, withheld.checked, withheld.events) == ("withheld", 0, 0)
    tossed = [row["shown"] for row in await loop.rows(tables.deliveries) if row["lesson_id"] == lesson_id]
    assert shown.assigned == tossed.count(True)
    assert withheld.assigned == max(tossed.count(False), 1)
    assert (shown.risk_low, shown.risk_high) == (round(1 / shown.assigned, 3), 1.0)
    assert (withheld.risk_low, withheld.risk_high) == (0.0, 1.0)


async def test_a_check_tells_nothing_about_a_lesson_whose_issue_that_reporter_never_found(
    loop, agent: Caller, qa: Caller, reviewer: Caller
) -> None:
    await loop.learn(agent, RULE, **ISSUE)
    await loop.report(reviewer, {**ISSUE, "file": "old.py"}, source="review")
    (run_id,) = await runs(loop, agent, True)
    await loop.check(qa, run_id)
    assert await rows_of(loop) == []
    await loop.check(reviewer, run_id, source="review")
    assert await rows_of(loop) == [(run_id, True, False, None)]


@on_both
async def test_what_the_runs_own_principal_says_checks_nothing(loop, agent: Caller, lesson_id) -> None:
    (run_id,) = await runs(loop, agent, True)
    assert "measures nothing" in (await loop.check(agent, run_id)).note
    assert await rows_of(loop) == []


async def test_an_issue_reported_before_the_check_is_the_rows_event_when_it_comes(
    loop, agent: Caller, qa: Caller, reviewer: Caller, lesson_id
) -> None:
    (run_id,) = await runs(loop, agent, False)
    await loop.report(reviewer, ISSUE, run_id=run_id, source="review")
    assert await rows_of(loop) == []  # it is reported because it was found: that checks nothing
    await loop.check(qa, run_id)
    assert await rows_of(loop) == [(run_id, False, False, reviewer.principal)]
    assert (await loop.lesson(lesson_id)).events == 1
    await loop.assert_healthy()


@on_both
async def test_findings_count_for_two_weeks_after_the_run_began(
    loop, agent: Caller, qa: Caller, clock, lesson_id
) -> None:
    early, late, unseen = await runs(loop, agent, True, True, True)
    await loop.check(qa, early)
    await loop.check(qa, late)
    clock.go_on(days=COUNTED_FOR.days - 1)
    await loop.report(qa, {**ISSUE, "file": "b.py"}, run_id=early, source="ci")
    assert (await loop.lesson(lesson_id)).events == 1
    clock.go_on(days=2)
    await loop.report(qa, {**ISSUE, "file": "c.py"}, run_id=late, source="ci")
    await loop.check(qa, unseen)
    assert (await loop.lesson(lesson_id)).events == 1
    assert unseen not in {change for change, *_ in await rows_of(loop)}
    await loop.assert_healthy()


async def test_a_reporter_that_always_finds_something_is_told_and_checks_nothing(
    loop, agent: Caller, qa: Caller, work, lesson_id
) -> None:
    def scan(number: int) -> bytes:
        return f"a.py:{number}:1: F401 'os' imported but unused".encode()

    for number in range(ROUTINE_CHECKS):
        await files.report_file(work, qa, scan(number), agent_name=AGENT, run_ids=[f"old-{number}"], source="review")
    (run_id,) = await runs(loop, agent, True)
    await files.report_file(work, qa, scan(99), agent_name=AGENT, run_ids=[run_id], source="review")
    assert await rows_of(loop) == []
    routine = [row["routine"] for row in await loop.rows(tables.run_checks) if row["run_id"] == run_id]
    assert routine == [False]
    assert any("only what it finds" in line for line in (await doctor_checks.diagnose(work)).warnings)


@on_both
async def test_other_trouble_in_the_change_is_the_second_outcome(loop, agent: Caller, qa: Caller, lesson_id) -> None:
    quiet, broken, later = await runs(loop, agent, True, True, True)
    other = {"description": "The total is wrong on page seven", "file": "b.py"}
    await loop.check(qa, quiet)
    await loop.report(qa, other, run_id=broken, source="ci")
    await loop.check(qa, later)
    await loop.report(qa, {**other, "description": "The menu is gone on page three"}, run_id=later, source="ci")
    wrong = {row["run_id"]: row["wrong"] for row in await loop.rows(tables.checked_lessons)}
    assert wrong == {quiet: False, broken: True, later: True}
    (counts,) = Evidence.from_document((await loop.lesson(lesson_id)).evidence).side.values()
    assert (counts.shown, counts.shown_wrong, counts.withheld) == (3, 2, 0)
    await loop.assert_healthy()


@on_both
async def test_trouble_is_unexplained_if_no_lesson_of_the_change_is_about_it(
    loop, agent: Caller, qa: Caller, person: Caller, lesson_id
) -> None:
    beside = {"description": "The response leaks the stack trace", "rule_id": "tool:X2", "file": "a.py"}
    other_id = await loop.learn(agent, "Return an error code of your own to the caller.", **beside)
    await loop.report(qa, {**beside, "file": "old.py"}, source="ci")
    known, unknown = await runs(loop, agent, True, True)
    await loop.report(qa, beside, run_id=known, source="ci")
    await loop.check(qa, unknown)
    await loop.report(qa, {"description": "The menu is gone", "file": "menu.py"}, run_id=unknown, source="ci")
    found = await loop.rows(tables.checked_lessons)
    assert {(row["run_id"], row["lesson_id"], row["wrong"], row["unexplained"]) for row in found} == {
        (known, lesson_id, True, False),
        (known, other_id, False, False),
        (unknown, lesson_id, True, True),
        (unknown, other_id, True, True),
    }
    arms = (await listings.get_lesson(loop.work, person, lesson_id)).evidence.arms
    assert [arm.trouble for arm in arms] == [0.5, None]
    counts = Evidence.from_document((await loop.lesson(lesson_id)).evidence).total().unexplained
    assert (counts.shown + counts.withheld, counts.shown_wrong + counts.withheld_wrong) == (2, 1)
    await loop.assert_healthy()


@on_both
async def test_a_shared_lesson_counts_for_the_agent_it_was_delivered_to(loop, agent: Caller, qa: Caller) -> None:
    shared = await loop.learn(agent, RULE, agent_name="*", **ISSUE)
    await loop.report(qa, {**ISSUE, "file": "old.py"}, source="ci", agent_name="*")
    await loop.check(qa, "a run before")
    (run_id,) = await runs(loop, agent, True)
    await loop.check(qa, run_id)
    assert await rows_of(loop) == [(run_id, True, False, None)]
    assert await loop.rows(tables.checked_lessons, "agent_name") == [AGENT]
    assert Evidence.from_document((await loop.lesson(shared)).evidence).rows == 1
    await loop.assert_healthy()


# --- the change -------------------------------------------------------------------------------------------------------


def lint(*rules: str) -> bytes:
    """Return a file of ESLint's with a finding of each rule."""
    found = [{"ruleId": rule, "severity": 2, "message": f"{rule} is broken.", "line": 1} for rule in rules]
    return json.dumps([{"filePath": "a.js", "messages": found}]).encode()


@on_both
@pytest.mark.parametrize("wanted", [(True, True), (False, False), (True, False)])
async def test_runs_that_meet_in_one_check_are_one_row_or_none(
    loop, agent: Caller, qa: Caller, work, wanted: tuple[bool, bool]
) -> None:
    lesson_id = await loop.learn(agent, RULE, description="no-hang is broken", rule_id="eslint:no-hang")
    await files.report_file(work, qa, lint("no-hang"), agent_name=AGENT)
    met = await runs(loop, agent, *wanted)
    await files.report_file(work, qa, lint(), agent_name=AGENT, run_ids=met)
    rows = {row["run_id"]: row for row in await loop.rows(tables.checked_lessons)}
    assert rows.keys() == set(met)
    analysed = [row for row in rows.values() if not row["left_out"]]
    evidence = Evidence.from_document((await loop.lesson(lesson_id)).evidence)
    (crossovers,) = await loop.rows(tables.evidence, "crossovers")
    if wanted[0] == wanted[1]:
        (row,) = analysed
        chances = {one["run_id"]: one["p_show"] for one in await loop.rows(tables.deliveries)}
        shown, none = prod(chances[run_id] for run_id in met), prod(1 - chances[run_id] for run_id in met)
        assert (row["shown"], row["p_show"]) == (wanted[0], pytest.approx(shown / (shown + none), abs=1e-4))
        assert (evidence.rows, crossovers) == (1, 0)
    else:
        assert (analysed, evidence.rows, crossovers) == ([], 0, 1)
    await loop.assert_healthy()


async def test_runs_of_one_branch_have_the_same_coins_and_make_one_row(
    loop, agent: Caller, qa: Caller, lesson_id
) -> None:
    on_branch = Caller(agent.project, agent.principal, change="branch feature/login 1")
    answers = {bool((await loop.get(on_branch, run_id=f"on-branch-{number}")).lessons) for number in range(12)}
    assert len(answers) == 1
    for number in range(12):
        await loop.check(qa, f"on-branch-{number}")
    assert [change for change, *_ in await rows_of(loop)] == ["branch feature/login 1"]
    await loop.assert_healthy()


# --- health -----------------------------------------------------------------------------------------------------------


async def plant(loop, found: Evidence) -> None:
    """Put evidence behind an agent, as its lessons together have it."""

    def act(connection) -> None:
        sums = evidence_rows.hold(connection, "demo", AGENT)
        evidence_rows.put(connection, sums._replace(effect=found.to_document()))

    await loop.work.store.write(act)


@on_both
async def test_where_arms_are_unlike_nothing_is_told_and_a_person_begins_anew(
    loop, agent: Caller, qa: Caller, person: Caller, clock, lesson_id
) -> None:
    (run_id,) = await runs(loop, agent, True)
    await loop.report(qa, {**ISSUE, "file": "e.py"}, run_id=run_id, source="ci")
    before = {f"run-{number}": bool((await loop.get(agent, run_id=f"new-{number}")).lessons) for number in range(30)}
    splits = {0.5: (30, 30)}
    unlike = Evidence(periods={2_930: Period(coins={0.5: (900, 300)}, splits=splits)}, reporters={"ci": splits})
    await plant(loop, unlike)
    told = await loop.stats(agent, agent_name=AGENT)
    assert (told.state.state, told.effect) == ("unhealthy", "not enough data")
    assert "experiment restart" in told.state.reason
    assert (await loop.stats(agent, lesson_id=lesson_id)).state.state == "unhealthy"
    assert any("experiment restart" in line for line in (await doctor_checks.diagnose(loop.work)).warnings)
    with pytest.raises(Forbidden):
        await experiment.restart_experiment(loop.work, agent, "")
    assert (await experiment.restart_experiment(loop.work, person, "CI was down for one arm")).epoch == 2
    lesson = await loop.lesson(lesson_id)
    assert (lesson.events, lesson.evidence["before"]["epoch"]) == (0, 1)
    assert (await loop.stats(agent, agent_name=AGENT)).state.state != "unhealthy"
    clock.go_on(minutes=2)
    after = {f"run-{number}": bool((await loop.get(agent, run_id=f"new-{number}-b")).lessons) for number in range(30)}
    assert before != after
    assert "experiment.restart" in [row["action"] for row in await loop.rows(tables.audit_log)]
    await loop.assert_healthy()


async def test_an_application_in_an_earlier_experiment_adds_nothing_to_the_one_that_is_on(
    loop, agent: Caller, qa: Caller, person: Caller, lesson_id
) -> None:
    (run_id,) = await runs(loop, agent, True)
    await loop.check(qa, run_id)
    await experiment.restart_experiment(loop.work, person, "arms were unlike")
    await loop.record(agent, run_id, lesson_id)
    assert Evidence.from_document((await loop.lesson(lesson_id)).evidence).periods == {}
    await loop.assert_healthy()


async def test_states_say_in_one_word_what_is_known(loop, agent: Caller, qa: Caller, clock, lesson_id) -> None:
    assert (await loop.stats(agent, lesson_id=lesson_id)).state.state == "not_enough_data"
    (run_id,) = await runs(loop, agent, True)
    clock.go_on(hours=1)
    await loop.check(qa, run_id)
    told = (await loop.stats(agent, lesson_id=lesson_id)).state
    assert (told.state, told.events) == ("not_enough_data", 0)
    assert told.runs_to_go > 100


@pytest.mark.parametrize("mode", ["auto"])
async def test_nothing_is_measured_where_nobody_independent_reports(loop, agent: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE, **ISSUE)
    told = (await loop.stats(agent, lesson_id=lesson_id)).state
    assert told.state == "not_measured"
    assert "nobody independent reports" in told.reason


@pytest.mark.parametrize("mode", ["auto"])
async def test_before_a_coin_is_tossed_checked_runs_tell_how_often_the_issue_comes_up_and_move_nothing(
    loop, agent: Caller, qa: Caller, lesson_id
) -> None:
    for name in ("one", "other"):
        assert (await loop.get(agent, run_id=name)).lessons
    await loop.record(agent, "one", lesson_id)
    await loop.check(qa, "one")
    await loop.report(qa, {**ISSUE, "file": "b.py"}, run_id="other", source="ci")
    await loop.record(agent, "other", lesson_id)
    assert await rows_of(loop) == [("one", True, False, None), ("other", True, False, qa.principal)]
    kept = await loop.lesson(lesson_id)
    evidence = Evidence.from_document(kept.evidence)
    (period,) = evidence.periods.values()
    assert period == Period(
        certain_rows=2, certain_events=1, applied=2, applied_events=1, unexplained=SideCounts(shown=2)
    )
    assert (kept.events, kept.status, evidence.rows, evidence.side) == (0, "probation", 0, {})
    told = await loop.stats(agent, lesson_id=lesson_id)
    assert (told.effect, told.state.state, told.state.events) == ("not enough data", "not_measured", 0)
    await loop.assert_healthy()


async def test_what_evidence_moved_before_there_were_checks_is_listed_until_a_person_changes_it(
    loop, agent: Caller, person: Caller
) -> None:
    moved, other = await loop.learn(agent, RULE), await loop.learn(agent, "Bound the retries of a call.")

    def retire(connection) -> None:
        ledger = Ledger(loop.work, agent, connection, loop.work.now())
        lesson = ledger.lesson(moved)
        ledger.move(lesson, "retire", "By evidence: it does not help.", {"status": "retired"})
        ledger.write()

    await loop.work.store.write(retire)
    (warning,) = [line for line in (await doctor_checks.diagnose(loop.work)).warnings if "counts no longer" in line]
    assert f"{moved} (retire)" in warning
    assert other not in warning
    await loop.review(person, moved, "restore")
    assert not any("counts no longer" in line for line in (await doctor_checks.diagnose(loop.work)).warnings)
