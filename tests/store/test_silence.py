"""Locks that are held and networks that fall silent: callers are told in time, in words, while nothing has changed.

The error comes while the lock is still held and the network still silent: nothing else could have ended the wait.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import anyio
import asyncpg
import pytest
from sqlalchemy import Connection, text

from lessonbook.config.settings import Settings
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import Gateway, answer
from lessonbook.services.background.maintenance import is_alive
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres, postgres_links, sqlite
from tests.store.obstacles import Proxy, locked
from tests.store.scenario import checked_out, counted, issue, scalar, tell

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"])
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])

SOON_S = 0.2


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Let transactions that begin meanwhile wait for next to nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "BUSY_S", SOON_S / 10)
        for module in (sqlite, postgres):
            patch.setattr(module, "TRANSACTION_TIMEOUT_S", SOON_S)
        yield


async def opened(url: str) -> Workspace:
    return await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": url}}))


async def insist(act: Callable[[], Awaitable[object]], told: str = "") -> None:
    """Do as a busy database says, which all are on a machine that is: send it again."""
    while True:
        try:
            await act()
        except Unavailable as error:
            if told not in str(error):
                raise
        else:
            return


@pytest.fixture
async def proxy(database_url: str) -> Proxy:
    return Proxy(database_url)


async def test_all_who_wait_for_a_lock_are_told_while_it_is_held(database_url: str, agent: Caller) -> None:
    work = await opened(database_url)
    await tell(work, agent, issue(0))
    before = await counted(work.store)
    async with locked(database_url):
        with impatient():
            ended = await asyncio.gather(
                *(tell(work, agent, issue(number), idempotency_key=f"k{number}") for number in range(1, 13)),
                return_exceptions=True,
            )
    assert all(isinstance(end, Unavailable) for end in ended)
    assert {str(end).partition(";")[0].partition(",")[0] for end in ended} <= {
        "The database is busy",
        "The database took too long",
        "All database connections are busy",
    }
    await work.store.write(lambda connection: None)  # behind whatever still runs on a thread
    assert await counted(work.store) == before
    await tell(work, agent, issue(1), idempotency_key="k1")
    await tell(work, agent, issue(1), idempotency_key="k1")
    assert (await counted(work.store))["agent_issues"] == 2
    await work.store.close()


async def test_a_caller_with_little_time_is_told_while_the_lock_is_held(work: Workspace, agent: Caller) -> None:
    async with locked(work.settings.database_url):
        with pytest.raises(Unavailable, match=r"too long|busy"):
            await answer(lambda: tell(work, agent, issue(1)), timeout_s=SOON_S)
    await work.store.write(lambda connection: None)
    assert (await counted(work.store))["agent_issues"] == 0


@on_postgresql
async def test_whoever_asks_a_network_that_fell_silent_is_told(proxy: Proxy, agent: Caller) -> None:
    async with proxy.open() as url:
        work = await opened(url)
        await tell(work, agent, issue(0))
        proxy.fall_silent()
        with impatient(), pytest.raises(Unavailable, match="took too long; nothing was changed"):
            await tell(work, agent, issue(1))
        with impatient(), pytest.raises(Unavailable, match="too long"):
            await scalar(work.store, "SELECT 1")
        assert checked_out(work.store) == 0
        proxy.speak()
        await tell(work, agent, issue(2))
        assert (await counted(work.store))["agent_issues"] == 2
        await work.store.close()


@on_postgresql
async def test_the_drivers_own_time_out_ends_a_statement_that_nobody_answers(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy.open() as url:
        work = await opened(url)
        await work.store.engine().dispose()
        monkeypatch.setattr(postgres_links, "STATEMENT_TIMEOUT_S", SOON_S)
        await insist(lambda: scalar(work.store, "SELECT 1"))
        proxy.fall_silent()
        with pytest.raises(Unavailable, match="too long"):
            await scalar(work.store, "SELECT 1")
        assert checked_out(work.store) == 0
        proxy.speak()
        await work.store.close()


@on_postgresql
async def test_a_commit_that_is_not_answered_may_be_done_and_is_safe_to_repeat(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch, agent: Caller
) -> None:
    async with proxy.open() as url:
        work = await opened(url)
        await tell(work, agent, issue(0))
        await work.store.engine().dispose()
        with monkeypatch.context() as patch:
            patch.setattr(postgres_links, "STATEMENT_TIMEOUT_S", SOON_S)
            proxy.silent_after = b"COMMIT;"
            with pytest.raises(Unavailable, match=r"may or may not be done.*same idempotency_key"):
                await insist(lambda: tell(work, agent, issue(1), idempotency_key="k"), "nothing was changed")
        await work.store.engine().dispose()
        proxy.speak()
        await tell(work, agent, issue(1), idempotency_key="k")
        assert (await counted(work.store))["agent_issues"] == 2
        await work.store.close()


@on_postgresql
async def test_health_is_told_while_the_network_is_silent(proxy: Proxy) -> None:
    async with proxy.open() as url:
        work = await opened(url)
        proxy.fall_silent()
        with pytest.raises(Unavailable, match="too long"):
            await answer(lambda: is_alive(work), timeout_s=SOON_S)
        await work.store.close()


@on_postgresql
async def test_a_call_is_answered_while_the_database_is_still_being_opened(proxy: Proxy, agent: Caller) -> None:
    async with proxy.open() as url:
        gateway = Gateway(lambda: opened(url), agent)
        proxy.fall_silent()
        with pytest.raises(Unavailable, match="too long"):
            await answer(gateway.workspace, timeout_s=SOON_S)
        proxy.speak()
        assert await is_alive(await gateway.workspace())
        await gateway.close()


@on_postgresql
async def test_closing_does_not_wait_for_a_silent_network(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "CLOSE_TIMEOUT_S", SOON_S)
    async with proxy.open() as url:
        work = await opened(url)
        await scalar(work.store, "SELECT 1")
        proxy.fall_silent()
        await work.store.close()


async def test_who_waits_when_the_store_is_given_up_is_told_at_once(work: Workspace, agent: Caller) -> None:
    other = await opened(work.settings.database_url)

    async def give_up_once_it_waits() -> None:
        if work.store.dialect == "postgresql":
            watcher = await asyncpg.connect(work.settings.database_url)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not await watcher.fetchval(waiting):
                await anyio.lowlevel.checkpoint()
            await watcher.close()
        other.store.give_up()

    async with locked(work.settings.database_url):
        ended, _ = await asyncio.gather(tell(other, agent, issue(1)), give_up_once_it_waits(), return_exceptions=True)
    assert isinstance(ended, Unavailable)
    assert "The server stopped" in str(ended)
    assert (await counted(work.store))["agent_issues"] == 0
    await other.store.close()


@on_postgresql
async def test_the_server_lets_go_of_the_locks_of_a_client_that_fell_silent(work: Workspace) -> None:
    def limits(connection: Connection) -> dict[str, str]:
        query = text("SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout%'")
        return {row[0]: row[1] for row in connection.execute(query)}

    found = await work.store.write(limits)
    statement, lock, idle = (
        int(found[name]) for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    )
    assert 0 < statement < lock < postgres.POOL_TIMEOUT_S * 1000 < idle
