"""The process that a client starts: small, silent where it has nothing to say, and never in the way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hooks.conftest import SESSION
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow
HEAVY = ("pydantic", "sqlalchemy", "typer", "rich", "mcp", "asyncio", "anyio", "platformdirs", "subprocess", "logging")
START = {"session_id": SESSION, "hook_event_name": "SessionStart", "source": "startup", "cwd": "/"}
FOREIGN = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"[" * 100_000,
    b"\xff\xfe\x00",
    b"{}",
    json.dumps({**START, "session_id": None}).encode(),
    json.dumps({**START, "session_id": "../../../../etc/passwd"}).encode(),
    json.dumps({**START, "session_id": "x" * 200}).encode(),
    json.dumps({**START, "session_id": "\ud800" * 20}).encode(),
    json.dumps({**START, "hook_event_name": ["SessionStart"]}).encode(),
    json.dumps({**START, "hook_event_name": "SomethingNew"}).encode(),
    json.dumps({**START, "hook_event_name": "Stop", "transcript_path": "/dev/zero"}).encode(),
    json.dumps({**START, "hook_event_name": "Stop", "transcript_path": 7, "last_assistant_message": {}}).encode(),
    json.dumps({**START, "hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_input": "pytest"}).encode(),
    json.dumps({**START, "hook_event_name": "UserPromptSubmit", "prompt": 5}).encode(),
    json.dumps({**START, "junk": "x" * 9_000_000}).encode(),
]


def started(content: bytes, *python: str, folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-W", "error", *python, "-m", "lessonbook", "hook"]
    return subprocess.run(command, input=content, capture_output=True, timeout=PATIENCE_S, check=False, cwd=folder)


@pytest.mark.parametrize("content", FOREIGN, ids=lambda content: ascii(content[-60:]))
def test_what_is_no_event_gets_no_answer(content: bytes) -> None:
    done = started(content)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_event_is_answered_without_what_takes_long_to_import() -> None:
    done = started(json.dumps(START).encode(), "-X", "importtime")
    assert SESSION in json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"]
    loaded = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert "lessonbook.hooks.command" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_file_of_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    for name in ("json", "socket", "typing", "lessonbook"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    program = Path(sys.executable).with_name("lessonbook")
    done = subprocess.run(
        [program, "hook"],
        input=json.dumps(START).encode(),
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, SESSION in done.stdout.decode()) == (0, True)


def test_a_state_folder_that_cannot_be_used_is_no_concern_of_the_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "state").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = started(json.dumps(START).encode())
    assert (done.returncode, done.stderr) == (0, b"")
