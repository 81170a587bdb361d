"""Authorisation over real HTTP: who is let in, and that a scope means the same over MCP and REST."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ResourceUpdated
from mcp.shared.exceptions import MCPError

from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.domain.token_scopes import SCOPES
from lessonbook.edges.access.scopes_by_service import SCOPE_OF
from lessonbook.edges.tool_table import OPERATIONS
from lessonbook.services.tokens import NewToken
from tests.contract.links import HANDSHAKE, STATELESS, in_a_task, mode_of, settings_for
from tests.contract.processes import BOTH, PROJECT, HttpServer, http_server
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio

SITE = "github.com/acme/site"
AGENT = "BackendDevelopmentAgent"
KEPT = "/api/agent-learning"
ISSUE = {"description": "Built the query from user input", "rule_id": "bandit:B608"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "get_lessons": {"task": "add an endpoint"},
    "report_issues": {"issues": [ISSUE], "agent_name": AGENT},
    "record_application": {"run_id": "none", "lesson_ids": ["Lnone"]},
    "flag_lesson": {"lesson_id": "Lnone", "reason": "it misled me"},
    "explain_lessons": {"task": "add an endpoint"},
    "get_lesson": {"lesson_id": "Lnone"},
    "review_lesson": {"lesson_id": "Lnone", "action": "approve"},
    "refine_issues": {"lessons": [{"issue_ids": ["Inone"], "lesson": "Close every file in its own block."}]},
}
KEPT_ROUTES = [
    ("GET", f"{KEPT}/lessons", "list_lessons"),
    ("GET", f"{KEPT}/lessons/by-category", "lessons_by_category"),
    ("GET", f"{KEPT}/stats", "by_agent"),
    ("GET", f"{KEPT}/stats/{AGENT}", "get_stats"),
    ("POST", f"{KEPT}/maintenance/cleanup-low-effectiveness?dry_run=true", "cleanup_lessons"),
    ("GET", f"{KEPT}/health", "is_alive"),
    ("POST", "/api/rework", "refine"),
    ("POST", "/api/hooks", "get_lessons"),
    ("POST", "/api/reports/sarif", "report_file"),
]
RESOURCES = {
    "lessons://{project}/" + AGENT: "get_lessons",
    "stats://{project}": "by_agent",
    "stats://{project}/" + AGENT: "get_stats",
    "lesson://Lnone": "get_served_lesson",
}
PROMPTS = {
    "learned-lessons": ({"task": "add an endpoint"}, "get_lessons"),
    "refine-backlog": ({}, "list_pending_issues"),
    "post-mortem": ({"run_id": "none"}, "issues_of_run"),
}


async def make_token(url: str, name: str, *scopes: str, projects: tuple[str, ...] = (PROJECT,), agent: str = "") -> str:
    gateway = gateway_for(settings_for(url), "cli", person=True)
    try:
        new = NewToken(name, scopes or SCOPES, projects, agent)
        return (await gateway.call(services.tokens.create_token, new)).token
    finally:
        await gateway.close()


async def revoke(url: str, name: str) -> None:
    gateway = gateway_for(settings_for(url), "cli", person=True)
    try:
        await gateway.call(services.tokens.revoke_token, name)
    finally:
        await gateway.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def mcp(url: str, token: str, protocol: str = STATELESS) -> AsyncIterator[Client]:
    """Connect the SDK's client with a token."""
    async with (
        httpx2.AsyncClient(headers=bearer(token), timeout=PATIENCE_S) as web,
        Client(
            streamable_http_client(url, http_client=web), mode=mode_of(protocol), read_timeout_seconds=PATIENCE_S
        ) as client,
    ):
        yield client


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


def wanted(message: str) -> str:
    """Return the scope that a refusal names; empty where the message is no refusal."""
    marker = " needs a token with the scope "
    return message.partition(marker)[2].partition(",")[0] if marker in message else ""


async def asked_by_rest(web: httpx2.AsyncClient, place: str, token: str, name: str) -> str:
    """Return the scope that a call lacks by REST, "other project", or "" where it is let in."""
    answer = await web.post(f"{place}/api/{name}", json=ARGUMENTS.get(name, {}), headers=bearer(token))
    assert answer.status_code < 500, answer.text
    if answer.status_code != 403:
        return ""
    scope = wanted(answer.json()["message"])
    if scope:
        assert answer.json()["error"] == "insufficient_scope"
        assert f'scope="{scope}"' in answer.headers["www-authenticate"]
    return scope or "other project"


async def asked_by_mcp(client: Client, name: str) -> str:
    """Return the scope that a call lacks by MCP; empty where it is let in."""
    result = await client.call_tool(name, ARGUMENTS.get(name, {}))
    (said,) = result.content
    assert said.type == "text"
    return wanted(said.text) if result.is_error else ""


