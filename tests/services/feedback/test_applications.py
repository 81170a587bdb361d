"""Recording: applications, verdicts and flags, and the counters that follow from them."""

import itertools

import pytest

from lessonbook.domain.errors import Conflict, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."
TOKEN = "ghp_" + "a1B2" * 9


async def counters(loop, lesson_id: str) -> tuple[int, int, int]:
    lesson = await loop.lesson(lesson_id)
    return lesson.times_applied, lesson.times_verified, lesson.times_prevented


@pytest.fixture
async def lesson_id(loop, agent: Caller) -> str:
    return await loop.learn(agent, RULE)


@pytest.fixture
async def run_id(loop, lesson_id: str, agent: Caller) -> str:
    return (await loop.get(agent)).run_id


# --- counters ---------------------------------------------------------------------------------------------------------

CALLS = {
    "agent applied": ("agent", {}),
    "agent says prevented": ("agent", {"prevented_issue": True}),
    "QA says prevented": ("qa", {"prevented_issue": True, "source": "qa"}),
    "CI says not": ("reviewer", {"prevented_issue": False, "source": "ci"}),
}


async def test_counters_follow_the_latest_verdict_in_any_order_of_calls(
    loop, lesson_id: str, agent: Caller, qa: Caller, reviewer: Caller
) -> None:
    callers = {"agent": agent, "qa": qa, "reviewer": reviewer}
    verdicts: dict[str, bool | None] = {}
    for order in itertools.permutations(CALLS):
        run_id = (await loop.get(agent)).run_id
        verdicts[run_id] = None
        for position, name in enumerate(order):
            who, about = CALLS[name]
            applied = await loop.record(callers[who], run_id, lesson_id, **about)
            if who != "agent":
                verdicts[run_id] = about["prevented_issue"]
            (line,) = applied.results
            assert line.result == ("updated" if position else "recorded"), order
            given = [verdict for verdict in verdicts.values() if verdict is not None]
            assert (line.times_applied, line.times_prevented) == (len(verdicts), sum(given)), order
            assert await counters(loop, lesson_id) == (len(verdicts), len(given), sum(given)), order
    rows = await loop.rows(tables.applications)
    assert {row["run_id"]: row["verdict"] for row in rows} == verdicts
    assert {(row["self_report"], row["verdict_evidence"]) for row in rows} == {(True, "verified")}
    await loop.assert_healthy()


async def test_a_run_counts_once_however_often_it_is_recorded(loop, lesson_id: str, run_id: str, agent: Caller) -> None:
    for _ in range(3):
        await loop.record(agent, run_id, lesson_id)
    assert await counters(loop, lesson_id) == (1, 0, 0)
    other_run = (await loop.get(agent)).run_id
    await loop.record(agent, other_run, lesson_id)
    assert await counters(loop, lesson_id) == (2, 0, 0)


async def test_a_verdict_without_an_application_records_one(loop, lesson_id: str, run_id: str, qa: Caller) -> None:
    applied = await loop.record(qa, run_id, lesson_id, prevented_issue=True, source="qa")
    assert applied.results[0].result == "recorded"
    assert await counters(loop, lesson_id) == (1, 1, 1)


async def test_an_agents_own_word_is_kept_apart_from_verdicts(loop, lesson_id: str, run_id: str, agent: Caller) -> None:
    await loop.record(agent, run_id, lesson_id, prevented_issue=True)
    (row,) = await loop.rows(tables.applications)
    assert (row["self_report"], row["verdict"], row["verdict_by"]) == (True, None, None)
    assert await counters(loop, lesson_id) == (1, 0, 0)


async def test_a_declared_verdict_counts_until_a_verified_one_stands_against_it(
    loop, lesson_id: str, run_id: str, agent: Caller, qa: Caller
) -> None:
    await loop.record(agent, run_id, lesson_id, prevented_issue=True, source="qa")
    assert await counters(loop, lesson_id) == (1, 1, 1)
    await loop.record(qa, run_id, lesson_id, prevented_issue=False, source="qa")
    assert await counters(loop, lesson_id) == (1, 1, 0)
    await loop.record(agent, run_id, lesson_id, prevented_issue=True, source="qa")
    assert await counters(loop, lesson_id) == (1, 1, 0)
    (row,) = await loop.rows(tables.applications)
    assert (row["verdict"], row["verdict_evidence"], row["verdict_by"]) == (False, "verified", "qa-bot")


async def test_a_verdict_may_be_changed_by_those_who_may_give_one(
    loop, lesson_id: str, run_id: str, qa: Caller, person: Caller, clock
) -> None:
    await loop.record(qa, run_id, lesson_id, prevented_issue=True, source="qa")
    clock.go_on(hours=1)
    await loop.record(qa, run_id, lesson_id, prevented_issue=False, source="qa")
    assert await counters(loop, lesson_id) == (1, 1, 0)
    await loop.record(person, run_id, lesson_id, prevented_issue=True, source="user")
    assert await counters(loop, lesson_id) == (1, 1, 1)
    (row,) = await loop.rows(tables.applications)
    assert (row["verdict_source"], row["verdict_by"], row["verdict_at"]) == ("user", "cli", clock())
    assert row["applied_at"] < clock()


