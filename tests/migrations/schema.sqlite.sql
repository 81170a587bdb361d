CREATE INDEX ix_agent_checked_lessons_lesson ON agent_checked_lessons (project, lesson_id, epoch);

CREATE INDEX ix_agent_checked_lessons_run ON agent_checked_lessons (project, run_id);

CREATE INDEX ix_agent_delivery_folds_lesson ON agent_delivery_folds (project, lesson_id, day);

CREATE INDEX ix_agent_delivery_weeks_lesson ON agent_delivery_weeks (project, lesson_id);

CREATE INDEX ix_agent_issues_agent ON agent_issues (project, agent_name, created_at);

CREATE INDEX ix_agent_issues_events ON agent_issues (project, agent_name, created_at) WHERE is_event;

CREATE INDEX ix_agent_issues_fingerprint ON agent_issues (project, fingerprint);

CREATE INDEX ix_agent_issues_group ON agent_issues (project, action, group_id, created_at, agent_name, severity) WHERE group_id IS NOT NULL;

CREATE INDEX ix_agent_issues_lesson ON agent_issues (project, lesson_id, created_at);

CREATE INDEX ix_agent_issues_pending ON agent_issues (project, created_at) WHERE action = 'pending';

CREATE INDEX ix_agent_issues_run ON agent_issues (project, run_id);

CREATE INDEX ix_agent_issues_time ON agent_issues (project, created_at, agent_name);

CREATE INDEX ix_agent_issues_waiting ON agent_issues (project, agent_name, created_at) WHERE action = 'pending';

CREATE INDEX ix_agent_issues_worded ON agent_issues (project, created_at) WHERE group_id IS NOT NULL AND rule_id = '';

CREATE INDEX ix_agent_lesson_applications_agent ON agent_lesson_applications (project, agent_name, applied_at);

CREATE INDEX ix_agent_lesson_applications_lesson ON agent_lesson_applications (project, lesson_id, applied_at, verdict);

CREATE INDEX ix_agent_lesson_deliveries_time ON agent_lesson_deliveries (project, delivered_at);

CREATE INDEX ix_agent_lesson_keys_key ON agent_lesson_keys (project, "key");

CREATE INDEX ix_agent_lesson_keys_lesson ON agent_lesson_keys (project, lesson_id);

CREATE INDEX ix_agent_lesson_vectors_age ON agent_lesson_vectors (project, model, embedded_at);

CREATE INDEX ix_agent_lessons_recurring ON agent_lessons (project, issue_count);

CREATE INDEX ix_agent_lessons_revision ON agent_lessons (project, agent_name, revision);

CREATE INDEX ix_agent_lessons_status ON agent_lessons (project, status, agent_name, times_applied, times_verified, times_prevented);

CREATE INDEX ix_agent_run_checks_reporter ON agent_run_checks (project, principal, source, tool, checked_at);

CREATE INDEX ix_agent_runs_time ON agent_runs (project, started_at, agent_name);

CREATE INDEX ix_audit_log_subject ON audit_log (project, subject);

CREATE INDEX ix_audit_log_time ON audit_log (project, logged_at);

CREATE INDEX ix_call_counts_minute ON call_counts (minute);

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);

CREATE INDEX ix_use_counts_hour ON use_counts (hour);

CREATE UNIQUE INDEX uq_access_tokens_token_hash ON access_tokens (token_hash);

CREATE UNIQUE INDEX uq_agent_issues_event ON agent_issues (project, run_id, lesson_id) WHERE is_event;

CREATE UNIQUE INDEX uq_agent_lesson_documents_lesson ON agent_lesson_documents (project, lesson_id);

CREATE TABLE access_tokens (
    name TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    scopes JSON NOT NULL,
    projects JSON NOT NULL,
    agent_name TEXT DEFAULT '' NOT NULL,
    created_at DATETIME NOT NULL,
    expires_at DATETIME,
    last_used_at DATETIME,
    revoked_at DATETIME,
    CONSTRAINT pk_access_tokens PRIMARY KEY (name)
);

