"""Fills a database with months of runs: deliveries, issues and applications of lessons that `population` wrote."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import asyncpg

from bench.databases import PROJECT
from bench.population import AGENTS, NOW
from lessonbook.store.urls import PostgresAddress, parse_address

DAYS: Final = 90
PER_RUN: Final = 10
LESSONS_PER_AGENT: Final = 1_000
UNTIL: Final = NOW + timedelta(minutes=14)
"""The worst moment for figures: the last hour and a quarter is not counted yet."""

RUNS_PER_STEP: Final = 50_000

_RUNS = "(number BIGINT PRIMARY KEY, run_id TEXT NOT NULL, agent_name TEXT NOT NULL, at {moment} NOT NULL)"
_PLACES = "(place BIGINT PRIMARY KEY)"
_SERVED = """AS SELECT agent_name, id AS lesson_id,
    ROW_NUMBER() OVER (PARTITION BY agent_name ORDER BY id) - 1 AS number FROM agent_lessons"""

# Few lessons fit most tasks: in each tenth of an agent's lessons the first ones are drawn most often.
_DRAWN = f"""FROM bench_runs r CROSS JOIN bench_places p CROSS JOIN bench_served s
    WHERE r.number >= {{first}} AND r.number < {{last}} AND s.agent_name = r.agent_name
        AND s.number = p.place * {LESSONS_PER_AGENT // PER_RUN}
            + ((r.number * 7919 + p.place * 104729) % 997) * ((r.number * 7919 + p.place * 104729) % 997) / 9941"""
_DELIVERIES = f"""INSERT INTO agent_lesson_deliveries (project, run_id, lesson_id, agent_name, shown, p_show, exempt,
        policy_version, position, delivered_at, run_started_at)
    SELECT '{PROJECT}', r.run_id, s.lesson_id, r.agent_name,
        r.number % 49 <> 0 AND (p.place < 3 OR (r.number * 31 + p.place * 17) % 10 <> 0),
        CASE WHEN p.place < 3 THEN 1.0 ELSE 0.9 END, p.place < 3, 'bench', p.place, r.at, r.at {_DRAWN}
    ORDER BY r.number, p.place"""
_APPLICATIONS = f"""INSERT INTO agent_lesson_applications (project, run_id, lesson_id, agent_name, principal, verdict,
        applied_at)
    SELECT '{PROJECT}', r.run_id, s.lesson_id, r.agent_name, 'bench',
        CASE WHEN r.number % 2 = 0 THEN r.number % 3 <> 0 END, r.at {_DRAWN} AND (r.number + p.place) % 20 = 0"""
_ISSUES = f"""INSERT INTO agent_issues (project, id, agent_name, description, severity, category, source, evidence,
        principal, run_id, lesson_id, action, reason, fingerprint, is_event, refinement_run_id, created_at)
    SELECT '{PROJECT}', 'I' || r.run_id, r.agent_name, 'Something went wrong in a run', 2, 'other', 'ci', 'verified',
        'bench', r.run_id, CASE WHEN r.number % 100 <> 0 THEN s.lesson_id END,
        CASE WHEN r.number % 100 <> 0 THEN 'merged' ELSE 'pending' END, '', r.run_id, r.number % 100 <> 0, 'bench', r.at
    {_DRAWN} AND p.place = 5 AND r.number % 5 = 0"""

Tell = Callable[[str], None]


class _Session(Protocol):
    """A connection that bulk loading needs, without checks that would be made a row."""

    async def run(self, statement: str) -> None: ...

    async def add_runs(self, first: int, last: int, count: int) -> None: ...

    async def close(self) -> None: ...


async def fill_deliveries(url: str, count: int, tell: Tell) -> int:
    """Write `count` deliveries in runs of ten, over the `DAYS` days before `UNTIL`; return how many runs.

    A run in five has an issue, one in 49 is held out, a delivery in twenty was recorded as applied. The lessons must be
    there.
    """
    address = parse_address(url)
    postgres = isinstance(address, PostgresAddress)
    session: _Session = await _Postgres.open(address.dsn) if postgres else _Sqlite(str(address.path))
    runs = count // PER_RUN
    try:
        await session.run("CREATE TABLE bench_runs " + _RUNS.format(moment="TIMESTAMPTZ" if postgres else "TEXT"))
        await session.run("CREATE TABLE bench_places " + _PLACES)
        await session.run("INSERT INTO bench_places VALUES " + ", ".join(f"({place})" for place in range(PER_RUN)))
        await session.run("CREATE TABLE bench_served " + _SERVED)
        await session.run("CREATE INDEX bench_served_number ON bench_served (agent_name, number)")
        for first in range(0, runs, RUNS_PER_STEP):
            last = min(first + RUNS_PER_STEP, runs)
            await session.add_runs(first, last, runs)
            for statement in (_DELIVERIES, _ISSUES, _APPLICATIONS):
                await session.run(statement.format(first=first, last=last))
            tell(f"written: {last * PER_RUN:,} of {count:,} deliveries")
        for table in ("bench_runs", "bench_places", "bench_served"):
            await session.run(f"DROP TABLE {table}")
    finally:
        await session.close()
    return runs


def _runs(first: int, last: int, count: int) -> Iterator[tuple[int, str, str, datetime]]:
    """Yield number, id, agent and moment of runs `first` to `last` - 1 of `count`, evenly over `DAYS`."""
    begin, step = UNTIL - timedelta(days=DAYS), timedelta(days=DAYS) / count
    for number in range(first, last):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        yield number, digest[:26], AGENTS[int(digest[26:32], 16) % len(AGENTS)], begin + number * step


_ADD_RUNS = f"""INSERT INTO agent_runs (project, run_id, agent_name, principal, holdout, p_holdout, issues, task_hash,
        started_at)
    SELECT '{PROJECT}', run_id, agent_name, 'bench', number % 49 = 0, 0.02, CASE WHEN number % 5 = 0 THEN 1 ELSE 0 END,
        '', at
    FROM bench_runs WHERE number >= {{first}}"""


class _Sqlite:
    """SQLite without a log, which is given up with the process: a benchmark can be filled again."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1500000", "temp_store = MEMORY"):
            self._connection.execute(f"PRAGMA {pragma}")

    async def run(self, statement: str) -> None:
        self._connection.execute(statement)

    async def add_runs(self, first: int, last: int, count: int) -> None:
        rows = (
            (number, run_id, agent, at.replace(tzinfo=None).isoformat(" ", "microseconds"))
            for number, run_id, agent, at in _runs(first, last, count)
        )
        self._connection.executemany("INSERT INTO bench_runs VALUES (?, ?, ?, ?)", rows)
        await self.run(_ADD_RUNS.format(first=first))

    async def close(self) -> None:
        self._connection.commit()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.close()


class _Postgres:
    """PostgreSQL without foreign keys checked a row."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, dsn: str) -> "_Postgres":
        untyped: Any = asyncpg
        connection = await untyped.connect(dsn)
        await connection.execute("SET synchronous_commit = off")
        return cls(connection)

    async def run(self, statement: str) -> None:
        role = "replica" if statement.startswith("INSERT INTO agent_") else "origin"
        await self._connection.execute(f"SET session_replication_role = {role}")
        await self._connection.execute(statement)

    async def add_runs(self, first: int, last: int, count: int) -> None:
        await self._connection.copy_records_to_table("bench_runs", records=list(_runs(first, last, count)))
        await self._connection.execute("SET session_replication_role = origin")  # runs open their project's mark
        await self._connection.execute(_ADD_RUNS.format(first=first))

    async def close(self) -> None:
        await self._connection.close()
