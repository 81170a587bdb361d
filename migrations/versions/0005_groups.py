"""The group of a pending issue: those of one rule, or in like words, are decided on together."""

import hashlib
import re

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

AT_ONCE = 1_000
GROUPED = "group_id IS NOT NULL"
PLACE = re.compile(
    r"\b(?:line|col(?:umn)?)\s*\d+|:\d+(?::\d+)?\b|0x[0-9a-f]+|(?<![\w./-])(?:\d{1,2}|\d{4,})(?![\w./-])"
)
ISSUES = sa.table(
    "agent_issues", *(sa.column(name) for name in ("project", "id", "action", "rule_id", "description", "group_id"))
)


def digest(*parts: str) -> str:
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def group_id(rule_id: str, description: str) -> str:
    """Return the group of issues with this rule or, where there is none, in the same words but for numbers."""
    words = " ".join(PLACE.sub("#", description.lower()).split())
    named = words if any(char.isalpha() for char in words) else description
    name = f"rule:{rule_id}" if rule_id else f"issue:{digest(named)[:32]}"
    return f"G{digest('group', name)[:20]}"


def fill(connection: sa.Connection) -> None:
    """Group the pending issues that are there."""
    at, own = ISSUES.c, sa.bindparam
    wanted = sa.select(at.project, at.id, at.rule_id, at.description).where(at.action == "pending")
    put = ISSUES.update().where(at.project == own("of"), at.id == own("one")).values(group_id=own("group"))
    after = ("", "")
    while True:
        beyond = sa.tuple_(at.project, at.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        rows = connection.execute(wanted.where(beyond).order_by(at.project, at.id).limit(AT_ONCE)).all()
        if not rows:
            return
        connection.execute(put, [{"of": row[0], "one": row[1], "group": group_id(row[2], row[3])} for row in rows])
        after = rows[-1][0], rows[-1][1]


def upgrade() -> None:
    op.add_column("agent_issues", sa.Column("group_id", sa.Text(), nullable=True))
    fill(op.get_bind())
    op.create_index(
        "ix_agent_issues_group",
        "agent_issues",
        ["project", "action", "group_id", "created_at", "agent_name", "severity"],
        sqlite_where=sa.text(GROUPED),
        postgresql_where=sa.text(GROUPED),
    )
    op.create_index(
        "ix_agent_issues_worded",
        "agent_issues",
        ["project", "created_at"],
        sqlite_where=sa.text(f"{GROUPED} AND rule_id = ''"),
        postgresql_where=sa.text(f"{GROUPED} AND rule_id = ''"),
    )


def downgrade() -> None:
    op.drop_index("ix_agent_issues_worded", "agent_issues")
    op.drop_index("ix_agent_issues_group", "agent_issues")
    op.drop_column("agent_issues", "group_id")