async def test_a_verdict_left_open_changes_nothing(loop, lesson_id: str, run_id: str, qa: Caller) -> None:
    await loop.record(qa, run_id, lesson_id, prevented_issue=True, source="qa")
    await loop.record(qa, run_id, lesson_id, source="qa")
    assert await counters(loop, lesson_id) == (1, 1, 1)


async def test_lessons_named_twice_count_once_and_unknown_ones_are_told(
    loop, lesson_id: str, run_id: str, agent: Caller
) -> None:
    applied = await loop.record(agent, run_id, "Lnowhere", lesson_id, lesson_id)
    assert [(line.lesson_id, line.result) for line in applied.results] == [
        ("Lnowhere", "unknown"),
        (lesson_id, "recorded"),
    ]
    assert await counters(loop, lesson_id) == (1, 0, 0)


async def test_several_lessons_get_one_verdict_together(loop, lesson_id: str, agent: Caller, qa: Caller) -> None:
    other_id = await loop.learn(agent, OTHER_RULE)
    run_id = (await loop.get(agent)).run_id
    await loop.record(qa, run_id, lesson_id, other_id, prevented_issue=True, source="qa")
    assert await counters(loop, lesson_id) == await counters(loop, other_id) == (1, 1, 1)


async def test_an_unknown_run_is_an_error_and_nothing_is_stored(loop, lesson_id: str, agent: Caller) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        await loop.record(agent, "nowhere", lesson_id)
    assert await loop.rows(tables.applications) == []


async def test_another_project_reaches_neither_the_run_nor_the_lesson(
    loop, lesson_id: str, run_id: str, stranger: Caller
) -> None:
    with pytest.raises(NotFound):
        await loop.record(stranger, run_id, lesson_id)
    own_run = (await loop.get(stranger)).run_id
    (line,) = (await loop.record(stranger, own_run, lesson_id)).results
    assert line.result == "unknown"
    assert await counters(loop, lesson_id) == (0, 0, 0)


async def test_notes_are_kept_without_secrets(loop, lesson_id: str, run_id: str, agent: Caller) -> None:
    await loop.record(agent, run_id, lesson_id, notes=f"I used {TOKEN} for it")
    await loop.record(agent, run_id, lesson_id)
    assert await loop.rows(tables.applications, "notes") == ["I used [redacted:github-token] for it"]


async def test_an_application_under_the_same_key_is_done_once(loop, lesson_id: str, run_id: str, agent: Caller) -> None:
    first = await loop.record(agent, run_id, lesson_id, idempotency_key="k")
    assert await loop.record(agent, run_id, lesson_id, idempotency_key="k") == first
    with pytest.raises(Conflict):
        await loop.record(agent, run_id, lesson_id, idempotency_key="k", prevented_issue=True)


# --- effect -----------------------------------------------------------------------------------------------------------


async def test_verdicts_move_the_effect_but_never_make_it_told(loop, lesson_id: str, agent: Caller, qa: Caller) -> None:
    start = (await loop.lesson(lesson_id)).effectiveness_score
    scores = []
    for verdict in (True, True, False, False, False, False):
        run_id = (await loop.get(agent)).run_id
        await loop.record(qa, run_id, lesson_id, prevented_issue=verdict, source="qa")
        lesson = await loop.lesson(lesson_id)
        assert lesson.effect_low < lesson.effectiveness_score < lesson.effect_high
        scores.append(lesson.effectiveness_score)
    assert start < scores[0] < scores[1]
    assert scores[1:] == sorted(scores[1:], reverse=True)
    assert scores[-1] < start
    assert (await loop.lesson(lesson_id)).events == 0
    assert (await loop.get(agent)).lessons[0].effect is None


async def test_an_agents_praise_does_not_move_the_effect(loop, lesson_id: str, run_id: str, agent: Caller) -> None:
    start = (await loop.lesson(lesson_id)).effectiveness_score
    await loop.record(agent, run_id, lesson_id, prevented_issue=True)
    assert (await loop.lesson(lesson_id)).effectiveness_score == start


async def test_a_better_judged_lesson_is_served_before_an_equal_one(loop, agent: Caller, qa: Caller) -> None:
    worse, better = await loop.learn(agent, RULE), await loop.learn(agent, OTHER_RULE)
    for _ in range(3):
        run_id = (await loop.get(agent)).run_id
        await loop.record(qa, run_id, better, prevented_issue=True, source="qa")
        await loop.record(qa, run_id, worse, prevented_issue=False, source="qa")
    assert [lesson.id for lesson in (await loop.get(agent)).lessons] == [better, worse]


