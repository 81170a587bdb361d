"""A server under a steady mix of calls for a long time: what grows, and whether it is data alone."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final

import anyio
from mcp import Client

from bench.databases import Database, fresh_database, lessonbook_on, migrate
from bench.measure import Figure, Report, memory_of
from bench.servers import serving
from bench.workload import lesson_queries, reports

SAMPLE_S: Final = 5.0
GROWTH_GOAL_MB: Final = 10.0
LONGEST_GOAL_S: Final = 35.0
ISSUES: Final = 200
"""Different issues that are reported again and again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """For how long, how many calls a second, and on which databases."""

    databases: Sequence[Database]
    minutes: float = 15.0
    rate: float = 20.0


@dataclass(frozen=True, slots=True)
class _Sample:
    memory_mb: float
    files: int
    threads: int


async def measured(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Return how a server's memory, open files and threads grow, its errors, and its longest call."""
    report = Report("soak", "A server under a steady mix of calls", {"minutes": str(plan.minutes)})
    for database in plan.databases:
        tell(f"{database}: {plan.minutes} minutes of {plan.rate} calls a second")
        with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
            workdir = Path(folder)
            with fresh_database(database, workdir) as url:
                program = lessonbook_on(url)
                migrate(program, workdir)
                async with serving(program, "http", workdir) as served:
                    report.add(database, await _soak(served.client, served.pid, plan))
    return report


async def _soak(client: Client, pid: int, plan: Plan) -> list[Figure]:
    calls, errors, longest_s = 0, 0, 0.0
    samples: list[_Sample] = []
    ends = time.monotonic() + 60 * plan.minutes
    next_sample = time.monotonic()
    for tool, arguments, is_wrong in _mix():
        began = time.monotonic()
        if began >= ends:
            break
        result = await client.call_tool(tool, arguments)
        took = time.monotonic() - began
        calls += 1
        errors += bool(result.is_error) != is_wrong
        longest_s = max(longest_s, took)
        if time.monotonic() >= next_sample:
            samples.append(_sample(pid))
            next_sample += SAMPLE_S
        await anyio.sleep(max(0.0, 1 / plan.rate - took))
    fifth = max(1, len(samples) // 5)
    early, late = samples[fifth : 2 * fifth] or samples, samples[-fifth:]

    def grown(values: Callable[[_Sample], float]) -> float:
        return median(map(values, late)) - median(map(values, early))

    return [
        Figure("calls", calls),
        Figure("errors", errors, goal=0),
        Figure("longest call", longest_s, "s", LONGEST_GOAL_S),
        Figure("memory", median(sample.memory_mb for sample in late), "MB"),
        Figure("memory growth", grown(lambda sample: sample.memory_mb), "MB", GROWTH_GOAL_MB),
        Figure("open files growth", grown(lambda sample: sample.files), goal=2),
        Figure("threads growth", grown(lambda sample: sample.threads), goal=2),
    ]


def _mix() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield calls for ever: tool, arguments, and whether they are wrong on purpose."""
    queries, issues = lesson_queries(), reports(ISSUES)
    for number in count():
        run_id = f"soak-{number}"
        yield "get_lessons", {**queries[number % len(queries)], "run_id": run_id}, False
        told = dict(issues[number % ISSUES]) if number % 3 == 0 else {"source": "ci", "issues": []}
        yield "report_issues", {**told, "run_id": run_id, "idempotency_key": f"{run_id}-report"}, False
        if number % 5 == 0:
            yield "get_stats", {}, False
            yield "record_application", {"run_id": run_id, "lesson_ids": ["Lnone"]}, False
            yield "get_lessons", {"taks": "misspelt"}, True


def _sample(pid: int) -> _Sample:
    files = threads = 0
    with suppress(OSError):
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    return _Sample(memory_of(pid).now_mb or math.nan, files, threads)
