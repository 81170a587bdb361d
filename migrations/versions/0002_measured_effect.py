"""Measured effect: what a coin decided, which events count, and figures that stay quick however much is delivered."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")

COLUMNS = (
    ("agent_lessons", "evidence", DOCUMENT, "{}"),
    ("agent_runs", "p_holdout", sa.Double(), "0"),
    ("agent_runs", "issues", sa.Integer(), "0"),
    ("agent_lesson_deliveries", "lesson_version", sa.Integer(), "1"),
    ("agent_lesson_deliveries", "tokens", sa.Integer(), "0"),
    ("agent_issues", "event_verified", sa.Boolean(), sa.false()),
    ("agent_lesson_applications", "by_coin", sa.Boolean(), sa.false()),
    ("agent_delivery_folds", "randomised", sa.Integer(), "0"),
    ("agent_delivery_folds", "randomised_shown", sa.Integer(), "0"),
)

# Every project has a mark from its first run or issue on: figures then need to look behind the mark only.
EVER = "1970-01-01 00:00:00.000000"
MARKED = {
    "sqlite": tuple(
        f"""CREATE TRIGGER {table}_marked AFTER INSERT ON {table}
            WHEN NOT EXISTS (SELECT 1 FROM agent_delivery_marks m WHERE m.project = new.project) BEGIN
            INSERT INTO agent_delivery_marks (project, folded_before) VALUES (new.project, '{EVER}');
        END"""
        for table in ("agent_runs", "agent_issues")
    ),
    "postgresql": (
        f"""CREATE FUNCTION agent_delivery_marks_begin() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM agent_delivery_marks m WHERE m.project = NEW.project) THEN
                INSERT INTO agent_delivery_marks (project, folded_before) VALUES (NEW.project, '{EVER}+00')
                    ON CONFLICT DO NOTHING;
            END IF;
            RETURN NULL;
        END $$""",
        *(
            f"""CREATE TRIGGER {table}_marked AFTER INSERT ON {table}
                FOR EACH ROW EXECUTE FUNCTION agent_delivery_marks_begin()"""
            for table in ("agent_runs", "agent_issues")
        ),
    ),
}

# CROSS JOIN: SQLite then begins with the mark, where it would otherwise read every delivery first.
STATS_VIEW = """
CREATE VIEW agent_learning_stats AS
WITH activity AS (
    SELECT project, agent_name, runs, deliveries, issues, last_at FROM agent_activity_days
    UNION ALL
    SELECT d.project, d.agent_name, 0, 1, 0, d.delivered_at FROM agent_delivery_marks m
        CROSS JOIN agent_lesson_deliveries d WHERE d.project = m.project AND d.delivered_at >= m.folded_before
    UNION ALL
    SELECT r.project, r.agent_name, 1, 0, 0, r.started_at FROM agent_delivery_marks m
        CROSS JOIN agent_runs r WHERE r.project = m.project AND r.started_at >= m.folded_before
    UNION ALL
    SELECT i.project, i.agent_name, 0, 0, 1, i.created_at FROM agent_delivery_marks m
        CROSS JOIN agent_issues i WHERE i.project = m.project AND i.created_at >= m.folded_before
), by_activity AS (
    SELECT project, agent_name, CAST(SUM(runs) AS BIGINT) AS runs, CAST(SUM(deliveries) AS BIGINT) AS deliveries,
        CAST(SUM(issues) AS BIGINT) AS issues, MAX(last_at) AS last_at
    FROM activity GROUP BY project, agent_name
), by_lesson AS (
    SELECT project, agent_name,
        SUM(CASE WHEN status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS total_lessons,
        SUM(CASE WHEN is_active THEN 1 ELSE 0 END) AS active_lessons,
        SUM(CASE WHEN severity = 4 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS critical_lessons,
        SUM(CASE WHEN severity = 3 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS high_lessons,
        SUM(CASE WHEN severity = 2 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS medium_lessons,
        SUM(CASE WHEN severity = 1 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS low_lessons,
        SUM(times_applied) AS applications,
        SUM(times_verified) AS verified,
        SUM(times_prevented) AS prevented,
        AVG(CASE WHEN is_active THEN effectiveness_score END) AS effectiveness,
        AVG(CASE WHEN is_active THEN effect_low END) AS effectiveness_low,
        AVG(CASE WHEN is_active THEN effect_high END) AS effectiveness_high,
        MAX(updated_at) AS changed_at
    FROM agent_lessons GROUP BY project, agent_name
), by_waiting AS (
    SELECT project, agent_name, COUNT(*) AS pending_issues FROM agent_issues WHERE action = 'pending'
    GROUP BY project, agent_name
), names AS (
    SELECT project, agent_name FROM by_lesson UNION SELECT project, agent_name FROM by_activity
)
SELECT n.project, n.agent_name,
    COALESCE(l.total_lessons, 0) AS total_lessons,
    COALESCE(l.active_lessons, 0) AS active_lessons,
    COALESCE(l.critical_lessons, 0) AS critical_lessons,
    COALESCE(l.high_lessons, 0) AS high_lessons,
    COALESCE(l.medium_lessons, 0) AS medium_lessons,
    COALESCE(l.low_lessons, 0) AS low_lessons,
    COALESCE(a.issues, 0) AS issues,
    COALESCE(w.pending_issues, 0) AS pending_issues,
    COALESCE(a.runs, 0) AS runs,
    COALESCE(a.deliveries, 0) AS deliveries,
    COALESCE(l.applications, 0) AS applications,
    COALESCE(l.verified, 0) AS verified,
    COALESCE(l.prevented, 0) AS prevented,
    l.effectiveness, l.effectiveness_low, l.effectiveness_high,
    {latest} AS last_activity_at
FROM names n
LEFT JOIN by_lesson l ON l.project = n.project AND l.agent_name = n.agent_name
LEFT JOIN by_activity a ON a.project = n.project AND a.agent_name = n.agent_name
LEFT JOIN by_waiting w ON w.project = n.project AND w.agent_name = n.agent_name
"""

LATEST = {
    "postgresql": "GREATEST(l.changed_at, a.last_at)",
    "sqlite": "NULLIF(MAX(COALESCE(l.changed_at, ''), COALESCE(a.last_at, '')), '')",
}

STATS_VIEW_BEFORE = """
CREATE VIEW agent_learning_stats AS
WITH by_delivery AS (
    SELECT project, agent_name, CAST(SUM(deliveries) AS BIGINT) AS deliveries FROM (
        SELECT project, agent_name, deliveries FROM agent_delivery_folds
        UNION ALL
        SELECT d.project, d.agent_name, COUNT(*) AS deliveries
        FROM agent_lesson_deliveries d LEFT JOIN agent_delivery_marks m ON m.project = d.project
        WHERE m.project IS NULL OR d.delivered_at >= m.folded_before
        GROUP BY d.project, d.agent_name
    ) counted GROUP BY project, agent_name
), names AS (
    SELECT project, agent_name FROM agent_lessons
    UNION SELECT project, agent_name FROM agent_issues
    UNION SELECT project, agent_name FROM agent_runs
    UNION SELECT project, agent_name FROM by_delivery
), by_lesson AS (
    SELECT project, agent_name,
        SUM(CASE WHEN status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS total_lessons,
        SUM(CASE WHEN is_active THEN 1 ELSE 0 END) AS active_lessons,
        SUM(CASE WHEN severity = 4 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS critical_lessons,
        SUM(CASE WHEN severity = 3 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS high_lessons,
        SUM(CASE WHEN severity = 2 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS medium_lessons,
        SUM(CASE WHEN severity = 1 AND status NOT IN ('rejected', 'superseded') THEN 1 ELSE 0 END) AS low_lessons,
        SUM(times_applied) AS applications,
        SUM(times_verified) AS verified,
        SUM(times_prevented) AS prevented,
        AVG(CASE WHEN is_active THEN effectiveness_score END) AS effectiveness,
        AVG(CASE WHEN is_active THEN effect_low END) AS effectiveness_low,
        AVG(CASE WHEN is_active THEN effect_high END) AS effectiveness_high,
        MAX(updated_at) AS changed_at
    FROM agent_lessons GROUP BY project, agent_name
), by_issue AS (
    SELECT project, agent_name, COUNT(*) AS issues,
        SUM(CASE WHEN action = 'pending' THEN 1 ELSE 0 END) AS pending_issues,
        MAX(created_at) AS reported_at
    FROM agent_issues GROUP BY project, agent_name
), by_run AS (
    SELECT project, agent_name, COUNT(*) AS runs, MAX(started_at) AS started_at
    FROM agent_runs GROUP BY project, agent_name
)
SELECT n.project, n.agent_name,
    COALESCE(l.total_lessons, 0) AS total_lessons,
    COALESCE(l.active_lessons, 0) AS active_lessons,
    COALESCE(l.critical_lessons, 0) AS critical_lessons,
    COALESCE(l.high_lessons, 0) AS high_lessons,
    COALESCE(l.medium_lessons, 0) AS medium_lessons,
    COALESCE(l.low_lessons, 0) AS low_lessons,
    COALESCE(i.issues, 0) AS issues,
    COALESCE(i.pending_issues, 0) AS pending_issues,
    COALESCE(r.runs, 0) AS runs,
    COALESCE(d.deliveries, 0) AS deliveries,
    COALESCE(l.applications, 0) AS applications,
    COALESCE(l.verified, 0) AS verified,
    COALESCE(l.prevented, 0) AS prevented,
    l.effectiveness, l.effectiveness_low, l.effectiveness_high,
    {latest} AS last_activity_at
FROM names n
LEFT JOIN by_lesson l ON l.project = n.project AND l.agent_name = n.agent_name
LEFT JOIN by_issue i ON i.project = n.project AND i.agent_name = n.agent_name
LEFT JOIN by_run r ON r.project = n.project AND r.agent_name = n.agent_name
LEFT JOIN by_delivery d ON d.project = n.project AND d.agent_name = n.agent_name
"""

LATEST_BEFORE = {
    "postgresql": "GREATEST(l.changed_at, i.reported_at, r.started_at)",
    "sqlite": """NULLIF(MAX(
        COALESCE(l.changed_at, ''), COALESCE(i.reported_at, ''), COALESCE(r.started_at, '')), '')""",
}


APPLICATIONS_BY_DAY = """
    INSERT INTO agent_activity_days (project, agent_name, day, applications, verified, prevented, last_at)
    SELECT project, agent_name, {day}, COUNT(*), COUNT(verdict), COALESCE(SUM(CASE WHEN verdict THEN 1 ELSE 0 END), 0),
        MAX(applied_at)
    FROM agent_lesson_applications GROUP BY project, agent_name, {day}
"""
DAY_APPLIED = {
    "sqlite": "substr(applied_at, 1, 10)",
    "postgresql": "to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.execute("DROP VIEW agent_learning_stats")
    for table, name, kind, default in COLUMNS:
        op.add_column(table, sa.Column(name, kind, server_default=default, nullable=False))
    op.create_table(
        "agent_delivery_weeks",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("week", sa.Integer(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("randomised", sa.Integer(), nullable=False),
        sa.Column("randomised_shown", sa.Integer(), nullable=False),
        sa.Column("last_delivered_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", "week", "lesson_id", name="pk_agent_delivery_weeks"),
        comment="Deliveries counted by week (since 1970-01-01), up to each project's mark in agent_delivery_marks",
    )
    op.create_table(
        "agent_activity_days",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("measured_runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("held_out_runs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("deliveries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("shown", sa.Integer(), server_default="0", nullable=False),
        sa.Column("withheld", sa.Integer(), server_default="0", nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("issues", sa.Integer(), server_default="0", nullable=False),
        sa.Column("applications", sa.Integer(), server_default="0", nullable=False),
        sa.Column("verified", sa.Integer(), server_default="0", nullable=False),
        sa.Column("prevented", sa.Integer(), server_default="0", nullable=False),
        sa.Column("last_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", "day", name="pk_agent_activity_days"),
        comment="What each agent did in a day: applications always, the rest up to the mark in agent_delivery_marks",
    )
    op.create_table(
        "agent_evidence",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("effect", DOCUMENT, nullable=False),
        sa.Column("served_issues", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("served_squares", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_out_issues", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_out_squares", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", name="pk_agent_evidence"),
        comment="Each agent's events added up, and the issues of its measured runs and those held out (and squares)",
    )
    op.create_table(
        "agent_service_stops",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("numbers", DOCUMENT, nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_agent_service_stops"),
        comment="Whether serving is stopped because measured it does harm; numbers: the evidence counted from then on",
    )
    op.create_index("ix_agent_delivery_folds_lesson", "agent_delivery_folds", ["project", "lesson_id", "day"])
    op.create_index("ix_agent_delivery_weeks_lesson", "agent_delivery_weeks", ["project", "lesson_id"])
    op.create_index("ix_agent_runs_time", "agent_runs", ["project", "started_at", "agent_name"])
    op.drop_index("ix_agent_runs_agent", "agent_runs")
    op.create_index("ix_agent_issues_time", "agent_issues", ["project", "created_at", "agent_name"])
    op.create_index(
        "ix_agent_issues_events",
        "agent_issues",
        ["project", "agent_name", "created_at"],
        sqlite_where=sa.text("is_event"),
        postgresql_where=sa.text("is_event"),
    )
    op.create_index(
        "ix_agent_issues_waiting",
        "agent_issues",
        ["project", "agent_name", "created_at"],
        sqlite_where=sa.text("action = 'pending'"),
        postgresql_where=sa.text("action = 'pending'"),
    )
    op.create_index("ix_agent_lessons_recurring", "agent_lessons", ["project", "issue_count"])
    counters = ["times_applied", "times_verified", "times_prevented"]
    op.drop_index("ix_agent_lessons_status", "agent_lessons")
    op.create_index("ix_agent_lessons_status", "agent_lessons", ["project", "status", "agent_name", *counters])
    op.drop_index("ix_agent_lesson_applications_lesson", "agent_lesson_applications")
    columns = ["project", "lesson_id", "applied_at", "verdict"]
    op.create_index("ix_agent_lesson_applications_lesson", "agent_lesson_applications", columns)
    op.execute(APPLICATIONS_BY_DAY.format(day=DAY_APPLIED[dialect]))
    # Everything is counted anew from the evidence, runs and issues by day along with it.
    op.execute("DELETE FROM agent_delivery_folds")
    op.execute("DELETE FROM agent_delivery_marks")
    moment = f"'{EVER}'" if dialect == "sqlite" else f"TIMESTAMPTZ '{EVER}+00'"
    op.execute(
        f"INSERT INTO agent_delivery_marks (project, folded_before) SELECT project, {moment} FROM "
        "(SELECT project FROM agent_runs UNION SELECT project FROM agent_issues) known"
    )
    for statement in MARKED[dialect]:
        op.execute(statement)
    op.execute(STATS_VIEW.format(latest=LATEST[dialect]))


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.execute("DROP VIEW agent_learning_stats")
    for table in ("agent_runs", "agent_issues"):
        op.execute(f"DROP TRIGGER {table}_marked" + (f" ON {table}" if dialect == "postgresql" else ""))
    if dialect == "postgresql":
        op.execute("DROP FUNCTION agent_delivery_marks_begin")
    op.drop_index("ix_agent_lesson_applications_lesson", "agent_lesson_applications")
    op.create_index("ix_agent_lesson_applications_lesson", "agent_lesson_applications", ["project", "lesson_id"])
    op.drop_index("ix_agent_lessons_status", "agent_lessons")
    op.create_index("ix_agent_lessons_status", "agent_lessons", ["project", "status"])
    op.drop_index("ix_agent_lessons_recurring", "agent_lessons")
    op.drop_index("ix_agent_issues_waiting", "agent_issues")
    op.drop_index("ix_agent_issues_events", "agent_issues")
    op.drop_index("ix_agent_issues_time", "agent_issues")
    op.create_index("ix_agent_runs_agent", "agent_runs", ["project", "agent_name", "started_at"])
    op.drop_index("ix_agent_runs_time", "agent_runs")
    op.drop_index("ix_agent_delivery_folds_lesson", "agent_delivery_folds")
    for table in ("agent_service_stops", "agent_evidence", "agent_activity_days", "agent_delivery_weeks"):
        op.drop_table(table)
    op.execute("DELETE FROM agent_delivery_folds")
    op.execute("DELETE FROM agent_delivery_marks")
    for table, name, _, _ in COLUMNS:
        op.drop_column(table, name)
    op.execute(STATS_VIEW_BEFORE.format(latest=LATEST_BEFORE[dialect]))
