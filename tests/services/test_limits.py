"""How much one principal may write, and what of it an operator is shown (SAFETY P9)."""

import dataclasses
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import Application, LessonQuery
from lessonbook.domain.errors import TooMany
from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import Authoring, PendingListing
from lessonbook.edges.tool_table import OPERATIONS
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.limits import USES, Kind, Limits
from lessonbook.services.queries import listings
from lessonbook.services.queries.unusual_reports import ALIKE, BURST, REPEATED
from lessonbook.services.triage import authoring
from lessonbook.store.call_counts import KEPT_HOURS
from lessonbook.store.tables import use_counts
from tests.conftest import Clock, on_both
from tests.services.conftest import Loop
from tests.texts import unlike_any_other

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

RULE = "Give each outgoing request a timeout."
ALL_KINDS = get_args(Kind)


def limited(loop: Loop, later: timedelta = timedelta(0), **limits: int) -> Loop:
    """Return the loop with other limits, and perhaps a later hour."""
    settings = loop.work.settings
    limits_set = settings.limits.model_copy(update=limits)
    now = loop.work.now
    work = dataclasses.replace(
        loop.work, settings=settings.model_copy(update={"limits": limits_set}), now=lambda: now() + later
    )
    return Loop(work)


def texts(count: int, salt: str = "") -> list[str]:
    return [unlike_any_other(f"{salt}{number}") for number in range(count)]


async def notes(loop: Loop, caller: Caller, **listing: Any) -> list[str]:
    page = await listings.list_pending_issues(loop.work, caller, PendingListing.model_validate(listing))
    return page.notes


async def test_beyond_its_quota_a_principal_is_refused_until_an_hour_has_passed(
    loop: Loop, agent: Caller, qa: Caller
) -> None:
    few = limited(loop, issues_per_hour=5)
    await few.report(agent, *texts(4))
    with pytest.raises(TooMany, match=r"4 issues in the last hour, and may report 5 \(limits.issues_per_hour\)"):
        await few.report(agent, *texts(2, "more"))
    await few.report(agent, *texts(1, "last"))
    await few.report(qa, *texts(5, "others"))
    await limited(few, timedelta(minutes=61), issues_per_hour=5).report(agent, *texts(5, "later"))


async def test_a_refused_report_leaves_nothing(loop: Loop, agent: Caller, person: Caller) -> None:
    with pytest.raises(TooMany):
        await limited(loop, issues_per_hour=1).report(agent, *texts(2))
    assert (await listings.list_pending_issues(loop.work, person, PendingListing())).issues == []


@on_both
async def test_other_processes_count_too(loop: Loop, other_process: Loop, agent: Caller) -> None:
    await other_process.report(agent, *texts(3))
    with pytest.raises(TooMany, match="3 issues"):
        await limited(loop, issues_per_hour=4).report(agent, *texts(2, "more"))
    await other_process.report(agent, *texts(1, "again"))
    soon = limited(loop, timedelta(seconds=31), issues_per_hour=4)
    with pytest.raises(TooMany, match="4 issues"):
        await soon.report(agent, *texts(1, "more"))


async def test_people_and_other_projects_are_not_held_to_an_agents_quota(
    loop: Loop, agent: Caller, person: Caller, stranger: Caller
) -> None:
    few = limited(loop, issues_per_hour=1)
    await few.report(agent, *texts(1))
    await few.report(person, *texts(3, "by hand"))
    await few.report(stranger, *texts(1, "elsewhere"))


async def test_no_limit_is_zero(loop: Loop, agent: Caller) -> None:
    await limited(loop, issues_per_hour=0, lessons_per_hour=0).report(agent, *texts(3))


async def test_who_has_made_its_lessons_may_report_on_but_offer_no_more(loop: Loop, agent: Caller) -> None:
    few = limited(loop, lessons_per_hour=1)
    await few.learn(agent, RULE)
    (line,) = (await few.report(agent, unlike_any_other("plain"))).issues
    assert line.action == "pending"
    with pytest.raises(TooMany, match="leave out `lesson`"):
        await few.learn(agent, "Close every file with a context manager.")
    asked = {"lessons": [{"issue_ids": [line.issue_id], "lesson": "Close every file with a context manager."}]}
    with pytest.raises(TooMany, match="lessons_per_hour"):
        await authoring.refine_issues(few.work, agent, Authoring.model_validate(asked))


async def test_a_retry_under_its_key_is_answered_beyond_the_quota(loop: Loop, agent: Caller) -> None:
    few = limited(loop, issues_per_hour=1)
    first = await few.report(agent, "The call hangs", idempotency_key="one")
    assert await few.report(agent, "The call hangs", idempotency_key="one") == first


