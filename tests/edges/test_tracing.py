"""Traces: a span for each MCP request and each call, in the trace that the caller names, and no words in them."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import mcp.shared._otel as sdk_spans
import pytest
from mcp.client import Client
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.tracing import TRACING, is_wanted, traced
from lessonbook.edges.transport.http import build_app
from tests.contract.links import HANDSHAKE, STATELESS, mode_of
from tests.edges.lifespan import started
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
MARK = "xylophone"
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": STATELESS,
    "MCP-Method": "tools/call",
    "MCP-Name": "get_lessons",
}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": STATELESS,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
sqlite_alone = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What is exported, without a provider for the whole process."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(sdk_spans, "_tracer", provider.get_tracer("mcp-python-sdk"))
    monkeypatch.setattr(TRACING, "tracer", provider.get_tracer("lessonbook"))
    yield exporter
    provider.shutdown()


def named(exporter: InMemorySpanExporter, name: str, kind: SpanKind) -> ReadableSpan:
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name and span.kind == kind]
    return span


def trace_of(span: ReadableSpan) -> tuple[str, str | None]:
    """Return the ids of the trace and of the parent, in hexadecimal."""
    assert span.context is not None
    return f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}" if span.parent else None


@sqlite_alone
@pytest.mark.parametrize("protocol", [HANDSHAKE, STATELESS])
async def test_a_tool_call_is_a_span_by_the_conventions_of_mcp_with_the_call_below_it(
    settings: Settings, spans: InMemorySpanExporter, protocol: str
) -> None:
    gateway = gateway_for(settings, "local")
    server = build_server(gateway, ["agent"], stays_connected=True)
    async with Client(server, mode=mode_of(protocol)) as client:
        await client.call_tool("get_lessons", {"task": f"Mend the {MARK}"})
        await client.call_tool("get_lessons", {MARK: MARK})
    await gateway.close()
    both = [span for span in spans.get_finished_spans() if span.name == "tools/call get_lessons"]
    served = [span for span in both if span.kind == SpanKind.SERVER]
    good, bad = served
    assert good.attributes is not None
    assert bad.attributes is not None
    assert good.attributes["mcp.method.name"] == "tools/call"
    assert good.attributes["mcp.protocol.version"] == protocol
    assert good.attributes["gen_ai.tool.name"] == "get_lessons"
    assert "error.type" not in good.attributes
    assert bad.attributes["error.type"] == "tool_error"
    assert good.context is not None
    calls = [span for span in spans.get_finished_spans() if span.name == "get_lessons"]
    assert trace_of(calls[0])[1] == f"{good.context.span_id:016x}"
    assert calls[1].attributes is not None
    assert calls[1].attributes["error.type"] == "invalid_input"
    assert not any(MARK in span.to_json() for span in spans.get_finished_spans())


@sqlite_alone
async def test_a_request_over_http_continues_the_trace_of_its_header_or_its_meta(
    settings: Settings, spans: InMemorySpanExporter
) -> None:
    gateway = gateway_for(settings, "local")
    transport = httpx2.ASGITransport(build_app(gateway, settings))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        await web.post("/api/get_lessons", json={}, headers={"traceparent": TRACEPARENT})
        assert trace_of(named(spans, "get_lessons", SpanKind.INTERNAL)) == (TRACE, PARENT)
        spans.clear()
        await web.post("/api/get_lessons", json={}, headers={"traceparent": "00-forged"})
        assert trace_of(named(spans, "get_lessons", SpanKind.INTERNAL))[1] is None
    await gateway.close()


@sqlite_alone
async def test_mcp_over_http_continues_the_trace_of_meta_or_else_of_the_header(
    settings: Settings, spans: InMemorySpanExporter
) -> None:
    gateway = gateway_for(settings, "local")
    async with started(build_app(gateway, settings)) as web:
        for meta, headers in (({"traceparent": TRACEPARENT}, {}), ({}, {"traceparent": TRACEPARENT})):
            params = {"name": "get_lessons", "arguments": {}, "_meta": {**ENVELOPE, **meta}}
            body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answer = await web.post("/mcp", json=body, headers={**HEADERS, **headers})
            assert "isError" not in answer.text or answer.json()["result"]["isError"] is False, answer.text
            served = named(spans, "tools/call get_lessons", SpanKind.SERVER)
            assert trace_of(served) == (TRACE, PARENT)
            assert trace_of(named(spans, "get_lessons", SpanKind.INTERNAL))[0] == TRACE
            spans.clear()
    await gateway.close()


def test_traces_are_off_unless_the_variables_ask_for_them() -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}
    assert not is_wanted({})
    assert not is_wanted({"OTEL_SERVICE_NAME": "lessons"})
    assert not is_wanted({**endpoint, "OTEL_TRACES_EXPORTER": "none"})
    assert not is_wanted({**endpoint, "OTEL_SDK_DISABLED": "true"})
    assert is_wanted(endpoint)
    assert is_wanted({"OTEL_TRACES_EXPORTER": "console"})
    with traced({}):
        assert TRACING.tracer is None


def test_without_the_extra_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with traced({"OTEL_TRACES_EXPORTER": "console"}):
        assert TRACING.tracer is None
    assert 'pip install "lessonbook[otel]"' in caplog.text


TRACED = """
import os, sys
from lessonbook.edges.access.running_call import Call
from lessonbook.edges.tracing import traced
assert "opentelemetry.sdk" not in sys.modules
with traced():
    with Call("get_lessons", None):
        pass
"""


def test_the_variables_set_exporter_and_service_and_stdout_stays_mcp_s() -> None:
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_RESOURCE_ATTRIBUTES": "team=shop", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", TRACED], env=variables, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout == ""
    span = json.loads(done.stderr)
    assert span["name"] == "get_lessons"
    assert span["resource"]["attributes"]["service.name"] == "lessonbook"
    assert span["resource"]["attributes"]["team"] == "shop"
