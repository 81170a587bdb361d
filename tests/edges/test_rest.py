"""The REST API on both databases, called within the process."""

import errno
import gzip
import json
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import anyio
import httpx2
import jsonschema
import pytest
from mcp.client import Client

from lessonbook import __version__
from lessonbook.app import gateway_for
from lessonbook.config.settings import ServerSettings, Settings
from lessonbook.edges import health, rest_input
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.access.host_guard import Guard
from lessonbook.edges.health import DRAINING, NO_DATABASE, OLD_SCHEMA
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.tool_table import OPERATIONS
from lessonbook.edges.transport.http import build_app
from lessonbook.intake import report_file
from lessonbook.store import migrate

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEPT = "/api/agent-learning"
AGENT = "BackendDevelopmentAgent"
ISSUE = {"description": "Built the query from user input", "rule_id": "bandit:B608"}


sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
"""For what never reaches the database, or the same in both."""


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    gateway = gateway_for(settings, "local")
    yield gateway
    await gateway.close()


class Stand:
    """Stands for whichever gateway a test has: FastAPI takes longer to make the application than a test to use it."""

    gateway: Gateway

    def __getattr__(self, name: str) -> Any:
        return getattr(self.gateway, name)


@pytest.fixture(scope="module")
def stand() -> Stand:
    return Stand()


@pytest.fixture(scope="module")
def app(stand: Stand) -> Guard:
    both = Settings(server=ServerSettings(toolsets=["agent", "operator"]))
    return build_app(cast("Gateway", stand), both)


@pytest.fixture
async def web(gateway: Gateway, stand: Stand, app: Guard) -> AsyncIterator[httpx2.AsyncClient]:
    stand.gateway = gateway
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client:
        yield client


