"""Hooks that ask a team's server over HTTP, with a token, and open no store of their own."""

import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio.to_thread
import pytest

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.domain.agent_tools import Report, StatsQuery
from lessonbook.hooks.session import state_folder
from tests.contract.links import in_a_task, settings_for
from tests.contract.processes import HttpServer, http_server
from tests.contract.test_authorisation import make_token
from tests.hooks.conftest import SEARCH, SQL, ClientSession

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
FAILED = "FAILED tests/test_cart.py::test_total - AssertionError: assert 1 == 2\n1 failed, 3 passed in 0.12s"


@pytest.fixture(scope="module")
def url(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


@pytest.fixture(scope="module")
async def server(anyio_backend: str, url: str) -> AsyncIterator[HttpServer]:
    gateway = gateway_for(settings_for(url), "cli", person=True)
    await gateway.call(services.report.report_issues, Report.model_validate({"issues": [SQL]}))
    await gateway.close()
    async with in_a_task(http_server(url, "--auth", "tokens")) as server:
        yield server


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, server: HttpServer, tmp_path: Path) -> ClientSession:
    monkeypatch.setenv("LESSONBOOK_SERVER", server.url)
    folder = tmp_path / "shop"
    folder.mkdir()
    return ClientSession(folder, [])


def logged() -> str:
    return (Path(state_folder()) / "hook.log").read_text("utf-8")


def stores_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.db"))


async def test_lessons_of_the_team_reach_a_prompt_and_an_edit_and_failing_tests_reach_the_team(
    client: ClientSession, url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = await make_token(url, "dev", "lessons:read", "issues:write", "applications:write")
    monkeypatch.setenv("LESSONBOOK_TOKEN", token)
    assert "bound parameters" in await anyio.to_thread.run_sync(client.prompt, SEARCH)
    assert await anyio.to_thread.run_sync(client.edit, "app/search.py") == ""  # the session has it already
    await anyio.to_thread.run_sync(lambda: client.shell("pytest -q", FAILED, failed=True))
    await anyio.to_thread.run_sync(lambda: client.hook("Stop"))
    gateway = gateway_for(settings_for(url), "cli", person=True)
    totals = (await gateway.call(services.queries.get_stats, StatsQuery())).totals
    await gateway.close()
    assert (totals.runs, totals.deliveries, totals.issues, totals.pending) == (1, 1, 2, 1)
    assert stores_in(tmp_path) == []  # no store of this process


async def test_without_a_token_nothing_is_added_and_the_log_says_why(client: ClientSession) -> None:
    assert await anyio.to_thread.run_sync(client.prompt, SEARCH) == ""
    assert "the server answered with status 401" in logged()


async def test_a_server_that_never_answers_holds_nobody_up(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("LESSONBOOK_SERVER", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("TEST_LIMITS", json.dumps({"EDIT_S": 0.5}))
        assert await anyio.to_thread.run_sync(client.edit, "app/search.py") == ""
    assert "TimeoutError" in logged()


@pytest.mark.parametrize("address", ["example.org", "file:///etc/passwd", "https://"])
async def test_an_address_that_is_none_of_the_web_is_not_asked(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("LESSONBOOK_SERVER", address)
    assert await anyio.to_thread.run_sync(client.prompt, SEARCH) == ""
    assert "is not an address" in logged()