@pytest.mark.parametrize("held", [*SCOPES, "all"])
async def test_a_scope_opens_the_same_operations_by_mcp_and_by_rest_in_each_project(
    server: HttpServer, web: httpx2.AsyncClient, url: str, held: str
) -> None:
    scopes = SCOPES if held == "all" else (held,)
    token = await make_token(url, f"walk-{held.replace(':', '-')}", *scopes, projects=(PROJECT, SITE))
    listed = set()
    for place in ("", f"/p/{PROJECT}", f"/p/{SITE}"):
        async with mcp(f"{server.url}{place}/mcp", token) as client:
            listed.add(tuple(tool.name for tool in (await client.list_tools()).tools))
            for operation in OPERATIONS:
                needed = SCOPE_OF[operation.name]
                expected = "" if needed in scopes else needed
                found = (
                    await asked_by_rest(web, place, token, operation.name),
                    await asked_by_mcp(client, operation.name),
                )
                assert found == (expected, expected), (operation.name, place)
    assert listed == {tuple(operation.name for operation in OPERATIONS)}  # whatever a token allows
    for operation in OPERATIONS:
        assert await asked_by_rest(web, "/p/github.com/acme/secret", token, operation.name) == "other project"
    refused = await web.post("/p/github.com/acme/secret/mcp", json={}, headers=bearer(token))
    assert refused.status_code == 403


@pytest.mark.parametrize("held", SCOPES)
async def test_kept_routes_obey_the_same_scopes(web: httpx2.AsyncClient, url: str, held: str) -> None:
    token = await make_token(url, f"kept-{held.replace(':', '-')}", held)
    for method, path, service in KEPT_ROUTES:
        answer = await web.request(method, path, headers=bearer(token))
        needed = SCOPE_OF[service]
        lacks = needed not in {"any", held}
        assert (wanted(answer.json().get("message", "")) if answer.status_code == 403 else "") == (
            needed if lacks else ""
        )


@pytest.mark.parametrize("held", SCOPES)
async def test_resources_prompts_and_completions_obey_the_same_scopes(server: HttpServer, url: str, held: str) -> None:
    token = await make_token(url, f"read-{held.replace(':', '-')}", held)

    async def lacks(act: Any) -> str:
        try:
            await act
        except MCPError as error:
            return wanted(str(error))
        return ""

    async with mcp(server.mcp, token) as client:
        project = PROJECT.replace("/", "%2F")
        for uri, service in RESOURCES.items():
            allows = {held, "lessons:read"} if (uri, held) == ("lesson://Lnone", "lessons:propose") else {held}
            expected = "" if SCOPE_OF[service] in allows else SCOPE_OF[service]
            assert await lacks(client.read_resource(uri.format(project=project))) == expected, uri
        for name, (arguments, service) in PROMPTS.items():
            expected = "" if SCOPE_OF[service] == held else SCOPE_OF[service]
            assert await lacks(client.get_prompt(name, arguments)) == expected, name


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer realm="lessonbook"'),
        ({"Authorization": "Basic bG9jYWw6bG9jYWw="}, 'Bearer error="invalid_token"'),
        ({"Authorization": "Bearer"}, 'Bearer error="invalid_token"'),
        (bearer("lbt_" + "A" * 43), 'Bearer error="invalid_token"'),
        (bearer("eyJhbGciOiJub25lIn0.e30."), 'Bearer error="invalid_token"'),
        (bearer("x" * 20_000), 'Bearer error="invalid_token"'),
    ],
)
async def test_nobody_reads_creates_or_deletes_without_a_valid_token(
    web: httpx2.AsyncClient, headers: dict[str, str], challenge: str
) -> None:
    routes = [("POST", "/mcp"), ("GET", "/mcp"), ("DELETE", "/mcp"), ("GET", "/openapi.json"), ("GET", "/nowhere")]
    routes += [(method, path) for method, path, _ in KEPT_ROUTES]
    routes += [("POST", f"/api/{operation.name}") for operation in OPERATIONS]
    routes += [("DELETE", f"{KEPT}/lessons"), ("POST", f"/p/{PROJECT}/mcp"), ("POST", f"/p/{PROJECT}/api/get_lessons")]
    for method, path in routes:
        answer = await web.request(method, path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == challenge
        assert answer.json().keys() == {"error", "message"}
    assert (await web.get("/healthz", headers=headers)).json() == {"ok": True}


async def test_a_token_in_the_address_lets_nobody_in(web: httpx2.AsyncClient, url: str) -> None:
    token = await make_token(url, "in-the-address")
    for name in ("access_token", "token", "authorization"):
        assert (await web.get(f"{KEPT}/stats", params={name: token})).status_code == 401
    assert (await web.get(f"{KEPT}/stats", params={"access_token": token}, headers=bearer(token))).status_code == 422


async def test_hosts_and_origins_are_checked_before_tokens(web: httpx2.AsyncClient, url: str) -> None:
    token = await make_token(url, "from-elsewhere")
    for foreign in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "http://localhost:3000"}):
        assert (await web.get(f"{KEPT}/stats", headers={**bearer(token), **foreign})).status_code == 403


