"""A call of an operation while it runs: what its log lines and figures say of it."""

from __future__ import annotations

import logging
import time
from asyncio import CancelledError
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.scopes_by_service import SCOPE_OF
from lessonbook.edges.tracing import TRACING, conclude
from lessonbook.logs import Context, set_context

if TYPE_CHECKING:
    from lessonbook.services.background.census import Census

PROBES: Final = frozenset({"is_alive", "complete"})
"""Operations that are called too often to be logged each time."""
log = logging.getLogger(__name__)


class Watcher(Protocol):
    """Counts calls and background jobs. It is called on the event loop's thread, and must not wait."""

    def call_began(self) -> None:
        """Note that a call has begun."""
        ...

    def call_ended(self, call: Call) -> None:
        """Note that a call has ended."""
        ...

    def job_ended(self, job: str, *, well: bool) -> None:
        """Note that a round of a background job has ended."""
        ...

    def counted(self, census: Census) -> None:
        """Take what the database held when it was last counted."""
        ...

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        ...


class Call:
    """One call, as a context manager. Within it, a call of the same operation is the same call.

    An edge enters it before it checks the arguments, so that refused calls are counted; the gateway enters it again.
    """

    __slots__ = (
        "_began_at",
        "_context",
        "_outer",
        "_span",
        "_token",
        "_tracing",
        "_watcher",
        "caller",
        "duration_s",
        "operation",
        "outcome",
        "result",
    )

    def __init__(self, operation: str, watcher: Watcher | None) -> None:
        self.operation = operation
        self.caller: Caller | None = None
        self.outcome = ""
        """`ok`, the code of the error, or `cancelled`; empty while the call runs."""
        self.duration_s = 0.0
        self.result: object = None
        self._watcher = watcher if operation in SCOPE_OF else None  # else it is the server's own

    def __enter__(self) -> Call:
        """Begin, and return the outermost call of this operation."""
        outer = _CALL.get()
        if outer is not None and outer.operation == self.operation and not outer.outcome:
            self._outer: Call | None = outer
            return outer
        self._outer = None
        self._token: Token[Call | None] = _CALL.set(self)
        self._context = set_context(operation=self.operation)
        self._context.__enter__()
        if self._watcher is not None:
            self._watcher.call_began()
        self._tracing = TRACING.begin(self.operation) if self.operation in SCOPE_OF else None
        self._span = None if self._tracing is None else self._tracing.__enter__()
        self._began_at = time.perf_counter()
        return self

    def made_by(self, caller: Caller) -> None:
        """Note who calls, for the log."""
        self.caller = caller
        context = Context.current()
        context.principal, context.project = caller.principal, caller.project

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """End: count and log the call."""
        if self._outer is not None:
            return
        self.duration_s = time.perf_counter() - self._began_at
        self.outcome = _outcome_of(error)
        if self._tracing is not None and self._span is not None:
            conclude(self._span, self.outcome)
            self._tracing.__exit__(None, None, None)
        if self._watcher is not None:
            self._watcher.call_ended(self)
        level = logging.INFO if self.operation in SCOPE_OF and self.operation not in PROBES else logging.DEBUG
        if log.isEnabledFor(level):
            figures = {"outcome": self.outcome, "duration_ms": round(self.duration_s * 1000, 1)}
            log.log(level, "call ended", extra=figures)
        self._context.__exit__(None, None, None)
        _CALL.reset(self._token)


_CALL: Final[ContextVar[Call | None]] = ContextVar("call", default=None)


def _outcome_of(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, LessonbookError):
        return error.code
    return "cancelled" if isinstance(error, CancelledError) else "internal"
