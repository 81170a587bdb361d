"""Uses: how often a principal did each kind of thing in an hour, for limits that all processes share."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SET = "(SELECT current_setting('lessonbook.project', true))"


def upgrade() -> None:
    op.create_table(
        "use_counts",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("hour", sa.BigInteger(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "principal", "kind", "writer", "hour", name="pk_use_counts"),
        comment="Uses of a principal by kind in an hour (since 1970-01-01), by process: for the limit of all together",
    )
    op.create_index("ix_use_counts_hour", "use_counts", ["hour"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE use_counts ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE use_counts FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY one_project ON use_counts USING (project = {SET} OR {SET} = '*')")
        op.execute(f"CREATE POLICY owner_outside ON use_counts TO CURRENT_USER USING (coalesce({SET}, '') = '')")


def downgrade() -> None:
    op.drop_index("ix_use_counts_hour", "use_counts")
    op.drop_table("use_counts")
