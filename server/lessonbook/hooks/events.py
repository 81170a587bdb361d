"""What a client tells its hooks: one JSON object, read without trust in any field.

Claude Code and Codex use the same names. Where they differ, both are read: Claude Code edits by `Edit`, `Write`,
`MultiEdit` and `NotebookEdit` and has an event for a tool that failed; Codex edits by `apply_patch`, whose input is the
patch, and gives the output of a command as text.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from lessonbook.hooks.json_parts import object_of, read_object, text_of

INPUT_BYTES_MAX = 8 * 1024 * 1024
"""Read of a client's input; a longer one is ignored."""
PROMPT_MAX = 20_000
"""Characters kept of a prompt: its beginning, and a quarter of them from its end."""
OUTPUT_MAX = 200_000
"""Characters kept of what a command printed: its end."""
FILES_MAX = 20
EDITS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit", "apply_patch"})
SHELL = "Bash"
_SESSION_LENGTHS = range(8, 129)
_PATCHED = ("*** Add File: ", "*** Update File: ")
_PATH_MAX = 1_000


class HookEvent(NamedTuple):
    """One event. What it has no value for is empty."""

    name: str
    session: str
    """The client's id of the session, which is also the id of its run."""
    folder: str
    """The project's folder: absolute."""
    prompt: str = ""
    tool: str = ""
    files: tuple[str, ...] = ()
    """Relative to the folder; of a file elsewhere, its name."""
    command: str = ""
    output: str = ""
    failed: bool = False
    """The client says that the command failed."""
    is_certain: bool = False
    """The client has an event of its own for failure, so that the other one means success."""
    transcript: str = ""
    last_message: str = ""


def read_event(content: bytes) -> HookEvent | None:
    """Return the event that a client describes; None where it is not one, or names no session."""
    if len(content) > INPUT_BYTES_MAX:
        return None
    told = read_object(content.decode("utf-8", "replace"))
    if not is_session_id(session := text_of(told.get("session_id"))):
        return None
    folder = _folder(text_of(told.get("cwd")))
    given = object_of(told.get("tool_input"))
    response = told.get("tool_response")
    name = text_of(told.get("hook_event_name"))
    failed = name == "PostToolUseFailure"
    output = text_of(told.get("error")) if failed else _printed(response)
    return HookEvent(
        name=name,
        session=session,
        folder=folder,
        prompt=beginning_and_end(text_of(told.get("prompt"))),
        tool=text_of(told.get("tool_name")),
        files=_files(given, folder),
        command=text_of(given.get("command"))[:PROMPT_MAX],
        output=output[-OUTPUT_MAX:],
        failed=failed,
        is_certain=failed or isinstance(response, dict),
        transcript=text_of(told.get("transcript_path")),
        last_message=text_of(told.get("last_assistant_message"))[-OUTPUT_MAX:],
    )


def is_session_id(text: str) -> bool:
    """Return whether a text may be a client's session id, and so a run's."""
    return len(text) in _SESSION_LENGTHS and text.isascii() and text[0].isalnum() and _is_word(text)


def _is_word(text: str) -> bool:
    return text.replace("-", "").replace("_", "").isalnum()


def beginning_and_end(text: str) -> str:
    """Return a text, or the beginning and the end of one that is longer than `PROMPT_MAX`."""
    end = PROMPT_MAX // 4
    return text if len(text) <= PROMPT_MAX else f"{text[: PROMPT_MAX - end - 1]}\n{text[-end:]}"


def _printed(response: object) -> str:
    told = object_of(response)
    return f"{text_of(told.get('stdout'))}\n{text_of(told.get('stderr'))}" if told else text_of(response)


def _folder(told: str) -> str:
    """Return the project's folder: the one Claude Code names for all its processes, else the one of the event."""
    for folder in (os.environ.get("CLAUDE_PROJECT_DIR", ""), told):
        if os.path.isabs(folder) and os.path.isdir(folder):
            return folder
    return os.getcwd()


def _files(given: dict[str, object], folder: str) -> tuple[str, ...]:
    named = [path for key in ("file_path", "notebook_path") if (path := text_of(given.get(key)))]
    if not named:
        lines = text_of(given.get("command")).splitlines()
        named = [line.split(": ", 1)[1] for line in lines if line.startswith(_PATCHED)]
    return tuple(_within(path[:_PATH_MAX], folder) for path in named[:FILES_MAX])


def _within(path: str, folder: str) -> str:
    if not os.path.isabs(path):
        return path
    inside = os.path.relpath(path, folder)
    return os.path.basename(path) if inside.startswith("..") else inside
