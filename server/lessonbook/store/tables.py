"""The tables as queries see them. `migrations/` makes them; a test compares the two.

Every table of a project's rows has `project` in its key, so that they can live on one shard.
"""

from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Computed,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    and_,
    false,
    text,
    true,
)

from lessonbook.store.types import Document, UtcDateTime

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)

_SEVERITY_NAME = "CASE severity WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END"


def _key(*names: str) -> list[Column[Any]]:
    return [Column(name, Text, primary_key=True) for name in names]


def _columns(kind: Any, *names: str, default: Any = None, nullable: bool = False) -> list[Column[Any]]:
    return [Column(name, kind, server_default=default, nullable=nullable) for name in names]


def _of_lesson() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project", "lesson_id"], ["agent_lessons.project", "agent_lessons.id"])


def _of_run() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["project", "run_id"], ["agent_runs.project", "agent_runs.run_id"])


lessons = Table(
    "agent_lessons",
    metadata,
    *_key("project", "id"),
    *_columns(Text, "agent_name", "lesson_text", "rationale"),
    Column("severity", SmallInteger, nullable=False),
    Column("severity_name", Text, Computed(_SEVERITY_NAME, persisted=True)),
    Column("category", Text, nullable=False),
    Column("rule_key", Text, nullable=False, server_default=""),
    Column("status", Text, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False, server_default=false()),
    Column("version", Integer, nullable=False, server_default="1"),
    *_columns(Text, "trust", "author"),
    Column("approved_by", Text),
    Column("provenance", Document, nullable=False),
    *_columns(Integer, "issue_count", "times_applied", "times_verified", "times_prevented", default="0"),
    *_columns(Double, "effectiveness_score", "effect_low", "effect_high"),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("evidence", Document, nullable=False, server_default="{}"),
    Column("flags", Integer, nullable=False, server_default="0"),
    Column("status_reason", Text, nullable=False, server_default=""),
    *_columns(UtcDateTime, "last_seen_at", "last_applied_at", "expires_at", nullable=True),
    Column("superseded_by", Text),
    Column("content_hash", Text, nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("revision", BigInteger, nullable=False, server_default="0"),
    *_columns(UtcDateTime, "created_at", "updated_at"),
    *_columns(Text, "visible_to", "proposal_for", nullable=True),
    Index("ix_agent_lessons_revision", "project", "agent_name", "revision"),
    Index("ix_agent_lessons_recurring", "project", "issue_count"),
    Index(
        "ix_agent_lessons_status",
        "project",
        "status",
        "agent_name",
        "times_applied",
        "times_verified",
        "times_prevented",
    ),
)

lesson_keys = Table(
    "agent_lesson_keys",
    metadata,
    *_key("project", "agent_name", "key"),
    Column("lesson_id", Text, nullable=False),
    Index("ix_agent_lesson_keys_lesson", "project", "lesson_id"),
    Index("ix_agent_lesson_keys_key", "project", "key"),
    _of_lesson(),
    comment="Every exact name a lesson is matched by: rule keys, catalogue ids, text hashes, issue fingerprints",
)

lesson_versions = Table(
    "agent_lesson_versions",
    metadata,
    *_key("project", "lesson_id"),
    Column("change", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    *_columns(Text, "action", "principal", "reason", "status", "lesson_text", "rationale"),
    Column("severity", SmallInteger, nullable=False),
    Column("category", Text, nullable=False),
    Column("numbers", Document, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    _of_lesson(),
    comment="Append-only history: every change of a lesson, by whom, why, and the numbers at the time",
)

lesson_documents = Table(
    "agent_lesson_documents",
    metadata,
    Column("document_id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    *_columns(Text, "project", "lesson_id", "body"),
    Index("uq_agent_lesson_documents_lesson", "project", "lesson_id", unique=True),
    _of_lesson(),
    comment="What full-text search reads: a lesson's text, its keys, and the issues behind it",
)

lesson_vectors = Table(
    "agent_lesson_vectors",
    metadata,
    *_key("project", "lesson_id", "model"),
    Column("text_hash", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("embedded_at", UtcDateTime, nullable=False),
    Index("ix_agent_lesson_vectors_age", "project", "model", "embedded_at"),
    _of_lesson(),
    comment="Meaning of a lesson and the issues behind it, by model: 32-bit floats, little-endian, of length 1",
)

lesson_flags = Table(
    "agent_lesson_flags",
    metadata,
    *_key("project", "lesson_id", "principal"),
    Column("reason", Text, nullable=False),
    Column("run_id", Text),
    Column("flagged_at", UtcDateTime, nullable=False),
    Column("earlier", Document, nullable=False, server_default="[]"),
    _of_lesson(),
)

revisions = Table(
    "agent_revisions",
    metadata,
    *_key("project", "agent_name"),
    Column("revision", BigInteger, nullable=False),
    comment="One counter per agent; a changed lesson carries its value, so that readers fetch only what is new",
)

agent_names = Table(
    "agent_names",
    metadata,
    *_key("project", "agent_name"),
    Column("given_by", Text, nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    comment="Names that are agents though the roster has them not: added, given to a server, written for, imported",
)

runs = Table(
    "agent_runs",
    metadata,
    *_key("project", "run_id"),
    *_columns(Text, "agent_name", "principal"),
    Column("holdout", Boolean, nullable=False, server_default=false()),
    Column("p_holdout", Double, nullable=False, server_default="0"),
    Column("issues", Integer, nullable=False, server_default="0"),
    Column("task_hash", Text, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("label", Text, nullable=False, server_default=""),
    Column("routed", Boolean, nullable=False, server_default=false()),
    Column("change", Text, nullable=False, server_default=""),
    Column("checked_at", UtcDateTime),
    Index("ix_agent_runs_time", "project", "started_at", "agent_name"),
)

run_checks = Table(
    "agent_run_checks",
    metadata,
    *_key("project", "run_id", "source", "tool", "principal"),
    Column("findings", Integer, nullable=False),
    Column("routine", Boolean, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Index("ix_agent_run_checks_reporter", "project", "principal", "source", "tool", "checked_at"),
    comment="Who looked at which run, findings or not; routine: a reporter that reports every run",
)

lesson_reporters = Table(
    "agent_lesson_reporters",
    metadata,
    *_key("project", "lesson_id", "source", "tool"),
    comment="Which kinds of reporters have found a lesson's issue: only their checks tell about the lesson",
)

checked_lessons = Table(
    "agent_checked_lessons",
    metadata,
    *_key("project", "change", "lesson_id"),
    *_columns(Text, "run_id", "agent_name"),
    Column("shown", Boolean, nullable=False),
    *_columns(Double, "p_show", "share"),
    *_columns(Integer, "lesson_version", "epoch", "week"),
    *_columns(Boolean, "left_out", "applied", "wrong", default=false()),
    Column("unexplained", Boolean),
    Column("event_by", Text),
    Column("until", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Index("ix_agent_checked_lessons_lesson", "project", "lesson_id", "epoch"),
    Index("ix_agent_checked_lessons_run", "project", "run_id"),
    comment="The rows of the experiment: a lesson in a change, when a routine reporter first checked it",
)

experiments = Table(
    "agent_experiments",
    metadata,
    *_key("project"),
    Column("epoch", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    *_columns(Text, "principal", "reason"),
    comment="The experiment that is on; a person begins another, which tosses all coins anew. None: the first",
)

deliveries = Table(
    "agent_lesson_deliveries",
    metadata,
    *_key("project", "run_id", "lesson_id"),
    Column("agent_name", Text, nullable=False),
    Column("eligible", Boolean, nullable=False, server_default=true()),
    Column("shown", Boolean, nullable=False),
    Column("p_show", Double, nullable=False),
    Column("exempt", Boolean, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("lesson_version", Integer, nullable=False, server_default="1"),
    Column("tokens", Integer, nullable=False, server_default="0"),
    Column("delivered_at", UtcDateTime, nullable=False),
    Column("run_started_at", UtcDateTime),
    Index("ix_agent_lesson_deliveries_time", "project", "delivered_at"),
    _of_run(),
    comment="Append-only: a lesson was eligible in a run, and shown or withheld; committed before the answer",
)

delivery_days = Table(
    "agent_delivery_folds",
    metadata,
    *_key("project", "agent_name", "lesson_id", "day"),
    *_columns(Integer, "deliveries", "shown"),
    *_columns(Integer, "randomised", "randomised_shown", default="0"),
    Column("last_delivered_at", UtcDateTime, nullable=False),
    Index("ix_agent_delivery_folds_lesson", "project", "lesson_id", "day"),
    comment="Deliveries counted by day, up to each project's mark in agent_delivery_marks",
)

delivery_weeks = Table(
    "agent_delivery_weeks",
    metadata,
    *_key("project", "agent_name"),
    Column("week", Integer, primary_key=True),
    *_key("lesson_id"),
    *_columns(Integer, "deliveries", "shown", "randomised", "randomised_shown"),
    Column("last_delivered_at", UtcDateTime, nullable=False),
    Index("ix_agent_delivery_weeks_lesson", "project", "lesson_id"),
    comment="Deliveries counted by week (since 1970-01-01), up to each project's mark in agent_delivery_marks",
)

activity_days = Table(
    "agent_activity_days",
    metadata,
    *_key("project", "agent_name", "day"),
    *_columns(Integer, "runs", "measured_runs", "held_out_runs", "deliveries", "shown", "withheld", default="0"),
    Column("tokens", BigInteger, nullable=False, server_default="0"),
    *_columns(Integer, "issues", "applications", "verified", "prevented", "checked_runs", default="0"),
    Column("last_at", UtcDateTime, nullable=False),
    comment="What each agent did in a day: applications and checks always, the rest up to agent_delivery_marks",
)

evidence = Table(
    "agent_evidence",
    metadata,
    *_key("project", "agent_name"),
    Column("effect", Document, nullable=False),
    *_columns(BigInteger, "served_issues", "served_squares", "held_out_issues", "held_out_squares", default="0"),
    *_columns(BigInteger, "served_runs", "held_out_runs", "crossovers", default="0"),
    comment="Each agent's rows and events added up, and its checked runs of the holdout by arm, with their issues",
)

service_stops = Table(
    "agent_service_stops",
    metadata,
    *_key("project"),
    Column("stopped", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("numbers", Document, nullable=False),
    Column("principal", Text, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    comment="Whether serving is stopped because measured it does harm; numbers: the evidence counted from then on",
)

delivery_marks = Table(
    "agent_delivery_marks",
    metadata,
    *_key("project"),
    Column("folded_before", UtcDateTime, nullable=False),
)

issues = Table(
    "agent_issues",
    metadata,
    *_key("project", "id"),
    *_columns(Text, "agent_name", "description"),
    Column("severity", SmallInteger, nullable=False),
    Column("category", Text, nullable=False),
    Column("file", Text, nullable=False, server_default=""),
    Column("line", Integer),
    Column("rule_id", Text, nullable=False, server_default=""),
    *_columns(Text, "source", "evidence", "principal"),
    *_columns(Text, "run_id", "lesson_id", nullable=True),
    *_columns(Text, "action", "reason"),
    Column("score", Double),
    Column("runner_up", Text),
    Column("runner_up_score", Double),
    Column("fingerprint", Text, nullable=False),
    Column("is_new", Boolean, nullable=False, server_default=true()),
    Column("is_event", Boolean, nullable=False, server_default=false()),
    Column("event_verified", Boolean, nullable=False, server_default=false()),
    Column("refinement_run_id", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("group_id", Text),
    Index("ix_agent_issues_agent", "project", "agent_name", "created_at"),
    Index("ix_agent_issues_time", "project", "created_at", "agent_name"),
    Index("ix_agent_issues_lesson", "project", "lesson_id", "created_at"),
    Index("ix_agent_issues_run", "project", "run_id"),
    Index("ix_agent_issues_fingerprint", "project", "fingerprint"),
    _of_run(),
    _of_lesson(),
)

applications = Table(
    "agent_lesson_applications",
    metadata,
    *_key("project", "run_id", "lesson_id"),
    *_columns(Text, "agent_name", "principal"),
    Column("by_coin", Boolean, nullable=False, server_default=false()),
    *_columns(Boolean, "self_report", "verdict", nullable=True),
    *_columns(Text, "verdict_source", "verdict_evidence", "verdict_by", nullable=True),
    Column("verdict_at", UtcDateTime),
    Column("notes", Text, nullable=False, server_default=""),
    Column("applied_at", UtcDateTime, nullable=False),
    Index("ix_agent_lesson_applications_lesson", "project", "lesson_id", "applied_at", "verdict"),
    Index("ix_agent_lesson_applications_agent", "project", "agent_name", "applied_at"),
    _of_run(),
    _of_lesson(),
)

refinement_runs = Table(
    "agent_refinement_runs",
    metadata,
    *_key("project", "id"),
    *_columns(Text, "principal", "source", "refiner"),
    *_columns(Text, "model", "prompt_hash", default=""),
    *_columns(Integer, "issues", "created", "merged", "pending", "quarantined", "rejected"),
    Column("tokens", Integer, nullable=False, server_default="0"),
    Column("cost_usd", Double, nullable=False, server_default="0"),
    Column("duration_ms", Double, nullable=False),
    Column("error", Text, nullable=False, server_default=""),
    Column("started_at", UtcDateTime, nullable=False),
)

audit_log = Table(
    "audit_log",
    metadata,
    *_key("project", "writer"),
    Column("seq", BigInteger, primary_key=True),
    *_columns(Text, "principal", "action", "subject"),
    Column("details", Document, nullable=False),
    Column("logged_at", UtcDateTime, nullable=False),
    *_columns(Text, "previous_hash", "hash"),
    Index("ix_audit_log_time", "project", "logged_at"),
    Index("ix_audit_log_subject", "project", "subject"),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    *_key("project", "writer"),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    comment="Where each chain of audit_log ends, so that a cut-off tail shows",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    *_key("project", "principal", "tool", "key"),
    Column("request_hash", Text, nullable=False),
    Column("answer", Document, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

secrets = Table(
    "server_secrets",
    metadata,
    *_key("name"),
    Column("value", Text, nullable=False),
    comment="Random keys shared by all replicas: what delimiters and coins are derived from",
)

access_tokens = Table(
    "access_tokens",
    metadata,
    *_key("name"),
    Column("token_hash", Text, nullable=False),
    *_columns(Document, "scopes", "projects"),
    Column("agent_name", Text, nullable=False, server_default=""),
    Column("created_at", UtcDateTime, nullable=False),
    *_columns(UtcDateTime, "expires_at", "last_used_at", "revoked_at", nullable=True),
    Index("uq_access_tokens_token_hash", "token_hash", unique=True),
    comment="Tokens for HTTP, by their SHA-256; each is for some projects, so it belongs to none",
)

call_counts = Table(
    "call_counts",
    metadata,
    *_key("project", "principal", "writer"),
    Column("minute", BigInteger, primary_key=True),
    Column("calls", Integer, nullable=False),
    Index("ix_call_counts_minute", "minute"),
    comment="Calls of a principal in a minute (since 1970-01-01), by server process: for the limit of all together",
)

use_counts = Table(
    "use_counts",
    metadata,
    *_key("project", "principal", "kind", "writer"),
    Column("hour", BigInteger, primary_key=True),
    Column("uses", Integer, nullable=False),
    Index("ix_use_counts_hour", "hour"),
    comment="Uses of a principal by kind in an hour (since 1970-01-01), by process: for the limit of all together",
)

project_names = Table(
    "project_names",
    metadata,
    *_key("name"),
    *_columns(Text, "leads_to", "principal"),
    Column("is_shown", Boolean, nullable=False, server_default=false()),
    Column("created_at", UtcDateTime, nullable=False),
    comment="Further names by which projects are found; rows keep the name that they were written under",
)

STATS_VIEW = "agent_learning_stats"
"""The view of figures, a row per project and agent; see the second migration."""


def in_project(table: Table, project: Any, **values: Any) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a project's rows whose columns have these values."""
    return (table.c.project == project, *(table.c[name] == value for name, value in values.items()))


def joined(one: Table, other: Table, *columns: str) -> ColumnElement[bool]:
    """Return the condition of rows of two tables that agree in their project and these columns."""
    return and_(*(one.c[name] == other.c[name] for name in ("project", *columns)))


@cache
def whole_metadata() -> MetaData:
    """Return the tables with their partial indexes, for a comparison with the database.

    Partial indexes load SQLAlchemy's dialects of both databases, and the one that is not used takes 3 MB.
    """
    columns, events, pending = issues.c, "is_event", "action = 'pending'"
    grouped, moment = "group_id IS NOT NULL", columns.created_at
    of_agent = (columns.project, columns.agent_name, columns.created_at)
    _index_some("ix_agent_issues_events", *of_agent, where=events)
    _index_some("ix_agent_issues_pending", columns.project, columns.created_at, where=pending)
    _index_some("ix_agent_issues_waiting", *of_agent, where=pending)
    covered = (columns.action, columns.group_id, moment, columns.agent_name, columns.severity)
    _index_some("ix_agent_issues_group", columns.project, *covered, where=grouped)
    _index_some("ix_agent_issues_worded", columns.project, moment, where=f"{grouped} AND rule_id = ''")
    _index_some("uq_agent_issues_event", columns.project, columns.run_id, columns.lesson_id, where=events, unique=True)
    return metadata


def _index_some(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))
