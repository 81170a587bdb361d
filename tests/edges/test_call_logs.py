"""What the log says of requests: who called what and how it ended, and no word of a lesson or an issue."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from sqlalchemy import insert

from lessonbook.app import gateway_for
from lessonbook.config.settings import ServerSettings, Settings
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.transport.http import build_app
from lessonbook.logs import set_up
from lessonbook.services.workspace import Workspace
from lessonbook.store.tables import issues

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
MARK = "xylophone"
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


class Log(io.StringIO):
    """What is written to standard error."""

    def lines(self, logger: str = "") -> list[dict[str, Any]]:
        records = [json.loads(line) for line in self.getvalue().splitlines()]
        return [record for record in records if record["logger"].startswith(logger)]

    def ended(self) -> list[dict[str, Any]]:
        """Return the lines of calls that ended."""
        return [line for line in self.lines("lessonbook.edges.access.running_call") if "outcome" in line]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """The log in JSON, from level INFO on."""
    root, stream = logging.getLogger(), Log()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    set_up("INFO", "json")
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@sqlite_alone
async def test_the_whole_loop_leaves_no_word_of_issues_and_lessons_in_the_log(settings: Settings, log: Log) -> None:
    gateway = gateway_for(settings, "local")
    app = build_app(gateway, Settings(server=ServerSettings(toolsets=["agent", "operator"])))
    server = build_server(gateway, ["agent", "operator"], stays_connected=True)
    web = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
    async with web, Client(server) as client:

        async def over_mcp(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            return (await client.call_tool(tool, arguments)).structured_content or {}

        async def over_rest(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            answer = await web.post(f"/api/{tool}", json=arguments)
            return answer.json()

        for number, call in enumerate((over_mcp, over_rest)):
            offered = {
                "description": f"The {MARK} leaks {number}",
                "lesson": f"Close every {MARK} in the block that opened it, number {number}.",
                "why": f"A {MARK} leaks.",
                "file": f"src/{MARK}.py",
            }
            waiting = {"description": f"The {MARK} stalls oddly {number}"}
            told = {"agent_name": AGENT, "issues": [offered, waiting], "idempotency_key": f"{MARK}-{number}"}
            lines = (await call("report_issues", told))["issues"]
            lesson_id = lines[0]["lesson_id"]
            run = await call("get_lessons", {"agent_name": AGENT, "task": f"Mend the {MARK}", "files": [f"{MARK}.py"]})
            applied = {"run_id": run["run_id"], "lesson_ids": [lesson_id], "notes": f"The {MARK} is closed"}
            await call("record_application", applied)
            await call("flag_lesson", {"lesson_id": lesson_id, "reason": f"No {MARK} here"})
            await call("list_lessons", {"query": MARK})
            await call("get_lesson", {"lesson_id": lesson_id})
            await call("list_pending_issues", {})
            words = {"lesson": f"Wind each {MARK} up before it plays.", "why": MARK}
            await call("refine_issues", {"lessons": [{"issue_ids": [lines[1]["issue_id"]], **words}]})
            await call("review_lesson", {"lesson_id": lesson_id, "action": "approve", "reason": MARK})
            await call("get_stats", {"lesson_id": lesson_id})
            await call("get_lessons", {MARK: MARK})  # an unknown argument
        uploaded = await web.post("/api/reports/auto", content=f'[{{"{MARK}": "{MARK}"}}]'.encode())
        assert uploaded.status_code != 200
        await web.post("/api/rework", json={"issue": f"The {MARK} is out of tune"})
    await gateway.close()
    assert len(log.ended()) > 20
    assert MARK not in log.getvalue().lower()
    assert {line["outcome"] for line in log.ended()} >= {"ok", "invalid_input"}


@sqlite_alone
async def test_the_lines_of_a_request_carry_its_id_and_who_called_what(settings: Settings, log: Log) -> None:
    gateway = gateway_for(settings, "local")
    transport = httpx2.ASGITransport(build_app(gateway, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        answer = await web.post("/api/get_lessons", json={}, headers={"X-Request-Id": "from-the-proxy.7"})
        assert answer.headers["x-request-id"] == "from-the-proxy.7"
        refused = await web.post("/api/get_lessons", json={}, headers={"Host": "evil.example", "X-Request-Id": "a b"})
        assert refused.status_code == 403
        assert len(refused.headers["x-request-id"]) == 16
    async with Client(build_server(gateway, ["agent"], stays_connected=True)) as client:
        for _ in range(2):
            await client.call_tool("get_lessons", {})
    await gateway.close()
    first, second, third = (line for line in log.ended() if line["operation"] == "get_lessons")
    about = {name: first[name] for name in ("request_id", "operation", "principal", "project", "outcome", "level")}
    assert about == {
        "request_id": "from-the-proxy.7",
        "operation": "get_lessons",
        "principal": "local",
        "project": "demo",
        "outcome": "ok",
        "level": "INFO",
    }
    assert first["duration_ms"] > 0
    assert len({first["request_id"], second["request_id"], third["request_id"]}) == 3


async def test_a_fault_within_a_call_is_logged_with_the_call_s_id_and_without_values(
    settings: Settings, log: Log
) -> None:
    gateway = gateway_for(settings, "local")

    async def get_lessons(work: Workspace, *_: object) -> None:
        row = {"project": "demo", "id": MARK, "agent_name": MARK, "description": MARK}  # most columns are missing
        await work.store.write(lambda connection: connection.execute(insert(issues), row))

    transport = httpx2.ASGITransport(build_app(gateway, settings), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("lessonbook.services.serve.get_lessons", get_lessons)
            answer = await web.post("/api/get_lessons", json={}, headers={"X-Request-Id": "r1"})
    await gateway.close()
    assert answer.status_code == 500
    (fault,) = log.lines("lessonbook.edges.access.gateway")
    assert (fault["request_id"], fault["operation"], fault["level"]) == ("r1", "get_lessons", "ERROR")
    assert "IntegrityError" in fault["error"]
    assert MARK not in log.getvalue()
    assert [line["outcome"] for line in log.ended()] == ["internal"]
