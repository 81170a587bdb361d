"""Walls: who sees a lesson that nobody approved, and row-level security between projects on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = (
    "agent_activity_days",
    "agent_checked_lessons",
    "agent_delivery_folds",
    "agent_delivery_marks",
    "agent_delivery_weeks",
    "agent_evidence",
    "agent_experiments",
    "agent_issues",
    "agent_lesson_applications",
    "agent_lesson_deliveries",
    "agent_lesson_documents",
    "agent_lesson_flags",
    "agent_lesson_keys",
    "agent_lesson_reporters",
    "agent_lesson_vectors",
    "agent_lesson_versions",
    "agent_lessons",
    "agent_names",
    "agent_refinement_runs",
    "agent_revisions",
    "agent_run_checks",
    "agent_runs",
    "agent_service_stops",
    "audit_heads",
    "audit_log",
    "call_counts",
    "idempotency_keys",
)
"""The tables whose rows belong to a project."""

SET = "(SELECT current_setting('lessonbook.project', true))"
INVOKER_SINCE = 150_000
"""The PostgreSQL release from which on a view can look at its tables with the rights of who asks."""


def upgrade() -> None:
    op.add_column("agent_lessons", sa.Column("visible_to", sa.Text(), nullable=True))
    op.add_column("agent_lessons", sa.Column("proposal_for", sa.Text(), nullable=True))
    op.create_table(
        "project_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("leads_to", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("is_shown", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_project_names"),
        comment="Further names by which projects are found; rows keep the name that they were written under",
    )
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
            op.execute(f"CREATE POLICY one_project ON {table} USING (project = {SET} OR {SET} = '*')")
            # The owner at a terminal, a dump, and a server of the release before, which know of no setting.
            unset = f"coalesce({SET}, '') = ''"
            op.execute(f"CREATE POLICY owner_outside ON {table} TO CURRENT_USER USING ({unset})")
        _look_at_tables_as("true")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _look_at_tables_as("false")
        for table in TABLES:
            op.execute(f"DROP POLICY owner_outside ON {table}")
            op.execute(f"DROP POLICY one_project ON {table}")
            op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
            op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    op.drop_table("project_names")
    op.drop_column("agent_lessons", "proposal_for")
    op.drop_column("agent_lessons", "visible_to")


def _look_at_tables_as(invoker: str) -> None:
    version = op.get_bind().exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
    if version >= INVOKER_SINCE:
        op.execute(f"ALTER VIEW agent_learning_stats SET (security_invoker = {invoker})")
