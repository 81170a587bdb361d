"""Hooks as a client runs them: whole processes, from spawn to exit, with a running server and without one."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.measure import Figure, Report, percentile
from bench.servers import CHECKOUT

GOAL_MS: Final = 150.0
WARM_S: Final = 60.0
PROMPTS: Final = (
    "add a search endpoint over the products table",
    "write a migration that adds a column to orders",
    "let users upload a file and store it",
    "thanks, that looks good",
)
INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


@dataclass(frozen=True)
class Plan:
    """How many hooks are timed with a server and without, and how many lessons the starter adds."""

    calls: int
    cold: int
    lessons: int


@dataclass(frozen=True)
class Place:
    """A home and a project of the benchmark's own."""

    home: Path
    environment: dict[str, str]

    @classmethod
    def at(cls, home: Path) -> "Place":
        """Return a place in an empty folder, without the settings of whoever runs the benchmark."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LESSONBOOK_", "XDG_"))}
        kept.pop("DATABASE_URL", None)
        return cls(home, {**kept, "HOME": str(home), "PYTHONPATH": str(CHECKOUT / "server")})

    def command(self, *arguments: str) -> list[str]:
        """Return the console script where there is one, as clients run it, else `python -m`."""
        script = Path(sys.executable).with_name("lessonbook")
        return [str(script), *arguments] if script.exists() else [sys.executable, "-m", "lessonbook", *arguments]

    def run(self, command: list[str], told: bytes = b"") -> tuple[float, float, bytes]:
        """Return the milliseconds and the processor's milliseconds that a process took, and what it printed."""
        used, began = _processor_ms(), time.perf_counter()
        done = subprocess.run(command, input=told, capture_output=True, check=True, cwd=self.home, env=self.environment)
        return (time.perf_counter() - began) * 1e3, _processor_ms() - used, done.stdout


def measure(plan: Plan) -> Report:
    """Return the figures of hooks on SQLite."""
    report = Report("hooks", "Hooks, whole processes", {"calls": plan.calls, "lessons": plan.lessons})
    with tempfile.TemporaryDirectory() as folder:
        place = Place.at(Path(folder))
        starter = ["lessons", "starter", "BackendDevelopmentAgent", "--stack", "python", "--stack", "postgresql"]
        place.run(place.command(*starter, "--json"))
        bare = [place.run([sys.executable, "-c", "pass"])[:2] for _ in range(plan.calls // 4)]
        report.add("bare Python", figures_of(bare, goal_ms=None))
        cold = [place.run(place.command("hook"), _prompt(number, 0)) for number in range(plan.cold)]
        report.add("prompt without a server", [*figures_of([one[:2] for one in cold], goal_ms=None), _answered(cold)])
        server = subprocess.Popen(
            place.command("serve"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=place.environment
        )
        try:
            _wait_until_warm(server, place)
            warm = [place.run(place.command("hook"), _prompt(1_000 + n, n)) for n in range(plan.calls)]
            edits = [place.run(place.command("hook"), _edit(1_000 + n)) for n in range(plan.calls)]
        finally:
            server.communicate()
        report.add("prompt with a server", [*figures_of([one[:2] for one in warm], GOAL_MS), _answered(warm)])
        report.add("edit with a server", figures_of([one[:2] for one in edits], GOAL_MS))
    return report


def _wait_until_warm(server: "subprocess.Popen[bytes]", place: Place) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    server.stdin.flush()
    server.stdout.readline()
    place.run(place.command("hook"), _event(0, "SessionStart"))
    until = time.monotonic() + WARM_S
    number = 100_000
    while not place.run(place.command("hook"), _prompt(number, 0))[2] and time.monotonic() < until:
        number += 1


def figures_of(samples: list[tuple[float, float]], goal_ms: float | None) -> list[Figure]:
    """Return the percentiles of what processes took, in milliseconds and in those of the processor."""
    took, used = [one[0] for one in samples], [one[1] for one in samples]
    return [
        Figure("p50", percentile(took, 50), "ms"),
        Figure("p95", percentile(took, 95), "ms", goal_ms),
        Figure("processor_p50", percentile(used, 50), "ms"),
    ]


def _answered(samples: list[tuple[float, float, bytes]]) -> Figure:
    return Figure("with_lessons", sum(bool(printed) for *_, printed in samples) / len(samples), "of 1")


def _processor_ms() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e3


def _event(session: int, name: str, **fields: object) -> bytes:
    return json.dumps({"session_id": f"session-{session:06}", "hook_event_name": name, **fields}).encode()


def _prompt(session: int, number: int) -> bytes:
    return _event(session, "UserPromptSubmit", prompt=PROMPTS[number % len(PROMPTS)])


def _edit(session: int) -> bytes:
    return _event(session, "PreToolUse", tool_name="Edit", tool_input={"file_path": "app/search.py"})
