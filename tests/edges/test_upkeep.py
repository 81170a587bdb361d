"""Upkeep is done whoever is served: over REST alone, by the facade alone, and by one process of several."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest
from sqlalchemy import func, select, update

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import Unavailable
from lessonbook.edges import background
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.transport.http import build_app
from lessonbook.facade import AgentRefiner
from lessonbook.services.workspace import Workspace
from lessonbook.store.engine import connect
from lessonbook.store.tables import lesson_vectors, lessons
from lessonbook.store.urls import parse_address
from tests.edges.lifespan import started
from tests.edges.progress import Progress
from tests.fake_embeddings import embeds, semantic
from tests.fake_provider import KEY, FakeProvider, fake_provider
from tests.patience import PATIENCE_S
from tests.postgres import run_sql

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
JOBS = ("keep_up", "embed_lessons")
OVERDUE = "Close every file in the block that opened it."
FRESH = "Give each outgoing request a timeout."


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("LESSONBOOK_TEST_KEY", KEY)
    with fake_provider() as provider:
        provider.will(embeds)
        yield provider


async def offer(web: httpx2.AsyncClient, rule: str) -> str:
    issue = {"description": f"It went wrong, since nobody knew: {rule}", "lesson": rule}
    answer = await web.post("/api/report_issues", json={"agent_name": AGENT, "issues": [issue]})
    assert answer.status_code == 200, answer.text
    return answer.json()["issues"][0]["lesson_id"]


def with_model(settings: Settings, provider: FakeProvider) -> Settings:
    given = {**settings.model_dump(exclude_unset=True), "semantic": semantic(provider, every_s=1)}
    given["server"] = {"metrics": True}
    return Settings.model_validate(given)


async def test_a_server_to_which_only_rest_is_spoken_lets_lessons_expire_and_embeds_them(
    settings: Settings, work: Workspace, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "EVERY_S", 0.05)
    settings = with_model(settings, provider)
    gateway = gateway_for(settings, "local")
    progress = Progress(gateway)

    async def statuses() -> dict[str, str]:
        query = select(lessons.c.id, lessons.c.status)
        return dict(await work.store.read(lambda connection: connection.execute(query).all()))

    async def embedded() -> set[str]:
        query = select(lesson_vectors.c.lesson_id)
        return set(await work.store.read(lambda connection: connection.execute(query).scalars().all()))

    async with started(build_app(gateway, settings)) as web:
        overdue, fresh = await offer(web, OVERDUE), await offer(web, FRESH)
        past = update(lessons).where(lessons.c.id == overdue).values(expires_at=work.now())  # a clock of the past
        await work.store.write(lambda connection: connection.execute(past))

        async def has_expired() -> bool:
            return (await statuses())[overdue] == "expired"

        async def is_embedded() -> bool:
            return fresh in await embedded()

        async def is_told() -> bool:
            figures = (await web.get("/metrics")).text
            jobs = [f'lessonbook_job_last_success_timestamp_seconds{{job="{job}"}}' for job in JOBS]
            return all(name in figures for name in (*jobs, "lessonbook_lessons{"))

        await progress.until(has_expired)
        await progress.until(is_embedded)
        await progress.until(is_told)
        assert (await statuses())[fresh] == "probation"
    await gateway.close()


async def test_a_server_that_nobody_calls_opens_its_database_and_keeps_it_up(
    settings: Settings, work: Workspace
) -> None:
    gateway = gateway_for(settings, "local")
    done: list[str] = []
    call_for = gateway.call_for

    async def noted(caller, timeout_s, service, *args, **kwargs):
        result = await call_for(caller, timeout_s, service, *args, **kwargs)
        done.append(service.__name__)
        return result

    gateway.call_for = noted
    progress = Progress(gateway)

    async def has_kept_up() -> bool:
        return "keep_up" in done

    async with started(build_app(gateway, settings)):
        await progress.until(has_kept_up)
    await gateway.close()


async def test_upkeep_that_failed_is_tried_again_soon(
    settings: Settings, work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "WARM_AFTER_S", 0)
    monkeypatch.setattr(background, "AGAIN_S", 0)
    real = gateway_for(settings, "local")
    tries = 0

    async def open_workspace() -> Workspace:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise Unavailable
        return await real.workspace()

    gateway = Gateway(open_workspace, real.caller())
    opened = anyio.Event()
    gateway.when_open(opened.set)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(background.Housekeeper(gateway, at_once=True).run)
        with anyio.fail_after(PATIENCE_S):
            await opened.wait()
        tasks.cancel_scope.cancel()
    await gateway.close()
    assert tries == 3


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_the_facade_embeds_lessons_where_there_is_no_server(
    settings: Settings, work: Workspace, provider: FakeProvider
) -> None:
    refiner = AgentRefiner(**with_model(settings, provider).model_dump(exclude_unset=True))
    try:
        refiner.analyze_and_refine(AGENT, [{"description": "It hangs", "lesson": FRESH}])
        progress = anyio.Event()
        call_for = refiner._gateway.call_for
        loop = asyncio.get_running_loop()

        async def watched(*args, **kwargs):
            try:
                return await call_for(*args, **kwargs)
            finally:
                loop.call_soon_threadsafe(progress.set)

        refiner._gateway.call_for = watched
        query = select(func.count()).select_from(lesson_vectors)
        with anyio.fail_after(PATIENCE_S):
            while not await work.store.read(lambda connection: connection.execute(query).scalar_one()):
                await progress.wait()
                progress = anyio.Event()
    finally:
        refiner.close()


def file_mode(path: str) -> int:
    return Path(path).stat().st_mode


TAKEN = """
import sys
from pathlib import Path
from lessonbook.store.filesystem import ByteLocks
held = ByteLocks(Path(sys.argv[1]))
print(*(held.take(name) for name in sys.argv[2:]))
"""


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
async def test_one_process_on_a_file_does_the_upkeep_of_a_project(settings: Settings) -> None:
    store = connect(parse_address(settings.database_url))
    file = settings.database_url.removeprefix("sqlite:///") + ".upkeep"

    def taken(*names: str) -> str:
        command = [sys.executable, "-c", TAKEN, file, *names]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()

    assert await store.holds("a")
    assert await store.holds("a")
    assert taken("a", "b") == "False True"
    await store.close()
    assert taken("a") == "True"
    assert file_mode(file) & 0o077 == 0


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_one_replica_does_the_upkeep_of_a_project_until_it_ends_or_loses_its_connection(
    settings: Settings, postgres_url: str
) -> None:
    first, second, third = (connect(parse_address(settings.database_url)) for _ in range(3))
    assert await first.holds("a")
    assert await first.holds("a")
    assert not await second.holds("a")
    assert await second.holds("b")
    assert not await first.holds("b")
    pid = first._names._link.get_server_pid()
    await run_sql(postgres_url, f"SELECT pg_terminate_backend({pid}, {PATIENCE_S * 1000})")
    assert await second.holds("a")
    assert not await first.holds("a")
    pid = second._names._link.get_server_pid()
    await second.close()
    await run_sql(postgres_url, f"SELECT pg_terminate_backend({pid}, {PATIENCE_S * 1000})")  # the end may come late
    assert await third.holds("b")
    for store in (first, third):
        await store.close()