async def test_a_verdict_gives_a_lesson_on_probation_more_time(
    loop, lesson_id: str, run_id: str, qa: Caller, clock
) -> None:
    before = (await loop.lesson(lesson_id)).expires_at
    clock.go_on(days=30)
    await loop.record(qa, run_id, lesson_id, source="qa")
    assert (await loop.lesson(lesson_id)).expires_at == before
    await loop.record(qa, run_id, lesson_id, prevented_issue=True, source="qa")
    assert ((await loop.lesson(lesson_id)).expires_at - before).days == 30


# --- flags ------------------------------------------------------------------------------------------------------------


async def test_flags_of_two_authenticated_principals_suspend_a_lesson(
    loop, lesson_id: str, agent: Caller, qa: Caller, reviewer: Caller
) -> None:
    for anybody in (agent, Caller("demo", "script"), qa):  # the first two may be one, with the command line
        assert (await loop.flag(anybody, lesson_id)).result == "noted"
    flagged = await loop.flag(reviewer, lesson_id)
    assert (flagged.result, flagged.flags) == ("suspended", 4)
    assert (await loop.lesson(lesson_id)).status == "suspended"
    assert (await loop.get(agent)).lessons == []
    await loop.assert_healthy()


async def test_flags_of_one_principal_count_once(loop, lesson_id: str, agent: Caller) -> None:
    for reason in ("It misled me.", "Again.", "And again."):
        flagged = await loop.flag(agent, lesson_id, reason)
        assert (flagged.result, flagged.flags) == ("noted", 1)
    assert await loop.rows(tables.lesson_flags, "reason") == ["And again."]
    assert (await loop.lesson(lesson_id)).status == "probation"


async def test_a_lesson_of_the_catalogue_waits_for_a_review_as_well(loop, qa: Caller, reviewer: Caller) -> None:
    made = await loop.report(qa, {"description": "SQL from an f-string", "rule_id": "bandit:B608"})
    lesson_id = made.issues[0].lesson_id
    for caller in (qa, reviewer):
        flagged = await loop.flag(caller, lesson_id)
        assert flagged.result == "review queued"
        assert "The catalogue vouches" in flagged.note
    assert (await loop.lesson(lesson_id)).is_active


@pytest.mark.parametrize("action", ["approve", "pin"])
async def test_a_lesson_a_person_vouches_for_only_waits_for_a_review(
    action: str, loop, lesson_id: str, agent: Caller, qa: Caller, reviewer: Caller, person: Caller
) -> None:
    await loop.review(person, lesson_id, action)
    for caller in (agent, qa, reviewer):
        assert (await loop.flag(caller, lesson_id)).result == "review queued"
    assert (await loop.lesson(lesson_id)).is_active
    assert (await loop.lesson(lesson_id)).flags == 3


async def test_a_lesson_at_rest_is_not_suspended(
    loop, lesson_id: str, agent: Caller, qa: Caller, person: Caller
) -> None:
    await loop.review(person, lesson_id, "retire")
    await loop.flag(agent, lesson_id)
    assert (await loop.flag(qa, lesson_id)).result == "noted"
    assert (await loop.lesson(lesson_id)).status == "retired"


async def test_flags_from_before_a_person_restored_a_lesson_are_settled(
    loop, lesson_id: str, qa: Caller, reviewer: Caller, person: Caller, clock
) -> None:
    await loop.flag(qa, lesson_id)
    await loop.flag(Caller("demo", "other-bot"), lesson_id)
    clock.go_on(days=1)
    await loop.review(person, lesson_id, "restore")
    await loop.assert_healthy()
    clock.go_on(days=1)
    assert (await loop.flag(reviewer, lesson_id)).result == "noted"
    assert (await loop.flag(Caller("demo", "ci-bot"), lesson_id)).result == "suspended"
    await loop.assert_healthy()


async def test_a_flag_names_a_lesson_and_a_run_of_its_own_project(
    loop, lesson_id: str, run_id: str, agent: Caller, stranger: Caller
) -> None:
    with pytest.raises(NotFound):
        await loop.flag(stranger, lesson_id)
    with pytest.raises(NotFound, match="Lnowhere"):
        await loop.flag(agent, "Lnowhere")
    with pytest.raises(NotFound, match="nowhere"):
        await loop.flag(agent, lesson_id, run_id="nowhere")
    assert await loop.rows(tables.lesson_flags) == []
    await loop.flag(agent, lesson_id, f"It told me to print {TOKEN}", run_id=run_id)
    (row,) = await loop.rows(tables.lesson_flags)
    assert (row["run_id"], row["reason"]) == (run_id, "It told me to print [redacted:github-token]")


async def test_a_flag_under_the_same_key_is_done_once(loop, lesson_id: str, agent: Caller) -> None:
    first = await loop.flag(agent, lesson_id, idempotency_key="k")
    assert await loop.flag(agent, lesson_id, idempotency_key="k") == first
