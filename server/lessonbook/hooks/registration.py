"""How a client is told to run the hooks: the JSON that belongs in its file."""

from __future__ import annotations

COMMAND = "command -v lessonbook >/dev/null 2>&1 && lessonbook hook || :"
"""Ends with code 0 whatever happens: some clients take others as "block this"."""
FILES = {
    "claude-code": "~/.claude/settings.json (or .claude/settings.json in the project)",
    "codex": "~/.codex/hooks.json (or .codex/hooks.json in the project); Codex asks once whether you trust the hooks",
}
"""Where each client's hooks are read from."""
_EVENTS: dict[str, list[tuple[str, str, int]]] = {
    "claude-code": [
        ("SessionStart", "", 5),
        ("UserPromptSubmit", "", 5),
        ("PreToolUse", "Edit|Write|MultiEdit|NotebookEdit", 5),
        ("PostToolUse", "Bash", 30),
        ("PostToolUseFailure", "Bash", 5),
        ("Stop", "", 30),
    ],
    "codex": [
        ("SessionStart", "", 5),
        ("UserPromptSubmit", "", 5),
        ("PreToolUse", "apply_patch|Edit|Write", 5),
        ("PostToolUse", "Bash", 30),
        ("Stop", "", 30),
    ],
}
"""The events of each client, the tools they are about, and after how many seconds the client gives up by itself."""


def hooks_of(client: str) -> dict[str, object]:
    """Return what a client's file of hooks holds.

    Raises:
        KeyError: the client is not one of `FILES`.
    """
    registered: dict[str, object] = {}
    for event, matcher, timeout_s in _EVENTS[client]:
        group: dict[str, object] = {"matcher": matcher} if matcher else {}
        group["hooks"] = [{"type": "command", "command": COMMAND, "timeout": timeout_s}]
        registered[event] = [group]
    return {"hooks": registered}
