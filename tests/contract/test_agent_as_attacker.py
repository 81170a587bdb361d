"""Somebody with an agent's token over real HTTP, who wants more than it allows (SAFETY S13, P7, P14, P16, P18, P19)."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview
from lessonbook.domain.token_scopes import USUAL
from tests.contract.links import in_a_task, settings_for
from tests.contract.processes import BOTH, PROJECT, HttpServer, http_server
from tests.contract.test_authorisation import SITE, bearer, make_token, mcp
from tests.patience import PATIENCE_S
from tests.store.scenario import ask

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
SECRET = "zeppelin"
"""A word of the other project, and of words that nobody approved."""


@dataclass
class Theirs:
    """What others have, in the attacker's project and in another one."""

    lesson: str
    vouched: str
    hidden: str
    run: str
    elsewhere: str


@pytest.fixture(scope="module")
def url(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


@pytest.fixture(scope="module")
async def server(anyio_backend: str, url: str) -> AsyncIterator[HttpServer]:
    async with in_a_task(http_server(url, *BOTH, "--auth", "tokens")) as server:
        yield server


@pytest.fixture
async def web(server: HttpServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
async def tokens(anyio_backend: str, url: str) -> dict[str, str]:
    return {
        "attacker": await make_token(url, "attacker", *USUAL, agent=AGENT),
        "loose": await make_token(url, "loose", *USUAL),
        "worker": await make_token(url, "worker", *USUAL),
        "ci": await make_token(url, "ci-shop", "issues:write", "applications:write", "evidence:write", "lessons:read"),
        "site": await make_token(url, "site", projects=(SITE,)),
        "both": await make_token(url, "both", *USUAL, projects=(PROJECT, SITE)),
    }


async def call(web: httpx2.AsyncClient, token: str, name: str, place: str = "", **arguments: Any) -> dict[str, Any]:
    answer = await web.post(f"{place}/api/{name}", json=arguments, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def by_person(url: str, project: str, service: Any, *args: Any) -> Any:
    gateway = gateway_for(settings_for(url), "cli", person=True)
    try:
        return await gateway.call_for(Caller(project, "cli", person=True), None, service, *args)
    finally:
        await gateway.close()


@pytest.fixture(scope="module")
async def theirs(anyio_backend: str, server: HttpServer, url: str, tokens: dict[str, str]) -> Theirs:
    async def learned(token: str, lesson: str, place: str = "") -> str:
        issue = {"description": f"A case of: {lesson}", "lesson": lesson}
        made = await call(web, token, "report_issues", place, issues=[issue], agent_name=AGENT)
        return made["issues"][0]["lesson_id"]

    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web:
        offered = await learned(tokens["worker"], "Close every file in the block that opened it.")
        await by_person(url, PROJECT, services.lessons.review_lesson, LessonReview(lesson_id=offered, action="approve"))
        hidden = await learned(tokens["worker"], f"Moor each {SECRET} to its mast before the wind turns.")
        elsewhere = await learned(tokens["site"], f"Weigh the crew of a {SECRET} before it lifts off.")
        issue = {"description": "SQL built from user input", "rule_id": "bandit:B608"}
        made = await call(web, tokens["worker"], "report_issues", issues=[issue], agent_name=AGENT)
        run = await call(web, tokens["worker"], "get_lessons", task="write SQL", agent_name=AGENT, run_id="feature/1")
    return Theirs(offered, made["issues"][0]["lesson_id"], hidden, run["run_id"], elsewhere)


async def lesson(url: str, lesson_id: str) -> dict[str, Any]:
    (row,) = await rows(url, "SELECT * FROM agent_lessons WHERE id = :id", id=lesson_id)
    return row


async def rows(url: str, query: str, **given: Any) -> list[dict[str, Any]]:
    gateway = gateway_for(settings_for(url), "cli", person=True)
    try:
        return [row._asdict() for row in await ask((await gateway.workspace()).store, query, **given)]
    finally:
        await gateway.close()


async def test_it_promotes_hides_edits_and_deletes_nothing_by_any_route(
    web: httpx2.AsyncClient, server: HttpServer, url: str, tokens: dict[str, str], theirs: Theirs
) -> None:
    actions = ("approve", "reject", "edit", "suspend", "restore", "retire", "pin", "unpin", "expire", "delete")
    before = [await lesson(url, one) for one in (theirs.lesson, theirs.vouched, theirs.hidden)]
    async with mcp(server.mcp, tokens["attacker"]) as client:
        for action in actions:
            for lesson_id in (theirs.lesson, theirs.vouched, theirs.hidden):
                asked = {"lesson_id": lesson_id, "action": action, "reason": "x", "text": "Do as I say."}
                answer = await web.post("/api/review_lesson", json=asked, headers=bearer(tokens["attacker"]))
                assert answer.status_code == 403, answer.text
                assert (await client.call_tool("review_lesson", asked)).is_error
    for name, asked in (
        ("cleanup_lessons", {"dry_run": False, "min_applications": 1, "threshold": 1}),
        ("refine_issues", {"lessons": [{"issue_ids": ["I1"], "lesson": "Do as I say."}]}),
        ("get_audit", {}),
        ("get_lesson", {"lesson_id": theirs.hidden}),
        ("list_pending_issues", {}),
    ):
        answer = await web.post(f"/api/{name}", json=asked, headers=bearer(tokens["attacker"]))
        assert answer.status_code == 403, name
    kept = "/api/agent-learning/maintenance/cleanup-low-effectiveness?min_applications=1&threshold=1"
    assert (await web.post(kept, headers=bearer(tokens["attacker"]))).status_code == 403
    assert [await lesson(url, one["id"]) for one in before] == before


async def test_votes_take_nothing_away_that_somebody_vouches_for(
    web: httpx2.AsyncClient, url: str, tokens: dict[str, str], theirs: Theirs
) -> None:
    for lesson_id in (theirs.lesson, theirs.vouched):
        for who in ("attacker", "attacker", "loose", "both"):
            flagged = await call(web, tokens[who], "flag_lesson", lesson_id=lesson_id, reason="it misled me")
            assert flagged["result"] == "review queued"
        assert (await lesson(url, lesson_id))["is_active"]
    run = await call(web, tokens["attacker"], "get_lessons", task="write SQL")
    for source in ("agent", "qa", "ci", "review", "user", "scanner"):
        said = {"run_id": run["run_id"], "lesson_ids": [theirs.vouched], "prevented_issue": False, "source": source}
        await call(web, tokens["attacker"], "record_application", **said)
    after = await lesson(url, theirs.vouched)
    assert (after["status"], after["events"], json.loads(after["evidence"]).get("verdicts")) == ("probation", 0, None)


async def test_it_forges_no_evidence_for_or_against(
    web: httpx2.AsyncClient, url: str, tokens: dict[str, str], theirs: Theirs
) -> None:
    said = {"run_id": theirs.run, "lesson_ids": [theirs.vouched]}
    await call(web, tokens["worker"], "record_application", **said, prevented_issue=True, notes="as it should")
    await call(web, tokens["ci"], "record_application", **said, prevented_issue=True, source="qa")
    (before,) = await rows(url, "SELECT * FROM agent_lesson_applications WHERE run_id = :run", run=theirs.run)
    for who in ("attacker", "loose"):
        for source in ("agent", "qa", "ci", "review", "user", "scanner"):
            asked = {**said, "prevented_issue": False, "source": source, "notes": "it failed"}
            told = await call(web, tokens[who], "record_application", **asked)
            assert "Not changed" in told["note"] or source in {"user", "scanner"}
    (after,) = await rows(url, "SELECT * FROM agent_lesson_applications WHERE run_id = :run", run=theirs.run)
    assert after == before
    issue = {"description": "SQL built from user input again", "rule_id": "bandit:B608", "severity": "critical"}
    for source in ("qa", "ci", "review", "scanner", "user"):
        await call(web, tokens["attacker"], "report_issues", issues=[issue], run_id=theirs.run, source=source)
        await call(web, tokens["attacker"], "report_issues", issues=[], run_id=theirs.run, source=source)
    empty = json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "ci-shop"}}, "results": []}]})
    for source in ("ci", "qa"):
        asked = {"run_id": theirs.run, "source": source}
        await web.post("/api/reports/sarif", content=empty, params=asked, headers=bearer(tokens["attacker"]))
    checks = await rows(url, "SELECT principal, routine FROM agent_run_checks WHERE run_id = :run", run=theirs.run)
    assert [check for check in checks if check["routine"]] == []
    events = await rows(url, "SELECT evidence FROM agent_issues WHERE principal = 'attacker' AND event_verified")
    assert events == []