async def test_operators_operations_are_served_only_when_asked_for(gateway: Gateway, settings: Settings):
    transport = httpx2.ASGITransport(build_app(gateway, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        for dry_run in ("true", "false"):
            kept = f"{KEPT}/maintenance/cleanup-low-effectiveness?dry_run={dry_run}"
            check_problem(await web.post(kept), 403, "forbidden", "--toolsets agent,operator")
        assert (await web.post("/api/get_lessons", json={})).status_code == 200
        check_problem(await web.post("/api/review_lesson", json={}), 404, "not_found")


async def tool(web: httpx2.AsyncClient, name: str, **arguments: Any) -> dict[str, Any]:
    answer = await web.post(f"/api/{name}", json=arguments)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def learn(web: httpx2.AsyncClient, **issue: Any) -> str:
    report = await tool(web, "report_issues", agent_name=AGENT, issues=[{**ISSUE, **issue}])
    return report["issues"][0]["lesson_id"]


async def offer(web: httpx2.AsyncClient) -> str:
    """Return a lesson that nobody vouches for."""
    return await learn(web, description="The handle leaks", rule_id="", lesson="Close every file in its own block.")


async def make_useless(web: httpx2.AsyncClient) -> str:
    """Return a lesson that was applied in five runs and prevented nothing."""
    lesson_id = await learn(web)
    for number in range(5):
        run_id = (await tool(web, "get_lessons", agent_name=AGENT, run_id=f"branch/{number}"))["run_id"]
        await tool(web, "record_application", run_id=run_id, lesson_ids=[lesson_id], prevented_issue=False, source="qa")
    return lesson_id


def check_problem(answer: httpx2.Response, status: int, code: str, told: str = "") -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error", "message"}
    assert body["error"] == code
    assert told in body["message"]
    assert "Traceback" not in answer.text


async def test_health_is_told_in_the_words_of_the_system_before(web):
    answer = await web.get(f"{KEPT}/health")
    assert answer.status_code == 200
    assert answer.text == json.dumps(
        {"status": "healthy", "database": "connected", "service": "AgentRefiner", "version": __version__},
        separators=(",", ":"),
    )
    assert (await web.get("/healthz")).json() == {"ok": True}


async def test_a_server_is_ready_until_it_drains_or_its_schema_is_too_old(web, gateway, work, monkeypatch):
    answer = await web.get("/readyz", headers={"Host": "10.1.2.3:8642"})
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reason": "ready"})
    details = (await web.get(f"{KEPT}/health/details")).json()
    assert (details["version"], details["ready"], details["connections"]["in_use"]) == (__version__, True, 0)

    monkeypatch.setattr(migrate, "HEAD", "9999")
    answer = await web.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, OLD_SCHEMA)
    monkeypatch.setattr(migrate, "HEAD", "0001")  # of a server that is about to be replaced
    assert (await web.get("/readyz")).status_code == 200
    gateway.is_draining = True
    answer = await web.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reason": DRAINING})
    assert (await web.get("/healthz")).json() == {"ok": True}


@sqlite_alone
async def test_probes_are_answered_whatever_the_database_does_and_ask_it_once(web, gateway, monkeypatch):
    monkeypatch.setattr(health, "HEALTH_TIMEOUT_S", 0.0)
    monkeypatch.setattr(health, "SLACK_S", 0.01)
    asked, silence = [], anyio.Event()

    async def silent(*_: object) -> None:
        asked.append(1)
        with anyio.CancelScope(shield=True):
            await silence.wait()

    monkeypatch.setattr(gateway, "call_for", silent)
    for path in ("/healthz", "/readyz", "/healthz", f"{KEPT}/health"):
        assert (await web.get(path)).status_code == 503
    assert len(asked) == 1
    silence.set()


async def test_lessons_are_listed_by_agent_severity_category_and_page(web):
    first, second = await learn(web), await offer(web)
    await tool(web, "review_lesson", lesson_id=second, action="suspend")
    active = (await web.get(f"{KEPT}/lessons", params={"agent_name": AGENT})).json()
    assert [lesson["id"] for lesson in active["lessons"]] == [first]
    everything = (await web.get(f"{KEPT}/lessons", params={"active_only": "false"})).json()
    assert {lesson["id"] for lesson in everything["lessons"]} == {first, second}
    assert active["lessons"][0]["category"] == "security"

    page = (await web.get(f"{KEPT}/lessons", params={"active_only": "false", "limit": 1})).json()
    assert len(page["lessons"]) == 1
    rest = (await web.get(f"{KEPT}/lessons", params={"active_only": "false", "cursor": page["next_cursor"]})).json()
    assert [lesson["id"] for lesson in page["lessons"] + rest["lessons"]] == [
        lesson["id"] for lesson in everything["lessons"]
    ]
    for name, value in (("agent_name", "NobodyAgent"), ("severity", "low"), ("category", "ui")):
        assert (await web.get(f"{KEPT}/lessons", params={name: value})).json()["lessons"] == []
    severity = active["lessons"][0]["severity"]
    assert (await web.get(f"{KEPT}/lessons", params={"severity": severity, "category": "security"})).json() == active


async def test_lessons_are_grouped_by_category(web):
    lesson_id = await learn(web)
    groups = (await web.get(f"{KEPT}/lessons/by-category")).json()
    assert {category: [lesson["id"] for lesson in lessons] for category, lessons in groups.items()} == {
        "security": [lesson_id]
    }
    assert (await web.get(f"{KEPT}/lessons/by-category", params={"agent_name": "DatabaseAgent"})).json() == {}


async def test_statistics_are_told_for_all_agents_and_for_one(web):
    await learn(web)
    (row,) = (await web.get(f"{KEPT}/stats")).json()["agents"]
    assert (row["agent_name"], row["total_lessons"], row["issues"]) == (AGENT, 1, 1)
    one = (await web.get(f"{KEPT}/stats/{AGENT}")).json()
    assert one == await tool(web, "get_stats", agent_name=AGENT)
    assert one["totals"]["lessons"] == 1


async def test_cleanup_tells_by_a_dry_run_and_leaves_the_rest_to_a_person(web):
    lesson_id = await make_useless(web)
    path = f"{KEPT}/maintenance/cleanup-low-effectiveness"
    dry = (await web.post(path, params={"threshold": 0.3, "min_applications": 5, "dry_run": True})).json()
    assert (dry["dry_run"], dry["suspended"], dry["proposed"]) == (True, 0, 0)
    assert [line["lesson_id"] for line in dry["lessons"]] == [lesson_id]
    assert "nobody but those who applied it" in dry["lessons"][0]["reason"]
    assert (await web.post(path, params={"min_applications": 6, "dry_run": True})).json()["lessons"] == []
    check_problem(await web.post(path), 403, "forbidden", "lessonbook cleanup --execute")
    answer = await web.post("/api/cleanup_lessons", json={"dry_run": False})
    check_problem(answer, 403, "forbidden", "lessonbook cleanup --execute")
    assert (await tool(web, "get_lesson", lesson_id=lesson_id))["lesson"]["status"] == "probation"


async def test_the_cleanup_tool_is_a_dry_run_unless_told_otherwise(web):
    lesson_id = await make_useless(web)
    assert (await tool(web, "cleanup_lessons"))["dry_run"] is True
    assert (await tool(web, "get_lesson", lesson_id=lesson_id))["lesson"]["status"] == "probation"


@pytest.mark.parametrize("severity", [None, "critical"])
async def test_rework_is_routed_to_an_agent_and_keeps_its_severity(web, severity):
    body = {"issue": "The SQL query of the REST endpoint joins user input into the statement"}
    answer = await web.post("/api/rework", json={**body, "severity": severity} if severity else body)
    assert answer.status_code == 200
    (line,) = answer.json()["issues"]
    assert line["agent_name"].endswith("Agent")
    assert severity is None or line["severity"] == severity
    assert line["action"] in {"created", "pending"}
    assert answer.json()["refinement_run_id"]


@sqlite_alone
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "issue is missing"),
        ({"issue": ""}, "is empty"),
        ({"issue": "a\0b"}, "NUL"),
        ({"issue": "x" * 20_001}, "20000"),
        ({"issue": "x", "severity": "urgent"}, "severity"),
        ({"issue": "x", "sevrity": "high"}, "did you mean 'severity'?"),
        ([], "JSON object"),
    ],
)
async def test_rework_names_what_is_wrong(web, body, told):
    check_problem(await web.post("/api/rework", json=body), 422, "invalid_input", told)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_every_tool_has_a_twin_with_the_same_result(web, gateway, operation):
    lesson_id = await learn(web)
    run_id = (await tool(web, "get_lessons", agent_name=AGENT))["run_id"]
    pending = (await tool(web, "report_issues", issues=[{"description": "A thing nobody knows"}]))["issues"][0]
    given: dict[str, dict[str, Any]] = {
        "get_lessons": {"agent_name": AGENT, "run_id": "branch/x"},
        "report_issues": {"issues": [ISSUE], "agent_name": AGENT, "idempotency_key": "k"},
        "record_application": {"run_id": run_id, "lesson_ids": [lesson_id], "idempotency_key": "k"},
        "flag_lesson": {"lesson_id": lesson_id, "reason": "misleads", "idempotency_key": "k"},
        "get_lesson": {"lesson_id": lesson_id},
        "review_lesson": {"lesson_id": await offer(web), "action": "suspend", "idempotency_key": "k"},
        "refine_issues": {
            "idempotency_key": "k",
            "lessons": [{"issue_ids": [pending["issue_id"]], "lesson": "Check a list's length before indexing it."}],
        },
    }
    arguments = given.get(operation.name, {})
    left_out = dict.fromkeys(operation.request.model_fields)  # a null counts as left out
    over_rest = await tool(web, operation.name, **{**left_out, **arguments})
    async with Client(build_server(gateway, ["agent", "operator"], stays_connected=True)) as client:
        over_mcp = await client.call_tool(operation.name, arguments)
    assert not over_mcp.is_error, over_mcp.content
    assert over_mcp.structured_content == operation.structured(operation.result.model_validate(over_rest))


