"""How the cost of `get_lessons` grows with the lessons of the agent that asks, and with all others in the database."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.databases import Database, fresh_database, lessonbook_on, migrate
from bench.measure import Figure, Report
from bench.speed import Pair, bare_server, lesson_latency, typical_answer
from bench.workload import AGENT

OVER_GOAL_MS: Final = 10.0
PER_AGENT: Final = 10_000
"""Lessons of each other agent."""
STEPS: Final = ((1_000, 1_000), (10_000, 10_000), (10_000, 100_000), (10_000, 1_000_000))
"""Lessons of the agent that asks, and of all agents together."""


@dataclass(frozen=True)
class Plan:
    """What to measure, and how often; steps beyond `most` lessons are left out."""

    databases: tuple[Database, ...]
    calls: int
    most: int


async def measured(plan: Plan, tell: Callable[[str], None]) -> Report:
    """Fill databases step by step, and time calls beside a bare server at each.

    Raises:
        BenchError: a server did not start, or answered with an error.
    """
    report = Report("growth", "get_lessons as lessons grow", {"calls": plan.calls})
    steps = [step for step in STEPS if step[1] <= plan.most]
    for database in plan.databases:
        for own in dict.fromkeys(own for own, _ in steps):
            with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
                workdir = Path(folder)
                with fresh_database(database, workdir) as url:
                    totals = [total for of_agent, total in steps if of_agent == own]
                    await _grow(database, url, own, totals, plan.calls, report, workdir, tell)
    return report


async def _grow(
    database: Database,
    url: str,
    own: int,
    totals: list[int],
    calls: int,
    report: Report,
    workdir: Path,
    tell: Callable[[str], None],
) -> None:
    from bench.population import fill_agents, tidy  # noqa: PLC0415  # it needs the package

    program = lessonbook_on(url)
    migrate(program, workdir)
    tell(f"{database}: {own:,} lessons of the agent")
    await fill_agents(url, {AGENT: own})
    stored = own
    for total in totals:
        tell(f"{database}: {total:,} lessons in all")
        await fill_agents(url, {f"Other{number}Agent": PER_AGENT for number in range(stored, total, PER_AGENT)})
        stored = max(total, own)
        if database == "postgresql":
            await tidy(url)
        pair = Pair(bare_server(await typical_answer(program, workdir)), program, "stdio", workdir)
        async with pair.alive() as (bare, other):
            figures = await lesson_latency(bare.client, other.client, calls, "")
        by_name = {figure.name: figure.value for figure in figures}
        over = Figure("get_p95_over_bare", by_name["get_p95"] - by_name["get_p95_bare"], "ms", OVER_GOAL_MS)
        report.add(f"{database}.{own:,} of {total:,} lessons", [*figures, over])
