"""A server with a language model works on pending issues by itself, and serves whatever becomes of that."""

import logging
import sys
from collections.abc import Awaitable, Callable, Iterator

import pytest
from mcp.client import Client
from sqlalchemy import select

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import Report
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.mcp_server import build_server
from lessonbook.services.report import refinement
from lessonbook.services.workspace import Workspace
from lessonbook.store.tables import delivery_marks, refinement_runs
from lessonbook.store.types import Row
from tests.edges.progress import Progress
from tests.fake_provider import KEY, FakeProvider, fails, fake_provider, fits_all

pytestmark = pytest.mark.anyio

KEPT_UP = select(delivery_marks.c.project)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("LESSONBOOK_TEST_KEY", KEY)
    with fake_provider() as provider:
        yield provider


@pytest.fixture
async def waiting(work: Workspace, agent: Caller) -> Workspace:
    """A workspace with an issue that no rule is known for."""
    asked = Report.model_validate(
        {"agent_name": "BackendDevelopmentAgent", "issues": [{"description": "The zeppelin stalls"}]}
    )
    assert (await refinement.report_issues(work, agent, asked)).issues[0].action == "pending"
    return work


def gateway_with(settings: Settings, provider: FakeProvider, **refiner: object) -> Gateway:
    given = {**settings.model_dump(exclude_unset=True), "refiner": provider.settings(**refiner)}
    return gateway_for(Settings.model_validate(given), "local")


async def serve_until(gateway: Gateway, is_done: Callable[[], Awaitable[bool]]) -> None:
    """Stay connected with a client until something has happened in the background, and see that it is served then."""
    progress = Progress(gateway)
    async with Client(build_server(gateway, ["agent"], stays_connected=True)) as client:
        assert not (await client.call_tool("get_stats", {})).is_error
        await progress.until(is_done)
        assert not (await client.call_tool("get_stats", {})).is_error
    await gateway.close()


async def runs_of(work: Workspace) -> list[Row]:
    query = select(refinement_runs).where(refinement_runs.c.refiner == "llm").order_by(refinement_runs.c.started_at)
    rows = await work.store.read(lambda connection: connection.execute(query).mappings().all())
    return [dict(row) for row in rows]


async def test_pending_issues_are_refined_once_a_client_is_there(
    settings: Settings, waiting: Workspace, provider: FakeProvider
) -> None:
    provider.will(fits_all())
    gateway = gateway_with(settings, provider)

    async def is_done() -> bool:
        return any(run["created"] for run in await runs_of(waiting))

    await serve_until(gateway, is_done)
    (run,) = await runs_of(waiting)
    assert (run["principal"], run["created"], run["error"]) == ("refiner", 1, "")
    assert len(provider.asked) == 1


async def test_a_server_whose_provider_fails_tries_again_later(
    settings: Settings, waiting: Workspace, provider: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.will(fails(500), fits_all())
    gateway = gateway_with(settings, provider)

    async def is_done() -> bool:
        return any(run["created"] for run in await runs_of(waiting))

    await serve_until(gateway, is_done)
    assert sorted((run["created"], "HTTP 500" in run["error"]) for run in await runs_of(waiting)) == [
        (0, True),
        (1, False),
    ]
    assert "HTTP 500" in caplog.text
    assert KEY not in caplog.text


async def test_a_server_that_lacks_the_extra_says_so_once_and_serves(
    settings: Settings,
    waiting: Workspace,
    provider: FakeProvider,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    gateway = gateway_with(settings, provider)
    told: list[str] = []

    async def is_told() -> bool:
        told[:] = [record.message for record in caplog.records if "lessonbook[llm]" in record.message]
        return bool(told)

    await serve_until(gateway, is_told)
    assert len(told) == 1
    assert "pip install" in told[0]


async def test_nothing_is_sent_where_the_background_is_switched_off(
    settings: Settings, waiting: Workspace, provider: FakeProvider
) -> None:
    provider.will(fits_all())
    gateway = gateway_with(settings, provider, background=False)

    async def has_kept_up() -> bool:
        return bool(await waiting.store.read(lambda connection: connection.execute(KEPT_UP).scalars().all()))

    await serve_until(gateway, has_kept_up)
    assert provider.asked == []
