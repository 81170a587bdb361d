# ruff: noqa: ASYNC240  # a test may look at a small file while its loop waits

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from lessonbook.domain.errors import NotFound, Unavailable, Undecided
from lessonbook.services.workspace import Workspace
from lessonbook.store import engine, postgres, sqlite
from lessonbook.store.engine import ATTEMPTS, Retry, Store, connect, pause_s
from lessonbook.store.urls import SqliteAddress, parse_address
from tests.store.obstacles import locked
from tests.store.scenario import checked_out, counted, scalar

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine, sqlite, postgres):
        monkeypatch.setattr(module, "pause_s", lambda attempt: 0.0)


def put(connection: Connection, name: str) -> None:
    connection.execute(text("INSERT INTO server_secrets (name, value) VALUES (:name, 'v')").bindparams(name=name))


def secrets_in(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM server_secrets WHERE name <> 'delimiter'")).scalar_one()


@pytest.mark.parametrize("error", [NotFound, RuntimeError])
async def test_work_that_raises_changes_nothing(work: Workspace, error: type[Exception]) -> None:
    def half(connection: Connection) -> None:
        put(connection, "one")
        put(connection, "two")
        raise error

    with pytest.raises(error):
        await work.store.write(half)
    assert await work.store.read(secrets_in) == 0
    assert checked_out(work.store) == 0


async def test_a_statement_that_fails_takes_those_before_it_along(work: Workspace) -> None:
    def collide(connection: Connection) -> None:
        put(connection, "one")
        put(connection, "one")

    with pytest.raises(Exception, match=r"(?i)unique"):
        await work.store.write(collide)
    assert await work.store.read(secrets_in) == 0
    await work.store.write(lambda connection: put(connection, "one"))  # the connection is fit for use
    assert await work.store.read(secrets_in) == 1


async def test_work_that_lost_a_race_runs_again_on_a_clean_sheet(work: Workspace) -> None:
    seen: list[int] = []

    def race(connection: Connection) -> str:
        seen.append(secrets_in(connection))
        put(connection, "one")
        if len(seen) < ATTEMPTS:
            raise Retry
        return "won"

    assert await work.store.write(race) == "won"
    assert seen == [0] * ATTEMPTS
    assert await work.store.read(secrets_in) == 1


async def test_work_that_loses_every_race_is_given_up_with_nothing_changed(work: Workspace) -> None:
    tries: list[int] = []

    def lose(connection: Connection) -> None:
        put(connection, "one")
        tries.append(1)
        raise Retry

    with pytest.raises(Unavailable, match=r"busy; nothing was changed\. Try again"):
        await work.store.write(lose)
    assert len(tries) == ATTEMPTS
    assert await work.store.read(secrets_in) == 0
    assert checked_out(work.store) == 0


def test_pauses_between_tries_grow_and_stay_short() -> None:
    longest = [max(pause_s(attempt) for _ in range(200)) for attempt in range(ATTEMPTS)]
    assert longest == sorted(longest)
    assert longest[-1] <= 0.02 * 2 ** (ATTEMPTS - 1)


async def test_a_write_is_seen_by_the_next_read(work: Workspace) -> None:
    for number in range(20):
        await work.store.write(lambda connection, number=number: put(connection, f"n{number}"))
        assert await work.store.read(secrets_in) == number + 1


@pytest.fixture
async def other(work: Workspace) -> AsyncIterator[Store]:
    """A second store on the same database, as another process would have."""
    store = connect(parse_address(work.settings.database_url))
    yield store
    await store.close()


async def test_a_read_sees_one_moment_while_others_write(work: Workspace, other: Store) -> None:
    path = work.settings.database_url.removeprefix("sqlite:///")

    def write_meanwhile() -> None:
        if work.store.dialect == "sqlite":
            with sqlite3.connect(path) as connection:
                connection.execute("INSERT INTO server_secrets VALUES ('meanwhile', 'v')")
            connection.close()
        else:
            await_only(other.write(lambda connection: put(connection, "meanwhile")))

    def look_twice(connection: Connection) -> tuple[int, int]:
        before = secrets_in(connection)
        write_meanwhile()
        return before, secrets_in(connection)

    assert await work.store.read(look_twice) == (0, 0)
    assert await work.store.read(secrets_in) == 1


async def test_many_writers_in_two_stores_lose_no_count(work: Workspace, other: Store) -> None:
    await work.store.write(lambda connection: put(connection, "n"))
    await work.store.write(lambda connection: connection.execute(text("UPDATE server_secrets SET value = '0'")))

    def raise_by_one(connection: Connection) -> None:
        lock = "" if connection.dialect.name == "sqlite" else " FOR UPDATE"
        count = connection.execute(text(f"SELECT value FROM server_secrets WHERE name = 'n'{lock}")).scalar_one()
        connection.execute(
            text("UPDATE server_secrets SET value = :value WHERE name = 'n'").bindparams(value=str(int(count) + 1))
        )

    await asyncio.gather(*(store.write(raise_by_one) for store in (work.store, other) for _ in range(50)))
    assert await scalar(work.store, "SELECT value FROM server_secrets WHERE name = 'n'") == "100"


async def test_more_callers_than_connections_all_get_their_turn(work: Workspace) -> None:
    calls = [work.store.read(secrets_in) for _ in range(100)]
    calls += [work.store.write(lambda connection, n=n: put(connection, f"n{n}")) for n in range(100)]
    await asyncio.gather(*calls)
    assert await work.store.read(secrets_in) == 100
    assert checked_out(work.store) == 0


async def test_foreign_keys_hold(work: Workspace) -> None:
    orphan = "INSERT INTO agent_lesson_keys VALUES ('demo', 'A', 'k', 'no such lesson')"
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await work.store.write(lambda connection: connection.execute(text(orphan)))
    await work.store.migrate(lambda connection: None)
    with pytest.raises(Exception, match=r"(?i)foreign key"):  # after a migration too, which goes without on SQLite
        await work.store.write(lambda connection: connection.execute(text(orphan)))


async def test_a_closed_store_holds_no_connection(work: Workspace) -> None:
    await counted(work.store)
    pool: Any = work.store.engine().pool
    await work.store.close()
    assert pool.checkedout() == 0
    if work.store.dialect == "sqlite":
        path = work.settings.database_url.removeprefix("sqlite:///")
        assert not Path(f"{path}-wal").exists()


async def test_a_database_in_memory_takes_the_same_calls() -> None:
    memory = connect(SqliteAddress(None))
    await memory.write(
        lambda connection: connection.execute(text("CREATE TABLE server_secrets (name TEXT, value TEXT)"))
    )
    reads = [memory.read(secrets_in) for _ in range(10)]
    writes = [memory.write(lambda connection, n=n: put(connection, f"n{n}")) for n in range(10)]
    await asyncio.gather(*reads, *writes)
    assert await memory.read(secrets_in) == 10
    await memory.close()


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_writers_that_queue_when_the_process_ends_do_not_ask_for_the_lock_one_by_one(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    begun = sqlite._has_begun

    def counting(*arguments: Any) -> bool:
        nonlocal asked
        asked += 1
        work.store.give_up()
        return begun(*arguments)

    monkeypatch.setattr(sqlite, "_has_begun", counting)
    async with locked(work.settings.database_url):
        writes = [work.store.write(lambda connection: put(connection, "one")) for _ in range(6)]
        refused = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(error) for error in refused} == {Undecided}
    assert asked <= 2  # before it queues, and in the queue
