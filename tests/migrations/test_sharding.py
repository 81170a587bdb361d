"""Distribution by project (Citus and the like) needs the project in every unique key and every reference."""

import pytest

from lessonbook.services.workspace import Workspace
from tests.store.scenario import TABLES, ask

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["postgresql"])]

OF_NO_PROJECT = {
    "access_tokens": "a token is for several projects, and is looked up by its hash before any is known",
    "project_names": "names lead to projects",
    "server_secrets": "one secret for all projects",
}
"""Tables that every shard has whole. All others have rows of projects."""

KEYS = """
    SELECT c.relname, i.relname, array_agg(a.attname::text)
    FROM pg_index x JOIN pg_class c ON c.oid = indrelid JOIN pg_class i ON i.oid = indexrelid
        JOIN pg_attribute a ON a.attrelid = indrelid AND a.attnum = ANY (indkey)
    WHERE c.relnamespace = 'public'::regnamespace AND indisunique GROUP BY 1, 2 ORDER BY 1, 2"""
REFERENCES = """
    SELECT conrelid::regclass::text, confrelid::regclass::text, conname,
        array_agg(a.attname::text ORDER BY p.place), array_agg(b.attname::text ORDER BY p.place)
    FROM pg_constraint, unnest(conkey, confkey) WITH ORDINALITY AS p(own, others, place),
        pg_attribute a, pg_attribute b
    WHERE contype = 'f' AND a.attrelid = conrelid AND a.attnum = p.own
        AND b.attrelid = confrelid AND b.attnum = p.others
    GROUP BY 1, 2, 3 ORDER BY 1, 3"""
DOCUMENTED = (
    "SELECT table_name FROM information_schema.columns WHERE column_name = 'project' AND table_schema = 'public'"
)


async def test_every_unique_key_and_every_reference_of_a_projects_rows_holds_the_project(work: Workspace) -> None:
    keys = await ask(work.store, KEYS)
    keyed = {table for table, *_ in keys}
    assert set(TABLES) - keyed == {"agent_lesson_deliveries"}  # whose partitions have a key each
    without = {(table, key) for table, key, columns in keys if "project" not in columns}
    assert {table for table, _ in without} == {*OF_NO_PROJECT, "alembic_version"}, without
    references = await ask(work.store, REFERENCES)
    assert references
    for table, other, name, own, others in references:
        assert ("project", "project") in zip(own, others, strict=True), name
        assert not {table, other} & set(OF_NO_PROJECT), name


async def test_every_table_without_a_project_is_known(work: Workspace) -> None:
    of_projects = {row[0] for row in await ask(work.store, DOCUMENTED)}
    assert set(TABLES) - of_projects == set(OF_NO_PROJECT)
