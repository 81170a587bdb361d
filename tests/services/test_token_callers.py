"""What callers with tokens may decide and prove, on both databases."""

from dataclasses import replace

import pytest

from lessonbook.domain.agent_tools import Application, Flag, LessonQuery
from lessonbook.domain.errors import Conflict, Forbidden, TooMany
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview
from lessonbook.domain.takeback import Cleanup
from lessonbook.domain.token_scopes import SCOPES, Scope
from lessonbook.services.background import maintenance
from lessonbook.services.feedback import applications
from lessonbook.services.lessons import review
from lessonbook.services.queries import get_lesson, list_flagged
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from tests.conftest import Clock
from tests.store.scenario import AGENT, ask, issue, tell

pytestmark = pytest.mark.anyio
SQL = {"description": "SQL text from an f-string", "rule_id": "bandit:B608", "lesson": "", "severity": "critical"}


def token(name: str, *scopes: Scope) -> Caller:
    return Caller("demo", name, scopes=frozenset(scopes))


WRITER = token("writer", "lessons:read", "issues:write", "applications:write")
OTHER = replace(WRITER, principal="other")
REVIEWER = token("reviewer", "lessons:approve")


async def offered(work: Workspace, caller: Caller, number: int = 1) -> str:
    """Return a lesson in the words of a caller."""
    (line,) = (await tell(work, caller, issue(number))).issues
    assert line.lesson_id
    return line.lesson_id


async def curated(work: Workspace, caller: Caller) -> str:
    (line,) = (await tell(work, caller, issue(**SQL))).issues
    assert line.lesson_id
    return line.lesson_id


async def test_a_reviewer_approves_the_words_of_others(work: Workspace) -> None:
    lesson_id = await offered(work, WRITER)
    done = await review.review_lesson(work, REVIEWER, LessonReview(lesson_id=lesson_id, action="approve"))
    assert done.status == "active"
    assert (await get_lesson(work, WRITER, lesson_id)).approved_by == "reviewer"


@pytest.mark.parametrize("action", ["approve", "edit", "restore", "pin", "delete"])
async def test_nobody_decides_on_their_own_words(work: Workspace, action: str) -> None:
    everything = replace(WRITER, scopes=frozenset(SCOPES))
    lesson_id = await offered(work, everything)
    asked = LessonReview.model_validate(
        {"lesson_id": lesson_id, "action": action, "text": "Close every file in the block that opened it."}
    )
    with pytest.raises(Forbidden, match="nobody decides on their own words"):
        await review.review_lesson(work, everything, asked)
    with pytest.raises(Forbidden, match=f"lessonbook lessons {action}.*lessons:approve"):
        await review.review_lesson(work, WRITER, asked)


async def test_a_reporter_may_decide_on_the_catalogues_words(work: Workspace) -> None:
    everything = replace(WRITER, scopes=frozenset(SCOPES))
    lesson_id = await curated(work, everything)
    done = await review.review_lesson(work, everything, LessonReview(lesson_id=lesson_id, action="pin"))
    assert done.pinned


@pytest.mark.parametrize("action", ["suspend", "reject", "retire", "expire"])
async def test_what_the_catalogue_vouches_for_is_taken_away_by_a_reviewer_alone(work: Workspace, action: str) -> None:
    lesson_id = await curated(work, WRITER)
    asked = LessonReview.model_validate({"lesson_id": lesson_id, "action": action})
    with pytest.raises(Forbidden, match="catalogue vouches"):
        await review.review_lesson(work, WRITER, asked)
    assert (await review.review_lesson(work, REVIEWER, asked)).status in {"suspended", "rejected", "retired", "expired"}


async def test_a_clean_up_is_carried_out_by_a_reviewer(work: Workspace) -> None:
    with pytest.raises(Forbidden):
        await maintenance.cleanup_lessons(work, WRITER, Cleanup(dry_run=False))
    assert not (await maintenance.cleanup_lessons(work, REVIEWER, Cleanup(dry_run=False))).dry_run


async def test_only_evidence_write_makes_a_report_independent(work: Workspace) -> None:
    await curated(work, WRITER)
    await delivery.get_lessons(work, WRITER, LessonQuery(agent_name=AGENT, run_id="run-1"))
    ci = token("ci", "issues:write", "applications:write", "evidence:write")
    for caller, source, evidence in (
        (OTHER, "agent", "declared"),
        (replace(WRITER, scopes=ci.scopes), "ci", "declared"),  # its own run
        (ci, "ci", "verified"),
    ):
        report = await tell(work, caller, issue(**SQL), run_id="run-1", source="ci")
        query = "SELECT source, evidence FROM agent_issues WHERE refinement_run_id = :run"
        ((*stored,),) = await ask(work.store, query, run=report.refinement_run_id)
        assert stored == [source, evidence]
        assert ("evidence:write" in report.note) == (source == "agent")