CREATE TABLE agent_activity_days (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    day TEXT NOT NULL,
    runs INTEGER DEFAULT '0' NOT NULL,
    measured_runs INTEGER DEFAULT '0' NOT NULL,
    held_out_runs INTEGER DEFAULT '0' NOT NULL,
    deliveries INTEGER DEFAULT '0' NOT NULL,
    shown INTEGER DEFAULT '0' NOT NULL,
    withheld INTEGER DEFAULT '0' NOT NULL,
    tokens BIGINT DEFAULT '0' NOT NULL,
    issues INTEGER DEFAULT '0' NOT NULL,
    applications INTEGER DEFAULT '0' NOT NULL,
    verified INTEGER DEFAULT '0' NOT NULL,
    prevented INTEGER DEFAULT '0' NOT NULL,
    last_at DATETIME NOT NULL, checked_runs INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_agent_activity_days PRIMARY KEY (project, agent_name, day)
);

CREATE TABLE agent_checked_lessons (
    project TEXT NOT NULL,
    change TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    shown BOOLEAN NOT NULL,
    p_show DOUBLE NOT NULL,
    share DOUBLE NOT NULL,
    lesson_version INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    week INTEGER NOT NULL,
    left_out BOOLEAN DEFAULT 0 NOT NULL,
    applied BOOLEAN DEFAULT 0 NOT NULL,
    wrong BOOLEAN DEFAULT 0 NOT NULL,
    event_by TEXT,
    until DATETIME NOT NULL,
    checked_at DATETIME NOT NULL, unexplained BOOLEAN,
    CONSTRAINT pk_agent_checked_lessons PRIMARY KEY (project, change, lesson_id)
);

CREATE TABLE agent_delivery_folds (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    day TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    last_delivered_at DATETIME NOT NULL, randomised INTEGER DEFAULT '0' NOT NULL, randomised_shown INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_agent_delivery_folds PRIMARY KEY (project, agent_name, lesson_id, day)
);

CREATE TABLE agent_delivery_marks (
    project TEXT NOT NULL,
    folded_before DATETIME NOT NULL,
    CONSTRAINT pk_agent_delivery_marks PRIMARY KEY (project)
);

CREATE TABLE agent_delivery_weeks (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    week INTEGER NOT NULL,
    lesson_id TEXT NOT NULL,
    deliveries INTEGER NOT NULL,
    shown INTEGER NOT NULL,
    randomised INTEGER NOT NULL,
    randomised_shown INTEGER NOT NULL,
    last_delivered_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_delivery_weeks PRIMARY KEY (project, agent_name, week, lesson_id)
);

CREATE TABLE agent_evidence (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    effect JSON NOT NULL,
    served_issues BIGINT DEFAULT '0' NOT NULL,
    served_squares BIGINT DEFAULT '0' NOT NULL,
    held_out_issues BIGINT DEFAULT '0' NOT NULL,
    held_out_squares BIGINT DEFAULT '0' NOT NULL, served_runs BIGINT DEFAULT '0' NOT NULL, held_out_runs BIGINT DEFAULT '0' NOT NULL, crossovers BIGINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_agent_evidence PRIMARY KEY (project, agent_name)
);

CREATE TABLE agent_experiments (
    project TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    started_at DATETIME NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT pk_agent_experiments PRIMARY KEY (project)
);

CREATE TABLE agent_issues (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    description TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    category TEXT NOT NULL,
    file TEXT DEFAULT '' NOT NULL,
    line INTEGER,
    rule_id TEXT DEFAULT '' NOT NULL,
    source TEXT NOT NULL,
    evidence TEXT NOT NULL,
    principal TEXT NOT NULL,
    run_id TEXT,
    lesson_id TEXT,
    action TEXT NOT NULL,
    reason TEXT NOT NULL,
    score DOUBLE,
    runner_up TEXT,
    runner_up_score DOUBLE,
    fingerprint TEXT NOT NULL,
    is_new BOOLEAN DEFAULT 1 NOT NULL,
    is_event BOOLEAN DEFAULT 0 NOT NULL,
    refinement_run_id TEXT NOT NULL,
    created_at DATETIME NOT NULL, event_verified BOOLEAN DEFAULT 0 NOT NULL, group_id TEXT,
    CONSTRAINT pk_agent_issues PRIMARY KEY (project, id),
    CONSTRAINT fk_agent_issues_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id),
    CONSTRAINT fk_agent_issues_agent_runs FOREIGN KEY(project, run_id) REFERENCES agent_runs (project, run_id)
);

