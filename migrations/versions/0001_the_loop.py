"""The whole loop: lessons, their evidence, the audit trail, and the statistics view."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(JSONB(), "postgresql")
IDENTITY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SEVERITY_NAME = "CASE severity WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END"

TABLES = (
    "agent_delivery_folds",
    "agent_delivery_marks",
    "agent_lessons",
    "agent_refinement_runs",
    "agent_revisions",
    "agent_runs",
    "audit_heads",
    "audit_log",
    "idempotency_keys",
    "server_secrets",
    "agent_issues",
    "agent_lesson_applications",
    "agent_lesson_deliveries",
    "agent_lesson_documents",
    "agent_lesson_flags",
    "agent_lesson_keys",
    "agent_lesson_versions",
)

STATS_VIEW = """
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

LATEST = {
    "postgresql": "GREATEST(l.changed_at, i.reported_at, r.started_at)",
    "sqlite": """NULLIF(MAX(
        COALESCE(l.changed_at, ''), COALESCE(i.reported_at, ''), COALESCE(r.started_at, '')), '')""",
}

FULL_TEXT = {
    "sqlite": (
        """CREATE VIRTUAL TABLE agent_lesson_search USING fts5(
            body, content='agent_lesson_documents', content_rowid='document_id', tokenize='porter unicode61')""",
        """CREATE TRIGGER agent_lesson_documents_inserted AFTER INSERT ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(rowid, body) VALUES (new.document_id, new.body);
        END""",
        """CREATE TRIGGER agent_lesson_documents_updated AFTER UPDATE ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(agent_lesson_search, rowid, body)
                VALUES ('delete', old.document_id, old.body);
            INSERT INTO agent_lesson_search(rowid, body) VALUES (new.document_id, new.body);
        END""",
        """CREATE TRIGGER agent_lesson_documents_deleted AFTER DELETE ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(agent_lesson_search, rowid, body)
                VALUES ('delete', old.document_id, old.body);
        END""",
    ),
    "postgresql": (
        """ALTER TABLE agent_lesson_documents ADD COLUMN body_vector tsvector
            GENERATED ALWAYS AS (to_tsvector('english', body)) STORED""",
        "CREATE INDEX ix_agent_lesson_documents_search ON agent_lesson_documents USING gin (body_vector)",
    ),
}

# What a person deletes must go from the history too: blanking the words is the one change that is let through.
HISTORY = ("project", "lesson_id", "change", "version", "action", "principal", "status", "severity", "category")
HISTORY += ("numbers", "changed_at")
SQLITE_ALTERED = " OR ".join(f"new.{name} IS NOT old.{name}" for name in HISTORY)
POSTGRESQL_ALTERED = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in HISTORY)
APPEND_ONLY = {
    "sqlite": (
        """CREATE TRIGGER agent_lesson_versions_kept BEFORE DELETE ON agent_lesson_versions BEGIN
            SELECT RAISE(ABORT, 'agent_lesson_versions is append-only');
        END""",
        f"""CREATE TRIGGER agent_lesson_versions_unchanged BEFORE UPDATE ON agent_lesson_versions
            WHEN new.lesson_text <> '' OR new.rationale <> '' OR new.reason <> '' OR {SQLITE_ALTERED} BEGIN
            SELECT RAISE(ABORT, 'agent_lesson_versions is append-only');
        END""",
    ),
    "postgresql": (
        """CREATE FUNCTION agent_lesson_versions_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'agent_lesson_versions is append-only'; END $$""",
        """CREATE TRIGGER agent_lesson_versions_kept BEFORE DELETE ON agent_lesson_versions
            FOR EACH ROW EXECUTE FUNCTION agent_lesson_versions_refuse()""",
        f"""CREATE TRIGGER agent_lesson_versions_unchanged BEFORE UPDATE ON agent_lesson_versions FOR EACH ROW
            WHEN (NEW.lesson_text <> '' OR NEW.rationale <> '' OR NEW.reason <> '' OR {POSTGRESQL_ALTERED})
            EXECUTE FUNCTION agent_lesson_versions_refuse()""",
    ),
}