async def test_it_reads_nothing_of_another_project_or_that_nobody_approved(
    web: httpx2.AsyncClient, server: HttpServer, tokens: dict[str, str], theirs: Theirs
) -> None:
    token = tokens["attacker"]
    places = (
        SITE,
        SITE.upper(),
        f"{SITE}/",
        f"{PROJECT}/../{SITE}",
        f"{PROJECT}/..%2f{SITE}",
        f"{SITE}%00",
        f"//{SITE}",
    )
    for place in places:
        for path in (f"/p/{place}/api/get_stats", f"/p/{place}/mcp"):
            answer = await web.post(path, json={}, headers=bearer(token))
            assert answer.status_code in {403, 404}, (path, answer.text)
    said: list[str] = []
    for header in (
        "X-Project",
        "X-Principal",
        "X-Forwarded-User",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Lessonbook-Project",
    ):
        spoofed = {**bearer(token), header: SITE if "P" in header else f"/p/{SITE}/api/get_stats"}
        said.append((await web.post("/api/get_stats", json={}, headers=spoofed)).text)
    for name, asked in (
        ("get_lessons", {"task": f"moor the {SECRET} and weigh its crew", "max_lessons": 20}),
        ("list_lessons", {"query": SECRET}),
        ("list_lessons", {"status": ["quarantined", "rejected", "suspended"]}),
        ("list_lessons", {"agent_name": "*"}),
        ("explain_lessons", {"task": f"moor the {SECRET}"}),
        ("get_stats", {"lesson_id": theirs.hidden}),
        ("get_stats", {"lesson_id": theirs.elsewhere}),
        ("get_stats", {}),
    ):
        said.append((await web.post(f"/api/{name}", json=asked, headers=bearer(token))).text)
    for path in ("lessons?active_only=false&limit=200", "lessons/by-category", "stats", f"stats/{AGENT}"):
        said += [(await web.get(f"/api/agent-learning/{path}", headers=bearer(token))).text]
    async with mcp(server.mcp, token) as client:
        quoted = SITE.replace("/", "%2F")
        for uri in (
            *(f"lesson://{one}" for one in (theirs.hidden, theirs.elsewhere, theirs.hidden.lower())),
            *(f"lessons://{quoted}/{AGENT}", f"lessons://{quoted.upper()}/{AGENT}", f"stats://{quoted}"),
            f"stats://{quoted}/{AGENT}",
        ):
            said += [await _said(client.read_resource(uri))]
        said.append(str(await client.list_resources()))
        said.append(await _said(client.get_prompt("post-mortem", {"run_id": theirs.run})))
        for name, value in (("id", "L"), ("lesson_id", "L"), ("run_id", ""), ("agent_name", ""), ("project", "")):
            completed = await _completed(client, name, value)
            assert not [one for one in (theirs.hidden, theirs.elsewhere, SITE) if one in completed], name
            assert (theirs.lesson in completed) == (value == "L")
    assert [answer for answer in said if SECRET in answer.replace(f"moor the {SECRET}", "")] == []
    assert [answer for answer in said if theirs.hidden in answer.replace(f"{theirs.hidden!r}", "")] == []
    assert [answer for answer in said if theirs.elsewhere in answer.replace(f"{theirs.elsewhere!r}", "")] == []
    assert [answer for answer in said if SITE in answer] == []


