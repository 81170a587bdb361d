"""Shards: every unique key of a project's rows holds the project, so that they can be distributed by it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _key_documents_by("project, document_id")


def downgrade() -> None:
    _key_documents_by("document_id")


def _key_documents_by(columns: str) -> None:
    """Give the documents of full-text search another primary key; on SQLite theirs is the row's number in the index."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "ALTER TABLE agent_lesson_documents DROP CONSTRAINT pk_agent_lesson_documents, "
            f"ADD CONSTRAINT pk_agent_lesson_documents PRIMARY KEY ({columns})"
        )