async def test_an_expired_or_revoked_token_is_refused_with_the_reason(web: httpx2.AsyncClient, url: str) -> None:
    token = await make_token(url, "revoked")
    await revoke(url, "revoked")
    answer = await web.get(f"{KEPT}/stats", headers=bearer(token))
    assert answer.status_code == 401
    assert "'revoked' is revoked" in answer.json()["message"]


async def test_a_project_sees_nothing_of_another(server: HttpServer, web: httpx2.AsyncClient, url: str) -> None:
    both = await make_token(url, "both-projects", projects=(PROJECT, SITE))
    made = await web.post(f"/p/{SITE}/api/report_issues", json=ARGUMENTS["report_issues"], headers=bearer(both))
    (line,) = made.json()["issues"]
    chosen = {"lesson_id": line["lesson_id"]}
    there = await web.post(f"/p/{SITE}/api/get_lesson", json=chosen, headers=bearer(both))
    assert there.json()["lesson"]["id"] == line["lesson_id"]
    assert (await web.post("/api/get_lesson", json=chosen, headers=bearer(both))).status_code == 404
    async with mcp(server.mcp, both) as client:
        with pytest.raises(MCPError, match="serves project"):
            await client.read_resource("stats://" + SITE.replace("/", "%2F"))


async def test_a_token_bound_to_an_agent_serves_and_reports_as_that_agent(web: httpx2.AsyncClient, url: str) -> None:
    bound = await make_token(url, "bound", "lessons:read", "issues:write", agent=AGENT)
    told = await web.post("/api/get_lessons", json={"task": "style the login page"}, headers=bearer(bound))
    assert told.json()["agent_name"] == AGENT
    as_other = {"task": "style the login page", "agent_name": "FrontendDevelopmentAgent"}
    refused = await web.post("/api/get_lessons", json=as_other, headers=bearer(bound))
    assert refused.status_code == 403
    assert f"bound to {AGENT}" in refused.json()["message"]
    same = await web.post("/api/get_lessons", json={"agent_name": AGENT}, headers=bearer(bound))
    assert same.status_code == 200


@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_the_sdks_client_works_with_a_token_in_both_protocols(
    server: HttpServer, url: str, protocol: str
) -> None:
    token = await make_token(url, f"sdk-{protocol}")
    async with mcp(f"{server.url}/p/{PROJECT}/mcp", token, protocol) as client:
        result = await client.call_tool("report_issues", ARGUMENTS["report_issues"])
        assert not result.is_error
        assert result.structured_content
    assert result.structured_content["issues"][0]["lesson_id"]


async def test_a_subscriber_hears_of_its_own_project_alone(
    server: HttpServer, web: httpx2.AsyncClient, url: str
) -> None:
    token = await make_token(url, "listener", projects=(PROJECT, SITE))
    of = {name: "stats://" + name.replace("/", "%2F") for name in (PROJECT, SITE)}
    async with (
        mcp(f"{server.url}/p/{SITE}/mcp", token) as client,
        client.listen(resource_subscriptions=list(of.values())) as subscription,
    ):
        for place, rule in (("", "bandit:B113"), (f"/p/{SITE}", "bandit:B324")):
            report = {"issues": [{"description": f"Found {rule}", "rule_id": rule}], "agent_name": AGENT}
            answer = await web.post(f"{place}/api/report_issues", json=report, headers=bearer(token))
            assert answer.json()["issues"][0]["action"] == "created", answer.text
        assert await anext(aiter(subscription)) == ResourceUpdated(uri=of[SITE])
    reader = await make_token(url, "reader", "lessons:read")
    async with mcp(server.mcp, reader) as client:
        with pytest.raises(MCPError, match="stats:read"):
            async with client.listen(resource_subscriptions=[of[PROJECT]]):
                pass


async def test_a_file_is_refused_before_it_is_read(web: httpx2.AsyncClient, url: str) -> None:
    token = await make_token(url, "no-reports", "lessons:read")
    answer = await web.post("/api/reports/sarif", content=b"x" * 2**20, headers=bearer(token))
    assert answer.status_code == 403
    assert wanted(answer.json()["message"]) == "issues:write"
