"""A PostgreSQL server that dies in mid-load: it is used again once it is back, and nothing acknowledged is lost."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from functools import partial

import asyncpg
import pytest

from lessonbook.config.settings import Settings
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from tests import folders
from tests.faults import syscalls
from tests.faults.load import WORKER, Load
from tests.faults.own_postgres import OwnServer, own_postgres
from tests.faults.soundness import afterwards, assert_sound
from tests.postgres import run_sql
from tests.store.scenario import checked_out, issue, tell

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.parametrize("dialect", ["postgresql"])]

CALLERS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    with own_postgres(folders.SHORT / f"lessonbook-own-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def url(server: OwnServer, dialect: str) -> str:
    return server.database(f"own_{uuid.uuid4().hex[:8]}")


async def opened(url: str) -> Workspace:
    return await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": url}}))


async def in_thread(act: partial[None]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, act)


@pytest.mark.parametrize(("restarts", "calls"), [(2, 60), pytest.param(20, 1_000, marks=pytest.mark.long)])
async def test_a_server_that_died_at_once_is_used_again_by_the_first_call_after_it_is_back(
    server: OwnServer, url: str, restarts: int, calls: int
) -> None:
    work = await opened(url)
    load = Load(work)
    working = asyncio.create_task(load.run(CALLERS, calls))
    for number in range(restarts):
        await load.acknowledges(4)
        await in_thread(partial(server.stop))
        await in_thread(partial(server.start))
        key = f"first-{number}"
        await tell(work, WORKER, issue(10_000 + number), idempotency_key=key)  # with connections that died while idle
        load.acknowledged.append(key)
    await working
    assert checked_out(work.store) == 0
    await work.store.close()
    assert len(load.acknowledged) == restarts + calls - len(range(0, calls, 3))
    async with afterwards(url) as seen:
        await assert_sound(seen, load.acknowledged)


@pytest.mark.skipif(not syscalls.IS_POSSIBLE, reason="only Linux lets system calls fail without privileges")
async def test_a_server_whose_disk_keeps_nothing_loses_nothing_acknowledged(server: OwnServer, url: str) -> None:
    work = await opened(url)
    load = Load(work)
    await load.run(CALLERS, 12)
    before = len(load.acknowledged)
    switch = ("ALTER SYSTEM SET fsync = {}", "SELECT pg_reload_conf()")
    try:
        await run_sql(server.address, *(line.format("off") for line in switch))
        await in_thread(partial(server.stop, "fast"))
        await in_thread(partial(server.start, partial(syscalls.let_fail, ["fsync", "fdatasync"], syscalls.BROKEN)))
        working = asyncio.create_task(load.run(CALLERS, 60))
        await load.acknowledges(4)
        # It may die before it has answered.
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await run_sql(server.address, *(line.format("on") for line in switch))
        await load.is_refused()
    finally:
        await in_thread(partial(server.stop))  # it would try to recover for ever
        await in_thread(partial(server.start))
    await working
    await work.store.close()
    assert len(load.acknowledged) > before
    async with afterwards(url) as seen:
        await assert_sound(seen, load.acknowledged)