@pytest.mark.parametrize("action", ["approve", "edit", "restore", "pin", "suspend", "reject", "retire", "expire"])
async def test_what_only_a_person_may_do_is_refused_and_changes_nothing(web, action):
    lesson_id = await learn(web)
    before = await tool(web, "get_lesson", lesson_id=lesson_id)
    answer = await web.post("/api/review_lesson", json={"lesson_id": lesson_id, "action": action, "text": "Do it."})
    check_problem(answer, 403, "forbidden", f"lessonbook lessons {action} {lesson_id}")
    assert await tool(web, "get_lesson", lesson_id=lesson_id) == before


@pytest.mark.parametrize(
    ("name", "arguments", "status", "code", "told"),
    [
        ("get_lessons", {"runid": "x"}, 422, "invalid_input", "did you mean 'run_id'?"),
        ("get_lessons", {"max_lessons": "many"}, 422, "invalid_input", "max_lessons"),
        ("get_lesson", {"lesson_id": "Lnope"}, 404, "not_found", "There is no lesson"),
        ("record_application", {"run_id": "no", "lesson_ids": ["L1"]}, 404, "not_found", "There is no run"),
        ("report_issues", {"issues": [{"description": "a\0"}]}, 422, "invalid_input", "NUL"),
        ("review_lesson", {"lesson_id": "L1", "action": "approve", "confirm": True}, 422, "invalid_input", "confirm"),
    ],
)
async def test_a_twin_refuses_as_the_tool_does(web, gateway, name, arguments, status, code, told):
    answer = await web.post(f"/api/{name}", json=arguments)
    check_problem(answer, status, code, told)
    async with Client(build_server(gateway, ["agent", "operator"], stays_connected=True)) as client:
        over_mcp = await client.call_tool(name, arguments)
    assert over_mcp.is_error
    assert over_mcp.content[0].text == answer.json()["message"]


