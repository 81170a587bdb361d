"""Servers of the release before go on writing while a new one migrates their database, and after it has."""

import asyncio
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, Table, inspect, select

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address
from tests.store.scenario import counted, issue, tell

pytestmark = pytest.mark.anyio


def before() -> str:
    """Return the revision before the newest."""
    config = Config()
    config.set_main_option("script_location", str(migrate.migrations_folder()))
    down = ScriptDirectory.from_config(config).get_revision(migrate.HEAD).down_revision
    assert isinstance(down, str)
    return down


def columns(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return the columns of all tables, by table and name."""
    seen = inspect(connection)
    return {
        table: {column["name"]: column for column in seen.get_columns(table)}
        for table in seen.get_table_names()
        if "search" not in table
    }


async def test_what_the_release_before_writes_the_newest_schema_takes(work: Workspace) -> None:
    new = await work.store.read(columns)
    await migrate.downgrade(work.store, before())
    old = await work.store.read(columns)
    assert {
        table: sorted(set(old[table]) - set(new.get(table, {})))
        for table in old
        if set(old[table]) - set(new.get(table, {}))
    } == {}
    needed = [
        f"{table}.{name}"
        for table, found in new.items()
        if table in old
        for name, column in found.items()
        if name not in old[table]
        and not column["nullable"]
        and column.get("default") is None
        and not column.get("computed")
    ]
    assert needed == []


async def test_a_writer_that_knows_the_schema_before_goes_on_while_it_is_migrated(
    work: Workspace, agent: Caller
) -> None:
    made = await tell(work, agent, issue(1))
    await migrate.downgrade(work.store, before())
    names = ["agent_issues", "agent_runs"]

    def reflected(connection: Connection) -> dict[str, Table]:
        known = MetaData()
        known.reflect(connection, only=names)
        return dict(known.tables)

    tables = await work.store.read(reflected)
    (row,) = await work.store.read(
        lambda connection: connection.execute(select(tables["agent_issues"])).mappings().all()
    )
    old, migrating = (
        connect(parse_address(work.settings.database_url)),
        connect(parse_address(work.settings.database_url)),
    )
    numbers = iter(range(1_000_000))

    async def write_as_before() -> None:
        number = next(numbers)

        def act(connection: Connection) -> None:
            connection.execute(
                tables["agent_issues"].insert(), {**row, "id": f"Iold{number}", "description": f"old {number}"}
            )

        with old.within("demo"):
            await old.write(act)

    for _ in range(5):
        await write_as_before()
    migration = asyncio.create_task(migrate.ensure(migrating))
    while not migration.done():
        await write_as_before()
    await migration
    for _ in range(5):
        await write_as_before()
    assert await migrate.current(migrating) == migrate.HEAD
    assert (await counted(migrating))["agent_issues"] == 1 + next(numbers)
    assert made.issues[0].lesson_id
    await old.close()
    await migrating.close()
