"""Deliveries by the month in which their run began: made ahead, found again, dropped after their time."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from lessonbook.domain.agent_tools import LessonQuery, StatsQuery
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import NewLesson
from lessonbook.services.background import doctor_checks, maintenance
from lessonbook.services.lessons import review
from lessonbook.services.queries import stats
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate, partitions, row_security
from tests.conftest import Clock
from tests.store.scenario import AGENT, PROJECT, ask, scalar, tamper

pytestmark = pytest.mark.anyio

on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])
BOTH = "Give every network call a time limit of its own."
YEAR = datetime.now(UTC).year + 2
"""Later than the first partition, which ends with the month in which the database was made."""
KEPT_DAYS = 90


@pytest.fixture
async def serve(work: Workspace, clock: Clock, person: Caller, agent: Caller) -> Callable[..., Any]:
    """Serve the lessons of a run in some month."""
    for words in ("Close every file in the block that opened it.", BOTH):
        await review.add_lesson(work, person, NewLesson(text=words, agent_name=AGENT))

    async def served(run_id: str, month: int, most: int = 2, **query: Any) -> None:
        clock.moment = datetime(YEAR, month, 15, tzinfo=UTC)
        await delivery.get_lessons(work, agent, LessonQuery(agent_name=AGENT, run_id=run_id, max_lessons=most, **query))

    return served


async def keep_up(work: Workspace, clock: Clock, month: int, days: int = 0) -> None:
    """Do in some month what upkeep does, with deliveries kept for so many days."""
    clock.moment = datetime(YEAR, month, 20, tzinfo=UTC)
    await maintenance.keep_up(work, Caller(PROJECT, "upkeep"))
    await work.store.write(lambda connection: partitions.keep(connection, PROJECT, clock(), days))


async def places(work: Workspace) -> list[tuple[str, str]]:
    """Return each delivery's run, and the month or name of its partition."""
    name = f"replace(replace(tableoid::regclass::text, 'agent_lesson_deliveries_', ''), '{YEAR}_', '')"
    rows = await ask(work.store, f"SELECT run_id, {name} FROM agent_lesson_deliveries ORDER BY 1, 2")
    return [tuple(row) for row in rows]


@on_postgresql
async def test_a_runs_deliveries_lie_together_however_long_it_goes_on(
    work: Workspace, clock: Clock, serve: Callable[..., Any]
) -> None:
    await keep_up(work, clock, 3)
    await serve("a", 3, most=1)
    await serve("b", 4)
    await serve("a", 5, task="call a service over the network")
    assert await places(work) == [("a", "03"), ("a", "03"), ("b", "04"), ("b", "04")]
    await serve("a", 6)  # the same answer: its lessons were assigned before
    await serve("c", 9)  # nobody has kept up since
    assert (await places(work))[4:] == [("c", "other"), ("c", "other")]
    await keep_up(work, clock, 9)
    assert (await places(work))[4:] == [("c", "09"), ("c", "09")]
    again = "INSERT INTO agent_lesson_deliveries SELECT * FROM agent_lesson_deliveries ON CONFLICT DO NOTHING"
    assert await tamper(work.store, again) == 0


async def test_old_deliveries_go_and_figures_stay(work: Workspace, clock: Clock, serve: Callable[..., Any]) -> None:
    await keep_up(work, clock, 2)
    await serve("a", 2)
    await keep_up(work, clock, 3)
    await serve("b", 3, most=1)
    await keep_up(work, clock, 8)
    await serve("c", 8)
    await serve("b", 9)  # it goes on, so it stays
    await keep_up(work, clock, 9)

    async def figures() -> Any:
        told = await stats.get_stats(work, Caller(PROJECT, "local"), StatsQuery())
        view = await ask(work.store, "SELECT agent_name, runs, deliveries FROM agent_learning_stats")
        return told.totals, [tuple(row) for row in view], (await doctor_checks.diagnose(work)).faults

    before = await figures()
    await keep_up(work, clock, 9)
    assert await scalar(work.store, "SELECT count(*) FROM agent_lesson_deliveries") == 6
    await keep_up(work, clock, 9, days=KEPT_DAYS)
    runs = await ask(work.store, "SELECT DISTINCT run_id FROM agent_lesson_deliveries ORDER BY 1")
    assert [run for (run,) in runs] == ["b", "c"]
    assert await figures() == before
    assert await scalar(work.store, "SELECT count(*) FROM agent_runs") == 3


