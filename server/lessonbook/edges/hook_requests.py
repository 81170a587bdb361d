"""What hooks ask: lessons for a prompt or an edit, a report of tests left failing, applications that were cited.

A request is one JSON object, and so is the answer; whoever asks is a process of the same user, or holds a token of a
team's server. The services are those of the tools, so a hook and a tool that name the same run share its assignments.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

import anyio.to_thread
from cachetools import LRUCache

from lessonbook import services
from lessonbook.domain.agent_tools import Application, LessonQuery, Report
from lessonbook.domain.documents import list_of, text_of
from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import TaskExplanation
from lessonbook.domain.validation import parse
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway

_USUAL_TASK: Final = "add an endpoint"
SESSIONS_MAX: Final = 256
"""Sessions whose last prompt is kept, in memory only."""
Document = dict[str, object]


class LastPrompts:
    """The last prompt of each session, for the edits that follow it: a file's name alone does not say what is done."""

    def __init__(self) -> None:
        self._prompts: LRUCache[tuple[str, str, str], str] = LRUCache(SESSIONS_MAX)

    def remember(self, caller: Caller, run_id: str, prompt: str) -> None:
        """Keep the prompt of a caller's session, and forget the session that was silent for the longest."""
        self._prompts[caller.project, caller.principal, run_id] = prompt

    def of(self, caller: Caller, run_id: str) -> str:
        """Return the last prompt of a caller's session; empty where it is not known."""
        return self._prompts.get((caller.project, caller.principal, run_id), "")


async def answer_request(
    gateway: Gateway, request: Mapping[str, object], prompts: LastPrompts | None = None
) -> Document:
    """Return the answer to a hook's request; empty where there is nothing to say.

    Raises:
        LessonbookError: an argument is wrong, or the database does not answer in the time that the request gives.
    """
    within = request.get("within_s")
    within_s = float(within) if isinstance(within, int | float) and 0 <= within <= TOOL_TIMEOUT_S else TOOL_TIMEOUT_S
    match request.get("ask"):
        case "lessons":
            return await _lessons(gateway, request, prompts or LastPrompts(), within_s)
        case "report":
            return await _report(gateway, request, within_s)
        case "record":
            return await _record(gateway, request, within_s)
        case _:
            return {}


async def warm(gateway: Gateway) -> None:
    """Load what a first call of `get_lessons` would wait for, and log no run.

    Raises:
        LessonbookError: the database cannot be used.
    """
    await anyio.to_thread.run_sync(import_module, "lessonbook.services.serve")
    asked = TaskExplanation(task=_USUAL_TASK, files=["app.py"])
    await gateway.call_for(gateway.caller(), None, services.serve.explain_lessons, asked)


async def _lessons(gateway: Gateway, request: Mapping[str, object], prompts: LastPrompts, within_s: float) -> Document:
    """Return the section with the lessons that the session has not been shown yet."""
    run_id, task, files = text_of(request.get("run_id")), text_of(request.get("task")), list_of(request.get("files"))
    caller = gateway.caller()
    if files:
        task = task or prompts.of(caller, run_id)
    else:
        prompts.remember(caller, run_id, task)
    bounds: dict[str, Any] = {name: request[name] for name in ("max_lessons", "max_tokens") if name in request}
    query = parse(LessonQuery, {"task": task, "files": files, "run_id": run_id, **bounds})
    served = await gateway.call_for(caller, within_s, services.serve.get_lessons, query, only_new=True)
    return {"text": served.prompt_section} if served.lessons else {}


async def _report(gateway: Gateway, request: Mapping[str, object], within_s: float) -> Document:
    """Report issues for the run; without one where nobody fetched lessons under its id."""
    given = {name: request.get(name) for name in ("issues", "run_id", "idempotency_key")}
    caller = gateway.caller()
    try:
        report = parse(Report, {**given, "source": "agent"})
        done = await gateway.call_for(caller, within_s, services.report.report_issues, report)
    except NotFound:
        report = parse(Report, {**given, "run_id": "", "source": "agent"})
        done = await gateway.call_for(caller, within_s, services.report.report_issues, report)
    return {"issues": [line.issue_id for line in done.issues]}


async def _record(gateway: Gateway, request: Mapping[str, object], within_s: float) -> Document:
    given = {name: request.get(name) for name in ("run_id", "lesson_ids", "idempotency_key")}
    application = parse(Application, {**given, "source": "agent"})
    try:
        done = await gateway.call_for(gateway.caller(), within_s, services.feedback.record_application, application)
    except NotFound:
        return {}
    return {"recorded": [line.lesson_id for line in done.results if line.result != "unknown"]}
