"""Lessonbook's readiness, latency, memory and schema size beside a bare SDK server, interleaved in one run."""

import gc
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import Any

from mcp import Client
from mcp.types import CallToolResult

from bench.databases import Database, fresh_database, lessonbook_on, migrate
from bench.faults import BenchError
from bench.measure import Figure, Report, memory_of, percentile
from bench.servers import Program, Served, Transport, seconds_to_ready, serving
from bench.workload import lesson_queries, reports

WARM_UP_CALLS = 40
READY_GOAL = 1.3
LATENCY_GOALS: dict[str, tuple[float, float]] = {"sqlite": (1.75, 2.25), "postgresql": (2.5, 3.0)}
REPORT_GOAL_MS = 5.0
MEMORY_GOAL_MB = 130.0
SCHEMA_GOAL_BYTES = 4_600.0


class Databases(StrEnum):
    """Which databases to measure."""

    sqlite = "sqlite"
    postgres = "postgres"
    both = "both"

    def members(self) -> tuple[Database, ...]:
        """Return the databases meant."""
        if self is Databases.both:
            return ("sqlite", "postgresql")
        return ("postgresql",) if self is Databases.postgres else ("sqlite",)


class Transports(StrEnum):
    """Which transports to measure."""

    stdio = "stdio"
    http = "http"
    both = "both"

    def members(self) -> tuple[Transport, ...]:
        """Return the transports meant."""
        if self is Transports.both:
            return ("stdio", "http")
        return ("http",) if self is Transports.http else ("stdio",)


@dataclass(frozen=True)
class Plan:
    """What to measure, and how often."""

    databases: tuple[Database, ...]
    transports: tuple[Transport, ...]
    calls: int
    reports: int
    starts: int
    lessons_per_agent: int
    self_check: bool = False


Tell = Callable[[str], None]


async def measured(plan: Plan, tell: Tell) -> Report:
    """Run `plan` and return its report; `tell` hears what is being done.

    Raises:
        BenchError: a server did not start, or answered with an error.
    """
    sets: dict[str, int | str] = {"calls": plan.calls, "reports": plan.reports, "starts": plan.starts}
    report = Report("speed", "Lessonbook beside a bare SDK server", sets)
    if plan.self_check:
        await _check_itself(plan, report, tell)
        return report
    sets["lessons per agent"] = plan.lessons_per_agent
    for database in plan.databases:
        with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
            workdir = Path(folder)
            with fresh_database(database, workdir) as url:
                await _measure_database(database, url, plan, report, workdir, tell)
    return report


async def _check_itself(plan: Plan, report: Report, tell: Tell) -> None:
    with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
        workdir = Path(folder)
        for transport in plan.transports:
            pair = Pair(bare_server(), bare_server(name="second"), transport, workdir)
            await _measure_pair(pair, "self-check", plan, report, tell)


async def _measure_database(
    database: Database, url: str, plan: Plan, report: Report, workdir: Path, tell: Tell
) -> None:
    from bench.population import fill  # noqa: PLC0415 - the self-check runs without the package

    program = lessonbook_on(url)
    tell(f"{database}: migrating and filling")
    migrate(program, workdir)
    await fill(url, plan.lessons_per_agent)
    answer = await typical_answer(program, workdir)
    for transport in plan.transports:
        pair = Pair(bare_server(answer), program, transport, workdir)
        await _measure_pair(pair, database, plan, report, tell)


def bare_server(answer: Path | None = None, name: str = "bare") -> Program:
    """Return the bare server, which repeats `answer` where given."""
    script = str(Path(__file__).with_name("bare_server.py"))
    environment = {"BARE_ANSWER": str(answer)} if answer else {}
    return Program(name, stdio=(script,), http=(script, "{port}"), environment=environment)


