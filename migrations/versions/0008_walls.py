"""Who sees a lesson that nobody approved, and beside which one it was proposed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agent_lessons", sa.Column("visible_to", sa.Text(), nullable=True))
    op.add_column("agent_lessons", sa.Column("proposal_for", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("agent_lessons", "proposal_for")
    op.drop_column("agent_lessons", "visible_to")
