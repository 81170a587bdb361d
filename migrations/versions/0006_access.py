"""Access tokens, how much each principal calls, and every flag of a principal with its reason."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "access_tokens",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("scopes", DOCUMENT, nullable=False),
        sa.Column("projects", DOCUMENT, nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=True),
        sa.Column("last_used_at", moment, nullable=True),
        sa.Column("revoked_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_access_tokens"),
        comment="Tokens for HTTP, by their SHA-256; each is for some projects, so it belongs to none",
    )
    op.create_index("uq_access_tokens_token_hash", "access_tokens", ["token_hash"], unique=True)
    op.create_table(
        "call_counts",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "principal", "writer", "minute", name="pk_call_counts"),
        comment="Calls of a principal in a minute (since 1970-01-01), by server process: for the limit of all together",
    )
    op.create_index("ix_call_counts_minute", "call_counts", ["minute"])
    op.add_column("agent_lesson_flags", sa.Column("earlier", DOCUMENT, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("agent_lesson_flags", "earlier")
    op.drop_index("ix_call_counts_minute", "call_counts")
    op.drop_table("call_counts")
    op.drop_index("uq_access_tokens_token_hash", "access_tokens")
    op.drop_table("access_tokens")
