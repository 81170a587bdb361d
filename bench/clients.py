"""Do real clients start what `lessonbook install` writes, and what does their model read of an answer?"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from bench.faults import BenchError
from bench.scripted_model import TASK, ScriptedModel
from bench.servers import HOST, free_port

PACKAGES: Final = {
    "claude-code": "@anthropic-ai/claude-code",
    "codex": "@openai/codex",
    "gemini": "@google/gemini-cli",
    "opencode": "opencode-ai",
    "copilot-cli": "@github/copilot",
}
TIMEOUT_S: Final = 180
_POLL_S: Final = 0.1
PROMPT: Final = f"{TASK}. Call get_lessons first."
_LESSON: Final = "Bind values as parameters of the SQL statement; never build it from strings."


@dataclass(frozen=True, slots=True)
class Trial:
    """How one client is made to start its servers in an empty home."""

    program: str
    listed: tuple[str, ...]
    asked: Callable[[str], tuple[str, ...]]
    """Its arguments for one prompt without a person, given the address of a model."""
    variables: Callable[[str], dict[str, str]]
    prepare: Callable[[Path, Path], None]
    """Do what a person confirms in the client once: trust the folder, approve the server."""


@dataclass(slots=True)
class Shown:
    """What one client did: what it printed of its servers, what it sent to ours, and what its model read."""

    client: str
    version: str = ""
    printed: str = ""
    sent: list[str] = field(default_factory=list[str])
    offered: list[str] = field(default_factory=list[str])
    read: str = ""
    note: str = ""


def _nothing(_home: Path, _project: Path) -> None:
    """Nothing has to be confirmed."""


def _write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def _approve_in_claude(_home: Path, project: Path) -> None:
    _write(project / ".claude" / "settings.local.json", {"enabledMcpjsonServers": ["lessonbook"]})
    _write(
        _home / ".claude.json",
        {"hasCompletedOnboarding": True, "projects": {str(project): {"hasTrustDialogAccepted": True}}},
    )


def _trust_in_gemini(home: Path, project: Path) -> None:
    _write(home / ".gemini" / "trustedFolders.json", {str(project): "TRUST_FOLDER"})
    _write(home / ".gemini" / "settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}})


def _codex_arguments(url: str) -> tuple[str, ...]:
    provider = f'{{name="scripted",base_url="{url}/v1",wire_api="responses",env_key="SCRIPTED_KEY"}}'
    settings = (f"model_providers.scripted={provider}", 'model_provider="scripted"', 'model="gpt-5"')
    given = [word for setting in settings for word in ("-c", setting)]
    approve = 'mcp_servers.lessonbook.default_tools_approval_mode="approve"'
    return ("exec", "--skip-git-repo-check", *given, "-c", approve, PROMPT)


TRIALS: Final[Mapping[str, Trial]] = {
    "claude-code": Trial(
        "claude",
        ("mcp", "list"),
        # Given by name, the file's servers are waited for; else a run without a person does not wait for them.
        lambda _url: ("-p", PROMPT, "--allowedTools", "mcp__lessonbook__get_lessons", "--mcp-config", ".mcp.json"),
        lambda url: {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none"},
        _approve_in_claude,
    ),
    "codex": Trial("codex", ("mcp", "list"), _codex_arguments, lambda _url: {"SCRIPTED_KEY": "none"}, _nothing),
    "gemini": Trial(
        "gemini",
        ("mcp", "list"),
        lambda _url: ("-p", PROMPT, "--yolo", "-m", "gemini-2.5-flash"),
        lambda url: {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "none"},
        _trust_in_gemini,
    ),
    "opencode": Trial(
        "opencode",
        ("mcp", "list"),
        lambda _url: ("run", "-m", "scripted/scripted", PROMPT),
        lambda url: {"OPENCODE_CONFIG_CONTENT": json.dumps(_opencode_provider(url))},
        _nothing,
    ),
    "copilot-cli": Trial(
        "copilot",
        ("mcp", "list"),
        lambda _url: ("-p", PROMPT, "--allow-all-tools"),
        lambda url: {
            "COPILOT_OFFLINE": "true",
            "COPILOT_PROVIDER_BASE_URL": f"{url}/v1",
            "COPILOT_MODEL": "gpt-5",
            "COPILOT_PROVIDER_API_KEY": "none",
        },
        _nothing,
    ),
}


def _opencode_provider(url: str) -> dict[str, Any]:
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"scripted": {}}}
    return {"provider": {"scripted": provider}}


def measure(names: list[str], npm: Path | None, tell: Callable[[str], None], *, over_http: bool = False) -> list[Shown]:
    """Return what each client did with the entry that `lessonbook install` wrote for it, each in an empty home.

    Where `over_http`, the entry names a server that asks for tokens, and the client has one in its environment.

    Raises:
        BenchError: npm is not there or fails, or a name is not a client's.
    """
    chosen = names or list(TRIALS)
    if unknown := [name for name in chosen if name not in TRIALS]:
        raise BenchError(f"no such client here: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        place = npm or Path(folder) / "npm"
        if npm is None:
            tell("npm install")
            _install(place, chosen)
        shown: list[Shown] = []
        for name in chosen:
            tell(name)
            programs = place / "node_modules" / ".bin"
            shown.append(_tried(name, TRIALS[name], Path(folder) / name, programs, over_http=over_http))
        return shown


def _install(place: Path, names: list[str]) -> None:
    place.mkdir(parents=True)
    command = ["npm", "install", "--no-fund", "--no-audit", "--prefix", str(place), *(PACKAGES[name] for name in names)]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BenchError(f"npm does not start: {error.strerror}") from error
    if done.returncode:
        raise BenchError(f"npm failed: {done.stderr.strip()[-400:]}")


def _tried(name: str, trial: Trial, folder: Path, programs: Path, *, over_http: bool) -> Shown:
    home, project, shims = folder / "home", folder / "project", folder / "bin"
    for place in (home, project, shims):
        place.mkdir(parents=True)
    sent = folder / "sent.jsonl"
    program = Path(sys.executable).with_name("lessonbook")
    shim = shims / "lessonbook"
    shim.write_text(f'#!/bin/sh\ntee -a "{sent}" | "{program}" "$@"\n', encoding="utf-8")
    shim.chmod(0o755)
    path = os.pathsep.join((str(shims), str(programs), os.environ["PATH"]))
    environment = {"PATH": path, "HOME": str(home), "TERM": "dumb", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    shown = Shown(name)

    def run(*command: str, **more: str) -> str:
        return _output(command, project, {**environment, **more})

    run("git", "init", "-q")
    run("git", "remote", "add", "origin", "https://git.example/acme/shop.git")
    run(str(program), "lessons", "add", _LESSON, "--agent", "BackendDevelopmentAgent", "--category", "security")
    with ExitStack() as ends:
        named: tuple[str, ...] = ()
        if over_http:
            named = "--server", ends.enter_context(_serving(program, project, environment))
            environment["LESSONBOOK_TOKEN"] = json.loads(run(str(program), "token", "create", name, "--json"))["token"]
        run(str(program), "install", name, "--yes", *named)
        _use_shim(home, str(program), str(shim))
        trial.prepare(home, project)
        shown.version = _version(run(trial.program, "--version"))
        shown.printed = run(trial.program, *trial.listed)
        model = ends.enter_context(ScriptedModel())
        answer = run(trial.program, *trial.asked(model.url), **trial.variables(model.url))
    shown.offered, shown.read = model.offered, _text(model.read)
    shown.sent = _methods(sent)
    shown.note = "" if model.read else f"its model was not asked through: {answer[-600:]}"
    return shown


@contextmanager
def _serving(program: Path, project: Path, environment: Mapping[str, str]) -> Generator[str]:
    """Give the address of a server over HTTP that asks for tokens, in the project's folder.

    Raises:
        BenchError: it does not start within `TIMEOUT_S`.
    """
    port = free_port()
    command = (str(program), "serve", "--http", "--port", str(port), "--auth", "tokens")
    with subprocess.Popen(command, cwd=project, env=dict(environment), stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + TIMEOUT_S
            while not _answers(port):
                if server.poll() is not None or time.monotonic() > until:
                    raise BenchError("the server over HTTP does not start")
                time.sleep(_POLL_S)
            yield f"http://{HOST}:{port}"
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), _POLL_S).close()
    except OSError:
        return False
    return True


def _use_shim(home: Path, program: str, shim: str) -> None:
    """Put the recording wrapper in the place of the program, where a person's own file holds a whole path."""
    for file in (home / ".codex" / "config.toml", home / ".copilot" / "mcp-config.json"):
        if file.exists():
            file.write_text(file.read_text(encoding="utf-8").replace(program, shim), encoding="utf-8")


