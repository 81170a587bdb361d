"""The one migration tree, walked on both databases: with and without rows, forwards and backwards."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery, StatsQuery
from lessonbook.domain.errors import ConfigError, InvalidInput
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson
from lessonbook.services.background import maintenance
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.lessons import review
from lessonbook.services.opening import open_workspace
from lessonbook.services.queries import stats
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate
from lessonbook.store.engine import Store, connect
from lessonbook.store.tables import metadata
from lessonbook.store.urls import parse_address
from tests.store.scenario import AGENT, TABLES, ask, counted, play, scalar, tamper

pytestmark = pytest.mark.anyio

NAMES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    "postgresql": """SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'
        UNION SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'public'
        ORDER BY 1""",
}


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[Store]:
    store = connect(parse_address(empty_url))
    yield store
    await store.close()


async def names_in(store: Store) -> set[str]:
    return {row[0] for row in await ask(store, NAMES[store.dialect])}


def test_there_is_one_head_and_the_code_names_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.migrations_folder()))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


def test_the_scenario_knows_every_table() -> None:
    assert set(metadata.tables) == set(TABLES)


async def test_an_empty_database_goes_up_down_and_up_again(empty: Store) -> None:
    assert await migrate.current(empty) is None
    await migrate.upgrade(empty)
    made = await names_in(empty)
    assert set(TABLES) < made
    assert await migrate.current(empty) == migrate.HEAD
    await migrate.downgrade(empty, "base")
    left = await names_in(empty)
    assert left <= {"alembic_version", "alembic_version_pkc"}
    assert await migrate.current(empty) is None
    await migrate.upgrade(empty)
    assert await names_in(empty) == made
    assert await migrate.check(empty) == []


async def test_a_database_full_of_rows_goes_down_and_up_again(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    await play(work, clock, agent, qa, person)
    rows = await counted(work.store)
    assert {name for name, count in rows.items() if not count} == set()
    await migrate.upgrade(work.store)  # nothing to do, nothing lost
    assert await counted(work.store) == rows
    await migrate.downgrade(work.store, "base")
    assert not await names_in(work.store) & set(TABLES)
    await migrate.upgrade(work.store)
    assert set((await counted(work.store)).values()) == {0}
    assert await migrate.check(work.store) == []
    again = await open_workspace(work.settings, now=clock)
    await play(again, clock, agent, qa, person)
    assert (await diagnose(again)).faults == []
    await again.store.close()


async def test_a_database_of_the_release_before_keeps_its_figures(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    played = await play(work, clock, agent, qa, person)
    queries = [StatsQuery(), StatsQuery(days=2), StatsQuery(agent_name=AGENT), StatsQuery(lesson_id=played.injection)]

    async def figures() -> list[Any]:
        told = [await stats.get_stats(work, agent, query) for query in queries]
        view = await ask(work.store, "SELECT agent_name, issues, runs, deliveries FROM agent_learning_stats")
        trends = [[(week.begins, week.runs, week.issues) for week in one.trend] for one in told]
        return [*((one.totals, one.prevention_rate) for one in told), trends, view]

    before = await figures()
    await migrate.downgrade(work.store, "0001")
    await migrate.upgrade(work.store)
    assert await figures() == before
    assert (await diagnose(work)).faults == []
    await maintenance.keep_up(work, person)
    assert await figures() == before


async def test_a_workspace_migrates_the_database_it_opens(empty_url: str) -> None:
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": empty_url}}))
    assert await migrate.current(work.store) == migrate.HEAD
    await work.store.close()


async def test_eight_workspaces_that_open_an_empty_database_at_once_agree(empty_url: str) -> None:
    settings = Settings.model_validate({"project": "demo", "database": {"url": empty_url}})
    opened = await asyncio.gather(*(open_workspace(settings) for _ in range(8)))
    assert len({work.secret for work in opened}) == 1
    assert len({work.writer for work in opened}) == 8
    for work in opened:
        await work.store.close()


async def test_a_migrated_database_does_not_differ_from_the_tables_in_the_code(work: Workspace) -> None:
    assert await migrate.check(work.store) == []


async def test_a_dropped_column_is_a_difference(work: Workspace) -> None:
    await tamper(work.store, "ALTER TABLE agent_lessons DROP COLUMN status_reason")
    (line,) = await migrate.check(work.store)
    assert "add_column" in line
    assert "status_reason" in line


async def test_a_dropped_index_and_an_added_column_are_differences(work: Workspace) -> None:
    await tamper(work.store, "DROP INDEX ix_agent_issues_run")
    await tamper(work.store, "ALTER TABLE agent_runs ADD COLUMN mood TEXT")
    lines = await migrate.check(work.store)
    assert len(lines) == 2
    assert any("remove_column" in line and "mood" in line for line in lines)
    assert any("add_index" in line and "ix_agent_issues_run" in line for line in lines)


async def test_a_database_without_a_schema_is_all_difference(empty: Store) -> None:
    lines = await migrate.check(empty)
    assert lines[0] == f"schema is missing, this version needs {migrate.HEAD}"
    assert sum("add_table" in line for line in lines) == len(TABLES)


async def test_a_database_of_a_newer_version_is_refused_and_left_alone(work: Workspace) -> None:
    await tamper(work.store, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match=r"schema 9999.*update Lessonbook"):
        await migrate.ensure(work.store)
    assert await migrate.current(work.store) == "9999"
    await tamper(work.store, "UPDATE alembic_version SET version_num = :head", head=migrate.HEAD)
    assert await migrate.check(work.store) == []


@pytest.mark.parametrize("table", ["agent_lessons", "audit_log", "agent_learning_stats"])
async def test_a_database_in_which_somebody_else_has_a_table_of_ours_is_refused(empty: Store, table: str) -> None:
    await tamper(empty, f"CREATE TABLE {table} (whose TEXT)")
    await tamper(empty, f"INSERT INTO {table} VALUES ('mine')")
    with pytest.raises(ConfigError, match=rf"already has a table {table}.*name another database"):
        await migrate.ensure(empty)
    assert await ask(empty, f"SELECT whose FROM {table}") == [("mine",)]
    assert await names_in(empty) == {table}


async def test_a_database_shared_with_other_tables_is_migrated_beside_them(empty: Store) -> None:
    await tamper(empty, "CREATE TABLE somebody_elses (whose TEXT)")
    await migrate.ensure(empty)
    assert await migrate.current(empty) == migrate.HEAD
    assert "somebody_elses" in await names_in(empty)


async def test_a_migration_that_fails_half_way_leaves_nothing_behind(empty: Store) -> None:
    await tamper(empty, "CREATE TABLE agent_learning_stats (whose TEXT)")  # in the way of the view, the last step
    with pytest.raises(DBAPIError):
        await migrate.upgrade(empty)
    assert await names_in(empty) == {"agent_learning_stats"}


async def test_an_unknown_target_is_refused_with_its_name(work: Workspace) -> None:
    with pytest.raises(InvalidInput, match="no-such-revision"):
        await migrate.upgrade(work.store, "no-such-revision")
    assert await migrate.current(work.store) == migrate.HEAD


async def test_history_cannot_be_changed_or_deleted(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    await play(work, clock, agent, qa, person)
    before = await ask(work.store, "SELECT * FROM agent_lesson_versions ORDER BY lesson_id, change")
    for statement in (
        "UPDATE agent_lesson_versions SET lesson_text = 'it always said so'",
        "UPDATE agent_lesson_versions SET principal = 'somebody else'",
        "UPDATE agent_lesson_versions SET lesson_text = '', rationale = '', reason = '', principal = 'somebody else'",
        "DELETE FROM agent_lesson_versions",
        "DELETE FROM agent_lesson_versions WHERE change = 1",
    ):
        with pytest.raises(DBAPIError, match="agent_lesson_versions is append-only"):
            await tamper(work.store, statement)
    assert await ask(work.store, "SELECT * FROM agent_lesson_versions ORDER BY lesson_id, change") == before


async def test_words_in_the_history_can_be_blanked(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    played = await play(work, clock, agent, qa, person)
    blank = "UPDATE agent_lesson_versions SET lesson_text = '', rationale = '', reason = '' WHERE lesson_id = :id"
    assert await tamper(work.store, blank, id=played.injection) == 2
    words = await ask(
        work.store,
        "SELECT DISTINCT lesson_text, rationale, reason FROM agent_lesson_versions WHERE lesson_id = :id",
        id=played.injection,
    )
    assert words == [("", "", "")]


async def test_the_severity_is_named_by_the_database(work: Workspace, agent: Caller) -> None:
    def insert(connection: Any) -> None:
        for rank in (1, 2, 3, 4):
            connection.execute(
                text(
                    "INSERT INTO agent_lessons (project, id, agent_name, lesson_text, rationale, severity, category, "
                    "status, is_active, trust, author, provenance, effectiveness_score, effect_low, effect_high, "
                    "content_hash, token_count, created_at, updated_at) VALUES ('demo', :id, 'A', 't', 'w', :rank, "
                    "'other', 'active', true, 'approved', 'me', '{}', 0.1, 0.0, 0.2, 'h', 1, :now, :now)"
                ).bindparams(id=f"L{rank}", rank=rank, now=STAMP[work.store.dialect])
            )

    await work.store.write(insert)
    named = await ask(work.store, "SELECT severity, severity_name FROM agent_lessons ORDER BY severity")
    assert named == [(1, "low"), (2, "medium"), (3, "high"), (4, "critical")]
    with pytest.raises(DBAPIError):
        await tamper(work.store, "UPDATE agent_lessons SET severity_name = 'huge'")


STAMP: dict[str, Any] = {
    "sqlite": "2026-03-01 12:00:00.000000",
    "postgresql": datetime.fromisoformat("2026-03-01T12:00:00+00:00"),
}


async def test_the_documented_query_gives_what_is_served_in_the_order_that_matters(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    played = await play(work, clock, agent, qa, person)
    rows = await ask(
        work.store,
        f"SELECT * FROM agent_lessons WHERE agent_name = '{AGENT}' AND is_active "
        "ORDER BY severity DESC, effectiveness_score DESC",
    )
    ranks = [(row.severity, row.effectiveness_score) for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    assert rows[0].id == played.injection
    assert rows[0].severity_name == "critical"
    served = await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, max_lessons=50, max_tokens=8_000))
    assert {row.id for row in rows} == {lesson.id for lesson in served.lessons}


async def test_the_statistics_view_has_a_row_per_agent_with_all_that_happened(
    work: Workspace, clock: Any, agent: Caller, qa: Caller, person: Caller
) -> None:
    await play(work, clock, agent, qa, person)
    (row,) = await ask(work.store, "SELECT * FROM agent_learning_stats WHERE project = 'demo'")
    figures = {**row._mapping}
    latest = figures.pop("last_activity_at")
    average = {name: figures.pop(name) for name in ("effectiveness", "effectiveness_low", "effectiveness_high")}
    assert figures == {
        "project": "demo",
        "agent_name": AGENT,
        "total_lessons": 4,  # two from the catalogue, one of a person, one offered
        "active_lessons": 4,
        "critical_lessons": 1,
        "high_lessons": figures["high_lessons"],
        "medium_lessons": figures["medium_lessons"],
        "low_lessons": 1,
        "issues": 5,
        "pending_issues": 1,
        "runs": 2,
        "deliveries": 5,  # two in the first run, three in the second
        "applications": 2,
        "verified": 2,
        "prevented": 1,
    }
    assert figures["high_lessons"] + figures["medium_lessons"] == 2
    mean = "SELECT avg(effectiveness_score), avg(effect_low), avg(effect_high) FROM agent_lessons WHERE is_active"
    assert list(average.values()) == pytest.approx(list((await ask(work.store, mean))[0]))
    assert str(latest).startswith("2026-03-04 12:05:00")


async def test_an_agent_that_was_only_served_shared_lessons_in_anothers_run_is_in_the_view(
    work: Workspace, person: Caller, agent: Caller
) -> None:
    await review.add_lesson(work, person, NewLesson(text="Close every file in the block that opened it."))
    await review.add_lesson(work, person, NewLesson(text="Give every network call a time limit of its own."))
    await delivery.get_lessons(work, agent, LessonQuery(agent_name="DatabaseAgent", run_id="shared", max_lessons=1))
    await delivery.get_lessons(work, agent, LessonQuery(agent_name="FrontendDevelopmentAgent", run_id="shared"))
    assert await scalar(work.store, "SELECT count(*) FROM agent_lesson_deliveries") == 2
    assert await scalar(work.store, "SELECT sum(deliveries) FROM agent_learning_stats") == 2