CREATE TABLE agent_lesson_applications (
    project TEXT NOT NULL,
    run_id TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    principal TEXT NOT NULL,
    self_report BOOLEAN,
    verdict BOOLEAN,
    verdict_source TEXT,
    verdict_evidence TEXT,
    verdict_by TEXT,
    verdict_at DATETIME,
    notes TEXT DEFAULT '' NOT NULL,
    applied_at DATETIME NOT NULL, by_coin BOOLEAN DEFAULT 0 NOT NULL,
    CONSTRAINT pk_agent_lesson_applications PRIMARY KEY (project, run_id, lesson_id),
    CONSTRAINT fk_agent_lesson_applications_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id),
    CONSTRAINT fk_agent_lesson_applications_agent_runs FOREIGN KEY(project, run_id) REFERENCES agent_runs (project, run_id)
);

CREATE TABLE agent_lesson_deliveries (
    project TEXT NOT NULL,
    run_id TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    eligible BOOLEAN DEFAULT 1 NOT NULL,
    shown BOOLEAN NOT NULL,
    p_show DOUBLE NOT NULL,
    exempt BOOLEAN NOT NULL,
    policy_version TEXT NOT NULL,
    position SMALLINT NOT NULL,
    delivered_at DATETIME NOT NULL, lesson_version INTEGER DEFAULT '1' NOT NULL, tokens INTEGER DEFAULT '0' NOT NULL, run_started_at DATETIME,
    CONSTRAINT pk_agent_lesson_deliveries PRIMARY KEY (project, run_id, lesson_id),
    CONSTRAINT fk_agent_lesson_deliveries_agent_runs FOREIGN KEY(project, run_id) REFERENCES agent_runs (project, run_id)
);

CREATE TABLE agent_lesson_documents (
    document_id INTEGER NOT NULL,
    project TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT pk_agent_lesson_documents PRIMARY KEY (document_id),
    CONSTRAINT fk_agent_lesson_documents_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id)
);

CREATE TABLE agent_lesson_flags (
    project TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    run_id TEXT,
    flagged_at DATETIME NOT NULL, earlier JSON DEFAULT '[]' NOT NULL,
    CONSTRAINT pk_agent_lesson_flags PRIMARY KEY (project, lesson_id, principal),
    CONSTRAINT fk_agent_lesson_flags_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id)
);

CREATE TABLE agent_lesson_keys (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    "key" TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    CONSTRAINT pk_agent_lesson_keys PRIMARY KEY (project, agent_name, "key"),
    CONSTRAINT fk_agent_lesson_keys_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id)
);

CREATE TABLE agent_lesson_reporters (
    project TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    source TEXT NOT NULL,
    tool TEXT NOT NULL,
    CONSTRAINT pk_agent_lesson_reporters PRIMARY KEY (project, lesson_id, source, tool)
);

CREATE VIRTUAL TABLE agent_lesson_search USING fts5(
            body, content='agent_lesson_documents', content_rowid='document_id', tokenize='porter unicode61');

CREATE TABLE agent_lesson_vectors (
    project TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    model TEXT NOT NULL,
    text_hash TEXT NOT NULL,
    revision BIGINT NOT NULL,
    vector BLOB NOT NULL,
    embedded_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_lesson_vectors PRIMARY KEY (project, lesson_id, model),
    CONSTRAINT fk_agent_lesson_vectors_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id)
);

CREATE TABLE agent_lesson_versions (
    project TEXT NOT NULL,
    lesson_id TEXT NOT NULL,
    change INTEGER NOT NULL,
    version INTEGER NOT NULL,
    action TEXT NOT NULL,
    principal TEXT NOT NULL,
    reason TEXT NOT NULL,
    status TEXT NOT NULL,
    lesson_text TEXT NOT NULL,
    rationale TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    category TEXT NOT NULL,
    numbers JSON NOT NULL,
    changed_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_lesson_versions PRIMARY KEY (project, lesson_id, change),
    CONSTRAINT fk_agent_lesson_versions_agent_lessons FOREIGN KEY(project, lesson_id) REFERENCES agent_lessons (project, id)
);