async def test_a_key_used_for_another_request_is_a_conflict(web):
    await tool(web, "report_issues", issues=[ISSUE], idempotency_key="k")
    answer = await web.post("/api/report_issues", json={"issues": [ISSUE, ISSUE], "idempotency_key": "k"})
    check_problem(answer, 409, "conflict", "already used")


@sqlite_alone
@pytest.mark.parametrize("body", ["", "{", "[]", "17", '"x"', "[" * 100_000])
async def test_a_body_that_is_no_json_object_is_told_so(web, body):
    answer = await web.post("/api/get_lessons", content=body, headers={"Content-Type": "application/json"})
    check_problem(answer, 422, "invalid_input", "JSON")


@sqlite_alone
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_a_body_of_another_type_is_refused(web, kind):
    headers = {"Content-Type": kind} if kind else {}
    for path in ("/api/get_lessons", "/api/rework"):
        answer = await web.post(path, content="{}", headers=headers)
        check_problem(answer, 422, "invalid_input", "Content-Type: application/json")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (f"{KEPT}/lessons?severity=urgent", "severity"),
        (f"{KEPT}/lessons?limit=0", "limit"),
        (f"{KEPT}/lessons?cursor=zzz", "cursor"),
        (f"{KEPT}/lessons?agentname=x", "did you mean 'agent_name'?"),
        (f"{KEPT}/lessons?agent_name=%00", "NUL"),
        (f"{KEPT}/stats/{'x' * 101}", "agent_name"),
    ],
)
async def test_a_wrong_parameter_is_named(web, path, told):
    answer = await web.get(path)
    check_problem(answer, 422, "invalid_input", told)
    assert "urgent" not in answer.text


async def test_a_sarif_file_is_posted_and_its_findings_become_lessons(web):
    run_id = (await tool(web, "get_lessons", agent_name=AGENT))["run_id"]
    data = (FIXTURES / "bandit.sarif").read_bytes()
    answer = await web.post(f"/api/reports/sarif?run_id={run_id}&source=scanner", content=data)
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert report["findings"] == sum(len(run["results"]) for run in json.loads(data)["runs"])
    assert report["created"] > 0
    assert report["merged"] > 0
    counted = sum(report[action] for action in ("created", "merged", "pending", "quarantined", "rejected"))
    assert counted == report["findings"]
    assert (await web.get(f"{KEPT}/stats/{AGENT}")).json()["totals"]["issues"] == report["findings"]


@sqlite_alone
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("sarif", "ruff.sarif"),
        ("junit", "junit.xml"),
        ("pytest", "pytest_json_report.json"),
        ("pytest", "pytest_reportlog.jsonl"),
        ("ruff", "ruff.json"),
        ("bandit", "bandit.json"),
        ("review", "review_comments.json"),
        ("review", "review_webhook.json"),
    ],
)
async def test_files_of_every_kind_are_posted_and_recognised(web, kind, name):
    data = (FIXTURES / name).read_bytes()
    answers = [await web.post(f"/api/reports/{posted}", content=data) for posted in (kind, "auto")]
    assert [answer.status_code for answer in answers] == [200, 200], answers
    first, again = (answer.json()["findings"] for answer in answers)
    assert first == again > 0


