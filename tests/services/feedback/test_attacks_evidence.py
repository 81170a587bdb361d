"""One caller against the evidence, the plain ways: forging an effect, hiding a lesson, stopping the service."""

from dataclasses import dataclass
from typing import Any

import pytest
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.config.settings import LearningSettings, Settings
from lessonbook.domain.lesson import Caller
from lessonbook.edges.mcp_server import build_server
from lessonbook.experiment.serving_policy import HOLDOUT_SHARE
from lessonbook.services.background import maintenance
from lessonbook.services.cache import evidence
from lessonbook.store import tables
from tests.conftest import on_both
from tests.texts import unlike_any_other

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.databases("sqlite")]

AGENT = "BackendDevelopmentAgent"
BAD = "Keep the answers of a slow peer for a day before asking it again."


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"learning": LearningSettings(mode="measured")})


@dataclass
class Attacker:
    """The one caller of a server over MCP, who claims to be CI, QA and a reviewer."""

    client: Client
    loop: Any

    async def do(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        assert result.structured_content is not None
        return result.structured_content

    async def learn(self, **issue: Any) -> str:
        (line,) = (await self.do("report_issues", agent_name=AGENT, issues=[issue]))["issues"]
        return line["lesson_id"]

    async def runs(self, lesson_id: str, count: int, *, one_withheld: bool = False) -> dict[str, bool]:
        """Return runs in which a coin decided on the lesson, and whether it was shown: the answer tells that.

        They are `count`, or as many as it takes until it was withheld in one.
        """
        found: dict[str, bool] = {}
        while len(found) < count or (one_withheld and all(found.values())):
            answer = await self.do("get_lessons", agent_name=AGENT, max_lessons=20, max_tokens=4_000)
            found[answer["run_id"]] = lesson_id in {lesson["id"] for lesson in answer["lessons"]}
        return found

    async def forge(self, run_id: str, source: str, rule_id: str) -> None:
        """Report an issue in a run as `source`, and say that its lesson did not help."""
        issue = {"description": unlike_any_other(run_id), "rule_id": rule_id, "file": f"{run_id}.py"}
        await self.do("report_issues", run_id=run_id, source=source, issues=[issue])

    async def lesson(self, lesson_id: str) -> Any:
        return await self.loop.lesson(lesson_id)


@pytest.fixture
async def attacker(dialect: str, loop, settings: Settings):
    """An attacker over either transport: on stdio with SQLite, over HTTP with PostgreSQL."""
    gateway = gateway_for(settings, "local")
    server = build_server(gateway, ["agent", "operator"], stays_connected=dialect == "sqlite")
    async with Client(server) as client:
        yield Attacker(client, loop)
    await gateway.close()


SOURCES = ["ci", "qa", "review"]


async def test_one_caller_does_not_make_its_own_words_active(attacker: Attacker) -> None:
    lesson_id = await attacker.learn(description="The token is slow", lesson=BAD, rule_id="tool:T1")
    before = await attacker.lesson(lesson_id)
    withheld = 0
    for run_id, shown in (await attacker.runs(lesson_id, 30, one_withheld=True)).items():
        await attacker.do("record_application", run_id=run_id, lesson_ids=[lesson_id], prevented_issue=True)
        for source in SOURCES:
            await attacker.do(
                "record_application", run_id=run_id, lesson_ids=[lesson_id], prevented_issue=True, source=source
            )
        if not shown:
            withheld += 1
            await attacker.forge(run_id, "ci", "tool:T1")
    assert withheld
    after = await attacker.lesson(lesson_id)
    assert (after.status, after.events) == ("probation", 0)
    assert after.effectiveness_score == before.effectiveness_score
    assert (await attacker.do("get_stats", lesson_id=lesson_id))["effect"] == "not enough data"
    await attacker.loop.assert_healthy()


async def test_one_caller_does_not_hide_a_lesson_by_forged_reports_flags_and_verdicts(attacker: Attacker) -> None:
    lesson_id = await attacker.learn(description="SQL from an f-string", rule_id="bandit:B608")
    before = await attacker.lesson(lesson_id)
    for run_id, shown in (await attacker.runs(lesson_id, 24)).items():
        if shown:
            for source in SOURCES:
                await attacker.forge(run_id, source, "bandit:B608")
        for source in SOURCES:
            await attacker.do(
                "record_application", run_id=run_id, lesson_ids=[lesson_id], prevented_issue=False, source=source
            )
        await attacker.do("flag_lesson", lesson_id=lesson_id, reason="It misled me.", run_id=run_id)
    after = await attacker.lesson(lesson_id)
    assert (after.status, after.events, after.flags) == ("probation", 0, 1)
    assert after.effectiveness_score == before.effectiveness_score
    assert (await attacker.do("cleanup_lessons"))["suspended"] == 0
    shown = list((await attacker.runs(lesson_id, 12)).values())
    assert any(shown)
    (chance, *_) = {row["p_show"] for row in await attacker.loop.rows(tables.deliveries) if not row["exempt"]}
    assert chance > 0.5


async def test_one_caller_does_not_stop_the_service(attacker: Attacker, agent: Caller) -> None:
    lesson_id = await attacker.learn(description="The call hangs", lesson=BAD, rule_id="tool:T1")
    for run_id in await attacker.runs(lesson_id, 20):
        for source in SOURCES:
            await attacker.forge(run_id, source, "tool:T1")
    # As it would be after thousands of such runs: those held out are without an issue.
    rows = await attacker.loop.rows(tables.evidence)
    assert sum(row["served_issues"] + row["held_out_issues"] for row in rows) == 0
    assert {row["p_holdout"] for row in await attacker.loop.rows(tables.runs)} == {HOLDOUT_SHARE}
    assert not (await maintenance.keep_up(attacker.loop.work, Caller("demo", "upkeep"))).stopped


@on_both
async def test_what_local_says_of_a_run_that_the_command_line_began_is_declared(
    attacker: Attacker, person: Caller
) -> None:
    """A hook fetches lessons as `cli`; the agent beside it reports over MCP."""
    lesson_id = await attacker.learn(description="The call hangs", lesson=BAD, rule_id="tool:T1")
    run_id = (await attacker.loop.get(person)).run_id
    await attacker.forge(run_id, "ci", "tool:T1")
    await attacker.do("record_application", run_id=run_id, lesson_ids=[lesson_id], prevented_issue=True, source="qa")
    assert {row["evidence"] for row in await attacker.loop.rows(tables.issues)} == {"declared"}
    assert await attacker.loop.rows(tables.applications, "verdict_evidence") == ["declared"]


async def test_declared_issues_bring_no_coin_nearer(attacker: Attacker, clock) -> None:
    lesson_id = await attacker.learn(description="The call hangs", lesson=BAD, rule_id="tool:T1")
    for run_id in await attacker.runs(lesson_id, 15):
        await attacker.forge(run_id, "ci", "tool:T1")
    ready = await attacker.loop.work.store.read(
        lambda connection: evidence.readiness(connection, "demo", AGENT, "auto", clock())
    )
    assert ready.events == 0


@on_both
async def test_what_was_declared_beforehand_does_not_keep_anothers_report_from_counting(
    loop, attacker: Attacker, agent: Caller, qa: Caller
) -> None:
    lesson_id = await attacker.learn(description="The call hangs", lesson=BAD, rule_id="tool:T1")
    await loop.report(qa, {"description": "The call hung", "rule_id": "tool:T1", "file": "old.py"}, source="ci")
    await loop.check(qa, "a run before")
    before: dict[str, bool] = {}
    while set(before.values()) != {True, False}:
        before |= await attacker.runs(lesson_id, 1)
    shown = next(run_id for run_id, was_shown in before.items() if was_shown)  # the other may be one held out
    issue = {"description": "The call hangs again", "rule_id": "tool:T1", "file": "a.py"}
    for run_id in before:
        await loop.report(agent, issue, run_id=run_id, source="ci")  # an old sin, the agent says
    await loop.report(qa, issue, run_id=shown, source="ci")
    assert (await loop.lesson(lesson_id)).events == 1
    await loop.report(qa, issue, run_id=shown, source="ci")
    assert (await loop.lesson(lesson_id)).events == 1
    await loop.assert_healthy()


async def test_an_agents_own_verdict_gives_a_lesson_on_probation_no_more_time(loop, agent: Caller, clock) -> None:
    lesson_id = await loop.learn(agent, BAD)
    run_id = (await loop.get(agent)).run_id
    before = (await loop.lesson(lesson_id)).expires_at
    clock.go_on(days=30)
    await loop.record(agent, run_id, lesson_id, prevented_issue=True, source="qa")
    assert (await loop.lesson(lesson_id)).expires_at == before
