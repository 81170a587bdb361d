"""Names that a person or an import gave to agents, and what a run's caller called itself."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_names",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", name="pk_agent_names"),
        comment="Names that are agents though the roster has them not: added, given to a server, written for, imported",
    )
    op.add_column("agent_runs", sa.Column("label", sa.Text(), nullable=False, server_default=""))
    op.add_column("agent_runs", sa.Column("routed", sa.Boolean(), nullable=False, server_default=sa.false()))


def downgrade() -> None:
    op.drop_column("agent_runs", "routed")
    op.drop_column("agent_runs", "label")
    op.drop_table("agent_names")
