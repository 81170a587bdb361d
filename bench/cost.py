"""What a call of `get_lessons` costs: processor time of server and database, and bytes kept for each delivery."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from bench import population
from bench.databases import fresh_database, lessonbook_on, migrate
from bench.faults import BenchError
from bench.measure import Figure, Report
from bench.servers import serving
from bench.workload import lesson_queries
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address

TABLES = ("agent_lesson_deliveries", "agent_runs", "idempotency_keys")
"""What a call writes; answers are kept for a day, runs and deliveries stay."""
WARM_UP_CALLS = 100


@dataclass(frozen=True)
class Plan:
    """What to measure: `calls` over HTTP, each a run of its own, on shelves of `lessons_per_agent`."""

    calls: int
    lessons_per_agent: int


@dataclass(frozen=True)
class _Kept:
    rows: dict[str, int]
    sizes: dict[str, int]


async def measured(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Run `plan` on PostgreSQL and return its report; `tell` hears what is being done.

    Raises:
        BenchError: the server did not start, or the system has no /proc.
    """
    report = Report(
        "cost", "What a call of get_lessons costs", {"calls": plan.calls, "lessons": plan.lessons_per_agent}
    )
    with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
        workdir = Path(folder)
        with fresh_database("postgresql", workdir) as url:
            postmaster = int((workdir / "pgdata" / "postmaster.pid").read_text().split()[0])
            report.add("postgresql", await costs(url, url, postmaster, plan, workdir, tell))
    return report


async def costs(
    url: str, served_url: str, postmaster: int, plan: Plan, workdir: Path, tell: Callable[[str], None]
) -> list[Figure]:
    """Return the costs of calls to a server on `served_url`, which leads to the empty database at `url`."""
    program = lessonbook_on(served_url)
    migrate(program, workdir)
    tell("writing lessons")
    await population.fill(url, plan.lessons_per_agent)
    queries = lesson_queries()
    async with serving(program, "http", workdir) as served:

        async def call(count: int) -> None:
            for number in range(count):
                answered = await served.client.call_tool("get_lessons", queries[number % len(queries)])
                if answered.is_error:
                    raise BenchError(f"get_lessons answered with an error: {answered.content}")

        await call(WARM_UP_CALLS)
        await population.tidy(url)
        before = await _kept(url)
        server_s, database_s = _seconds(served.pid), _database_seconds(postmaster)
        tell("calling")
        await call(plan.calls)
        server_s, database_s = _seconds(served.pid) - server_s, _database_seconds(postmaster) - database_s
        after = await _kept(url)
    deliveries, runs, answers = (after.rows[name] - before.rows[name] for name in TABLES)
    sizes = {name: after.sizes[name] - before.sizes[name] for name in TABLES}
    return [
        Figure("server", server_s * 1_000 / plan.calls, "ms of processor a call"),
        Figure("database", database_s * 1_000 / plan.calls, "ms of processor a call"),
        Figure("deliveries", deliveries / plan.calls, "a call"),
        Figure("delivery", sizes[TABLES[0]] / deliveries, "bytes"),
        Figure("run", sizes[TABLES[1]] / runs, "bytes"),
        Figure("answer", sizes[TABLES[2]] / answers, "bytes"),
    ]


async def _kept(url: str) -> _Kept:
    """Return rows and bytes of the tables, indexes and partitions included."""
    store = connect(parse_address(url))

    def count(connection: Connection) -> _Kept:
        rows = {name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() for name in TABLES}
        size = text(
            "SELECT pg_total_relation_size(CAST(:name AS regclass)) + coalesce(sum(pg_total_relation_size(relid)), 0) "
            "FROM pg_partition_tree(CAST(:name AS regclass)) WHERE isleaf"
        )
        sizes = {name: int(connection.execute(size, {"name": name}).scalar_one()) for name in TABLES}
        return _Kept(rows, sizes)

    try:
        with store.within("*"):
            return await store.read(count)
    finally:
        await store.close()


def _seconds(pid: int) -> float:
    """Return the processor time of a process so far, in seconds, as Linux tells it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError as error:
        raise BenchError(f"processor time is read from /proc: {error}") from error
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _database_seconds(postmaster: int) -> float:
    """Return the processor time of all processes of a PostgreSQL server that run now."""
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return sum(_seconds(int(pid)) for pid in children)
