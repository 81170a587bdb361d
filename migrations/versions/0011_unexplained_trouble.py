"""Unexplained trouble: in rows of the experiment, whether something went wrong that no lesson of the change is about.

In rows from before it is NULL: nobody looked.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("agent_checked_lessons", sa.Column("unexplained", sa.Boolean()))


def downgrade() -> None:
    op.drop_column("agent_checked_lessons", "unexplained")