def _output(command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> str:
    if shutil.which(command[0], path=environment["PATH"]) is None:
        raise BenchError(f"{command[0]} is not there")
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"(no end within {TIMEOUT_S} s)"
    return done.stdout + done.stderr


def _version(printed: str) -> str:
    """Return the first version number in what a client prints."""
    found = re.search(r"\d+\.\d+\.\d+", printed)
    return found[0] if found else "?"


def _methods(file: Path) -> list[str]:
    """Return the methods a client called, in order, each once."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    called = [json.loads(line).get("method", "") for line in lines if line.startswith("{")]
    return [method for method in dict.fromkeys(called) if method]


def _text(results: list[Any]) -> str:
    """Return what a model was given as the result of its call, as one text."""
    last = results[-1] if results else ""
    if isinstance(last, list):
        return "\n".join(str(part.get("text", part)) if isinstance(part, dict) else str(part) for part in last)
    return last if isinstance(last, str) else json.dumps(last, ensure_ascii=False) if last else ""


def table(shown: list[Shown]) -> Table:
    """Return a row for each client."""
    rows = Table(
        "client", "what it prints of its servers", "what it sent", "tools its model has", "what its model reads"
    )
    for one in shown:
        read = one.read or one.note
        rows.add_row(
            f"{one.client}\n{one.version}", one.printed.strip(), "\n".join(one.sent), str(len(one.offered)), read
        )
    return rows
