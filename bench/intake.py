"""How fast issues and scanner files are refined, and that memory stays flat however large a file is.

Each figure is taken in a process of its own, on a fresh SQLite database: `python -m bench.intake JOB`.
"""

import asyncio
import itertools
import json
import math
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.evaluation import read_rows
from bench.faults import BenchError
from bench.measure import Figure, Report, memory_of

ROOT = Path(__file__).parent.parent
SHIPPED = ROOT / "server" / "lessonbook" / "data" / "demo"
AGENT = "BackendDevelopmentAgent"
SIZES_MB = (1, 10, 50)
RESULT_GOAL_MS = 1.0
GROWTH_GOAL_MB = 30.0
FOLDERS = 211
LINES = 997
TEXT_MAX = 20_000

_SUBJECTS = (
    "the export of orders", "the login form", "the nightly import", "the price list", "a worker", "the search page",
    "the mail sender", "the thumbnail job", "the audit trail", "the shipping client", "the cache", "the invoice total",
    "the upload", "the webhook", "the report of the month", "the configuration loader",
)  # fmt: skip
_PROBLEMS = (
    "joins user input into an SQL statement", "swallows every exception", "has no timeout and hangs for {n} minutes",
    "issues {n} queries for one page", "is off by {n} cents", "leaks a file handle per call",
    "writes a password into the log", "loads a pickle that people can upload", "fails on the {n}th of the month",
    "is not covered by any test", "disables the check of certificates", "answers {n} seconds late",
    "keeps a lock while it waits for the network", "renders markup that a user typed", "ignores the time zone",
    "retries without an idempotency key",
)  # fmt: skip
_CIRCUMSTANCES = (
    "when the customer has no orders", "under load", "after the password was changed", "since the last release",
    "on PostgreSQL only", "for names with an accent", "if two people save at once", "in src/module_{n}.py",
    "and nobody is told", "as release {n} showed",
)  # fmt: skip

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure: how many results and issues, files of which sizes, and texts of `dedup_stream` where given."""

    data: Path | None = None
    results: int = 20_000
    issues: int = 2_000
    sizes_mb: tuple[int, ...] = SIZES_MB


async def measure(plan: Plan, tell: Tell) -> Report:
    """Run `plan` and return its report; `tell` hears what is being done.

    Raises:
        BenchError: a job failed.
    """
    sets: dict[str, int | str] = {"results": plan.results, "issues": plan.issues, "database": "SQLite"}
    report = Report("intake", "Issues and scanner files, refined", sets)
    with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
        workdir = Path(folder)
        tell(f"refining {plan.issues} issues in words")
        texts = _texts_of(plan.data, plan.issues)
        (workdir / "issues.json").write_text(json.dumps(texts), encoding="utf-8")
        report.add("issues in words", _rates("issue", _run("issues", workdir / "issues.json")))
        tell(f"refining a SARIF file of {plan.results} results")
        scan = workdir / "scan.sarif"
        write_scan(scan, results=plan.results)
        report.add("SARIF results", _rates("result", _run("file", scan), goal_ms=RESULT_GOAL_MS))
        report.add("memory", _memory(plan, workdir, tell))
    return report


def write_scan(path: Path, *, results: int = 0, size_mb: int = 0) -> int:
    """Write a SARIF file made of the shipped scans, their results repeated in other files and lines.

    Args:
        path: where to.
        results: how many; 0: as many as `size_mb` takes.
        size_mb: the least size in MB (10^6 bytes).

    Returns:
        The number of results.
    """
    runs = [json.loads((SHIPPED / name).read_bytes())["runs"][0] for name in ("bandit.sarif", "ruff.sarif")]
    written = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"version": "2.1.0", "runs": [\n')
        for number, run in enumerate(runs, start=1):
            own = run.pop("results")
            file.write("{" + f'"tool": {json.dumps(run["tool"])}, "results": [\n')
            for repeat in itertools.count():
                if written >= results * number // len(runs) and file.tell() >= size_mb * 1e6 * number / len(runs):
                    break
                file.write((",\n" if repeat else "") + json.dumps(_repeated(own[repeat % len(own)], repeat)))
                written += 1
            file.write("]}" + ("," if number < len(runs) else "") + "\n")
        file.write("]}\n")
    return written


def sentences(count: int, seed: int = 7) -> Iterator[str]:
    """Yield issues in words, few of them the same."""
    dice = random.Random(seed)
    for _ in range(count):
        parts = (dice.choice(_SUBJECTS), dice.choice(_PROBLEMS), dice.choice(_CIRCUMSTANCES))
        yield " ".join(parts).format(n=dice.randrange(2, 90)).capitalize() + "."


def _repeated(result: dict[str, Any], number: int) -> dict[str, Any]:
    place = result["locations"][0]["physicalLocation"]
    name = place["artifactLocation"]["uri"].rpartition("/")[2]
    elsewhere = {
        **place,
        "artifactLocation": {**place["artifactLocation"], "uri": f"src/part_{number % FOLDERS}/{name}"},
        "region": {**place["region"], "startLine": 1 + number % LINES},
    }
    return {**result, "locations": [{"physicalLocation": elsewhere}]}


def _texts_of(data: Path | None, count: int) -> list[str]:
    rows = read_rows(data, "dedup_stream") if data is not None else []
    texts = [row["text"][:TEXT_MAX] for row in rows if row["text"].strip()][:count]
    return texts or list(sentences(count))


def _rates(what: str, told: dict[str, float], goal_ms: float | None = None) -> list[Figure]:
    seconds, findings = told["seconds"], told["findings"]
    return [
        Figure(f"{what}s_per_second", findings / seconds, "/s"),
        Figure(f"time_per_{what}", 1000 * seconds / findings, "ms", goal_ms),
        Figure(f"processor_time_per_{what}", 1000 * told["cpu_s"] / findings, "ms"),
        Figure("peak_memory", told["peak_mb"], "MB"),
    ]


def _memory(plan: Plan, workdir: Path, tell: Tell) -> list[Figure]:
    peaks: list[float] = []
    figures: list[Figure] = []
    for size in plan.sizes_mb:
        tell(f"refining a SARIF file of {size} MB")
        scan = workdir / f"{size}.sarif"
        write_scan(scan, size_mb=size)
        told = _run("file", scan)
        scan.unlink()
        peaks.append(told["peak_mb"])
        figures.append(Figure(f"peak_memory_at_{size}_MB", told["peak_mb"], "MB"))
        figures.append(Figure(f"time_at_{size}_MB", told["seconds"], "s"))
    growth = peaks[-1] - peaks[0] if peaks else math.nan
    return [*figures, Figure("growth_of_peak_memory", growth, "MB", GROWTH_GOAL_MB)]


def _run(job: str, path: Path) -> dict[str, float]:
    """Do a job in a process of its own; returns its seconds, those of the processor, findings and peak memory."""
    command = [sys.executable, "-m", "bench.intake", job, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"the {job} job failed: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


@asynccontextmanager
async def _workspace(folder: Path) -> AsyncGenerator[Any]:
    from lessonbook.config.settings import Settings  # noqa: PLC0415 - the parent needs none of it
    from lessonbook.services.opening import work_on  # noqa: PLC0415
    from lessonbook.store import migrate  # noqa: PLC0415
    from lessonbook.store.engine import connect  # noqa: PLC0415
    from lessonbook.store.urls import parse_address  # noqa: PLC0415

    limits = {"issues_per_hour": 10_000_000}
    settings = Settings.model_validate(
        {"project": "bench", "database": {"url": f"sqlite:///{folder}/lessonbook.db"}, "limits": limits}
    )
    store = connect(parse_address(settings.database_url))
    await migrate.upgrade(store)
    yield await work_on(store, settings, now=lambda: datetime.now(UTC), random_bytes=secrets.token_bytes)
    await store.close()


async def _refine_file(work: Any, path: Path) -> int:
    from lessonbook import services  # noqa: PLC0415 - as above
    from lessonbook.domain.lesson import Caller  # noqa: PLC0415

    done = await services.report.report_file(work, Caller("bench", "ci"), path, agent_name=AGENT)
    return done.findings


async def _refine_issues(work: Any, path: Path) -> int:
    from lessonbook import services  # noqa: PLC0415 - as above
    from lessonbook.domain.agent_tools import Report as Issues  # noqa: PLC0415
    from lessonbook.domain.lesson import Caller  # noqa: PLC0415

    texts: list[str] = json.loads(path.read_bytes())  # noqa: ASYNC240 - nobody else waits in this process
    for start in range(0, len(texts), 100):
        issues = [{"description": text} for text in texts[start : start + 100]]
        batch = Issues.model_validate({"issues": issues, "source": "qa"})
        await services.report.report_issues(work, Caller("bench", "qa"), batch)
    return len(texts)


async def _job(name: str, path: Path) -> dict[str, float]:
    act = {"file": _refine_file, "issues": _refine_issues}[name]
    with tempfile.TemporaryDirectory(prefix="lessonbook-bench-") as folder:
        async with _workspace(Path(folder)) as work:
            began, worked = time.perf_counter(), time.process_time()
            findings = await act(work, path)
            told = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - worked}
    return {**told, "findings": findings, "peak_mb": memory_of(os.getpid()).peak_mb}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_job(sys.argv[1], Path(sys.argv[2])))))
