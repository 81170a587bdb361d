"""Checks of runs, the rows of the experiment, and what was counted before there were checks, set aside."""

import json

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

AT_ONCE = 1_000
EFFECT_BEFORE = (0.1612, -19.0, 1.0)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
LESSONS = sa.table(
    "agent_lessons",
    *(sa.column(name) for name in ("project", "id", "events", "effectiveness_score", "effect_low", "effect_high")),
    sa.column("evidence", DOCUMENT),
)
SUMS = ("served_issues", "served_squares", "held_out_issues", "held_out_squares")
EVIDENCE = sa.table("agent_evidence", sa.column("effect", DOCUMENT), *(sa.column(name) for name in SUMS))


def set_aside(connection: sa.Connection) -> None:
    """Keep each lesson's old evidence under "before", where nothing counts it, but for verdicts."""
    at, own = LESSONS.c, sa.bindparam
    wanted = sa.select(at.project, at.id, at.evidence)
    put = (
        LESSONS.update()
        .where(at.project == own("of"), at.id == own("one"))
        .values(evidence=own("document", type_=DOCUMENT), events=0)
        .values(dict(zip(("effectiveness_score", "effect_low", "effect_high"), EFFECT_BEFORE, strict=True)))
    )
    after = ("", "")
    while True:
        beyond = sa.tuple_(at.project, at.id) > sa.tuple_(sa.literal(after[0]), sa.literal(after[1]))
        rows = connection.execute(wanted.where(beyond).order_by(at.project, at.id).limit(AT_ONCE)).all()
        if not rows:
            return
        changed = []
        for project, lesson_id, stored in rows:
            document = json.loads(stored) if isinstance(stored, str) else stored
            if not document or not document.keys() - {"verdicts"}:
                continue
            kept = {"verdicts": document["verdicts"]} if "verdicts" in document else {}
            changed.append({"of": project, "one": lesson_id, "document": {**kept, "before": document}})
        if changed:
            connection.execute(put, changed)
        after = rows[-1][0], rows[-1][1]


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "agent_run_checks",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project", "run_id", "source", "tool", "principal")),
        sa.Column("findings", sa.Integer(), nullable=False),
        sa.Column("routine", sa.Boolean(), nullable=False),
        sa.Column("checked_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("project", "run_id", "source", "tool", "principal", name="pk_agent_run_checks"),
        comment="Who looked at which run, findings or not; routine: a reporter that reports every run",
    )
    op.create_index(
        "ix_agent_run_checks_reporter", "agent_run_checks", ["project", "principal", "source", "tool", "checked_at"]
    )
    op.create_table(
        "agent_lesson_reporters",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("project", "lesson_id", "source", "tool")),
        sa.PrimaryKeyConstraint("project", "lesson_id", "source", "tool", name="pk_agent_lesson_reporters"),
        comment="Which kinds of reporters have found a lesson's issue: only their checks tell about the lesson",
    )
    op.create_table(
        "agent_checked_lessons",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("project", "change", "lesson_id", "run_id", "agent_name")
        ),
        sa.Column("shown", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("p_show", "share")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("lesson_version", "epoch", "week")),
        *(
            sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())
            for name in ("left_out", "applied", "wrong")
        ),
        sa.Column("event_by", sa.Text(), nullable=True),
        sa.Column("until", moment, nullable=False),
        sa.Column("checked_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("project", "change", "lesson_id", name="pk_agent_checked_lessons"),
        comment="The rows of the experiment: a lesson in a change, when a routine reporter first checked it",
    )
    op.create_index("ix_agent_checked_lessons_lesson", "agent_checked_lessons", ["project", "lesson_id", "epoch"])
    op.create_index("ix_agent_checked_lessons_run", "agent_checked_lessons", ["project", "run_id"])
    op.create_table(
        "agent_experiments",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("started_at", moment, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("principal", "reason")),
        sa.PrimaryKeyConstraint("project", name="pk_agent_experiments"),
        comment="The experiment that is on; a person begins another, which tosses all coins anew. None: the first",
    )
    op.add_column("agent_runs", sa.Column("change", sa.Text(), nullable=False, server_default=""))
    op.add_column("agent_runs", sa.Column("checked_at", moment, nullable=True))
    op.add_column("agent_activity_days", sa.Column("checked_runs", sa.Integer(), nullable=False, server_default="0"))
    for name in ("served_runs", "held_out_runs", "crossovers"):
        op.add_column("agent_evidence", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":  # SQLite keeps no comments
        op.create_table_comment(
            "agent_activity_days",
            "What each agent did in a day: applications and checks always, the rest up to agent_delivery_marks",
        )
        op.create_table_comment(
            "agent_evidence",
            "Each agent's rows and events added up, and its checked runs of the holdout by arm, with their issues",
        )
    set_aside(connection)
    connection.execute(EVIDENCE.update().values(effect=sa.literal({}, DOCUMENT), **dict.fromkeys(SUMS, 0)))


def downgrade() -> None:
    for name in ("served_runs", "held_out_runs", "crossovers"):
        op.drop_column("agent_evidence", name)
    op.drop_column("agent_activity_days", "checked_runs")
    op.drop_column("agent_runs", "checked_at")
    op.drop_column("agent_runs", "change")
    for table in ("agent_experiments", "agent_checked_lessons", "agent_lesson_reporters", "agent_run_checks"):
        op.drop_table(table)
