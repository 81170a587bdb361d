"""Traces by OpenTelemetry, set up by its own environment variables; without them nothing is imported or done.

The MCP SDK makes a span of each request (`tools/call get_lessons`), with the trace that the request's `_meta` names. We
continue the trace of an HTTP request's `traceparent` and add a span for each call of an operation, on every edge.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from lessonbook.about import VERSION

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer
    from starlette.datastructures import Headers

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
log = logging.getLogger(__name__)


class Tracing:
    """Makes spans where a tracer is set, else nothing. One for the process: `TRACING`."""

    def __init__(self) -> None:
        self.tracer: Tracer | None = None

    def continued(self, headers: Headers) -> AbstractContextManager[None]:
        """Return a block whose spans belong to the trace that the headers of a request name (W3C Trace Context)."""
        return nullcontext() if self.tracer is None else _continued(headers)

    def begin(self, operation: str) -> AbstractContextManager[Span] | None:
        """Return the span of a call, to be entered; None where nothing is traced."""
        if self.tracer is None:
            return None
        attributes = {"lessonbook.operation": operation}
        return self.tracer.start_as_current_span(
            operation, attributes=attributes, record_exception=False, set_status_on_exception=False
        )


TRACING: Final = Tracing()


def conclude(span: Span, outcome: str) -> None:
    """Note how a call ended: `ok`, or the code of its error. Words of errors are not noted: they may repeat input."""
    if outcome != "ok":
        from opentelemetry.trace import StatusCode  # noqa: PLC0415  # loaded where there is a span

        span.set_attribute("error.type", outcome)
        span.set_status(StatusCode.ERROR)


@contextmanager
def _continued(headers: Headers) -> Generator[None]:
    from opentelemetry import context, propagate  # noqa: PLC0415  # only where something is traced

    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether OpenTelemetry's own variables ask for traces."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return bool(exporter) or any(environment.get(name) for name in _ENDPOINTS)


@contextmanager
def traced(environment: Mapping[str, str] = os.environ) -> Generator[None]:
    """Trace calls within the block where the environment asks for it; at the end, spans that wait are sent."""
    stop = _start(environment) if is_wanted(environment) else None
    try:
        yield
    finally:
        TRACING.tracer = None
        if stop is not None:
            stop()


def _start(environment: Mapping[str, str]) -> Callable[[], None] | None:
    """Set the tracer, and return what ends it; None where somebody else's provider is used, or there is none."""
    try:
        from opentelemetry import trace  # noqa: PLC0415  # only where traces are asked for
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  # the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  # the same

        stop = None
        if not isinstance(trace.get_tracer_provider(), TracerProvider):  # as `opentelemetry-instrument` sets one
            named = Resource.create({"service.version": VERSION, "service.name": "lessonbook"})
            # What the environment says of the resource counts more.
            own = Resource.create() if environment.get("OTEL_SERVICE_NAME") else Resource.get_empty()
            provider = TracerProvider(resource=named.merge(own))
            provider.add_span_processor(BatchSpanProcessor(_exporter(environment)))
            trace.set_tracer_provider(provider)
            stop = provider.shutdown
        TRACING.tracer = trace.get_tracer("lessonbook", VERSION)
    except ImportError:
        log.warning('OTEL_* variables ask for traces, which need `pip install "lessonbook[otel]"`: nothing is traced')
        return None
    return stop


def _exporter(environment: Mapping[str, str]) -> SpanExporter:
    """Return the exporter that is asked for: OTLP over HTTP, or `console`, on standard error since stdout is MCP's."""
    if environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415  # as above

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  # pyright: ignore[reportMissingImports]  # of the extra
        OTLPSpanExporter,  # pyright: ignore[reportUnknownVariableType]
    )

    return OTLPSpanExporter()  # pyright: ignore[reportUnknownVariableType]  # it reads OTEL_EXPORTER_OTLP_* itself
