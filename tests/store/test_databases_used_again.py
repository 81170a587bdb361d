"""A test gets a PostgreSQL database that another has used, and cannot tell."""

import asyncpg

from tests.postgres import Databases, run_apart, run_sql


async def _count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM server_secrets")
    finally:
        await connection.close()


def test_a_database_is_given_again_without_its_rows_unless_its_schema_was_changed(postgres_databases: Databases):
    with postgres_databases.one() as first:
        run_apart(run_sql(first, "INSERT INTO server_secrets (name, value) VALUES ('a', 'b')"))
    with postgres_databases.one() as second:
        assert second == first
        assert run_apart(_count(second)) == 0
        run_apart(run_sql(second, "ALTER TABLE agent_runs ADD COLUMN mood TEXT"))
    with postgres_databases.one() as third:
        assert third != second
