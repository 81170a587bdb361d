"""The schema each database ends up with, word for word, beside this file.

After a change of the migrations, write the files again and read their difference:

    LESSONBOOK_WRITE_GOLDEN=1 .venv/bin/pytest tests/migrations/test_golden_schema.py
"""

import os
from pathlib import Path

import pytest

from lessonbook.services.workspace import Workspace
from lessonbook.store.engine import Store
from tests.store.scenario import ask, scalar

pytestmark = pytest.mark.anyio

WRITE = bool(os.environ.get("LESSONBOOK_WRITE_GOLDEN"))  # read here, since a fixture clears the environment later
HERE = Path(__file__).parent

POSTGRESQL_VERSION = 18
"""Other releases word the same view in another way; this one comes with the development environment."""

SQLITE = """
    SELECT sql FROM sqlite_master
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
        AND name NOT LIKE 'agent_lesson_search!_%' ESCAPE '!'  -- full-text search's own, SQLite's to choose
    ORDER BY type, name"""

POSTGRESQL = {
    "tables": """
        SELECT 'TABLE ' || c.relname || coalesce(' -- ' || obj_description(c.oid), '') || ' (' || chr(10) || (
            SELECT string_agg('    ' || line, ',' || chr(10) ORDER BY place, line) FROM (
                SELECT a.attnum AS place, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
                    CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                    CASE a.attgenerated WHEN 's' THEN 'GENERATED AS ' || pg_get_expr(d.adbin, d.adrelid) || ' STORED'
                        ELSE 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END) AS line
                FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                UNION ALL
                SELECT 10000, 'CONSTRAINT ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
                FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 'n'
            ) lines
        ) || chr(10) || ')'
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition ORDER BY c.relname""",
    "sequences": """
        SELECT 'SEQUENCE ' || relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' ORDER BY relname""",
    "indexes": """
        SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indexrelid
            JOIN pg_class t ON t.oid = indrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT t.relispartition ORDER BY c.relname""",
    "policies": """
        SELECT concat_ws(' ', 'POLICY', policyname, 'ON', tablename, 'FOR', cmd, 'USING', qual, with_check,
            CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'FORCED' END)
        FROM pg_policies JOIN pg_class c ON c.oid = format('%I.%I', schemaname, tablename)::regclass
        WHERE schemaname = 'public' AND NOT c.relispartition ORDER BY tablename, policyname""",
    "views": """
        SELECT 'VIEW ' || relname || coalesce(' ' || reloptions::text, '') || ' AS' || chr(10) || pg_get_viewdef(oid)
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm') ORDER BY relname""",
    "triggers": """
        SELECT pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace ORDER BY t.tgname""",
    "functions": """
        SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname""",
}


async def dumped(store: Store) -> str:
    """Return everything the database knows of its schema, in a fixed order."""
    if store.dialect == "sqlite":
        parts = [row[0] for row in await ask(store, SQLITE)]
    else:
        parts = [row[0] for query in POSTGRESQL.values() for row in await ask(store, query)]
    lines = "\n\n".join(f"{part.strip().removesuffix(';')};" for part in parts).splitlines()
    return "\n".join(line.rstrip().replace("\t", "    ") for line in lines) + "\n"


async def test_the_schema_is_the_one_that_was_committed(work: Workspace) -> None:
    """What the database says of itself equals `schema.<dialect>.sql`."""
    if work.store.dialect == "postgresql":
        version = await scalar(work.store, "SELECT current_setting('server_version_num')::int / 10000")
        if version != POSTGRESQL_VERSION:
            pytest.skip(f"schema.postgresql.sql was written by PostgreSQL {POSTGRESQL_VERSION}, this is {version}")
    golden = HERE / f"schema.{work.store.dialect}.sql"
    found = await dumped(work.store)
    if WRITE:
        golden.write_text(found)
    assert found == golden.read_text()
