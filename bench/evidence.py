"""How long figures take when millions of deliveries stand behind them, and which queries that time goes to."""

import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, event, func, select, update

from bench.databases import PROJECT, Database, fresh_database, lessonbook_on, migrate
from bench.deliveries import LESSONS_PER_AGENT, UNTIL, fill_deliveries
from bench.measure import Figure, Report, percentile
from bench.population import AGENTS, fill, tidy
from lessonbook.config.settings import load_settings
from lessonbook.domain.agent_tools import StatsQuery
from lessonbook.domain.lesson import Caller
from lessonbook.experiment.evidence import Evidence
from lessonbook.services.background.maintenance import keep_up
from lessonbook.services.opening import open_workspace
from lessonbook.services.queries.stats import by_agent, get_stats
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.scoring import counted
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import tables
from lessonbook.store.types import Row

GOAL_P95_MS: Final = 20.0
GOAL_OF_ALL_AGENTS_P95_MS: Final = 100.0
ALL_AGENTS: Final = "list of all agents"
RECENT_DAYS: Final = 30
_CALLER: Final = Caller(project=PROJECT, principal="bench", person=True)
_EXPLAIN: Final[Mapping[str, str]] = {"sqlite": "EXPLAIN QUERY PLAN ", "postgresql": "EXPLAIN (ANALYZE, BUFFERS) "}

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure; statements that take `explain_ms` or more are written to `plans` with the database's plan."""

    databases: tuple[Database, ...]
    deliveries: int = 10_000_000
    calls: int = 200
    plans: Path | None = None
    explain_ms: float = 5.0


@dataclass
class _Statement:
    """One statement of a call, as the driver got it."""

    text: str
    parameters: Any
    took_ms: float = field(default=0.0)


async def measured(plan: Plan, tell: Tell) -> Report:
    """Run `plan` and return its report; `tell` hears what is being done.

    Raises:
        BenchError: PostgreSQL is not installed, or the migration failed.
    """
    sets: dict[str, int | str] = {"deliveries": plan.deliveries, "agents": len(AGENTS), "calls": plan.calls}
    report = Report("evidence", "Figures over many deliveries", sets)
    for database in plan.databases:
        with tempfile.TemporaryDirectory(prefix="lessonbook-bench-", ignore_cleanup_errors=True) as folder:
            workdir = Path(folder)
            with fresh_database(database, workdir) as url:
                await _measure_database(database, url, plan, report, workdir, tell)
    return report


async def _measure_database(
    database: Database, url: str, plan: Plan, report: Report, workdir: Path, tell: Tell
) -> None:
    tell(f"{database}: migrating and filling")
    migrate(lessonbook_on(url), workdir)
    await fill(url, LESSONS_PER_AGENT)
    began = time.perf_counter()
    await fill_deliveries(url, plan.deliveries, lambda told: tell(f"{database}, {told}"))
    filled_s = time.perf_counter() - began
    work = await open_workspace(load_settings({"database": {"url": url}, "project": PROJECT}), now=lambda: UNTIL)
    try:
        tell(f"{database}: folding")
        if database == "postgresql":
            await tidy(url)
        await work.store.migrate(_score)  # the one kind of transaction that may take minutes
        report.add(f"{database}.upkeep", [Figure("fill", filled_s, "s"), *await _fold(work)])
        if database == "postgresql":
            await tidy(url)
        queries = await _questions(work, plan.calls)
        tell(f"{database}: {plan.calls} calls of each kind")
        for name, samples in (await _timed(work, queries)).items():
            report.add(f"{database}.{name}", _figures(name, samples))
        if plan.plans is not None:
            with plan.plans.open("a", encoding="utf-8") as file:
                for name, of_kind in queries.items():
                    file.write(await _explained(work, f"{database}, {name}", of_kind[-1], plan.explain_ms))
    finally:
        await work.store.close()


async def _fold(work: Workspace) -> list[Figure]:
    """Count what is there, as the first round of housekeeping does, and once more, with nothing left to count."""
    took: list[float] = []
    for _ in range(2):
        began = time.perf_counter()
        await keep_up(work, _CALLER)
        took.append(time.perf_counter() - began)
    return [Figure("fold", took[0], "s"), Figure("nothing_to_fold", took[1] * 1_000, "ms")]