async def typical_answer(program: Program, workdir: Path) -> Path:
    """Ask every task once and keep the answer of median size, for the bare server to repeat."""
    async with serving(program, "stdio", workdir) as served:
        await served.client.list_tools()
        answers = [await _answer(served.client, "get_lessons", query) for query in lesson_queries()]
    contents = sorted((json.dumps(answer.structured_content) for answer in answers), key=len)
    typical = contents[len(contents) // 2]
    if not json.loads(typical)["lessons"]:
        raise BenchError("get_lessons answered without lessons: the population does not fit the server")
    path = workdir / "answer.json"
    path.write_text(typical, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Pair:
    """The bare server and the measured one, over one transport."""

    bare: Program
    measured: Program
    transport: Transport
    workdir: Path

    @asynccontextmanager
    async def alive(self) -> AsyncGenerator[tuple[Served, Served]]:
        """Run both servers and list their tools once, as clients do."""
        async with (
            serving(self.bare, self.transport, self.workdir) as bare,
            serving(self.measured, self.transport, self.workdir) as other,
        ):
            for served in (bare, other):
                await served.client.list_tools()
            if bare.client.protocol_version != other.client.protocol_version:
                spoken = f"{bare.client.protocol_version} and {other.client.protocol_version}"
                raise BenchError(f"the servers speak different protocols: {spoken}")
            yield bare, other


async def _measure_pair(pair: Pair, setting: str, plan: Plan, report: Report, tell: Tell) -> None:
    group = f"{setting}.{pair.transport}"
    tell(f"{group}: {plan.starts} starts of each server")
    report.add(group, await _readiness(pair, plan.starts))
    tell(f"{group}: {plan.calls} calls of each server")
    async with pair.alive() as (bare, other):
        report.add(group, await lesson_latency(bare.client, other.client, plan.calls, setting))
        if not plan.self_check:
            report.add(group, await _report_latency(bare.client, other.client, plan.reports, setting))
        report.add(group, _memory(bare.pid, other.pid))
        report.add(group, await _schema_size(other.client))


async def _readiness(pair: Pair, starts: int) -> list[Figure]:
    """Start both in turn, the first one changing, and compare medians; one start of each is thrown away."""
    seconds: dict[str, list[float]] = {pair.bare.name: [], pair.measured.name: []}
    for number in range(starts + 1):
        order = (pair.bare, pair.measured) if number % 2 else (pair.measured, pair.bare)
        for program in order:
            taken = await seconds_to_ready(program, pair.transport, pair.workdir)
            if number:
                seconds[program.name].append(taken)
    bare_s, measured_s = (median(seconds[program.name]) for program in (pair.bare, pair.measured))
    return [
        Figure("ready_bare", bare_s, "s"),
        Figure("ready", measured_s, "s"),
        Figure("ready_ratio", measured_s / bare_s, "×", READY_GOAL),
    ]


async def lesson_latency(bare: Client, other: Client, calls: int, setting: str) -> list[Figure]:
    """Time `get_lessons` of both servers in turn; `setting` names the goals, if any."""
    queries = lesson_queries()
    first_ms = await _first_call(other, queries[0])
    rotation = [queries[number % len(queries)] for number in range(WARM_UP_CALLS + calls)]
    bare_ms, other_ms = await _alternating(
        [(bare, "get_lessons", query) for query in rotation], [(other, "get_lessons", query) for query in rotation]
    )
    p50_goal, p95_goal = LATENCY_GOALS.get(setting, (None, None))
    return [
        Figure("get_first", first_ms, "ms"),
        Figure("get_p50_bare", percentile(bare_ms, 50), "ms"),
        Figure("get_p95_bare", percentile(bare_ms, 95), "ms"),
        Figure("get_p50", percentile(other_ms, 50), "ms"),
        Figure("get_p95", percentile(other_ms, 95), "ms"),
        Figure("get_p50_ratio", percentile(other_ms, 50) / percentile(bare_ms, 50), "×", p50_goal),
        Figure("get_p95_ratio", percentile(other_ms, 95) / percentile(bare_ms, 95), "×", p95_goal),
    ]


async def _first_call(client: Client, query: dict[str, Any]) -> float:
    """Return the milliseconds of the first call of a process, which loads what later ones find ready."""
    started_at = time.perf_counter()
    await _answer(client, "get_lessons", query)
    return (time.perf_counter() - started_at) * 1_000


async def _report_latency(bare: Client, other: Client, count: int, setting: str) -> list[Figure]:
    queries = lesson_queries()
    arguments = reports(WARM_UP_CALLS + count)
    bare_ms, report_ms = await _alternating(
        [(bare, "get_lessons", queries[number % len(queries)]) for number in range(len(arguments))],
        [(other, "report_issues", argument) for argument in arguments],
    )
    over_ms = percentile(report_ms, 50) - percentile(bare_ms, 50)
    return [
        Figure("report_p50", percentile(report_ms, 50), "ms"),
        Figure("report_p95", percentile(report_ms, 95), "ms"),
        Figure("report_p50_over_bare", over_ms, "ms", REPORT_GOAL_MS if setting == "sqlite" else None),
    ]


Call = tuple[Client, str, dict[str, Any]]


async def _alternating(first: Sequence[Call], second: Sequence[Call]) -> tuple[list[float], list[float]]:
    """Make the calls of both in turn, swapping who goes first; return milliseconds of each, without the warm-up."""
    taken: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    gc.freeze()
    for number, calls in enumerate(zip(first, second, strict=True)):
        for side in (0, 1) if number % 2 else (1, 0):
            started_at = time.perf_counter()
            await _answer(*calls[side])
            taken[side].append((time.perf_counter() - started_at) * 1_000)
    gc.unfreeze()
    return taken[0][WARM_UP_CALLS:], taken[1][WARM_UP_CALLS:]


async def _answer(client: Client, tool: str, arguments: dict[str, Any]) -> CallToolResult:
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise BenchError(f"{tool} answered with an error: {result.content}")
    return result


def _memory(bare_pid: int, pid: int) -> list[Figure]:
    memory = memory_of(pid)
    return [
        Figure("rss_bare", memory_of(bare_pid).now_mb, "MB"),
        Figure("rss", memory.now_mb, "MB", MEMORY_GOAL_MB),
        Figure("rss_peak", memory.peak_mb, "MB"),
    ]


async def _schema_size(client: Client) -> list[Figure]:
    tools = (await client.list_tools(cache_mode="bypass")).tools
    shown = [{"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema} for tool in tools]
    size = len(json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode())
    return [Figure("schema", float(size), "bytes", SCHEMA_GOAL_BYTES)]
