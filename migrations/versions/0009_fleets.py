"""Fleets: deliveries in monthly partitions on PostgreSQL, and every unique key of a project's rows holds the project.

A delivery lies in the partition of the month in which its run began, so that all deliveries of a run lie together, and
a partition's own key (project, run, lesson) holds for all. The table from before becomes the first partition, up to the
end of this month, without being copied: it is read once, under a lock, to see that its rows are within. On two shared
cores the migration took 3.2 s with 2 * 10⁶ rows, so expect minutes for 10⁸.
"""

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PARENT: Final = "agent_lesson_deliveries"
OTHER: Final = f"{PARENT}_other"
"""The partition of rows for which there is no other: nothing is lost where nobody has made one in time."""
VIEW: Final = "agent_learning_stats"
SET: Final = "(SELECT current_setting('lessonbook.project', true))"
QUOTED: Final = SET.replace("'", "''")
INVOKER_SINCE: Final = 150_000
EARLIER: Final = "1970-01-01 00:00:00+00"
"""The moment in rows from before, and in those of servers of the release before."""

# SECURITY DEFINER: the role that serves may have no right to change the schema. Who may execute it can end rows.
KEEP: Final = f"""
CREATE FUNCTION agent_lesson_deliveries_keep(moment timestamptz, drop_before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    month timestamptz := date_trunc('month', moment, 'UTC');
    later timestamptz;
    name text;
    is_needed boolean;
    dropped integer := 0;
    wall text := coalesce(current_setting('lessonbook.project', true), '');
BEGIN
    PERFORM set_config('lessonbook.project', '*', true);  -- not at the function: only a superuser may set it there
    PERFORM pg_advisory_xact_lock(hashtextextended('agent_lesson_deliveries_keep', 0));
    FOR ahead IN 0..2 LOOP
        later := (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        name := '{PARENT}_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
            WHERE inhparent = '{PARENT}'::regclass AND c.relname ~ '_until_'
                AND right(c.relname, 7) > to_char(month AT TIME ZONE 'UTC', 'YYYY_MM')
        ) THEN
            EXECUTE format('CREATE TABLE %I (LIKE {PARENT} INCLUDING DEFAULTS,
                CONSTRAINT %I PRIMARY KEY (project, run_id, lesson_id))', name, 'pk_' || name);
            EXECUTE format('CREATE INDEX %I ON %I (project, delivered_at)', 'ix_' || name || '_time', name);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('CREATE POLICY one_project ON %I USING (project = {QUOTED} OR {QUOTED} = ''*'')', name);
            EXECUTE format('CREATE POLICY owner_outside ON %I TO CURRENT_USER USING (coalesce({QUOTED}, '''') = '''')',
                name);
            EXECUTE format('WITH moved AS (DELETE FROM {OTHER} WHERE run_started_at >= %L AND run_started_at < %L
                RETURNING *) INSERT INTO %I SELECT * FROM moved', month, later, name);
            EXECUTE format('ALTER TABLE {PARENT} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, month, later);
        END IF;
        month := later;
    END LOOP;
    FOR name IN
        SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = '{PARENT}'::regclass AND c.relname ~ '_[0-9]{{4}}_[0-9]{{2}}$'
    LOOP
        later := to_date(right(name, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC';
        IF name !~ '_until_' THEN
            later := (later AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        END IF;
        CONTINUE WHEN drop_before IS NULL OR later > drop_before;
        -- A run may go on for long: a row that is young, or not in the rollups yet, keeps its partition.
        EXECUTE format('SELECT EXISTS (SELECT FROM agent_delivery_marks m WHERE EXISTS (SELECT FROM %I d
            WHERE d.project = m.project AND d.delivered_at >= least(m.folded_before, $1)))', name)
            INTO is_needed USING drop_before;
        IF NOT is_needed THEN
            EXECUTE format('DROP TABLE %I', name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    PERFORM set_config('lessonbook.project', wall, true);
    RETURN dropped;
END $$"""


