"""The OAuth resource server over real HTTP, with a real issuer on loopback."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.shared.auth import ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed
from mcp_types import TextContent

from lessonbook.domain.token_scopes import SCOPES
from tests.contract.links import in_a_task
from tests.contract.processes import HttpServer, afresh, command, environment, http_server
from tests.contract.test_authorisation import bearer, make_token, mcp
from tests.edges.access.issuer import AUDIENCE, Issuer, serving
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio

METADATA = "/.well-known/oauth-protected-resource"
PUBLIC = AUDIENCE


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving(Issuer()) as issuer:
        yield issuer


@pytest.fixture(scope="module")
def url(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


def configured(folder: Path, issuer: Issuer, **server: Any) -> Path:
    file = folder / "lessonbook.toml"
    server_lines = "".join(f"{name} = {value!r}\n" for name, value in server.items())
    file.write_text(
        f"[server]\n{server_lines}[auth]\naccept = ['tokens', 'oauth']\nissuer = '{issuer.address}'\n"
        f"audience = '{AUDIENCE}'\njwks = '{issuer.jwks}'\n"
    )
    return file


@pytest.fixture(scope="module")
async def server(
    anyio_backend: str, url: str, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[HttpServer]:
    file = configured(tmp_path_factory.mktemp("oauth"), issuer, public_url=PUBLIC)
    async with in_a_task(http_server(url, "--config", str(file))) as server:
        yield server


@pytest.fixture
async def web(server: HttpServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


async def test_a_client_without_a_token_is_led_to_the_issuer(web: httpx2.AsyncClient, issuer: Issuer) -> None:
    for path in ("/mcp", "/p/github.com/acme/site/mcp"):
        answer = await web.post(path, json={})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == f'Bearer resource_metadata="{PUBLIC}{METADATA}{path}"'
        described = await web.get(f"{METADATA}{path}")
        metadata = ProtectedResourceMetadata.model_validate(described.json())
        assert [str(address).rstrip("/") for address in metadata.authorization_servers] == [issuer.address]
        assert check_resource_allowed(f"{PUBLIC}{path}", str(metadata.resource))
        assert metadata.scopes_supported == list(SCOPES)
    assert (await web.get(METADATA)).json()["bearer_methods_supported"] == ["header"]


async def test_an_issuers_token_is_served_by_mcp_and_rest(
    server: HttpServer, web: httpx2.AsyncClient, issuer: Issuer
) -> None:
    token = issuer.token(lessonbook_projects="github.com/acme/site")
    answer = await web.post("/api/get_lessons", json={"task": "add an endpoint"}, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    async with mcp(f"{server.url}/p/github.com/acme/site/mcp", token) as client:
        result = await client.call_tool("get_lessons", {"task": "add an endpoint"})
    assert not result.is_error


async def test_a_token_without_a_scope_is_told_which_by_status_and_header(
    web: httpx2.AsyncClient, issuer: Issuer, url: str
) -> None:
    token = issuer.token()
    call = {"name": "report_issues", "arguments": {"issues": [{"description": "A query built by hand"}]}}
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    over_mcp = await web.post("/mcp", json=request, headers={**bearer(token), **headers})
    over_rest = await web.post("/api/report_issues", json=call["arguments"], headers=bearer(token))
    for answer, path in ((over_mcp, "/mcp"), (over_rest, "")):
        assert answer.status_code == 403
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="insufficient_scope", scope="issues:write"')
        assert challenge.endswith(f'resource_metadata="{PUBLIC}{METADATA}{path}"')
        assert "issues:write" in answer.text
    # A client with a token that people made cannot ask for more: its model reads the reason.
    made = await make_token(url, "reader", "lessons:read")
    told = await web.post("/mcp", json=request, headers={**bearer(made), **headers})
    assert told.status_code == 200
    assert TextContent.model_validate(told.json()["result"]["content"][0]).text.endswith("yours does not have it")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 1}, "expired"),
        ({"aud": "https://other.example"}, "another server"),
        ({"iss": "https://other.example"}, "another issuer"),
    ],
)
async def test_a_bad_token_is_refused_on_every_edge(
    web: httpx2.AsyncClient, issuer: Issuer, claims: dict[str, Any], said: str
) -> None:
    token = issuer.token(**claims)
    for method, path in (("POST", "/mcp"), ("POST", "/api/get_lessons"), ("GET", "/openapi.json")):
        answer = await web.request(method, path, headers=bearer(token))
        assert answer.status_code == 401
        assert said in answer.json()["message"]
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        assert "resource_metadata=" in answer.headers["www-authenticate"]


async def test_the_public_address_is_a_host_and_an_origin_of_ours(web: httpx2.AsyncClient, issuer: Issuer) -> None:
    headers = {**bearer(issuer.token()), "Host": "lessonbook.example", "Origin": PUBLIC}
    assert (await web.get("/api/agent-learning/stats", headers=headers)).status_code == 200
    assert (await web.get("/api/agent-learning/stats", headers={**headers, "Host": "x.example"})).status_code == 403


async def test_with_authorisation_any_address_is_bound(sqlite_url: str) -> None:
    async with http_server(sqlite_url, "--auth", "tokens", "--host", "0.0.0.0") as server:
        port = server.url.rpartition(":")[2]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as web:
            assert (await web.get("/healthz")).status_code == 200
            assert (await web.post("/api/get_lessons", json={})).status_code == 401


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--auth", "oauth"), "auth.issuer is needed"), (("--auth", "password"), "auth.accept")],
)
async def test_settings_that_do_not_go_together_stop_the_server(
    sqlite_url: str, options: tuple[str, ...], said: str
) -> None:
    done = await anyio.run_process(command("--http", "--port", "0", *options), env=environment(sqlite_url), check=False)
    assert done.returncode == 2
    assert said.encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
async def test_a_server_with_an_issuer_starts_as_a_person_starts_it(
    sqlite_url: str, issuer: Issuer, tmp_path: Path
) -> None:
    file = configured(tmp_path, issuer)
    async with (
        http_server(sqlite_url, "--config", str(file), started=afresh) as server,
        httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_S) as web,
    ):
        assert (await web.post("/api/get_lessons", json={}, headers=bearer(issuer.token()))).status_code == 200
        assert f'resource_metadata="{server.url}{METADATA}/mcp"' in (await web.post("/mcp")).headers["www-authenticate"]
