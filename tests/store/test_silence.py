"""Locks that are held and networks that fall silent: callers are told in time, in words, while nothing has changed.

The error comes while the lock is still held and the network still silent: nothing else could have ended the wait.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qs, urlsplit

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
from lessonbook.store import postgres, sqlite
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


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Hold a lock that every writer has to wait for."""
    if url.startswith("sqlite"):
        holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.close()
        return
    holder = await asyncpg.connect(url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE agent_lessons, agent_issues IN ACCESS EXCLUSIVE MODE")
        yield
    await holder.close()


class Proxy:
    """A way over TCP to the test's PostgreSQL that can fall silent: it then takes everything and passes nothing on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loud = asyncio.Event()
        self._loud.set()
        self.silent_after: bytes | None = None
        """What of a client's words is still passed on; the server's answer to it is not."""
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        self._loud.clear()

    def speak(self) -> None:
        self.silent_after = None
        self._loud.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Yield the database's URL by way of this proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        path = urlsplit(self._url).path
        yield f"postgresql://{urlsplit(self._url).username or 'postgres'}@127.0.0.1:{port}{path}?sslmode=disable"
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await self._dial()
        for source, target, is_client in ((reader, there[1], True), (there[0], writer, False)):
            self._tasks.add(asyncio.create_task(self._pass_on(source, target, is_client=is_client)))

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = urlsplit(self._url)
        if hosts := parse_qs(place.query).get("host"):
            return await asyncio.open_unix_connection(f"{hosts[0]}/.s.PGSQL.{place.port or 5432}")
        return await asyncio.open_connection(place.hostname, place.port or 5432)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_client: bool) -> None:
        try:
            while content := await source.read(65_536):
                await self._loud.wait()
                if is_client and self.silent_after is not None and self.silent_after in content:
                    self._loud.clear()
                target.write(content)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()


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
    assert {type(end) for end in ended} == {Unavailable}
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
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT_S", 1.0)
    async with proxy.open() as url:
        work = await opened(url)
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
    monkeypatch.setattr(postgres, "STATEMENT_TIMEOUT_S", 2.0)
    async with proxy.open() as url:
        work = await opened(url)
        await tell(work, agent, issue(0))
        proxy.silent_after = b"COMMIT;"
        with pytest.raises(Unavailable, match=r"may or may not be done.*same idempotency_key"):
            await tell(work, agent, issue(1), idempotency_key="k")
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