def upgrade() -> None:
    op.add_column(PARENT, sa.Column("run_started_at", sa.DateTime(timezone=True), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        _key_documents_by("project, document_id")
        _divide()


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _unite()
        _key_documents_by("document_id")
    op.drop_column(PARENT, "run_started_at")


def _key_documents_by(columns: str) -> None:
    """Give the documents of full-text search another primary key; on SQLite theirs is the row's number in the index."""
    op.execute(
        "ALTER TABLE agent_lesson_documents DROP CONSTRAINT pk_agent_lesson_documents, "
        f"ADD CONSTRAINT pk_agent_lesson_documents PRIMARY KEY ({columns})"
    )


def _divide() -> None:
    view = _view()
    now = op.get_bind().execute(sa.text("SELECT clock_timestamp()")).scalar_one().astimezone(UTC)
    until = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    first = f"{PARENT}_until_{until:%Y_%m}"
    # A constant default costs nothing, however many rows there are.
    op.execute(f"ALTER TABLE {PARENT} DROP COLUMN run_started_at")
    op.execute(f"ALTER TABLE {PARENT} ADD COLUMN run_started_at timestamptz DEFAULT '{EARLIER}'")
    op.execute(f"ALTER TABLE {PARENT} RENAME TO {first}")
    _rename_parts(PARENT, first)
    op.execute(
        f"CREATE TABLE {PARENT} (LIKE {first} INCLUDING DEFAULTS INCLUDING COMMENTS) "
        "PARTITION BY RANGE (run_started_at)"
    )
    op.execute(f"COMMENT ON TABLE {PARENT} IS '{_comment(first)}'")
    op.execute(
        f"ALTER TABLE {PARENT} ADD CONSTRAINT fk_{PARENT}_agent_runs FOREIGN KEY (project, run_id) "
        "REFERENCES agent_runs (project, run_id)"
    )
    op.execute(f"CREATE INDEX ix_{PARENT}_time ON {PARENT} (project, delivered_at)")
    _copy_rights(first, PARENT)
    for table in (PARENT, OTHER):
        if table == OTHER:
            op.execute(
                f"CREATE TABLE {OTHER} (LIKE {PARENT} INCLUDING DEFAULTS, "
                f"CONSTRAINT pk_{OTHER} PRIMARY KEY (project, run_id, lesson_id))"
            )
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY one_project ON {table} USING (project = {SET} OR {SET} = '*')")
        op.execute(f"CREATE POLICY owner_outside ON {table} TO CURRENT_USER USING (coalesce({SET}, '') = '')")
    op.execute(
        f"ALTER TABLE {PARENT} ATTACH PARTITION {first} FOR VALUES FROM (MINVALUE) TO ('{until:%Y-%m-%d} 00:00:00+00')"
    )
    op.execute(f"ALTER TABLE {PARENT} ATTACH PARTITION {OTHER} DEFAULT")
    op.execute(view)
    op.execute(KEEP)
    op.execute(f"REVOKE ALL ON FUNCTION {PARENT}_keep FROM PUBLIC")
    # Whoever could write here may keep the table in order, too.
    _grant_to_writers(first)
    op.execute(f"SELECT {PARENT}_keep(clock_timestamp(), NULL)")


def _unite() -> None:
    view = _view()
    bind = op.get_bind()
    found = sa.text(
        "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = CAST(:parent AS regclass) ORDER BY c.relname LIKE '%_until_%' DESC, c.relname"
    )
    whole, *others = bind.execute(found, {"parent": PARENT}).scalars().all()
    op.execute(f"DROP FUNCTION {PARENT}_keep")
    for name in (whole, *others):
        op.execute(f"ALTER TABLE {PARENT} DETACH PARTITION {name}")
    for name in others:
        op.execute(f"INSERT INTO {whole} SELECT * FROM {name}")
    op.execute(f"ALTER TABLE {PARENT} RENAME TO {PARENT}_parent")
    op.execute(f"ALTER INDEX ix_{PARENT}_time RENAME TO ix_{PARENT}_parent_time")
    op.execute(f"ALTER TABLE {whole} RENAME TO {PARENT}")
    _rename_parts(whole, PARENT)
    op.execute(f"COMMENT ON TABLE {PARENT} IS '{_comment(f'{PARENT}_parent')}'")
    op.execute(view)
    for name in (f"{PARENT}_parent", *others):
        op.execute(f"DROP TABLE {name}")


def _view() -> str:
    """Return the statement that makes the view of figures look at a table of the same name as now, once it is made."""
    bind = op.get_bind()
    query = bind.execute(sa.text("SELECT pg_get_viewdef(CAST(:view AS regclass))"), {"view": VIEW}).scalar_one()
    version = bind.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
    option = " WITH (security_invoker = true)" if version >= INVOKER_SINCE else ""
    return f"CREATE OR REPLACE VIEW {VIEW}{option} AS {query}".replace(":", "\\:")


def _comment(table: str) -> str:
    query = sa.text("SELECT coalesce(obj_description(CAST(:name AS regclass)), '')")
    return op.get_bind().execute(query, {"name": table}).scalar_one().replace("'", "''").replace(":", "\\:")


def _rename_parts(old: str, new: str) -> None:
    """Rename the key and the index of a table, which other tables of the schema need the names of."""
    op.execute(f"ALTER INDEX pk_{old} RENAME TO pk_{new}")
    op.execute(f"ALTER INDEX ix_{old}_time RENAME TO ix_{new}_time")


def _grantees(table: str) -> list[tuple[str, str]]:
    """Return roles and the rights that each has on a table, the owner's own left out."""
    query = sa.text(
        "SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, privilege_type "
        "FROM pg_class, aclexplode(relacl) WHERE oid = CAST(:name AS regclass) AND grantee <> relowner"
    )
    return [tuple(row) for row in op.get_bind().execute(query, {"name": table})]


def _copy_rights(source: str, target: str) -> None:
    for role, right in _grantees(source):
        op.execute(f"GRANT {right} ON {target} TO {role}")


def _grant_to_writers(table: str) -> None:
    for role, right in _grantees(table):
        if right == "DELETE" and role != "PUBLIC":
            op.execute(f"GRANT EXECUTE ON FUNCTION {PARENT}_keep TO {role}")
