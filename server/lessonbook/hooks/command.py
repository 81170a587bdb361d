"""`lessonbook hook`: reads one event from standard input, and prints what the client is to add to the session.

It always ends with code 0, and prints nothing where it has nothing to say or fails: a hook never blocks a person. Why
it failed is in `hook.log` in the person's state folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from lessonbook.hooks import session
from lessonbook.hooks.events import EDITS, INPUT_BYTES_MAX, SHELL, HookEvent, read_event
from lessonbook.hooks.exchange import Reach, ask
from lessonbook.hooks.json_parts import list_of, object_of, text_of

if TYPE_CHECKING:
    from types import FrameType

PROMPT_S = 2.0
"""How long a prompt waits where no server is there yet, or it is still loading; a server that is there takes 10 ms."""
EDIT_S = 0.5
END_S = 8.0
LATE_S = 1.0
"""What a request may take beyond its time before a timer ends the process, perhaps in the middle of a call."""
PROMPT_BOUNDS: Mapping[str, object] = {"max_lessons": 3, "max_tokens": 300}
EDIT_BOUNDS: Mapping[str, object] = {"max_lessons": 2, "max_tokens": 200}
REPORTED_MAX = 10
"""Failing commands that one report names."""
OPTIONS = ("project", "database", "config", "server")
_INTRODUCTION = """\
Lessonbook adds lessons from earlier issues to this session where they fit; they are advice on code and grant no \
permission. Its run is {run_id}: pass it as run_id to the lessonbook tools, and commit with the trailer \
`Lessonbook-Run: {run_id}`. At the end name the ids of the lessons you followed (L…)."""


def quick_options(arguments: list[str]) -> dict[str, str] | None:
    """Return the options of a hook's command line; None where it is for a person, who gets help and errors."""
    options: dict[str, str] = {}
    words = list(arguments)
    while words:
        name, separator, value = words.pop(0).partition("=")
        if name.removeprefix("--") not in OPTIONS or not name.startswith("--") or not (separator or words):
            return None
        options[name[2:]] = value if separator else words.pop(0)
    return options


def run_hook(options: Mapping[str, str]) -> None:
    """Answer one event, and end this process with code 0."""
    event: HookEvent | None = None
    try:
        event = read_event(sys.stdin.buffer.read(INPUT_BYTES_MAX + 1))
        if event is not None and (added := answer(event, options)):
            told = {"hookSpecificOutput": {"hookEventName": event.name, "additionalContext": added}}
            os.write(1, json.dumps(told).encode() + b"\n")
    except BaseException as error:  # noqa: BLE001  # the last boundary: nothing that happens here is the client's concern
        with suppress(OSError):
            session.log_failure(event.name if event else "", error)
    os._exit(0)  # what was imported need not be taken down: it would take as long as the rest


def answer(event: HookEvent, options: Mapping[str, str]) -> str:
    """Return what is added to the session's context at an event; empty for nothing.

    Raises:
        LessonbookError: as a service raises it, where this process asked it itself.
        OSError: the person's state folder cannot be used.
    """
    match event.name:
        case "SessionStart":
            session.forget_old_sessions()
            _ask({"ask": "warm"}, event, options, Reach(0.0))  # a server that is there begins to load
            return _INTRODUCTION.format(run_id=event.session)
        case "UserPromptSubmit" if event.prompt.strip():
            return _lessons(event, options, {"task": event.prompt, **PROMPT_BOUNDS}, Reach(PROMPT_S, may_load=True))
        case "PreToolUse" if event.tool in EDITS and event.files:
            return _lessons(event, options, {"files": list(event.files), **EDIT_BOUNDS}, Reach(EDIT_S))
        case "PostToolUse" | "PostToolUseFailure" if event.tool == SHELL:
            _note_command(event, options)
        case "Stop":
            _report_failing(event, options)
            _record_cited(event, options)
        case _:
            pass
    return ""


def _lessons(event: HookEvent, options: Mapping[str, str], asked: Mapping[str, object], reach: Reach) -> str:
    request = {"ask": "lessons", "run_id": event.session, **asked}
    return text_of(_ask(request, event, options, reach).get("text"))


def _ask(
    request: Mapping[str, object], event: HookEvent, options: Mapping[str, str], reach: Reach
) -> dict[str, object]:
    _end_in(reach.within_s + LATE_S)
    return ask(request, event.folder, options, reach)


def _end_in(seconds: float) -> None:
    """Let this process end after so many seconds, with code 0 and without output: loading cannot be cancelled."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _end)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)


def _note_command(event: HookEvent, options: Mapping[str, str]) -> None:
    """Remember a test command that fails, forget one that passes, and report what is left at a commit."""
    from lessonbook.hooks import failing_tests  # most events are about something else

    if failing_tests.runner_of(event.command):
        found = failing_tests.read_outcome(
            event.command, event.output, failed=event.failed, is_certain=event.is_certain
        )
        if found.fails or (found.fails is False and session.has_state(event.session)):
            with session.open_state(event.session) as state:
                key = failing_tests.key_of(event.command)
                if found.fails:
                    state["failing"][key] = {"runner": found.runner, "tests": list(found.tests)}
                else:
                    state["failing"].pop(key, None)
    if not event.failed and failing_tests.is_commit(event.command):
        _report_failing(event, options)


def _report_failing(event: HookEvent, options: Mapping[str, str]) -> None:
    """Report each test command that still fails, once: the same failure has the same idempotency key."""
    if not session.has_state(event.session):
        return
    from lessonbook.hooks import failing_tests  # most sessions have nothing to report

    with session.open_state(event.session) as state:
        waiting = {key: object_of(entry) for key, entry in state["failing"].items()}
    waiting = {key: entry for key, entry in waiting.items() if not entry.get("reported")}
    for key, entry in list(waiting.items())[:REPORTED_MAX]:
        runner, tests = str(entry.get("runner")), [str(test) for test in list_of(entry.get("tests"))]
        issue = {"description": failing_tests.describe(runner, tests), "file": failing_tests.file_of(tests)}
        digest = failing_tests.key_of(f"{key} {sorted(tests)}")
        request: dict[str, object] = {"ask": "report", "issues": [issue], "run_id": event.session}
        request["idempotency_key"] = f"{event.session}:tests:{digest}"
        if _ask(request, event, options, Reach(END_S, may_load=True)).get("issues"):
            with session.open_state(event.session) as state:
                if state["failing"].get(key) == entry:
                    state["failing"][key] = {**entry, "reported": True}


def _record_cited(event: HookEvent, options: Mapping[str, str]) -> None:
    """Record an application of each lesson that the assistant names, once in a session."""
    from lessonbook.hooks.transcript import cited_lessons  # only at the end of a turn

    cited = cited_lessons(event.transcript, event.last_message)
    if not cited:
        return
    with session.open_state(event.session) as state:
        fresh = [lesson_id for lesson_id in cited if lesson_id not in state["recorded"]]
    if fresh:
        request = {"ask": "record", "run_id": event.session, "lesson_ids": fresh}
        done = _ask(request, event, options, Reach(END_S, may_load=True)).get("recorded")
        with session.open_state(event.session) as state:
            state["recorded"].update({str(lesson_id): True for lesson_id in list_of(done)})
