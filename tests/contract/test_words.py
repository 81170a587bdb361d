"""What leaves the server in words: whatever is sent, whatever fails, no answer has the shape of an inner error.

One walk over every way in: tools with every argument wrong in every way, their REST twins, kept routes, prompts,
resources, completions, files, and each of them while the database fails.
"""

import asyncio
import copy
import itertools
import json
import socket
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args
from urllib.parse import quote, urlsplit

import asyncpg
import httpx2
import pytest
from sqlalchemy.exc import DBAPIError, OperationalError

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import STOPPED, Undecided
from lessonbook.domain.findings import ReportKind
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.schema import input_schema
from lessonbook.edges.tool_table import OPERATIONS, Operation, takes_key
from lessonbook.edges.transport.http import build_app
from lessonbook.store import postgres, sqlite
from lessonbook.store.postgres import PostgresStore
from lessonbook.store.sqlite import SqliteStore
from tests.contract.links import STATELESS
from tests.words import faults_in

pytestmark = pytest.mark.anyio

PROJECT = "shop"
MANY = "x" * 30_000
WRONG: dict[str, Any] = {
    "null": None,
    "empty": "",
    "text": "nonsense",
    "long": MANY,
    "number": 7,
    "huge": 10**30,
    "flag": True,
    "list": [],
    "long list": ["x"] * 150,
    "unknown": {"descripton": "x"},
    "nested": {"a": {"b": {"c": [{"d": None}]}}},
    "nul": "a\0b",
    "half": "a\ud800",
    "broken": '[{"description": ',
    "sql": "x'; DROP TABLE y; --",
}
ISSUE = {"description": "The zeppelin stalls"}
PLAIN: dict[str, dict[str, Any]] = {
    "get_lessons": {"task": "build a zeppelin"},
    "report_issues": {"issues": [ISSUE]},
    "record_application": {"run_id": "r", "lesson_ids": ["Labcdefgh23"]},
    "flag_lesson": {"lesson_id": "Labcdefgh23", "reason": "It misleads"},
    "get_stats": {},
    "list_lessons": {},
    "get_lesson": {"lesson_id": "Labcdefgh23"},
    "explain_lessons": {"task": "build a zeppelin"},
    "review_lesson": {"lesson_id": "Labcdefgh23", "action": "approve", "reason": "It is right"},
    "list_pending_issues": {},
    "refine_issues": {"lessons": [{"issue_ids": ["Iabcdefgh23"], "lesson": "Check the gas."}]},
    "cleanup_lessons": {},
    "get_audit": {},
}
"""Arguments that each tool takes."""