ASKED: dict[str, dict[str, Any]] = {
    "get_lessons": {"task": "add an endpoint"},
    "record_application": {"run_id": "r", "lesson_ids": ["L1"]},
    "flag_lesson": {"lesson_id": "L1", "reason": "it misled me"},
    "report_issues": {"issues": [], "run_id": "r"},
    "report_file": {"kind": "sarif", "run_ids": ["r"]},
    "refine_issues": {"lessons": [{}]},
    "review_lesson": {"lesson_id": "L1", "action": "suspend"},
    "cleanup_lessons": {"dry_run": False},
}


@on_both
async def test_every_operation_that_writes_is_bounded_for_a_principal_over_all_processes(
    loop: Loop, other_process: Loop, agent: Caller, qa: Caller, person: Caller, clock: Clock
) -> None:
    assert ASKED.keys() == {*(one.name for one in OPERATIONS if not one.read_only), "report_file"} == USES.keys()
    most = 8
    for service, asked in ASKED.items():
        for kind in USES[service]:
            few = {f"{other}_per_hour": most if other == kind else 0 for other in ALL_KINDS}
            here, there = (limited(process, **few).work for process in (loop, other_process))
            here, there = (dataclasses.replace(one, limits=Limits()) for one in (here, there))
            clock.go_on(minutes=60 - clock().minute, seconds=-clock().second)
            for _ in range(3):
                await here.limits.admit_use(here, agent, service, asked)
            clock.go_on(seconds=6)
            await here.limits.admit_use(here, agent, service, asked)  # tells the other process of four
            for _ in range(most - 4):
                await there.limits.admit_use(there, agent, service, asked)
            with pytest.raises(TooMany, match=f"limits.{kind}_per_hour.*next hour, 60 minutes") as refused:
                await there.limits.admit_use(there, agent, service, asked)
            assert refused.value.retry_after_s == 3_594
            await there.limits.admit_use(there, qa, service, asked)
            await there.limits.admit_use(there, replace(agent, project="elsewhere"), service, asked)
            for _ in range(most + 1):
                await there.limits.admit_use(there, person, service, asked)
            clock.go_on(hours=1)
            await there.limits.admit_use(there, agent, service, asked)
    await maintenance.keep_up(loop.work, person)
    kept = {row["hour"] for row in await loop.rows(use_counts)}
    assert min(kept) >= int(clock().timestamp()) // 3_600 - KEPT_HOURS


@on_both
async def test_a_call_is_counted_by_what_it_asks_for_before_it_does_anything(
    settings: Settings, loop: Loop, agent: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    few = settings.model_copy(update={"limits": settings.limits.model_copy(update={"applications_per_hour": 2})})
    gateway = gateway_for(few, "local")
    run_id = (await gateway.call(services.serve.get_lessons, LessonQuery())).run_id
    three = Application(run_id=run_id, lesson_ids=[lesson_id, "L1", "L2"])
    with pytest.raises(TooMany, match="applications_per_hour"):
        await gateway.call(services.feedback.record_application, three)
    assert (await loop.lesson(lesson_id)).times_applied == 0
    await gateway.call(services.feedback.record_application, Application(run_id=run_id, lesson_ids=[lesson_id]))
    await gateway.close()


async def test_an_ordinary_day_is_worth_no_look(loop: Loop, agent: Caller, person: Caller) -> None:
    await loop.report(agent, *texts(60))
    assert await notes(loop, person) == []


async def test_a_flood_of_the_same_and_the_lesson_it_joins_are_shown(
    loop: Loop, agent: Caller, person: Caller, stranger: Caller
) -> None:
    await loop.learn(agent, RULE, "The call hangs")
    lesson_id = (await loop.report(agent, *["The call hangs"] * REPEATED)).issues[0].lesson_id
    issues = REPEATED + 1
    assert await notes(loop, person) == [
        f"Near-duplicates: {issues} issues of 'local' in a day are 1 different ones.",
        f"One lesson: {issues} of {issues} issues in a day joined {lesson_id}, most of them from 'local'.",
    ]
    told = (await doctor_checks.diagnose(loop.work)).warnings
    assert (
        f"project {person.project}: Near-duplicates: {issues} issues of 'local' in a day are 1 different ones." in told
    )
    assert await notes(loop, stranger) == []
    assert await notes(limited(loop, timedelta(hours=25)), person) == []
    assert issues >= ALIKE


async def test_a_burst_is_shown_for_an_hour(loop: Loop, agent: Caller, person: Caller) -> None:
    for part in range(BURST // 100):
        await loop.report(agent, *texts(100, f"{part}."))
    assert await notes(loop, person) == [f"A burst: 'local' reported {BURST} issues in the last hour."]
    assert await notes(limited(loop, timedelta(minutes=61)), person) == []