CREATE TABLE agent_lessons (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    lesson_text TEXT NOT NULL,
    rationale TEXT NOT NULL,
    severity SMALLINT NOT NULL,
    severity_name TEXT GENERATED ALWAYS AS (CASE severity WHEN 4 THEN 'critical' WHEN 3 THEN 'high' WHEN 2 THEN 'medium' ELSE 'low' END) STORED,
    category TEXT NOT NULL,
    rule_key TEXT DEFAULT '' NOT NULL,
    status TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    pinned BOOLEAN DEFAULT 0 NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    trust TEXT NOT NULL,
    author TEXT NOT NULL,
    approved_by TEXT,
    provenance JSON NOT NULL,
    issue_count INTEGER DEFAULT '0' NOT NULL,
    times_applied INTEGER DEFAULT '0' NOT NULL,
    times_verified INTEGER DEFAULT '0' NOT NULL,
    times_prevented INTEGER DEFAULT '0' NOT NULL,
    effectiveness_score DOUBLE NOT NULL,
    effect_low DOUBLE NOT NULL,
    effect_high DOUBLE NOT NULL,
    events INTEGER DEFAULT '0' NOT NULL,
    flags INTEGER DEFAULT '0' NOT NULL,
    status_reason TEXT DEFAULT '' NOT NULL,
    last_seen_at DATETIME,
    last_applied_at DATETIME,
    expires_at DATETIME,
    superseded_by TEXT,
    content_hash TEXT NOT NULL,
    token_count INTEGER NOT NULL,
    revision BIGINT DEFAULT '0' NOT NULL,
    created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL, evidence JSON DEFAULT '{}' NOT NULL, visible_to TEXT, proposal_for TEXT,
    CONSTRAINT pk_agent_lessons PRIMARY KEY (project, id)
);

CREATE TABLE agent_names (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    given_by TEXT NOT NULL,
    added_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_names PRIMARY KEY (project, agent_name)
);

CREATE TABLE agent_refinement_runs (
    project TEXT NOT NULL,
    id TEXT NOT NULL,
    principal TEXT NOT NULL,
    source TEXT NOT NULL,
    refiner TEXT NOT NULL,
    model TEXT DEFAULT '' NOT NULL,
    prompt_hash TEXT DEFAULT '' NOT NULL,
    issues INTEGER NOT NULL,
    created INTEGER NOT NULL,
    merged INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    quarantined INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    tokens INTEGER DEFAULT '0' NOT NULL,
    cost_usd DOUBLE DEFAULT '0' NOT NULL,
    duration_ms DOUBLE NOT NULL,
    error TEXT DEFAULT '' NOT NULL,
    started_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_refinement_runs PRIMARY KEY (project, id)
);

CREATE TABLE agent_revisions (
    project TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    CONSTRAINT pk_agent_revisions PRIMARY KEY (project, agent_name)
);

CREATE TABLE agent_run_checks (
    project TEXT NOT NULL,
    run_id TEXT NOT NULL,
    source TEXT NOT NULL,
    tool TEXT NOT NULL,
    principal TEXT NOT NULL,
    findings INTEGER NOT NULL,
    routine BOOLEAN NOT NULL,
    checked_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_run_checks PRIMARY KEY (project, run_id, source, tool, principal)
);

CREATE TABLE agent_runs (
    project TEXT NOT NULL,
    run_id TEXT NOT NULL,
    agent_name TEXT NOT NULL,
    principal TEXT NOT NULL,
    holdout BOOLEAN DEFAULT 0 NOT NULL,
    task_hash TEXT NOT NULL,
    started_at DATETIME NOT NULL, p_holdout DOUBLE DEFAULT '0' NOT NULL, issues INTEGER DEFAULT '0' NOT NULL, label TEXT DEFAULT '' NOT NULL, routed BOOLEAN DEFAULT 0 NOT NULL, change TEXT DEFAULT '' NOT NULL, checked_at DATETIME,
    CONSTRAINT pk_agent_runs PRIMARY KEY (project, run_id)
);

CREATE TABLE agent_service_stops (
    project TEXT NOT NULL,
    stopped BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    numbers JSON NOT NULL,
    principal TEXT NOT NULL,
    changed_at DATETIME NOT NULL,
    CONSTRAINT pk_agent_service_stops PRIMARY KEY (project)
);

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE audit_heads (
    project TEXT NOT NULL,
    writer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT pk_audit_heads PRIMARY KEY (project, writer)
);

