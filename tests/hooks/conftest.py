"""A session of a client: a server over stdio, and hooks in processes of their own."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forks import forked
from tests.patience import PATIENCE_S

SESSION = "0d1e2f3a-4b5c-4d6e-8f70-8192a3b4c5d6"
SEARCH = "add a search endpoint over the products table"
SQL = {"description": "the query is built by formatting", "rule_id": "CWE-89", "severity": "critical"}


class ClientSession:
    """What a client does in one session, in `folder`."""

    def __init__(self, folder: Path, options: list[str], session: str = SESSION) -> None:
        self.folder = folder
        self.options = options
        self.session = session
        self.server: subprocess.Popen[bytes] | None = None
        self.calls = 0

    def start_server(self, *more: str) -> None:
        command = forked("-m", "lessonbook", "serve", *self.options, *more)
        environment = {**os.environ, "CLAUDE_CODE_SESSION_ID": self.session}
        self.server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self.folder, env=environment
        )
        info = {"name": "test", "version": "1"}
        self._ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": info})

    def stop_server(self) -> None:
        if self.server is not None:
            self.server.communicate(timeout=PATIENCE_S)
            self.server = None

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self._ask("tools/call", {"name": tool, "arguments": arguments})["result"]
        assert not result.get("isError"), result["content"]
        return result["structuredContent"]

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        assert self.server is not None
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.calls += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params})
        self.server.stdin.write(line.encode() + b"\n")
        self.server.stdin.flush()
        while True:
            answer = json.loads(self.server.stdout.readline())
            if answer.get("id") == self.calls:
                return answer

    def hook(self, event: str, **fields: Any) -> str:
        """Return what a hook adds to the session's context."""
        told = {"session_id": self.session, "cwd": str(self.folder), "hook_event_name": event, **fields}
        done = subprocess.run(
            forked("-m", "lessonbook", "hook", *self.options),
            input=json.dumps(told).encode(),
            capture_output=True,
            cwd=self.folder,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stderr.decode()) == (0, ""), done.stderr.decode()
        if not done.stdout:
            return ""
        added = json.loads(done.stdout)["hookSpecificOutput"]
        assert added["hookEventName"] == event
        return added["additionalContext"]

    def prompt(self, text: str) -> str:
        return self.hook("UserPromptSubmit", prompt=text)

    def edit(self, file: str) -> str:
        return self.hook("PreToolUse", tool_name="Edit", tool_input={"file_path": str(self.folder / file)})

    def shell(self, command: str, output: str, *, failed: bool = False) -> str:
        given = {"tool_name": "Bash", "tool_input": {"command": command}}
        if failed:
            return self.hook("PostToolUseFailure", **given, error=f"Exit code 1\n{output}")
        return self.hook("PostToolUse", **given, tool_response={"stdout": output, "stderr": ""})

    def issues(self) -> list[dict[str, Any]]:
        return self.call("list_pending_issues")["issues"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "shop"
    place.mkdir()
    return place


@pytest.fixture
def client(folder: Path, database_url: str) -> Iterator[ClientSession]:
    """A session with a running server, on either database."""
    session = ClientSession(folder, ["--project", "demo", "--database", database_url])
    session.start_server("--session-run")
    yield session
    session.stop_server()
