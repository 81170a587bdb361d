"""Figures: counts by project, agent, lesson and days, and no effect before there is evidence."""

import pytest

from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.services.queries import stats
from lessonbook.services.workspace import Workspace
from tests.conftest import on_both

pytestmark = [pytest.mark.anyio, pytest.mark.databases("sqlite")]

AGENT = "BackendDevelopmentAgent"
OTHER_AGENT = "DatabaseAgent"
RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."

ALL = {
    "lessons": 3,
    "active": 2,
    "issues": 5,
    "pending": 1,
    "runs": 3,
    "deliveries": 3,
    "applications": 2,
    "verified": 1,
    "prevented": 1,
}


@pytest.fixture
async def history(loop, agent: Caller, qa: Caller, person: Caller, clock) -> dict[str, str]:
    """Ten days of work of two agents, an old half and a new one."""
    first = await loop.learn(agent, RULE, "The call hangs")
    run_id = (await loop.get(agent)).run_id
    await loop.record(agent, run_id, first)
    await loop.record(qa, run_id, first, prevented_issue=True, source="qa")
    clock.go_on(days=10)
    await loop.report(agent, "The call hangs", "Nobody knows")
    await loop.record(agent, (await loop.get(agent)).run_id, first)
    second = await loop.learn(agent, OTHER_RULE, agent_name=OTHER_AGENT)
    third = await loop.learn(agent, RULE, agent_name=OTHER_AGENT)
    await loop.review(person, third, "retire")
    await loop.get(agent, agent_name=OTHER_AGENT)
    return {"first": first, "second": second, "third": third}


async def test_totals_of_a_project_add_up(loop, history, agent: Caller) -> None:
    assert (await loop.stats(agent)).totals.model_dump() == ALL


async def test_an_empty_project_has_zero_of_everything(loop, agent: Caller, history, stranger: Caller) -> None:
    answer = await loop.stats(stranger)
    assert set(answer.totals.model_dump().values()) == {0}
    assert (answer.effect, answer.top_recurring, answer.lift.status) == ("not enough data", [], "not enough data")


async def test_totals_of_an_agent_are_its_share(loop, history, agent: Caller) -> None:
    mine = (await loop.stats(agent, agent_name=AGENT)).totals.model_dump()
    theirs = (await loop.stats(agent, agent_name=OTHER_AGENT)).totals.model_dump()
    assert {name: mine[name] + theirs[name] for name in mine} == ALL
    assert (theirs["lessons"], theirs["active"], theirs["runs"], theirs["verified"]) == (2, 1, 1, 0)
    assert set((await loop.stats(agent, agent_name="RAGAgent")).totals.model_dump().values()) == {0}


async def test_an_agent_may_be_named_by_an_alias(loop, history, agent: Caller) -> None:
    alias = next(known.aliases[0] for known in loop.work.roster.agents if known.name == AGENT)
    assert await loop.stats(agent, agent_name=alias) == await loop.stats(agent, agent_name=AGENT)


@on_both
async def test_days_bound_the_evidence(loop, history, agent: Caller) -> None:
    recent = (await loop.stats(agent, days=5)).totals
    assert (recent.issues, recent.pending, recent.runs, recent.deliveries) == (4, 1, 2, 2)
    assert (recent.applications, recent.verified, recent.prevented) == (1, 0, 0)
    assert (await loop.stats(agent, days=11)).totals.model_dump() == ALL
    assert (await loop.stats(agent, days=5, agent_name=OTHER_AGENT)).totals.runs == 1


async def test_figures_of_a_lesson(loop, history, agent: Caller) -> None:
    totals = (await loop.stats(agent, lesson_id=history["first"])).totals
    assert (totals.lessons, totals.active, totals.issues, totals.deliveries) == (1, 1, 2, 2)
    assert (totals.applications, totals.verified, totals.prevented) == (2, 1, 1)
    assert (await loop.stats(agent, lesson_id=history["third"])).totals.active == 0


@on_both
async def test_days_bound_a_lessons_evidence_too(loop, history, agent: Caller) -> None:
    totals = (await loop.stats(agent, lesson_id=history["first"], days=5)).totals
    assert (totals.issues, totals.runs, totals.deliveries) == (1, 1, 1)
    assert (totals.applications, totals.verified, totals.prevented) == (1, 0, 0)


async def test_an_unknown_lesson_or_one_of_another_project_is_an_error(
    loop, history, agent: Caller, stranger: Caller
) -> None:
    with pytest.raises(NotFound, match="Lnowhere"):
        await loop.stats(agent, lesson_id="Lnowhere")
    with pytest.raises(NotFound):
        await loop.stats(stranger, lesson_id=history["first"])


async def test_issues_that_keep_coming_back_are_told_worst_first(loop, agent: Caller, person: Caller) -> None:
    made = {}
    for name, times in {"a": 3, "b": 5, "c": 1, "d": 4}.items():
        made[name] = await loop.learn(agent, f"{RULE} In case {name * 3}.", f"case {name * 3}")
        for _ in range(times - 1):
            await loop.report(agent, f"case {name * 3}")
    await loop.review(person, made["d"], "reject")
    told = (await loop.stats(agent)).top_recurring
    assert [(line.lesson_id, line.issues) for line in told] == [(made["b"], 5), (made["a"], 3)]
    only = (await loop.stats(agent, lesson_id=made["a"])).top_recurring
    assert [line.issues for line in only] == [3]
    assert (await loop.stats(agent, lesson_id=made["c"])).top_recurring == []
    assert (await loop.stats(agent, agent_name=OTHER_AGENT)).top_recurring == []


async def test_lessons_that_are_not_served_are_counted_by_the_reason(
    loop, history, agent: Caller, person: Caller
) -> None:
    await loop.review(person, history["second"], "suspend")
    assert (await loop.stats(agent)).withheld_by_reason == {"coin": 0, "holdout": 0, "retired": 1, "suspended": 1}
    assert (await loop.stats(agent, agent_name=AGENT)).withheld_by_reason == {"coin": 0, "holdout": 0}


async def test_the_view_has_a_row_for_each_agent(work: Workspace, loop, history, agent: Caller) -> None:
    rows = {row.agent_name: row for row in await stats.by_agent(work, agent)}
    assert set(rows) == {AGENT, OTHER_AGENT}
    assert rows[AGENT].total_lessons == rows[AGENT].medium_lessons == 1
    assert 0 < rows[AGENT].effectiveness < 1
    assert rows[AGENT].effectiveness_low < rows[AGENT].effectiveness < rows[AGENT].effectiveness_high
    assert rows[OTHER_AGENT].last_activity_at.startswith("2026-03-11T12:00")
    assert [row.agent_name for row in await stats.by_agent(work, agent, AGENT)] == [AGENT]