@sqlite_alone
async def test_a_packed_upload_is_read_as_what_is_in_it(web):
    data = (FIXTURES / "scanners" / "eslint.json").read_bytes()
    for kind in ("auto", "eslint"):
        answer = await web.post(f"/api/reports/{kind}", content=gzip.compress(data))
        assert answer.status_code == 200, answer.text
        (file,) = answer.json()["files"]
        assert (file["kind"], file["format"], file["findings"]) == ("eslint", "ESLint JSON", 2)
    answer = await web.post("/api/reports/auto", content=gzip.compress(data)[:-100])
    check_problem(answer, 422, "invalid_input", "damaged")


@sqlite_alone
async def test_a_large_file_is_not_held_in_memory_and_leaves_nothing_behind(web, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rest_input, "IN_MEMORY_MAX", 1_000)
    rolled: list[bool] = []
    whole = report_file.ReportFile.open

    def watched(self):
        rolled.append(self.content._rolled)
        return whole(self)

    monkeypatch.setattr(report_file.ReportFile, "open", watched)
    answer = await web.post("/api/reports/auto", content=(FIXTURES / "bandit.sarif").read_bytes())
    assert answer.json()["findings"] == 21
    assert set(rolled) == {True}
    assert list(tmp_path.glob("tmp*")) == []


@sqlite_alone
async def test_an_upload_over_its_limit_is_refused_before_it_is_read(web):
    for most, path in ((64, "/api/reports/sarif"), (64, "/p/demo/api/reports/auto"), (4, "/api/rework")):
        headers = {"Content-Length": str(most * 2**20 + 1)}
        check_problem(await web.post(path, headers=headers, content=b"x"), 413, "too_large", f"over {most} MiB")


