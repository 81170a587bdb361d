"""`lessonbook refine --auto` from end to end: real findings, real processes, and a small model that nobody scripted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from rich.console import Console
from rich.table import Table

from bench.faults import BenchError
from bench.servers import CHECKOUT

FINDINGS: Final = Path(__file__).parent / "data" / "pending_findings.sarif"
SERVER: Final = Path(__file__).parent / "local_model.py"
START_TIMEOUT_S: Final = 120.0
COMMAND_TIMEOUT_S: Final = 3_600.0
Record = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What to report, and which model is asked.

    `python` is the interpreter that has the model and its engine. `free`: its answers are not guided by their schema.
    """

    findings: Path = FINDINGS
    python: Path = Path(sys.executable)
    batch_size: int = 3
    limit: int = 0
    seed: int = 1
    free: bool = False


@dataclass(frozen=True)
class Outcome:
    """The report of `refine --auto`, all lessons and the groups left, as the command line prints them in JSON."""

    reported: Record
    refined: Record
    lessons: list[Record]
    pending: list[Record]
    seconds: float

    def tables(self) -> list[Table]:
        """Return what the model made, what is held, and why the rest waits."""
        figures = Table("figure", "count", title="refine --auto")
        for name in ("waiting", "groups", "asked", "created", "merged", "quarantined", "rejected", "pending", "tokens"):
            figures.add_row(name, str(self.refined[name]))
        figures.add_row("seconds", f"{self.seconds:.0f}")
        if self.refined["stopped"]:
            figures.caption = str(self.refined["stopped"])
        worded = [lesson for lesson in self.lessons if lesson["trust"] == "generated"]
        served, held = Table("lesson", "why", title="served"), Table("lesson", "held because", title="held")
        for lesson in worded:
            if lesson["status"] == "quarantined":
                held.add_row(f"{lesson['text']}\n[dim]{lesson['why']}[/dim]", lesson["status_reason"])
            else:
                served.add_row(lesson["text"], lesson["why"])
        left = Table("issues", "pending because", title="left")
        reasons = Counter[str](
            line["reason"] for line in cast("list[Record]", self.refined["issues"]) if line["action"] == "pending"
        )
        for reason, count in reasons.most_common():
            left.add_row(str(count), reason)
        return [figures, served, held, left]

    def write_json(self, path: Path) -> None:
        """Write everything to a file."""
        content = {name: getattr(self, name) for name in ("reported", "refined", "lessons", "pending", "seconds")}
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def measure(plan: Plan, tell: Callable[[str], None]) -> Outcome:
    """Report the findings, let the model work on them, and return what became of them.

    Raises:
        BenchError: the model's server does not start, or a command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder)
        tell("reporting findings")
        run = _commands(workdir)
        reported = run("report", "--file", str(plan.findings))
        tell("loading the model")
        with _model(plan, workdir) as url:
            (workdir / "lessonbook.toml").write_text(_settings(url, plan), encoding="utf-8")
            tell("asking the model")
            began = time.perf_counter()
            limit = ("--limit", str(plan.limit)) if plan.limit else ()
            refined = run("refine", "--auto", *limit, "--config", str(workdir / "lessonbook.toml"), fails=True)
            seconds = time.perf_counter() - began
        lessons = run("lessons", "list", "--limit", "200")["lessons"]
        return Outcome(reported, refined, lessons, run("pending", "--limit", "200")["groups"], seconds)


def _commands(workdir: Path) -> Callable[..., Record]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(workdir),
        "XDG_DATA_HOME": str(workdir / "data"),
        "XDG_CONFIG_HOME": str(workdir / "config"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT / "server"), os.environ.get("PYTHONPATH")])),
        "DATABASE_URL": f"sqlite:///{workdir / 'bench.db'}",
        "LESSONBOOK_PROJECT": "bench",
    }

    def run(*arguments: str, fails: bool = False) -> Record:
        command = [sys.executable, "-m", "lessonbook", *arguments, "--json"]
        done = subprocess.run(  # our own program
            command, cwd=workdir, env=environment, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
        if done.returncode and not fails:
            raise BenchError(f"lessonbook {arguments[0]} failed: {done.stderr.decode()[-500:]}")
        try:
            return cast("Record", json.loads(done.stdout))
        except ValueError:
            raise BenchError(f"lessonbook {arguments[0]} printed no JSON: {done.stderr.decode()[-500:]}") from None

    return run


def _settings(url: str, plan: Plan) -> str:
    limits = f"batch_size = {plan.batch_size}\nmax_output_tokens = 600\ntimeout_s = 600\nretries = 0\n"
    return f'[refiner]\nmodel = "openai:local"\nbase_url = "{url}"\n{limits}'


@contextmanager
def _model(plan: Plan, workdir: Path) -> Iterator[str]:
    """Start the model's server, and yield its address."""
    command = [str(plan.python), str(SERVER), "--seed", str(plan.seed), *(["--free"] if plan.free else [])]
    log = workdir / "model.log"
    with log.open("wb") as errors:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)  # ours as well
        try:
            assert server.stdout is not None  # it is a pipe
            address = server.stdout.readline().decode().strip()
            if not address:
                end = log.read_text(errors="replace").strip().splitlines()[-1:]
                raise BenchError(f"The model's server did not start: {' '.join(end)} (see bench/README.md, refine)")
            yield address
        finally:
            server.terminate()
            server.wait(START_TIMEOUT_S)
            Console(stderr=True).print(
                log.read_text(errors="replace")[-20_000:], markup=False, highlight=False, soft_wrap=True
            )