def _score(connection: Connection) -> None:
    """Write what the events add up to, which reports would have done one by one."""
    lessons = lesson_rows.all_of(connection, PROJECT)
    of_agents: dict[str, Evidence] = defaultdict(Evidence)
    values: list[Row] = []
    for lesson_id, evidence in counted(connection, PROJECT, lessons).items():
        values.append({"of": lesson_id, "evidence": evidence.to_document(), "events": evidence.events})
        of_agents[lessons[lesson_id].agent_name] += evidence
    of_lesson = tables.lessons.c.project == PROJECT, tables.lessons.c.id == bindparam("of")
    changed = update(tables.lessons).where(*of_lesson)
    if values:  # none, where no run was checked
        connection.execute(changed.values(evidence=bindparam("evidence"), events=bindparam("events")), values)
    runs = tables.runs.c
    arms = select(func.sum(runs.issues)).where(runs.project == PROJECT, runs.agent_name == bindparam("agent"))
    for agent_name, evidence in of_agents.items():
        sums = evidence_rows.hold(connection, PROJECT, agent_name)
        counted_issues: dict[str, int] = {}
        for side, held_out in (("served", False), ("held_out", True)):
            issues = connection.execute(arms.where(runs.holdout.is_(held_out)), {"agent": agent_name}).scalar() or 0
            counted_issues |= {f"{side}_issues": issues, f"{side}_squares": issues}
        evidence_rows.put(connection, sums._replace(effect=evidence.to_document(), **counted_issues))


Question = StatsQuery | None
"""What is asked of `get_stats`; None: the list of all agents."""


async def _ask(work: Workspace, question: Question) -> None:
    await (by_agent(work, _CALLER) if question is None else get_stats(work, _CALLER, question))


async def _questions(work: Workspace, calls: int) -> dict[str, Sequence[Question]]:
    """Return `calls` questions of each kind, about drawn agents and lessons."""
    draw = random.Random(0)
    lessons = await work.store.read(lambda connection: _some_lessons(connection, draw))
    kinds: dict[str, Callable[[], dict[str, str]]] = {
        "project": dict,
        "agent": lambda: {"agent_name": draw.choice(AGENTS)},
        "lesson": lambda: {"lesson_id": draw.choice(lessons)},
    }
    of_stats: dict[str, Sequence[Question]] = {
        name + (f", {days} days" if days else ""): [
            StatsQuery.model_validate({**about(), "days": days}) for _ in range(calls)
        ]
        for days in (0, RECENT_DAYS)
        for name, about in kinds.items()
    }
    return of_stats | {ALL_AGENTS: [None] * calls}


def _some_lessons(connection: Connection, draw: random.Random) -> list[str]:
    found = lesson_rows.applied_at_least(connection, PROJECT, 0, len(AGENTS) * LESSONS_PER_AGENT)
    return [lesson.id for lesson in draw.sample(found, min(len(found), 500))]


async def _timed(work: Workspace, queries: Mapping[str, Sequence[Question]]) -> dict[str, list[float]]:
    """Return milliseconds of each call; kinds take turns, so that noise meets all of them."""
    samples: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(3):
        for of_kind in queries.values():
            await _ask(work, of_kind[0])
    for turn in zip(*queries.values(), strict=True):
        for name, query in zip(queries, turn, strict=True):
            began = time.perf_counter()
            await _ask(work, query)
            samples[name].append((time.perf_counter() - began) * 1_000)
    return samples


def _figures(name: str, samples: Sequence[float]) -> list[Figure]:
    goal = GOAL_OF_ALL_AGENTS_P95_MS if name == ALL_AGENTS else GOAL_P95_MS
    return [Figure("p50", percentile(samples, 50), "ms"), Figure("p95", percentile(samples, 95), "ms", goal=goal)]


async def _explained(work: Workspace, title: str, query: Question, least_ms: float) -> str:
    """Return the statements of one call with their times, and the plans of those that took `least_ms` or more."""
    with _watched() as statements:
        await _ask(work, query)
    told = [f"\n==== {title}: {len(statements)} statements\n"]
    for one in statements:
        told.append(f"{one.took_ms:9.2f} ms  {' '.join(one.text.split())}\n")
        if one.took_ms >= least_ms:
            plan = await work.store.read(lambda connection, one=one: _plan_of(connection, one))
            told += [f"      {line}\n" for line in plan]
    return "".join(told)


def _plan_of(connection: Connection, statement: _Statement) -> list[str]:
    prefix = _EXPLAIN[connection.dialect.name]
    return [str(row[-1]) for row in connection.exec_driver_sql(prefix + statement.text, statement.parameters)]


@contextmanager
def _watched() -> Generator[list[_Statement]]:
    """Yield the list that every statement of this process is added to while the block runs."""
    seen: list[_Statement] = []

    def before(_connection: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
        seen.append(_Statement(text, parameters, -time.perf_counter() * 1_000))

    def after(*_: Any) -> None:
        seen[-1].took_ms += time.perf_counter() * 1_000

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)
