"""What a process makes at first use: validators, routes, statements, the places of a catalogue."""

import asyncio
import tempfile
import threading
from typing import Any

from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.tool_table import Toolset
from lessonbook.edges.transport.http import build_app
from tests import folders
from tests.edges.lifespan import started
from tests.patience import PATIENCE_S

TOOLSETS: list[Toolset] = ["agent", "operator"]
AGENT = "BackendDevelopmentAgent"
REPORT = {
    "agent_name": AGENT,
    "issues": [
        {"description": "SQL text from an f-string", "rule_id": "bandit:B608", "severity": "high"},
        {"description": "The upload has no limit", "lesson": "Check the length of uploads before reading the body."},
    ],
}


def have() -> None:
    """Turn the loop once over MCP and REST, in an event loop and a database that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="lessonbook-first-", dir=folders.SHORT) as folder:
        asyncio.run(_turn(f"sqlite:///{folder}/lessonbook.db"))
    for thread in set(threading.enumerate()) - {threading.current_thread()}:  # after a fork none would be there
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), thread


async def _turn(url: str) -> None:
    settings = Settings.model_validate({"project": "first", "database": {"url": url}, "server": {"toolsets": TOOLSETS}})
    gateway = gateway_for(settings, "local")
    try:
        for mode in ("legacy", "2026-07-28"):
            async with Client(build_server(gateway, TOOLSETS, stays_connected=True), mode=mode) as client:
                for tool, arguments in _calls(mode):
                    result = await client.call_tool(tool, arguments)
                    assert not result.is_error, result.content
        async with started(build_app(gateway, settings)) as web:
            for tool, arguments in _calls("rest"):
                answer = await web.post(f"/api/{tool}", json=arguments)
                assert answer.is_success, answer.text
            assert (await web.get("/healthz")).is_success
    finally:
        await gateway.close()


def _calls(run_id: str) -> list[tuple[str, dict[str, Any]]]:
    return [
        ("report_issues", {**REPORT, "run_id": run_id, "idempotency_key": run_id}),
        ("get_lessons", {"agent_name": AGENT, "task": "build an upload", "run_id": run_id}),
        ("get_stats", {}),
        ("list_lessons", {}),
    ]
