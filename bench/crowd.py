"""Many callers at once on one process, with a token each, and what their authorisation costs a call."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.databases import Database, fresh_database
from bench.measure import Figure, Report, percentile
from bench.workload import lesson_queries, reports
from lessonbook import services
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.agent_tools import Report as IssueReport
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson import Caller
from lessonbook.domain.token_scopes import SCOPES
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway
from lessonbook.edges.access.identity import acting_as
from lessonbook.edges.access.static_tokens import StaticTokens
from lessonbook.edges.access.token_verification import Verification
from lessonbook.services.tokens import NewToken
from lessonbook.services.workspace import Workspace

AUTHORISATION_MS: Final = 0.3
EACH: Final = 3
"""Calls of each caller; every fourth reports, the others get lessons."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many callers, how many calls authorisation is timed with, and on which databases."""

    databases: Sequence[Database]
    callers: int = 200
    calls: int = 3_000


async def measured(plan: Plan, progress: Callable[[str], None]) -> Report:
    """Return errors, times and faults of a crowd, and the time that authorisation adds to a call."""
    report = Report("crowd", "Many callers at once", {"callers": plan.callers, "calls": EACH * plan.callers})
    for database in plan.databases:
        progress(f"{plan.callers} callers on {database}")
        with tempfile.TemporaryDirectory() as folder, fresh_database(database, Path(folder)) as url:
            settings = Settings.model_validate({"project": "bench", "database": {"url": url}})
            gateway = gateway_for(settings, "cli", person=True)
            try:
                report.add(database, [*await _crowd(gateway, plan.callers), *await _authorisation(gateway, plan.calls)])
            finally:
                await gateway.close()
    return report


async def _crowd(gateway: Gateway, callers: int) -> list[Figure]:
    issues, queries = reports(EACH * callers + 1), lesson_queries()
    took: list[float] = []
    failed = 0

    async def call(number: int, place: int, *, reporting: bool) -> None:
        nonlocal failed
        who = Caller("bench", f"caller-{number}", scopes=frozenset(SCOPES))
        began = time.perf_counter()
        try:
            if reporting:
                told = IssueReport.model_validate({**issues[place], "idempotency_key": f"key-{place}"})
                await gateway.call_for(who, TOOL_TIMEOUT_S, services.report.report_issues, told)
            else:
                query = LessonQuery.model_validate({**queries[place % len(queries)], "run_id": f"run-{number}"})
                await gateway.call_for(who, TOOL_TIMEOUT_S, services.serve.get_lessons, query)
        except LessonbookError:
            failed += 1
        took.append((time.perf_counter() - began) * 1e3)

    async def caller(number: int) -> None:
        for turn in range(EACH):
            await call(number, EACH * number + turn, reporting=(number + turn) % 4 == 0)

    for reporting in (True, False):  # what a server reads once, its first caller waits for
        await call(callers, EACH * callers, reporting=reporting)
    failed, took = 0, []
    await asyncio.gather(*map(caller, range(callers)))
    faults = (await gateway.call(services.background.diagnose)).faults
    return [
        Figure("errors", failed, goal=0),
        Figure("p50", percentile(took, 50), "ms"),
        Figure("p99", percentile(took, 99), "ms"),
        Figure("faults_found_by_the_doctor", len(faults), goal=0),
    ]


async def is_alive(_work: Workspace, _caller: Caller) -> None:
    """Do nothing, under a name for which every token is enough."""


async def _authorisation(gateway: Gateway, calls: int) -> list[Figure]:
    created = await gateway.call(services.tokens.create_token, NewToken("bench", SCOPES, ("bench",)))
    verification = Verification([StaticTokens(gateway)])
    bare, authorised = [0.0] * calls, [0.0] * calls
    for number in range(calls):
        began = time.perf_counter()
        await gateway.call(is_alive)
        bare[number] = (time.perf_counter() - began) * 1e3
        began = time.perf_counter()
        grant = await verification.verify_token(created.token)
        with acting_as(grant.caller("bench")):
            await gateway.call(is_alive)
        authorised[number] = (time.perf_counter() - began) * 1e3
    cost = statistics.median(authorised) - statistics.median(bare)
    return [Figure("authorisation_p50", cost, "ms", AUTHORISATION_MS)]