async def test_only_evidence_write_makes_a_verdict_independent(work: Workspace) -> None:
    lesson_id = await curated(work, WRITER)
    await delivery.get_lessons(work, WRITER, LessonQuery(agent_name=AGENT, run_id="run-1"))
    verdict = Application(run_id="run-1", lesson_ids=[lesson_id], prevented_issue=True, source="qa")
    told = await applications.record_application(work, OTHER, verdict)
    assert "evidence:write" in told.note
    query = "SELECT self_report, verdict, verdict_evidence FROM agent_lesson_applications"
    ((self_report, judged, _),) = await ask(work.store, query)
    assert self_report
    assert judged is None
    qa = token("qa", "applications:write", "evidence:write")
    assert not (await applications.record_application(work, qa, verdict)).note
    ((_, judged, evidence),) = await ask(work.store, query)
    assert (bool(judged), evidence) == (True, "verified")


async def test_two_flags_of_two_tokens_suspend_and_every_reason_is_kept(work: Workspace, clock: Clock) -> None:
    lesson_id = await offered(work, REVIEWER)
    for caller, reason, result in (
        (WRITER, "it misled me", "noted"),
        (WRITER, "it misled me again", "noted"),
        (OTHER, "wrong for our framework", "suspended"),
    ):
        flagged = await applications.flag_lesson(work, caller, Flag(lesson_id=lesson_id, reason=reason))
        assert flagged.result == result
        clock.go_on(minutes=1)
    assert flagged.flags == 2
    (lesson,) = await list_flagged(work, REVIEWER)
    kept = [(flag.principal, flag.reason) for flag in lesson.raised]
    assert kept == [
        ("writer", "it misled me"),
        ("writer", "it misled me again"),
        ("other", "wrong for our framework"),
    ]
    assert [flag.reason for flag in (await get_lesson(work, REVIEWER, lesson_id)).flags] == [why for _, why in kept]


async def test_flags_lose_their_words_with_the_lesson(work: Workspace, person: Caller) -> None:
    lesson_id = await offered(work, REVIEWER)
    for reason in ("the first word", "the second word"):
        await applications.flag_lesson(work, WRITER, Flag(lesson_id=lesson_id, reason=reason))
    await review.review_lesson(work, person, LessonReview(lesson_id=lesson_id, action="delete"))
    assert "word" not in repr(await ask(work.store, "SELECT * FROM agent_lesson_flags"))


async def test_an_idempotency_key_is_the_principals_own(work: Workspace) -> None:
    first = await tell(work, WRITER, issue(1), idempotency_key="k")
    assert await tell(work, WRITER, issue(1), idempotency_key="k") == first
    second = await tell(work, OTHER, issue(2), idempotency_key="k")
    assert second.refinement_run_id != first.refinement_run_id
    with pytest.raises(Conflict):
        await tell(work, WRITER, issue(2), idempotency_key="k")


async def test_calls_are_limited_by_the_minute_over_all_processes(work: Workspace, clock: Clock) -> None:
    limits = work.settings.limits.model_copy(update={"calls_per_minute": 10})
    settings = work.settings.model_copy(update={"limits": limits})
    here, there = (replace(work, settings=settings, writer=name, limits=type(work.limits)()) for name in "ab")
    for _ in range(6):
        await here.limits.admit_call(here, WRITER)
    clock.go_on(seconds=6)
    await here.limits.admit_call(here, WRITER)  # tells the other process of seven
    for _ in range(3):
        await there.limits.admit_call(there, WRITER)
    with pytest.raises(TooMany, match="calls_per_minute"):
        await there.limits.admit_call(there, WRITER)
    await there.limits.admit_call(there, OTHER)  # another principal
    await there.limits.admit_call(there, replace(WRITER, scopes=None))  # stdio and the terminal
    clock.go_on(minutes=1)
    await there.limits.admit_call(there, WRITER)


async def test_few_calls_cost_no_transaction(work: Workspace) -> None:
    for _ in range(50):
        await work.limits.admit_call(work, WRITER)
    assert await ask(work.store, "SELECT * FROM call_counts") == []
