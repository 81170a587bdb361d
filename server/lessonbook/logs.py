"""Logging to stderr: stdout is for MCP and for output. One fault writes few lines, and none is long.

Each line of a request carries its id, and those of a call the operation, the principal and the project. Texts of
lessons and issues are not logged at level INFO or above.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

LINE_MAX: Final = 2_000
"""Characters of a message."""
RECORD_MAX: Final = 20_000
"""Characters of a record with its traceback."""
REPEATS_MAX: Final = 20
"""Records from one place in the code within a minute; further ones are counted."""
WINDOW_S: Final = 60.0
FIELD_MAX: Final = 200
"""Characters of a principal's or a project's name."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(slots=True)
class Context:
    """What every log line of a request says."""

    request_id: str = ""
    operation: str = ""
    principal: str = ""
    project: str = ""

    @staticmethod
    def current() -> "Context":
        """Return the context of the request that is served now; outside of one, an empty one."""
        return _CONTEXT.get() or Context()


_CONTEXT: Final[ContextVar[Context | None]] = ContextVar("log_context", default=None)


def request_id_of(given: str) -> str:
    """Return the id that a client gave its request where that is well formed, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


@contextmanager
def set_context(**fields: str) -> Generator[Context]:
    """Let lines within the block say `fields` as well."""
    context = replace(_CONTEXT.get() or Context(), **fields)
    token = _CONTEXT.set(context)
    try:
        yield context
    finally:
        _CONTEXT.reset(token)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line says besides its message: of its request, and of the end of a call."""
    context = Context.current()
    fields: dict[str, Any] = {
        "request_id": context.request_id,
        "operation": context.operation,
        "principal": _cut(context.principal, FIELD_MAX),
        "project": _cut(context.project, FIELD_MAX),
        "outcome": getattr(record, "outcome", ""),
        "duration_ms": getattr(record, "duration_ms", ""),
    }
    return {name: value for name, value in fields.items() if value != ""}


class BoundedFormatter(logging.Formatter):
    """Formats a record as one line of bounded length, and a traceback below it.

    Messages hold what callers sent: control characters are escaped, so that none can forge a line.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        """Return the line without the traceback."""
        record.message = _cut("".join(map(_shown, record.message)), LINE_MAX)
        if fields := _fields_of(record):
            named = (f"{name}={''.join(map(_shown, str(value)))}" for name, value in fields.items())
            record.message += f" [{' '.join(named)}]"
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the library's name
        """Return a traceback without the values that the database repeats."""
        return _without_details(super().formatException(ei))

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        return _cut(super().format(record), RECORD_MAX)


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON of bounded length; a traceback is in its field `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _cut(record.getMessage(), LINE_MAX),
            **_fields_of(record),
        }
        if record.exc_info:
            line["error"] = _cut(_without_details(self.formatException(record.exc_info)), RECORD_MAX)
        return json.dumps(line)


class Seldom(logging.Filter):
    """Lets through few records from one place in the code, and says later how many it held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if hasattr(record, "outcome"):  # the end of a call, of which each is written
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        since, count = self._seen.get(place, (now, 0))
        if now - since >= WINDOW_S:
            if count > REPEATS_MAX:
                record.msg = f"{record.getMessage()} (and {count - REPEATS_MAX} like it before)"
                record.args = None
            since, count = now, 0
        self._seen[place] = (since, count + 1)
        return count < REPEATS_MAX


def _without_details(traceback: str) -> str:
    """Return a traceback without the lines in which PostgreSQL repeats the values of a row."""
    return "\n".join(line for line in traceback.splitlines() if not line.lstrip().startswith("DETAIL:"))


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {len(text) - most} characters left out … {text[-most // 2 :]}"


def set_up(level: str, form: Literal["text", "json"] = "text") -> None:
    """Send log records of `level` and above to stderr, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(BoundedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