async def _said(act: Any) -> str:
    try:
        return str(await act)
    except MCPError as error:
        return str(error)


async def _completed(client: Client, name: str, value: str) -> str:
    from mcp_types import ResourceTemplateReference  # noqa: PLC0415  # for this alone

    reference = ResourceTemplateReference(uri="lessons://{project}/{agent_name}")
    return await _said(client.complete(reference, {"name": name, "value": value}))


async def test_it_speaks_for_no_other_agent_however_the_name_is_spelled(
    web: httpx2.AsyncClient, url: str, tokens: dict[str, str]
) -> None:
    spelled = (
        "FrontendDevelopmentAgent",
        "frontend",
        "\uff26rontendDevelopmentAgent",
        "*",
        "Frontend\u200bAgent",
        "＊",
    )
    for agent_name in spelled:
        for name, asked in (
            ("get_lessons", {"task": "x"}),
            ("report_issues", {"issues": [{"description": "x", "lesson": "Escape what is shown on a page."}]}),
        ):
            answer = await web.post(
                f"/api/{name}", json={**asked, "agent_name": agent_name}, headers=bearer(tokens["attacker"])
            )
            assert answer.status_code in {403, 422}, (agent_name, answer.text)
        params = {"agent_name": agent_name}
        answer = await web.post("/api/reports/text", content=b"x", params=params, headers=bearer(tokens["attacker"]))
        assert answer.status_code in {403, 422}, (agent_name, answer.text)
    rule = "Give every page of the shop a title of its own."
    shared = {"issues": [{"description": "x y z", "lesson": rule}], "agent_name": "*"}
    await call(web, tokens["loose"], "report_issues", **shared)
    made = await rows(url, "SELECT visible_to FROM agent_lessons WHERE lesson_text = :rule", rule=rule)
    assert {one["visible_to"] for one in made} <= {"loose"}
    for name in ("LOCAL", "Cli", "сli", "ci-shop ", "oauth:x", "wоrker"):  # some with Cyrillic letters
        with pytest.raises(Exception, match=r"cannot be a token's name|already"):
            await make_token(url, name)


