"""Vectors of lessons by a configured embedding model, so that replicas and restarts do not embed again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_lesson_vectors",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("embedded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_vectors_agent_lessons",
        ),
        sa.PrimaryKeyConstraint("project", "lesson_id", "model", name="pk_agent_lesson_vectors"),
        comment="Meaning of a lesson and the issues behind it, by model: 32-bit floats, little-endian, of length 1",
    )
    op.create_index("ix_agent_lesson_vectors_age", "agent_lesson_vectors", ["project", "model", "embedded_at"])


def downgrade() -> None:
    op.drop_table("agent_lesson_vectors")
