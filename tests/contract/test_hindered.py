"""A real server whose database does not answer: calls and health are answered in words, while nothing has changed."""

from typing import Any

import httpx2
import pytest

from lessonbook.store import engine
from tests.contract.links import STATELESS, Link, Transport, connected, linked
from tests.contract.processes import http_server
from tests.patience import PATIENCE_S
from tests.store.obstacles import Proxy, locked

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SOON = {
    "STATEMENT_TIMEOUT_S": 0.4,
    "LOCK_TIMEOUT_S": 0.5,
    "POOL_TIMEOUT_S": 0.6,
    "TRANSACTION_TIMEOUT_S": 0.8,
}
"""The store's limits, shorter and in the same order."""
ISSUE = {"description": "The zeppelin stalls", "lesson": "Check the gas of each zeppelin before it leaves."}


def report(agent_name: str) -> dict[str, Any]:
    return {"agent_name": agent_name, "issues": [ISSUE], "idempotency_key": "k"}


async def succeed(link: Link, tool: str, **arguments: Any) -> dict[str, Any]:
    """Do as the refusals say, and try again: with limits so short, a busy machine is refused as well."""
    while (result := await link.call(tool, **arguments)).is_error:
        assert "ry again" in str(result.content) or "idempotency_key" in str(result.content)
    assert result.structured_content is not None
    return result.structured_content


async def assert_reported_once(link: Link, agent_name: str) -> None:
    await succeed(link, "report_issues", **report(agent_name))
    assert (await succeed(link, "get_stats", agent_name=agent_name))["totals"]["issues"] == 1


def test_the_limits_are_tried_in_their_order() -> None:
    assert (
        list(SOON) == sorted(SOON, key=lambda name: SOON[name]) == sorted(SOON, key=lambda name: getattr(engine, name))
    )


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_calls_are_answered_while_another_process_holds_a_lock(
    transport: Transport, either_url: str, agent_name: str
) -> None:
    async with linked(transport, STATELESS, either_url, limits=SOON) as link:
        await succeed(link, "get_stats")
        async with locked(either_url):
            for _ in range(2):
                assert "nothing was changed" in await link.refusal("report_issues", **report(agent_name))
        await assert_reported_once(link, agent_name)


async def test_rest_and_health_answer_while_another_process_holds_a_lock(either_url: str, agent_name: str) -> None:
    async with (
        http_server(either_url, **SOON) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web,
        connected(server.mcp, STATELESS) as client,
    ):
        link = Link(client, "http", STATELESS, either_url)
        await succeed(link, "get_stats")
        async with locked(either_url):
            answer = await web.post("/api/report_issues", json=report(agent_name))
            assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
            assert "nothing was changed" in answer.json()["message"]
            while not (await web.get("/healthz")).json()["ok"]:
                pass
        await assert_reported_once(link, agent_name)


@pytest.mark.parametrize("either_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "limits", [SOON, {"TOOL_TIMEOUT_S": 1.5, "HEALTH_TIMEOUT_S": 1.0}], ids=["the store's", "the edges'"]
)
async def test_calls_and_health_are_answered_while_the_network_is_silent(
    limits: dict[str, float], either_url: str, agent_name: str
) -> None:
    proxy = Proxy(either_url)
    async with (
        proxy.open() as url,
        http_server(url, **limits) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web,
        connected(server.mcp, STATELESS) as client,
    ):
        link = Link(client, "http", STATELESS, url)
        await succeed(link, "get_stats")
        proxy.fall_silent()
        assert "too long" in await link.refusal("report_issues", **report(agent_name))
        answer = await web.post("/api/report_issues", json=report(agent_name))
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
        health = await web.get("/healthz")
        assert (health.status_code, health.json()) == (503, {"ok": False})
        proxy.speak()
        await assert_reported_once(link, agent_name)