def upgrade() -> None:
    op.create_table(
        "agent_delivery_folds",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("last_delivered_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", "lesson_id", "day", name="pk_agent_delivery_folds"),
        comment="Deliveries counted by day, up to each project's mark in agent_delivery_marks",
    )
    op.create_table(
        "agent_delivery_marks",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("folded_before", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_agent_delivery_marks"),
    )
    op.create_table(
        "agent_lessons",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("lesson_text", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column(
            "severity_name",
            sa.Text(),
            sa.Computed(
                SEVERITY_NAME,
                persisted=True,
            ),
            nullable=True,
        ),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("rule_key", sa.Text(), server_default="", nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("trust", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("provenance", DOCUMENT, nullable=False),
        sa.Column("issue_count", sa.Integer(), server_default="0", nullable=False),
        sa.Column("times_applied", sa.Integer(), server_default="0", nullable=False),
        sa.Column("times_verified", sa.Integer(), server_default="0", nullable=False),
        sa.Column("times_prevented", sa.Integer(), server_default="0", nullable=False),
        sa.Column("effectiveness_score", sa.Double(), nullable=False),
        sa.Column("effect_low", sa.Double(), nullable=False),
        sa.Column("effect_high", sa.Double(), nullable=False),
        sa.Column("events", sa.Integer(), server_default="0", nullable=False),
        sa.Column("flags", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=True),
        sa.Column("last_applied_at", MOMENT, nullable=True),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("superseded_by", sa.Text(), nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("token_count", sa.Integer(), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name="pk_agent_lessons"),
    )
    op.create_index("ix_agent_lessons_revision", "agent_lessons", ["project", "agent_name", "revision"], unique=False)
    op.create_index("ix_agent_lessons_status", "agent_lessons", ["project", "status"], unique=False)
    op.create_table(
        "agent_refinement_runs",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("refiner", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), server_default="", nullable=False),
        sa.Column("prompt_hash", sa.Text(), server_default="", nullable=False),
        sa.Column("issues", sa.Integer(), nullable=False),
        sa.Column("created", sa.Integer(), nullable=False),
        sa.Column("merged", sa.Integer(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("quarantined", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost_usd", sa.Double(), server_default="0", nullable=False),
        sa.Column("duration_ms", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "id", name="pk_agent_refinement_runs"),
    )
    op.create_table(
        "agent_revisions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", name="pk_agent_revisions"),
        comment="One counter per agent; a changed lesson carries its value, so that readers fetch only what is new",
    )
    op.create_table(
        "agent_runs",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("holdout", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("task_hash", sa.Text(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "run_id", name="pk_agent_runs"),
    )
    op.create_index("ix_agent_runs_agent", "agent_runs", ["project", "agent_name", "started_at"], unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "writer", name="pk_audit_heads"),
        comment="Where each chain of audit_log ends, so that a cut-off tail shows",
    )
    op.create_table(
        "audit_log",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", DOCUMENT, nullable=False),
        sa.Column("logged_at", MOMENT, nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "writer", "seq", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["project", "subject"], unique=False)
    op.create_index("ix_audit_log_time", "audit_log", ["project", "logged_at"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("answer", DOCUMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "principal", "tool", "key", name="pk_idempotency_keys"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "server_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_server_secrets"),
        comment="Random keys shared by all replicas: what delimiters and coins are derived from",
    )
    op.create_table(
        "agent_issues",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), server_default="", nullable=False),
        sa.Column("line", sa.Integer(), nullable=True),
        sa.Column("rule_id", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("lesson_id", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("runner_up", sa.Text(), nullable=True),
        sa.Column("runner_up_score", sa.Double(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("is_new", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("is_event", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("refinement_run_id", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_issues_agent_lessons",
        ),
        sa.ForeignKeyConstraint(
            ["project", "run_id"], ["agent_runs.project", "agent_runs.run_id"], name="fk_agent_issues_agent_runs"
        ),
        sa.PrimaryKeyConstraint("project", "id", name="pk_agent_issues"),
    )
    op.create_index("ix_agent_issues_agent", "agent_issues", ["project", "agent_name", "created_at"], unique=False)
    op.create_index("ix_agent_issues_lesson", "agent_issues", ["project", "lesson_id", "created_at"], unique=False)
    op.create_index(
        "ix_agent_issues_pending",
        "agent_issues",
        ["project", "created_at"],
        unique=False,
        sqlite_where=sa.text("action = 'pending'"),
        postgresql_where=sa.text("action = 'pending'"),
    )
    op.create_index("ix_agent_issues_run", "agent_issues", ["project", "run_id"], unique=False)
    op.create_index("ix_agent_issues_fingerprint", "agent_issues", ["project", "fingerprint"], unique=False)
    op.create_index(
        "uq_agent_issues_event",
        "agent_issues",
        ["project", "run_id", "lesson_id"],
        unique=True,
        sqlite_where=sa.text("is_event"),
        postgresql_where=sa.text("is_event"),
    )
    op.create_table(
        "agent_lesson_applications",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("self_report", sa.Boolean(), nullable=True),
        sa.Column("verdict", sa.Boolean(), nullable=True),
        sa.Column("verdict_source", sa.Text(), nullable=True),
        sa.Column("verdict_evidence", sa.Text(), nullable=True),
        sa.Column("verdict_by", sa.Text(), nullable=True),
        sa.Column("verdict_at", MOMENT, nullable=True),
        sa.Column("notes", sa.Text(), server_default="", nullable=False),
        sa.Column("applied_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_applications_agent_lessons",
        ),
        sa.ForeignKeyConstraint(
            ["project", "run_id"],
            ["agent_runs.project", "agent_runs.run_id"],
            name="fk_agent_lesson_applications_agent_runs",
        ),
        sa.PrimaryKeyConstraint("project", "run_id", "lesson_id", name="pk_agent_lesson_applications"),
    )
    op.create_index(
        "ix_agent_lesson_applications_agent",
        "agent_lesson_applications",
        ["project", "agent_name", "applied_at"],
        unique=False,
    )
    op.create_index(
        "ix_agent_lesson_applications_lesson", "agent_lesson_applications", ["project", "lesson_id"], unique=False
    )
    op.create_table(
        "agent_lesson_deliveries",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("eligible", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("shown", sa.Boolean(), nullable=False),
        sa.Column("p_show", sa.Double(), nullable=False),
        sa.Column("exempt", sa.Boolean(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("delivered_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "run_id"],
            ["agent_runs.project", "agent_runs.run_id"],
            name="fk_agent_lesson_deliveries_agent_runs",
        ),
        sa.PrimaryKeyConstraint("project", "run_id", "lesson_id", name="pk_agent_lesson_deliveries"),
        comment="Append-only: a lesson was eligible in a run, and shown or withheld; committed before the answer",
    )
    op.create_index(
        "ix_agent_lesson_deliveries_time", "agent_lesson_deliveries", ["project", "delivered_at"], unique=False
    )
    op.create_table(
        "agent_lesson_documents",
        sa.Column("document_id", IDENTITY, autoincrement=True, nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_documents_agent_lessons",
        ),
        sa.PrimaryKeyConstraint("document_id", name="pk_agent_lesson_documents"),
        comment="What full-text search reads: a lesson's text, its keys, and the issues behind it",
    )
    op.create_index("uq_agent_lesson_documents_lesson", "agent_lesson_documents", ["project", "lesson_id"], unique=True)
    op.create_table(
        "agent_lesson_flags",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("flagged_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_flags_agent_lessons",
        ),
        sa.PrimaryKeyConstraint("project", "lesson_id", "principal", name="pk_agent_lesson_flags"),
    )
    op.create_table(
        "agent_lesson_keys",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("agent_name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_keys_agent_lessons",
        ),
        sa.PrimaryKeyConstraint("project", "agent_name", "key", name="pk_agent_lesson_keys"),
        comment="Every exact name a lesson is matched by: rule keys, catalogue ids, text hashes, issue fingerprints",
    )
    op.create_index("ix_agent_lesson_keys_lesson", "agent_lesson_keys", ["project", "lesson_id"], unique=False)
    op.create_index("ix_agent_lesson_keys_key", "agent_lesson_keys", ["project", "key"], unique=False)
    op.create_table(
        "agent_lesson_versions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("lesson_id", sa.Text(), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("lesson_text", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("severity", sa.SmallInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("numbers", DOCUMENT, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "lesson_id"],
            ["agent_lessons.project", "agent_lessons.id"],
            name="fk_agent_lesson_versions_agent_lessons",
        ),
        sa.PrimaryKeyConstraint("project", "lesson_id", "change", name="pk_agent_lesson_versions"),
        comment="Append-only history: every change of a lesson, by whom, why, and the numbers at the time",
    )

    dialect = op.get_bind().dialect.name
    for statement in (*FULL_TEXT[dialect], *APPEND_ONLY[dialect]):
        op.execute(statement)
    op.execute(STATS_VIEW.format(latest=LATEST[dialect]))


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.execute("DROP VIEW agent_learning_stats")
    if dialect == "sqlite":
        op.execute("DROP TABLE agent_lesson_search")
    for table in reversed(TABLES):
        op.drop_table(table)
    if dialect == "postgresql":
        op.execute("DROP FUNCTION agent_lesson_versions_refuse")
