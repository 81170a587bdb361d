"""A connection pooler that lends a session for one transaction: all works but listening, which says so."""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from sqlalchemy import Connection, text

from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.lesson import Caller
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace, work_on
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres, postgres_links
from lessonbook.store.engine import Store, connect
from lessonbook.store.urls import parse_address
from tests.conftest import Clock, counting_bytes
from tests.patience import PATIENCE_S
from tests.postgres import Databases, database_of
from tests.proxies import pgbouncer
from tests.store.scenario import AGENT, PROJECT, counted, issue, play, scalar, tamper, tell

pytestmark = pytest.mark.anyio

IGNORED = "statement_timeout,lock_timeout,idle_in_transaction_session_timeout,tcp_user_timeout,"
IGNORED += "default_transaction_isolation"


@pytest.fixture(scope="module")
def pooler(postgres_url: str) -> Iterator[str]:
    with pgbouncer(postgres_url) as url:
        yield url


@pytest.fixture
def direct_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of a migrated database, without a pooler."""
    with postgres_databases.one() as url:
        yield url


def through(pooler: str, direct_url: str) -> str:
    return database_of(pooler, re.split(r"[/?]", direct_url.partition("://")[2])[1])


def settings_for(url: str) -> Settings:
    return Settings.model_validate({"project": PROJECT, "database": {"url": url}})


@pytest.fixture
async def work(pooler: str, direct_url: str, clock: Clock) -> AsyncIterator[Workspace]:
    url = through(pooler, direct_url)
    made = await work_on(connect(parse_address(url)), settings_for(url), now=clock, random_bytes=counting_bytes())
    yield made
    await made.store.close()


async def test_the_whole_loop_turns_on_sessions_that_change_with_every_transaction(
    work: Workspace, direct_url: str, clock: Clock, agent: Caller, qa: Caller, person: Caller
) -> None:
    await play(work, clock, agent, qa, person)
    second = await work_on(work.store, work.settings, now=clock, random_bytes=secrets.token_bytes)
    async with anyio.create_task_group() as tasks:  # more transactions at once than the pooler has sessions
        for number in range(2, 12):
            query = LessonQuery(agent_name=AGENT, run_id=f"run-{number}")
            tasks.start_soon(delivery.get_lessons, work, agent, query)
            tasks.start_soon(tell, second, qa, issue(number))
    diagnosis = await diagnose(work)
    assert diagnosis.faults == []
    assert postgres.UNHEARD in diagnosis.warnings
    assert (await counted(work.store))["agent_runs"] >= 11
    straight = await open_workspace(settings_for(direct_url))
    assert postgres.UNHEARD not in (await diagnose(straight)).warnings
    await straight.store.close()


async def test_an_empty_database_is_migrated_through_it(pooler: str, direct_url: str) -> None:
    name = "lessonbook_through_pooler"
    straight = await postgres_links.open_link(direct_url)
    await straight.execute(f"CREATE DATABASE {name}")
    work = await open_workspace(settings_for(database_of(pooler, name)))
    assert (await diagnose(work)).healthy
    await work.store.close()
    await straight.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await straight.close()


def limits(connection: Connection) -> dict[str, str]:
    query = text("SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout' OR name LIKE '%isolation'")
    return {row[0]: row[1] for row in connection.execute(query)}


@pytest.mark.parametrize("ignored", ["", IGNORED])
async def test_waits_are_bounded_in_each_transaction_and_nothing_stays_with_the_session(
    postgres_url: str, direct_url: str, ignored: str
) -> None:
    straight = connect(parse_address(direct_url))
    wanted = await straight.write(limits)
    await straight.close()
    # One session, and an operator who may have told the pooler to ignore what it cannot keep.
    with pgbouncer(postgres_url, default_pool_size=1, ignore_startup_parameters=ignored) as pooler:
        store = connect(parse_address(through(pooler, direct_url)))
        bounded = await store.write(limits)
        chosen = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
        assert {name: bounded[name] for name in chosen} == {name: wanted[name] for name in chosen}
        link = await postgres_links.open_link(through(pooler, direct_url))
        assert link.is_shared
        link.opening = ""
        async with link.transaction():
            kept = await (await link.prepare("SELECT current_setting('lock_timeout')", name="")).fetchval()
        assert kept == "0"
        await link.close()
        await store.close()


async def wake_ups(store: Store, direct_url: str) -> None:
    """Listen, change something over another connection, and return once the listener was woken after it."""
    other = connect(parse_address(direct_url))
    stream = aiter(store.changes())
    await anext(stream)
    await tamper(other, "INSERT INTO agent_revisions VALUES ('demo', 'Tinker', 1)")
    with anyio.fail_after(PATIENCE_S):
        while not await scalar(store, "SELECT count(*) FROM agent_revisions WHERE agent_name = 'Tinker'"):
            await anext(stream)
        await anext(stream)
    await other.close()


async def test_changes_are_looked_for_where_none_are_announced_and_the_log_says_so_once(
    pooler: str, direct_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_links, "HEARD_S", 0.05)
    monkeypatch.setattr(postgres, "POLL_S", 0.01)
    store = connect(parse_address(through(pooler, direct_url)))
    with caplog.at_level(logging.WARNING):
        await wake_ups(store, direct_url)
        await anext(aiter(store.changes()))
    assert [record.getMessage() for record in caplog.records] == [postgres.UNHEARD]
    await store.close()


async def test_a_pooler_that_keeps_a_session_for_each_client_passes_changes_on(
    postgres_url: str, direct_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pgbouncer(postgres_url, pool_mode="session", default_pool_size=20) as pooler:
        store = connect(parse_address(through(pooler, direct_url)))
        assert await store.warnings() == []
        stream = aiter(store.changes())
        await anext(stream)
        other = connect(parse_address(direct_url))
        woken = asyncio.ensure_future(anext(stream))
        await other.write(lambda connection: connection.execute(text("SELECT pg_notify('lessonbook', '')")).all())
        with anyio.fail_after(PATIENCE_S):
            await woken
        assert caplog.records == []
        await other.close()
        await store.close()


async def test_a_parameter_of_the_address_that_it_refuses_is_named(pooler: str, direct_url: str) -> None:
    store = connect(parse_address(f"{through(pooler, direct_url)}&search_path=public"))
    with pytest.raises(ConfigError, match=r"search_path.*ignore_startup_parameters"):
        await scalar(store, "SELECT 1")
    await store.close()
