"""Many processes that write to one database at once, as the stdio servers of as many clients do.

Run as a program it is the crowd itself: `python -m bench.processes URL PROCESSES WRITES` forks that many processes off
one that has imported everything, lets them start to write together, and prints their times and errors as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.databases import Database, fresh_database
from bench.faults import BenchError
from bench.measure import Figure, Report, percentile
from bench.servers import CHECKOUT
from bench.workload import reports
from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import Report as IssueReport
from lessonbook.domain.errors import LessonbookError
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway

P99_MS: Final = 2_000.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How many processes, how many writes of each, and on which databases."""

    databases: Sequence[Database]
    processes: int = 64
    writes: int = 20


@dataclass(frozen=True, slots=True)
class Pipes:
    """How the crowd says that it is ready, is told to go, and says what came of it; each to read and to write."""

    ready: tuple[int, int]
    go: tuple[int, int]
    end: tuple[int, int]


async def measured(plan: Plan, progress: Callable[[str], None]) -> Report:
    """Return errors, times and faults of a crowd of processes."""
    sets = {"processes": plan.processes, "writes of each": plan.writes}
    report = Report("processes", "Many processes at once", sets)
    for database in plan.databases:
        progress(f"{plan.processes} processes on {database}")
        with tempfile.TemporaryDirectory() as folder, fresh_database(database, Path(folder)) as url:
            gateway = _gateway(url)
            try:
                await _report(gateway, reports(1)[0])  # migrates, and makes what a server makes once
                said = await asyncio.to_thread(_crowd, url, plan)
                faults = (await gateway.call(services.background.diagnose)).faults
            finally:
                await gateway.close()
        report.add(
            database,
            [
                Figure("errors", said["errors"], goal=0),
                Figure("p50", percentile(said["took_ms"], 50), "ms"),
                Figure("p99", percentile(said["took_ms"], 99), "ms", P99_MS if database == "sqlite" else None),
                Figure("longest", max(said["took_ms"]), "ms"),
                Figure("whole", said["whole_ms"], "ms"),
                Figure("faults_found_by_the_doctor", len(faults), goal=0),
            ],
        )
    return report


def _crowd(url: str, plan: Plan) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.processes", url, str(plan.processes), str(plan.writes)]
    paths = os.pathsep.join(filter(None, [str(CHECKOUT / "server"), os.environ.get("PYTHONPATH")]))
    ended = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if ended.returncode != 0:
        raise BenchError(ended.stderr)
    return json.loads(ended.stdout)


def _gateway(url: str) -> Gateway:
    return gateway_for(Settings.model_validate({"project": "bench", "database": {"url": url}}), "ci")


async def _report(gateway: Gateway, arguments: dict[str, Any]) -> None:
    await gateway.call(services.report.report_issues, IssueReport.model_validate(arguments))


async def _warm() -> None:
    """Read all packaged data, before anything is forked: each process would take a second of a processor for it."""
    gateway = _gateway("sqlite://")
    for arguments in reports(8):
        await _report(gateway, arguments)
    await gateway.close()


async def _write(url: str, number: int, writes: int, pipes: Pipes) -> dict[str, Any]:
    gateway = _gateway(url)
    await gateway.workspace()
    os.write(pipes.ready[1], b".")
    os.read(pipes.go[0], 1)  # returns when the parent has closed its end
    took: list[float] = []
    errors = 0
    for place, issue in enumerate(reports((number + 1) * writes)[-writes:]):
        began = time.perf_counter()
        try:
            told = IssueReport.model_validate({**issue, "idempotency_key": f"key-{number}-{place}"})
            await gateway.call_for(gateway.caller(), TOOL_TIMEOUT_S, services.report.report_issues, told)
        except LessonbookError:
            errors += 1
        took.append((time.perf_counter() - began) * 1e3)
    await gateway.close()
    return {"took_ms": took, "errors": errors}


def _fork(url: str, number: int, writes: int, pipes: Pipes) -> None:
    """Start one process. Each closes the ends that are not its own, so that a closed pipe says that all are there."""
    if os.fork():
        return
    status = 1
    try:
        os.close(pipes.go[1])
        said = asyncio.run(_write(url, number, writes, pipes))
        os.write(pipes.end[1], json.dumps(said).encode() + b"\n")  # below 4 KiB a pipe takes it in one piece
        status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Be the crowd."""
    url, processes, writes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    asyncio.run(_warm())
    pipes = Pipes(os.pipe(), os.pipe(), os.pipe())
    for number in range(processes):
        _fork(url, number, writes, pipes)
    os.close(pipes.end[1])
    waiting = processes
    while waiting:
        waiting -= len(os.read(pipes.ready[0], waiting))
    began = time.perf_counter()
    os.close(pipes.go[1])
    with os.fdopen(pipes.end[0]) as lines:
        said = [json.loads(line) for line in lines]
    whole_ms = (time.perf_counter() - began) * 1e3
    for _ in range(processes):
        os.wait()
    if len(said) != processes:
        sys.exit(f"{processes - len(said)} processes ended before their time")
    print(
        json.dumps(
            {
                "took_ms": [took for one in said for took in one["took_ms"]],
                "errors": sum(one["errors"] for one in said),
                "whole_ms": whole_ms,
            }
        )
    )


if __name__ == "__main__":
    main()