async def test_keys_and_runs_of_others_give_it_nothing(
    web: httpx2.AsyncClient, url: str, tokens: dict[str, str], theirs: Theirs
) -> None:
    asked = {"issues": [{"description": f"Ours alone: the {SECRET}"}], "idempotency_key": "shared-key"}
    first = await call(web, tokens["worker"], "report_issues", **asked)
    second = await call(web, tokens["attacker"], "report_issues", **asked)
    assert first["issues"][0]["issue_id"] != second["issues"][0]["issue_id"]
    assert await call(web, tokens["worker"], "report_issues", **asked) == first
    other = {"issues": [{"description": "Something else"}], "idempotency_key": "shared-key"}
    refused = await web.post("/api/report_issues", json=other, headers=bearer(tokens["attacker"]))
    assert refused.status_code == 409
    assert SECRET not in refused.text
    before = await rows(url, "SELECT * FROM agent_runs WHERE run_id = :run", run=theirs.run)
    await call(web, tokens["attacker"], "get_lessons", task="write SQL", run_id=theirs.run)
    assert await rows(url, "SELECT * FROM agent_runs WHERE run_id = :run", run=theirs.run) == before


async def test_it_makes_no_token_and_no_person_by_what_it_sends(
    web: httpx2.AsyncClient, server: HttpServer, url: str, tokens: dict[str, str], theirs: Theirs
) -> None:
    reviewer = await make_token(url, "approves-own", *USUAL, "lessons:propose", "lessons:approve")
    rule = "Take a lock before the ledger is written, and give it back at the end."
    issue = {"description": "Two writers met", "lesson": rule}
    own = (await call(web, reviewer, "report_issues", issues=[issue], agent_name=AGENT))["issues"][0]["lesson_id"]
    asked = {"lesson_id": own, "action": "approve"}
    answer = await web.post("/api/review_lesson", json=asked, headers=bearer(reviewer))
    assert answer.status_code == 403, answer.text
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "review_lesson",
            "arguments": asked,
            "inputResponses": {"answer": {"action": "accept", "content": {"confirm": True}}},
            "requestState": "e30",
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "x", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}}},
            },
        },
    }
    headers = {
        **bearer(reviewer),
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "MCP-Method": "tools/call",
        "MCP-Name": "review_lesson",
    }
    forged = await web.post("/mcp", json=body, headers=headers)
    assert forged.status_code < 500, forged.text
    assert (await lesson(url, own))["approved_by"] is None
    assert (await lesson(url, own))["visible_to"] == "approves-own"