def wrong_calls(operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield arguments of which one, at any depth, is missing, unknown or of another kind."""
    plain = PLAIN[operation.name]
    schema = input_schema(operation.request)
    yield {}
    yield {**plain, "runid": "r"}
    yield {**plain, "x" * 5_000: 1}
    for path in places(schema, schema):
        for value in WRONG.values():
            yield placed(plain, path, value)


def places(schema: dict[str, Any], whole: dict[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every argument, those of objects in lists too."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    for name, field in schema.get("properties", {}).items():
        yield (name,)
        inner, prefix = (field["items"], (name, 0)) if "items" in field else (field, (name,))
        yield from ((*prefix, *rest) for rest in places(inner, whole))


def placed(plain: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return `plain` with another value at `path`, whose lists and objects are made where they are missing."""
    whole = copy.deepcopy(plain)
    here: Any = whole
    for step, after in itertools.pairwise(path):
        if isinstance(after, int):
            here[step] = here.get(step) or [{}]
            here = here[step]
        else:
            here = here[step] if isinstance(step, int) else here.setdefault(step, {})
    here[path[-1]] = value
    return whole


class Server:
    """The whole application, called within the process: MCP, REST, files."""

    def __init__(self, web: httpx2.AsyncClient, gateway: Gateway, url: str) -> None:
        self.web, self.gateway = web, gateway
        self.secrets = [part for part in private_parts(url) if part not in {"localhost", "127.0.0.1", "sqlite"}]
        self.faults: list[str] = []
        self.refused = 0
        self.may_be_opaque = False

    async def mcp(self, method: str, *, reads: bool = False, **params: Any) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
        await self.post("/mcp", body, reads=reads, headers=mcp_headers(method, params))

    async def post(self, path: str, body: Any, *, reads: bool = False, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        self.look(path, body, await self.web.post(path, content=content, headers=given), reads=reads)

    async def get(self, path: str) -> None:
        self.look(path, "", await self.web.get(path), reads=True)

    def look(self, path: str, sent: Any, answer: httpx2.Response, *, reads: bool) -> None:
        """Note what an answer has that must not leave the server; what was sent may come back."""
        if answer.is_success and '"isError":true' not in answer.text and '"error"' not in answer.text:
            return
        self.refused += 1
        text = answer.content.decode()
        for fault in faults_in(text, reads=reads, private=self.secrets, opaque=self.may_be_opaque):
            self.faults.append(f"{path} {str(sent)[:200]!r}: {fault!r} in {text[:400]}")


META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def mcp_headers(method: str, params: dict[str, Any]) -> dict[str, str]:
    name = params.get("name", params.get("uri"))
    return {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": STATELESS,
        "mcp-method": method,
        **({"mcp-name": name} if isinstance(name, str) and name.isascii() and name.isprintable() else {}),
    }


def private_parts(url: str) -> list[str]:
    """Return what an address of a database has that no caller may read."""
    parts = urlsplit(url)
    given = [url, parts.hostname, parts.username, parts.password, parts.path, parts.path.lstrip("/"), parts.query]
    return [part for part in given if part and part not in {"postgres", "/"}]


@asynccontextmanager
async def serving(url: str) -> AsyncIterator[Server]:
    settings = Settings.model_validate(
        {"project": PROJECT, "database": {"url": url}, "server": {"toolsets": ["agent", "operator"]}}
    )
    gateway = gateway_for(settings, "local")
    app = build_app(gateway, settings)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with lifespan_of(app), httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        yield Server(web, gateway, url)
    await gateway.close()


@asynccontextmanager
async def lifespan_of(app: Any) -> AsyncIterator[None]:
    """Run what an ASGI server runs around its requests."""
    started, over = asyncio.Event(), asyncio.Event()
    sent = [{"type": "lifespan.startup"}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        await over.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        started.set()

    task = asyncio.create_task(app({"type": "lifespan"}, receive, send))
    await started.wait()
    yield
    over.set()
    await task


@pytest.mark.slow
async def test_no_wrong_argument_is_answered_in_inner_words(new_database, tmp_path) -> None:
    async with serving(new_database("sqlite")) as server, serving(new_database("postgresql")) as other:
        for operation in OPERATIONS:
            reads = not takes_key(operation.name)
            for number, arguments in enumerate(wrong_calls(operation)):
                if number % 2:
                    await server.mcp("tools/call", reads=reads, name=operation.name, arguments=arguments)
                else:
                    await other.post(f"/api/{operation.name}", arguments, reads=reads)
        await send_wrong_messages(server)
        await send_wrong_parameters(other)
        await send_wrong_files(server)
        assert server.faults + other.faults == []
        assert server.refused > 500
        assert other.refused > 500


async def send_wrong_messages(server: Server) -> None:
    """Send requests of MCP whose parameters are wrong: names, addresses, references, shapes."""
    wrong = [value for name, value in WRONG.items() if name not in {"half", "long list"}]
    for value in wrong:
        await server.mcp("tools/call", name=value, arguments={})
        await server.mcp("tools/call", name="get_stats", arguments=value)
        await server.mcp("prompts/get", reads=True, name=value, arguments={})
        await server.mcp("prompts/get", reads=True, name="learned-lessons", arguments=value)
        for prompt, argument in PROMPTS:
            await server.mcp("prompts/get", reads=True, name=prompt, arguments={argument: value})
        await server.mcp("resources/read", reads=True, uri=value)
        await server.mcp("completion/complete", reads=True, ref=value, argument={"name": "agent_name", "value": "B"})
        for argument in ({"name": "agent_name", "value": value}, {"name": value, "value": "B"}, value):
            await server.mcp("completion/complete", reads=True, ref=REFERENCE, argument=argument)
        await server.mcp("logging/setLevel", level=value)
        await server.mcp("subscriptions/unknown", value=value)
        await server.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": value}, headers=mcp_headers("x", {}))
        await server.post("/mcp", value, headers=mcp_headers("tools/list", {}))
        if isinstance(value, str):
            named = quote(value[:200], safe="")
            for address in ("lessons://{}/x", f"lessons://{PROJECT}/{{}}", "lesson://{}", "stats://{}/x", "skill://{}"):
                await server.mcp("resources/read", reads=True, uri=address.format(named))


PROMPTS = [("learned-lessons", "task"), ("learned-lessons", "agent_name"), ("refine-backlog", "agent_name")]
PROMPTS += [("post-mortem", "run_id"), ("post-mortem", "runid")]
REFERENCE = {"type": "ref/prompt", "name": "learned-lessons"}


async def send_wrong_parameters(server: Server) -> None:
    """Send requests to the kept routes and to addresses that are not there."""
    wrong = [str(value)[:3_000] for value in WRONG.values() if value != WRONG["half"]]
    for value in map(quote, wrong):
        for name in ("agent_name", "active_only", "severity", "category", "limit", "cursor", "agentname"):
            await server.get(f"{KEPT}/lessons?{name}={value}")
        await server.get(f"{KEPT}/lessons/by-category?agent_name={value}")
        await server.get(f"{KEPT}/stats/{value or 'x'}")
        for name in ("threshold", "min_applications", "dry_run", "idempotency_key", "x"):
            await server.post(f"{KEPT}/maintenance/cleanup-low-effectiveness?{name}={value}", {})
        for name in ("agent_name", "run_id", "source", "idempotency_key", "runid"):
            await server.post(f"/api/reports/sarif?{name}={value}", b"{}")
        await server.get(f"/{value}")
        await server.post(f"/api/{value}", {})
    for value in WRONG.values():
        await server.post("/api/rework", value)
        for name in ("issue", "severity", "idempotency_key", "issues"):
            await server.post("/api/rework", {"issue": "It broke", name: value})


KEPT = "/api/agent-learning"
FILES: list[bytes] = [
    b"",
    b"nonsense",
    b"\xff\xfe\x00",
    b"{",
    b"{}",
    b"[" * 5_000,
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
    b"<testsuites><testsuite><testcase name=",
    b'{"version": "2.1.0", "runs": 5}',
    b'{"version": "2.1.0", "runs": [{"results": [{"message": {"text": 7}, "ruleId": []}, null, 5]}]}',
    b'{"version": "2.1.0", "runs": [{"tool": null, "results": {"a": 1e999}}]}',
    b'{"runs": [{"results": [{"message": {"text": "\\ud800"}}]}]',
    b'{"results": [{"a": 1}], "Results": 3, "vulnerabilities": "x", "issues": null}',
]


async def send_wrong_files(server: Server) -> None:
    for kind in (*get_args(ReportKind), "nonsense"):
        for content in FILES:
            await server.post(f"/api/reports/{kind}", content, headers={"content-type": "application/octet-stream"})


# --- faults of the database -------------------------------------------------------------------------------------------


def sqlite_fault(code: int) -> Exception:
    inner = sqlite3.OperationalError("database or disk is broken: SELECT secret FROM /home/me/lessonbook.db")
    inner.sqlite_errorcode = code  # type: ignore[attr-defined]  # as the driver sets it
    return OperationalError("SELECT secret FROM agent_lessons", {"a": 1}, inner)


def postgres_fault(state: str) -> Exception:
    inner = SimpleNamespace(sqlstate=state)
    error = DBAPIError("SELECT secret FROM agent_lessons", {"a": 1}, Exception("asyncpg.exceptions: db.internal:5432"))
    error.orig = inner  # type: ignore[assignment]  # as the driver sets it
    return error


FAULTS: dict[str, list[Exception]] = {
    "sqlite": [
        *(sqlite_fault(code) for code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)),
        *(sqlite_fault(code) for code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)),
        *(sqlite_fault(code) for code in (sqlite3.SQLITE_PERM, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_LOCKED)),
        Undecided(STOPPED),
        KeyError("SELECT secret FROM agent_lessons"),
    ],
    "postgresql": [
        *(postgres_fault(state) for state in ("25006", "53100", "57014", "3D000", "42501", "28P01", "57P01", "08006")),
        *(postgres_fault(state) for state in ("42P01", "40001", "")),
        Undecided("The connection broke while the answer was being committed"),
        OSError(111, "Connect call failed ('10.0.0.7', 5432)"),
        asyncpg.InterfaceError("cannot perform operation: postgresql://lessonbook:pa55word@db.internal/x"),
        ValueError("invalid dsn: postgresql://lessonbook:pa55word@db.internal/x"),
    ],
}


async def ask_everything(server: Server) -> None:
    """Send a request of each kind that needs the database."""
    for operation in OPERATIONS:
        reads = not takes_key(operation.name)
        arguments = PLAIN[operation.name] | ({} if reads else {"idempotency_key": "k"})
        await server.mcp("tools/call", reads=reads, name=operation.name, arguments=arguments)
        await server.post(f"/api/{operation.name}", arguments, reads=reads)
    for prompt, argument in PROMPTS[:4]:
        await server.mcp("prompts/get", reads=True, name=prompt, arguments={argument: "x"})
    for address in (f"lessons://{PROJECT}/x", "lesson://Labcdefgh23", f"stats://{PROJECT}", f"stats://{PROJECT}/x"):
        await server.mcp("resources/read", reads=True, uri=address)
    await server.mcp("resources/list", reads=True)
    for name in ("agent_name", "lesson_id", "run_id"):
        argument = {"name": name, "value": "B"}
        await server.mcp("completion/complete", reads=True, ref=REFERENCE, argument=argument)
    for path in ("/lessons", "/lessons/by-category", "/stats", "/stats/x", "/health"):
        await server.get(f"{KEPT}{path}")
    await server.get("/healthz")
    await server.post(f"{KEPT}/maintenance/cleanup-low-effectiveness", {})
    await server.post("/api/rework", {"issue": "It broke"})
    await server.post("/api/reports/sarif", b'{"runs": []}')


@pytest.mark.slow
async def test_no_fault_of_the_database_leaves_in_inner_words(either_url, monkeypatch) -> None:
    dialect = either_url.partition(":")[0]
    store: Any = SqliteStore if dialect == "sqlite" else PostgresStore
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "pause_s", lambda attempt: 0.0)
    monkeypatch.setattr(sqlite, "TRANSACTION_TIMEOUT_S", 0.0 if dialect == "sqlite" else 25.0)
    async with serving(either_url) as server:
        await server.mcp("tools/call", name="get_stats", arguments={})
        server.may_be_opaque = True
        for fault in FAULTS[dialect]:
            with monkeypatch.context() as patch:
                patch.setattr(store, "_once", raising(fault, is_async=dialect == "postgresql"))
                await ask_everything(server)
        assert server.faults == []
        assert server.refused > 40 * len(FAULTS[dialect])


def raising(fault: Exception, *, is_async: bool) -> Any:
    """Return what stands for the method that does a transaction, and fails."""

    def fails(*_: object, **__: object) -> None:
        raise fault

    async def fails_later(*_: object, **__: object) -> None:
        raise fault

    return fails_later if is_async else fails


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_no_wrong_address_of_a_database_leaves_the_server(tmp_path: Path) -> None:
    (tmp_path / "secret-folder").write_text("in the way")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "secret.db").write_text("no database " * 500)
    for url in (
        f"postgresql://ada:pa55word@127.0.0.1:{free_port()}/ledger",
        "postgresql://ada:pa55word@db.internal:abc/ledger",
        "postgresql://ada:pa55word@127.0.0.1/ledger?sslmode=nonsense",
        "mysql://ada:pa55word@db.internal/ledger",
        "sqlite:////data/secret.db?mode=rw",
        f"sqlite:///{tmp_path}/secret-folder/below/secret.db",
        f"sqlite:///{folder}/secret.db",
    ):
        async with serving(url) as server:
            await ask_everything(server)
            assert server.faults == []
            assert server.refused > 40