CREATE TABLE audit_log (
    project TEXT NOT NULL,
    writer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    principal TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    details JSON NOT NULL,
    logged_at DATETIME NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (project, writer, seq)
);

CREATE TABLE call_counts (
    project TEXT NOT NULL,
    principal TEXT NOT NULL,
    writer TEXT NOT NULL,
    minute BIGINT NOT NULL,
    calls INTEGER NOT NULL,
    CONSTRAINT pk_call_counts PRIMARY KEY (project, principal, writer, minute)
);

CREATE TABLE idempotency_keys (
    project TEXT NOT NULL,
    principal TEXT NOT NULL,
    tool TEXT NOT NULL,
    "key" TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    answer JSON NOT NULL,
    created_at DATETIME NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (project, principal, tool, "key")
);

CREATE TABLE project_names (
    name TEXT NOT NULL,
    leads_to TEXT NOT NULL,
    principal TEXT NOT NULL,
    is_shown BOOLEAN DEFAULT 0 NOT NULL,
    created_at DATETIME NOT NULL,
    CONSTRAINT pk_project_names PRIMARY KEY (name)
);

CREATE TABLE server_secrets (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_server_secrets PRIMARY KEY (name)
);

CREATE TABLE use_counts (
    project TEXT NOT NULL,
    principal TEXT NOT NULL,
    kind TEXT NOT NULL,
    writer TEXT NOT NULL,
    hour BIGINT NOT NULL,
    uses INTEGER NOT NULL,
    CONSTRAINT pk_use_counts PRIMARY KEY (project, principal, kind, writer, hour)
);

CREATE TRIGGER agent_issues_marked AFTER INSERT ON agent_issues
            WHEN NOT EXISTS (SELECT 1 FROM agent_delivery_marks m WHERE m.project = new.project) BEGIN
            INSERT INTO agent_delivery_marks (project, folded_before) VALUES (new.project, '1970-01-01 00:00:00.000000');
        END;

CREATE TRIGGER agent_lesson_documents_deleted AFTER DELETE ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(agent_lesson_search, rowid, body)
                VALUES ('delete', old.document_id, old.body);
        END;

CREATE TRIGGER agent_lesson_documents_inserted AFTER INSERT ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(rowid, body) VALUES (new.document_id, new.body);
        END;

CREATE TRIGGER agent_lesson_documents_updated AFTER UPDATE ON agent_lesson_documents BEGIN
            INSERT INTO agent_lesson_search(agent_lesson_search, rowid, body)
                VALUES ('delete', old.document_id, old.body);
            INSERT INTO agent_lesson_search(rowid, body) VALUES (new.document_id, new.body);
        END;

CREATE TRIGGER agent_lesson_versions_kept BEFORE DELETE ON agent_lesson_versions BEGIN
            SELECT RAISE(ABORT, 'agent_lesson_versions is append-only');
        END;

CREATE TRIGGER agent_lesson_versions_unchanged BEFORE UPDATE ON agent_lesson_versions
            WHEN new.lesson_text <> '' OR new.rationale <> '' OR new.reason <> '' OR new.project IS NOT old.project OR new.lesson_id IS NOT old.lesson_id OR new.change IS NOT old.change OR new.version IS NOT old.version OR new.action IS NOT old.action OR new.principal IS NOT old.principal OR new.status IS NOT old.status OR new.severity IS NOT old.severity OR new.category IS NOT old.category OR new.numbers IS NOT old.numbers OR new.changed_at IS NOT old.changed_at BEGIN
            SELECT RAISE(ABORT, 'agent_lesson_versions is append-only');
        END;

CREATE TRIGGER agent_runs_marked AFTER INSERT ON agent_runs
            WHEN NOT EXISTS (SELECT 1 FROM agent_delivery_marks m WHERE m.project = new.project) BEGIN
            INSERT INTO agent_delivery_marks (project, folded_before) VALUES (new.project, '1970-01-01 00:00:00.000000');
        END;

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
    NULLIF(MAX(COALESCE(l.changed_at, ''), COALESCE(a.last_at, '')), '') AS last_activity_at
FROM names n
LEFT JOIN by_lesson l ON l.project = n.project AND l.agent_name = n.agent_name
LEFT JOIN by_activity a ON a.project = n.project AND a.agent_name = n.agent_name
LEFT JOIN by_waiting w ON w.project = n.project AND w.agent_name = n.agent_name;