@on_postgresql
async def test_what_is_not_in_the_rollups_yet_is_not_dropped(
    work: Workspace, clock: Clock, serve: Callable[..., Any]
) -> None:
    await keep_up(work, clock, 2)
    await serve("a", 2)
    clock.moment = datetime(YEAR, 9, 20, tzinfo=UTC)
    await work.store.write(lambda connection: partitions.keep(connection, PROJECT, clock(), KEPT_DAYS))
    assert await scalar(work.store, "SELECT count(*) FROM agent_lesson_deliveries") == 2


@on_postgresql
async def test_the_table_from_before_becomes_the_first_partition_without_being_copied(
    work: Workspace, clock: Clock, serve: Callable[..., Any]
) -> None:
    await migrate.downgrade(work.store, "0008")
    file = "SELECT pg_relation_filenode(CAST(:name AS regclass))"
    before = await scalar(work.store, file, name="agent_lesson_deliveries")
    await migrate.upgrade(work.store)
    (first,) = await ask(work.store, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_until_'")
    assert await scalar(work.store, file, name=first[0]) == before


@on_postgresql
async def test_a_server_of_the_release_before_still_writes(
    work: Workspace, clock: Clock, agent: Caller, serve: Callable[..., Any]
) -> None:
    clock.moment = datetime.now(UTC)
    run = LessonQuery(agent_name=AGENT, run_id="a", max_lessons=1)
    await delivery.get_lessons(work, agent, run)
    rest = "agent_name, shown, p_show, exempt, policy_version, position, delivered_at"
    insert = f"""INSERT INTO agent_lesson_deliveries (project, run_id, lesson_id, {rest})
        SELECT d.project, run_id, l.id, d.{rest.replace(", ", ", d.")} FROM agent_lesson_deliveries d, agent_lessons l
        ON CONFLICT DO NOTHING"""
    assert await tamper(work.store, insert) == 1  # of two lessons, one of which the run has
    served = await delivery.get_lessons(work, agent, run.model_copy(update={"max_lessons": 2}))
    assert len(served.lessons) == 2
    assert await scalar(work.store, "SELECT count(*) FROM agent_lesson_deliveries") == 2


@on_postgresql
async def test_a_role_that_may_not_keep_partitions_is_told_how_it_may(work: Workspace) -> None:
    assert "make partitions" not in " ".join((await doctor_checks.diagnose(work)).warnings)
    with work.store.within(row_security.EVERY_PROJECT):
        await tamper(work.store, "CREATE ROLE lessonbook_bystander")
        try:

            def ask_as(connection: Any) -> str:
                connection.exec_driver_sql("SET LOCAL ROLE lessonbook_bystander")
                connection.exec_driver_sql("SELECT 1")
                return partitions.warning(connection)

            await tamper(work.store, "GRANT SELECT ON agent_lesson_deliveries_other TO lessonbook_bystander")
            assert "lessonbook db grant" in await work.store.read(ask_as)
        finally:
            await tamper(work.store, "DROP OWNED BY lessonbook_bystander")
            await tamper(work.store, "DROP ROLE lessonbook_bystander")


@on_postgresql
async def test_the_schema_goes_back_where_the_first_partition_is_dropped_already(
    work: Workspace, clock: Clock, serve: Callable[..., Any]
) -> None:
    await keep_up(work, clock, 3)
    await serve("a", 3)
    await keep_up(work, clock, 4, days=KEPT_DAYS)
    assert not await ask(work.store, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_until_'")
    await migrate.downgrade(work.store, "0008")
    assert await scalar(work.store, "SELECT count(*) FROM agent_lesson_deliveries") == 2
    await migrate.upgrade(work.store)
    assert await migrate.check(work.store) == []