async def test_an_upload_that_finds_no_room_is_told(web, monkeypatch):
    def full(_held: object, _piece: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", full)
    answer = await web.post("/api/reports/auto", content=b"It broke")
    check_problem(answer, 503, "unavailable", "no room")


@pytest.mark.parametrize("header", ["k", '"k"'])
@pytest.mark.parametrize(
    ("path", "body", "other"),
    [
        ("/api/rework", {"issue": "The page is blank"}, {"issue": "The page is grey"}),
        ("/api/reports/text", b"The page is blank", b"The page is grey"),
    ],
)
async def test_a_key_may_come_in_the_header(web, path, body, other, header):
    async def post(content: Any, **more: Any) -> httpx2.Response:
        sent = {"json": content} if isinstance(content, dict) else {"content": content}
        return await web.post(path, headers={"Idempotency-Key": header}, **sent, **more)

    first = await post(body)
    assert first.status_code == 200, first.text
    assert (await post(body)).json() == first.json()
    check_problem(await post(other), 409, "conflict", "already used")
    (row,) = (await web.get(f"{KEPT}/stats")).json()["agents"]
    assert row["issues"] == 1


async def test_rework_under_one_key_counts_once(web):
    body = {"issue": "The page is blank", "idempotency_key": "k"}
    first = await web.post("/api/rework", json=body)
    assert (await web.post("/api/rework", json=body)).json() == first.json()
    await tool(web, "report_issues", issues=[ISSUE], idempotency_key="k")  # a key of another tool is another
    check_problem(await web.post("/api/rework", json={**body, "severity": "low"}), 409, "conflict")
    assert sum(row["issues"] for row in (await web.get(f"{KEPT}/stats")).json()["agents"]) == 2


@sqlite_alone
async def test_two_keys_that_differ_are_refused(web):
    for path in (
        "/api/reports/text?idempotency_key=a",
        f"{KEPT}/maintenance/cleanup-low-effectiveness?idempotency_key=a",
    ):
        answer = await web.post(path, content=b"x", headers={"Idempotency-Key": "b"})
        check_problem(answer, 422, "invalid_input", "send one of them")


@sqlite_alone
async def test_plain_text_is_posted_as_one_issue_or_more(web):
    answer = await web.post(f"/api/reports/text?agent_name={AGENT}", content=b"The page is blank on a phone")
    assert answer.json()["findings"] >= 1
    pending = await tool(web, "list_pending_issues", agent_name=AGENT)
    assert "blank" in pending["issues"][0]["description"]


async def test_a_file_posted_twice_under_one_key_counts_once(web):
    data = (FIXTURES / "bandit.sarif").read_bytes()
    first = (await web.post("/api/reports/sarif?idempotency_key=k", content=data)).json()
    again = (await web.post("/api/reports/sarif?idempotency_key=k", content=data)).json()
    assert again == first
    (totals,) = [sum(row["issues"] for row in (await web.get(f"{KEPT}/stats")).json()["agents"])]
    assert totals == first["findings"]


@sqlite_alone
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/reports/sarif", b"{", 422),
        ("/api/reports/sarif", b'{"version": "1.0"}', 422),
        ("/api/reports/sarif", (FIXTURES / "bandit.sarif").read_bytes()[:-9], 422),
        ("/api/reports/auto", b'{"results": []}', 422),
        ("/api/reports/ruff", b"{}", 422),
        ("/api/reports/junit", b"<testsuite", 422),
        ("/api/reports/junit", b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite name="&a;"/>', 422),
        ("/api/reports/coverage", b"x", 422),
        ("/api/reports/text?runid=x", b"It broke", 422),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_and_changes_nothing(web, path, body, status):
    check_problem(await web.post(path, content=body), status, "invalid_input" if status == 422 else "not_found")
    assert (await web.get(f"{KEPT}/stats")).json() == {"agents": []}


KEY = ("idempotency_key", "Idempotency-Key")
FIXED_ROUTES = {
    ("get", f"{KEPT}/lessons"): {"agent_name", "active_only", "severity", "category", "limit", "cursor"},
    ("get", f"{KEPT}/lessons/by-category"): {"agent_name"},
    ("get", f"{KEPT}/stats"): set[str](),
    ("get", f"{KEPT}/stats/{{agent_name}}"): {"agent_name"},
    ("post", f"{KEPT}/maintenance/cleanup-low-effectiveness"): {
        "threshold",
        "min_applications",
        "dry_run",
        *KEY,
    },
    ("get", f"{KEPT}/health"): set[str](),
    ("post", "/api/rework"): {"Idempotency-Key"},
    ("post", "/api/hooks"): set[str](),
    ("post", "/api/reports/{kind}"): {"kind", "agent_name", "run_id", "source", *KEY},
    ("get", f"{KEPT}/health/details"): set[str](),
    ("get", "/healthz"): set[str](),
    ("get", "/readyz"): set[str](),
}


@sqlite_alone
async def test_openapi_names_every_route_with_its_parameters(web):
    document = (await web.get("/openapi.json")).json()
    named = {
        (method, path): {parameter["name"] for parameter in operation.get("parameters", [])}
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    twins = {("post", f"/api/{operation.name}"): set[str]() for operation in OPERATIONS}
    assert named == {**FIXED_ROUTES, **twins}


@sqlite_alone
async def test_openapi_is_valid(web):
    document = (await web.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == __version__
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    for operation in operations:
        assert operation["responses"]["200"]["description"]
        for schema in schemas_in(operation):
            jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        jsonschema.Draft202012Validator.check_schema(place)


def schemas_in(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in schemas_in(item)]
    if not isinstance(node, dict):
        return []
    own = [node["schema"]] if isinstance(node.get("schema"), dict) else []
    return own + [found for value in node.values() for found in schemas_in(value)]


async def test_a_database_that_is_down_is_told_in_a_sentence(settings: Settings, dialect: str, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    url = {
        "sqlite": f"sqlite:///{tmp_path / 'file' / 'lessonbook.db'}",
        "postgresql": "postgresql://nobody:secret@127.0.0.1:9/nothing",
    }[dialect]
    down = gateway_for(Settings.model_validate({"project": "demo", "database": {"url": url}}), "local")
    transport = httpx2.ASGITransport(build_app(down, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        check_problem(await web.post("/api/get_lessons", json={}), 503, "unavailable")
        check_problem(await web.get(f"{KEPT}/stats"), 503, "unavailable")
        answer = await web.get("/healthz")
        assert (answer.status_code, answer.json()) == (503, {"ok": False})
        answer = await web.get("/readyz")
        assert (answer.status_code, answer.json()["ready"]) == (503, False)
        assert answer.json()["reason"] == NO_DATABASE
        answer = await web.get(f"{KEPT}/health")
        assert answer.status_code == 503
        assert (answer.json()["status"], answer.json()["database"]) == ("unhealthy", "disconnected")
        assert "secret" not in (await web.post("/api/get_lessons", json={})).text
        assert (await web.get("/openapi.json")).status_code == 200
    await down.close()
