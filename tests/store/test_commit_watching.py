"""A watcher hears of commits, whoever made them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from lessonbook.domain.lesson import Caller
from lessonbook.services.background import watch
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from lessonbook.store import sqlite
from lessonbook.store.engine import Store, connect
from lessonbook.store.urls import SqliteAddress
from tests.patience import PATIENCE_S
from tests.store.scenario import AGENT, checked_out, issue, scalar, tamper, tell

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "POLL_S", 0.01)


@pytest.fixture
async def other(work: Workspace) -> AsyncIterator[Workspace]:
    """Another process's workspace on the same database."""
    workspace = await open_workspace(work.settings)
    yield workspace
    await workspace.store.close()


@contextlib.asynccontextmanager
async def listening(work: Workspace, caller: Caller) -> AsyncIterator[AsyncIterator[tuple[str, watch.Changed]]]:
    """Watch a project, from the moment the watcher says that it has begun."""
    stream = watch.Watch().changes(work, caller)
    assert await anext(stream) == (caller.project, {})
    yield stream
    await stream.aclose()


async def lesson_of(work: Workspace, caller: Caller, number: int) -> str:
    made = await tell(work, caller, issue(number))
    lesson_id = made.issues[0].lesson_id
    assert lesson_id
    return lesson_id


async def heard(stream: AsyncIterator[tuple[str, watch.Changed]], lesson_id: str) -> None:
    """Wait until the watcher has named a lesson."""
    async with asyncio.timeout(PATIENCE_S):
        async for _, changed in stream:
            if lesson_id in changed.get(AGENT, []):
                return


async def test_a_watcher_hears_of_a_commit_of_its_own_process(work: Workspace, agent: Caller) -> None:
    async with listening(work, agent) as stream:
        await heard(stream, await lesson_of(work, agent, 1))


async def test_a_watcher_hears_of_a_commit_of_another_process(work: Workspace, other: Workspace, agent: Caller) -> None:
    async with listening(work, agent) as stream:
        await heard(stream, await lesson_of(other, agent, 1))


async def test_ten_watchers_take_no_connection_from_anybody(work: Workspace, agent: Caller) -> None:
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(listening(work, agent)) for _ in range(10)]
        assert checked_out(work.store) == 0
        lesson_id = await lesson_of(work, agent, 1)
        await asyncio.gather(*(heard(stream, lesson_id) for stream in streams))


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_a_watcher_whose_connection_was_cut_hears_of_what_it_missed(
    work: Workspace, other: Workspace, agent: Caller
) -> None:
    async with listening(work, agent) as stream:
        await tamper(
            other.store,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> 'lessonbook' AND pid <> pg_backend_pid()",
        )
        await heard(stream, await lesson_of(other, agent, 1))


async def test_a_watcher_of_one_project_is_not_told_of_another(work: Workspace, agent: Caller) -> None:
    elsewhere = Caller("other", "local")
    async with listening(work, agent) as stream:
        theirs = await lesson_of(work, elsewhere, 1)
        mine = await lesson_of(work, agent, 2)
        seen: set[str] = set()
        async with asyncio.timeout(PATIENCE_S):
            async for _, changed in stream:
                seen.update(*changed.values())
                if mine in seen:
                    break
        assert theirs not in seen


async def test_a_watcher_that_leaves_gives_its_connection_back(work: Workspace, agent: Caller) -> None:
    async with listening(work, agent):
        pass
    if work.store.dialect == "postgresql":
        listeners = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name <> 'lessonbook'"
        )
        async with asyncio.timeout(PATIENCE_S):
            while await scalar(work.store, listeners):  # the server notices in its own time
                pass
    assert checked_out(work.store) == 0


async def test_a_database_in_memory_can_be_watched() -> None:
    store: Store = connect(SqliteAddress(None))
    stream = aiter(store.changes())
    first = asyncio.ensure_future(anext(stream))
    async with asyncio.timeout(PATIENCE_S):
        while not first.done():
            await store.write(lambda connection: None)
            await asyncio.wait([first], timeout=0.02)
    await stream.aclose()  # type: ignore[attr-defined]
    await store.close()
