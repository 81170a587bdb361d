TABLE access_tokens -- Tokens for HTTP, by their SHA-256; each is for some projects, so it belongs to none (
    name text NOT NULL,
    token_hash text NOT NULL,
    scopes jsonb NOT NULL,
    projects jsonb NOT NULL,
    agent_name text NOT NULL DEFAULT ''::text,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone,
    CONSTRAINT pk_access_tokens PRIMARY KEY (name)
);

TABLE agent_activity_days -- What each agent did in a day: applications and checks always, the rest up to agent_delivery_marks (
    project text NOT NULL,
    agent_name text NOT NULL,
    day text NOT NULL,
    runs integer NOT NULL DEFAULT 0,
    measured_runs integer NOT NULL DEFAULT 0,
    held_out_runs integer NOT NULL DEFAULT 0,
    deliveries integer NOT NULL DEFAULT 0,
    shown integer NOT NULL DEFAULT 0,
    withheld integer NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT '0'::bigint,
    issues integer NOT NULL DEFAULT 0,
    applications integer NOT NULL DEFAULT 0,
    verified integer NOT NULL DEFAULT 0,
    prevented integer NOT NULL DEFAULT 0,
    last_at timestamp with time zone NOT NULL,
    checked_runs integer NOT NULL DEFAULT 0,
    CONSTRAINT pk_agent_activity_days PRIMARY KEY (project, agent_name, day)
);

TABLE agent_checked_lessons -- The rows of the experiment: a lesson in a change, when a routine reporter first checked it (
    project text NOT NULL,
    change text NOT NULL,
    lesson_id text NOT NULL,
    run_id text NOT NULL,
    agent_name text NOT NULL,
    shown boolean NOT NULL,
    p_show double precision NOT NULL,
    share double precision NOT NULL,
    lesson_version integer NOT NULL,
    epoch integer NOT NULL,
    week integer NOT NULL,
    left_out boolean NOT NULL DEFAULT false,
    applied boolean NOT NULL DEFAULT false,
    wrong boolean NOT NULL DEFAULT false,
    event_by text,
    until timestamp with time zone NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    unexplained boolean,
    CONSTRAINT pk_agent_checked_lessons PRIMARY KEY (project, change, lesson_id)
);

TABLE agent_delivery_folds -- Deliveries counted by day, up to each project's mark in agent_delivery_marks (
    project text NOT NULL,
    agent_name text NOT NULL,
    lesson_id text NOT NULL,
    day text NOT NULL,
    deliveries integer NOT NULL,
    shown integer NOT NULL,
    last_delivered_at timestamp with time zone NOT NULL,
    randomised integer NOT NULL DEFAULT 0,
    randomised_shown integer NOT NULL DEFAULT 0,
    CONSTRAINT pk_agent_delivery_folds PRIMARY KEY (project, agent_name, lesson_id, day)
);

TABLE agent_delivery_marks (
    project text NOT NULL,
    folded_before timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_delivery_marks PRIMARY KEY (project)
);

TABLE agent_delivery_weeks -- Deliveries counted by week (since 1970-01-01), up to each project's mark in agent_delivery_marks (
    project text NOT NULL,
    agent_name text NOT NULL,
    week integer NOT NULL,
    lesson_id text NOT NULL,
    deliveries integer NOT NULL,
    shown integer NOT NULL,
    randomised integer NOT NULL,
    randomised_shown integer NOT NULL,
    last_delivered_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_delivery_weeks PRIMARY KEY (project, agent_name, week, lesson_id)
);

TABLE agent_evidence -- Each agent's rows and events added up, and its checked runs of the holdout by arm, with their issues (
    project text NOT NULL,
    agent_name text NOT NULL,
    effect jsonb NOT NULL,
    served_issues bigint NOT NULL DEFAULT '0'::bigint,
    served_squares bigint NOT NULL DEFAULT '0'::bigint,
    held_out_issues bigint NOT NULL DEFAULT '0'::bigint,
    held_out_squares bigint NOT NULL DEFAULT '0'::bigint,
    served_runs bigint NOT NULL DEFAULT '0'::bigint,
    held_out_runs bigint NOT NULL DEFAULT '0'::bigint,
    crossovers bigint NOT NULL DEFAULT '0'::bigint,
    CONSTRAINT pk_agent_evidence PRIMARY KEY (project, agent_name)
);

TABLE agent_experiments -- The experiment that is on; a person begins another, which tosses all coins anew. None: the first (
    project text NOT NULL,
    epoch integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    principal text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT pk_agent_experiments PRIMARY KEY (project)
);

TABLE agent_issues (
    project text NOT NULL,
    id text NOT NULL,
    agent_name text NOT NULL,
    description text NOT NULL,
    severity smallint NOT NULL,
    category text NOT NULL,
    file text NOT NULL DEFAULT ''::text,
    line integer,
    rule_id text NOT NULL DEFAULT ''::text,
    source text NOT NULL,
    evidence text NOT NULL,
    principal text NOT NULL,
    run_id text,
    lesson_id text,
    action text NOT NULL,
    reason text NOT NULL,
    score double precision,
    runner_up text,
    runner_up_score double precision,
    fingerprint text NOT NULL,
    is_new boolean NOT NULL DEFAULT true,
    is_event boolean NOT NULL DEFAULT false,
    refinement_run_id text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    event_verified boolean NOT NULL DEFAULT false,
    group_id text,
    CONSTRAINT fk_agent_issues_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT fk_agent_issues_agent_runs FOREIGN KEY (project, run_id) REFERENCES agent_runs(project, run_id),
    CONSTRAINT pk_agent_issues PRIMARY KEY (project, id)
);

TABLE agent_lesson_applications (
    project text NOT NULL,
    run_id text NOT NULL,
    lesson_id text NOT NULL,
    agent_name text NOT NULL,
    principal text NOT NULL,
    self_report boolean,
    verdict boolean,
    verdict_source text,
    verdict_evidence text,
    verdict_by text,
    verdict_at timestamp with time zone,
    notes text NOT NULL DEFAULT ''::text,
    applied_at timestamp with time zone NOT NULL,
    by_coin boolean NOT NULL DEFAULT false,
    CONSTRAINT fk_agent_lesson_applications_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT fk_agent_lesson_applications_agent_runs FOREIGN KEY (project, run_id) REFERENCES agent_runs(project, run_id),
    CONSTRAINT pk_agent_lesson_applications PRIMARY KEY (project, run_id, lesson_id)
);

TABLE agent_lesson_deliveries -- Append-only: a lesson was eligible in a run, and shown or withheld; committed before the answer (
    project text NOT NULL,
    run_id text NOT NULL,
    lesson_id text NOT NULL,
    agent_name text NOT NULL,
    eligible boolean NOT NULL DEFAULT true,
    shown boolean NOT NULL,
    p_show double precision NOT NULL,
    exempt boolean NOT NULL,
    policy_version text NOT NULL,
    position smallint NOT NULL,
    delivered_at timestamp with time zone NOT NULL,
    lesson_version integer NOT NULL DEFAULT 1,
    tokens integer NOT NULL DEFAULT 0,
    run_started_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone,
    CONSTRAINT fk_agent_lesson_deliveries_agent_runs FOREIGN KEY (project, run_id) REFERENCES agent_runs(project, run_id)
);

TABLE agent_lesson_documents -- What full-text search reads: a lesson's text, its keys, and the issues behind it (
    document_id bigint NOT NULL DEFAULT nextval('agent_lesson_documents_document_id_seq'::regclass),
    project text NOT NULL,
    lesson_id text NOT NULL,
    body text NOT NULL,
    body_vector tsvector GENERATED AS to_tsvector('english'::regconfig, body) STORED,
    CONSTRAINT fk_agent_lesson_documents_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT pk_agent_lesson_documents PRIMARY KEY (project, document_id)
);

TABLE agent_lesson_flags (
    project text NOT NULL,
    lesson_id text NOT NULL,
    principal text NOT NULL,
    reason text NOT NULL,
    run_id text,
    flagged_at timestamp with time zone NOT NULL,
    earlier jsonb NOT NULL DEFAULT '[]'::jsonb,
    CONSTRAINT fk_agent_lesson_flags_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT pk_agent_lesson_flags PRIMARY KEY (project, lesson_id, principal)
);

TABLE agent_lesson_keys -- Every exact name a lesson is matched by: rule keys, catalogue ids, text hashes, issue fingerprints (
    project text NOT NULL,
    agent_name text NOT NULL,
    key text NOT NULL,
    lesson_id text NOT NULL,
    CONSTRAINT fk_agent_lesson_keys_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT pk_agent_lesson_keys PRIMARY KEY (project, agent_name, key)
);

TABLE agent_lesson_reporters -- Which kinds of reporters have found a lesson's issue: only their checks tell about the lesson (
    project text NOT NULL,
    lesson_id text NOT NULL,
    source text NOT NULL,
    tool text NOT NULL,
    CONSTRAINT pk_agent_lesson_reporters PRIMARY KEY (project, lesson_id, source, tool)
);

TABLE agent_lesson_vectors -- Meaning of a lesson and the issues behind it, by model: 32-bit floats, little-endian, of length 1 (
    project text NOT NULL,
    lesson_id text NOT NULL,
    model text NOT NULL,
    text_hash text NOT NULL,
    revision bigint NOT NULL,
    vector bytea NOT NULL,
    embedded_at timestamp with time zone NOT NULL,
    CONSTRAINT fk_agent_lesson_vectors_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT pk_agent_lesson_vectors PRIMARY KEY (project, lesson_id, model)
);

TABLE agent_lesson_versions -- Append-only history: every change of a lesson, by whom, why, and the numbers at the time (
    project text NOT NULL,
    lesson_id text NOT NULL,
    change integer NOT NULL,
    version integer NOT NULL,
    action text NOT NULL,
    principal text NOT NULL,
    reason text NOT NULL,
    status text NOT NULL,
    lesson_text text NOT NULL,
    rationale text NOT NULL,
    severity smallint NOT NULL,
    category text NOT NULL,
    numbers jsonb NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT fk_agent_lesson_versions_agent_lessons FOREIGN KEY (project, lesson_id) REFERENCES agent_lessons(project, id),
    CONSTRAINT pk_agent_lesson_versions PRIMARY KEY (project, lesson_id, change)
);

TABLE agent_lessons (
    project text NOT NULL,
    id text NOT NULL,
    agent_name text NOT NULL,
    lesson_text text NOT NULL,
    rationale text NOT NULL,
    severity smallint NOT NULL,
    severity_name text GENERATED AS
CASE severity
    WHEN 4 THEN 'critical'::text
    WHEN 3 THEN 'high'::text
    WHEN 2 THEN 'medium'::text
    ELSE 'low'::text
END STORED,
    category text NOT NULL,
    rule_key text NOT NULL DEFAULT ''::text,
    status text NOT NULL,
    is_active boolean NOT NULL,
    pinned boolean NOT NULL DEFAULT false,
    version integer NOT NULL DEFAULT 1,
    trust text NOT NULL,
    author text NOT NULL,
    approved_by text,
    provenance jsonb NOT NULL,
    issue_count integer NOT NULL DEFAULT 0,
    times_applied integer NOT NULL DEFAULT 0,
    times_verified integer NOT NULL DEFAULT 0,
    times_prevented integer NOT NULL DEFAULT 0,
    effectiveness_score double precision NOT NULL,
    effect_low double precision NOT NULL,
    effect_high double precision NOT NULL,
    events integer NOT NULL DEFAULT 0,
    flags integer NOT NULL DEFAULT 0,
    status_reason text NOT NULL DEFAULT ''::text,
    last_seen_at timestamp with time zone,
    last_applied_at timestamp with time zone,
    expires_at timestamp with time zone,
    superseded_by text,
    content_hash text NOT NULL,
    token_count integer NOT NULL,
    revision bigint NOT NULL DEFAULT '0'::bigint,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    evidence jsonb NOT NULL DEFAULT '{}'::jsonb,
    visible_to text,
    proposal_for text,
    CONSTRAINT pk_agent_lessons PRIMARY KEY (project, id)
);

TABLE agent_names -- Names that are agents though the roster has them not: added, given to a server, written for, imported (
    project text NOT NULL,
    agent_name text NOT NULL,
    given_by text NOT NULL,
    added_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_names PRIMARY KEY (project, agent_name)
);

TABLE agent_refinement_runs (
    project text NOT NULL,
    id text NOT NULL,
    principal text NOT NULL,
    source text NOT NULL,
    refiner text NOT NULL,
    model text NOT NULL DEFAULT ''::text,
    prompt_hash text NOT NULL DEFAULT ''::text,
    issues integer NOT NULL,
    created integer NOT NULL,
    merged integer NOT NULL,
    pending integer NOT NULL,
    quarantined integer NOT NULL,
    rejected integer NOT NULL,
    tokens integer NOT NULL DEFAULT 0,
    cost_usd double precision NOT NULL DEFAULT '0'::double precision,
    duration_ms double precision NOT NULL,
    error text NOT NULL DEFAULT ''::text,
    started_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_refinement_runs PRIMARY KEY (project, id)
);

TABLE agent_revisions -- One counter per agent; a changed lesson carries its value, so that readers fetch only what is new (
    project text NOT NULL,
    agent_name text NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT pk_agent_revisions PRIMARY KEY (project, agent_name)
);

TABLE agent_run_checks -- Who looked at which run, findings or not; routine: a reporter that reports every run (
    project text NOT NULL,
    run_id text NOT NULL,
    source text NOT NULL,
    tool text NOT NULL,
    principal text NOT NULL,
    findings integer NOT NULL,
    routine boolean NOT NULL,
    checked_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_run_checks PRIMARY KEY (project, run_id, source, tool, principal)
);

TABLE agent_runs (
    project text NOT NULL,
    run_id text NOT NULL,
    agent_name text NOT NULL,
    principal text NOT NULL,
    holdout boolean NOT NULL DEFAULT false,
    task_hash text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    p_holdout double precision NOT NULL DEFAULT '0'::double precision,
    issues integer NOT NULL DEFAULT 0,
    label text NOT NULL DEFAULT ''::text,
    routed boolean NOT NULL DEFAULT false,
    change text NOT NULL DEFAULT ''::text,
    checked_at timestamp with time zone,
    CONSTRAINT pk_agent_runs PRIMARY KEY (project, run_id)
);

TABLE agent_service_stops -- Whether serving is stopped because measured it does harm; numbers: the evidence counted from then on (
    project text NOT NULL,
    stopped boolean NOT NULL,
    reason text NOT NULL,
    numbers jsonb NOT NULL,
    principal text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_agent_service_stops PRIMARY KEY (project)
);

TABLE alembic_version (
    version_num character varying(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

TABLE audit_heads -- Where each chain of audit_log ends, so that a cut-off tail shows (
    project text NOT NULL,
    writer text NOT NULL,
    seq bigint NOT NULL,
    hash text NOT NULL,
    CONSTRAINT pk_audit_heads PRIMARY KEY (project, writer)
);

TABLE audit_log (
    project text NOT NULL,
    writer text NOT NULL,
    seq bigint NOT NULL,
    principal text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL,
    logged_at timestamp with time zone NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (project, writer, seq)
);

TABLE call_counts -- Calls of a principal in a minute (since 1970-01-01), by server process: for the limit of all together (
    project text NOT NULL,
    principal text NOT NULL,
    writer text NOT NULL,
    minute bigint NOT NULL,
    calls integer NOT NULL,
    CONSTRAINT pk_call_counts PRIMARY KEY (project, principal, writer, minute)
);

TABLE idempotency_keys (
    project text NOT NULL,
    principal text NOT NULL,
    tool text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (project, principal, tool, key)
);

TABLE project_names -- Further names by which projects are found; rows keep the name that they were written under (
    name text NOT NULL,
    leads_to text NOT NULL,
    principal text NOT NULL,
    is_shown boolean NOT NULL DEFAULT false,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_project_names PRIMARY KEY (name)
);

TABLE server_secrets -- Random keys shared by all replicas: what delimiters and coins are derived from (
    name text NOT NULL,
    value text NOT NULL,
    CONSTRAINT pk_server_secrets PRIMARY KEY (name)
);

TABLE use_counts -- Uses of a principal by kind in an hour (since 1970-01-01), by process: for the limit of all together (
    project text NOT NULL,
    principal text NOT NULL,
    kind text NOT NULL,
    writer text NOT NULL,
    hour bigint NOT NULL,
    uses integer NOT NULL,
    CONSTRAINT pk_use_counts PRIMARY KEY (project, principal, kind, writer, hour)
);

SEQUENCE agent_lesson_documents_document_id_seq;

CREATE UNIQUE INDEX alembic_version_pkc ON public.alembic_version USING btree (version_num);

CREATE INDEX ix_agent_checked_lessons_lesson ON public.agent_checked_lessons USING btree (project, lesson_id, epoch);

CREATE INDEX ix_agent_checked_lessons_run ON public.agent_checked_lessons USING btree (project, run_id);

CREATE INDEX ix_agent_delivery_folds_lesson ON public.agent_delivery_folds USING btree (project, lesson_id, day);

CREATE INDEX ix_agent_delivery_weeks_lesson ON public.agent_delivery_weeks USING btree (project, lesson_id);

CREATE INDEX ix_agent_issues_agent ON public.agent_issues USING btree (project, agent_name, created_at);

CREATE INDEX ix_agent_issues_events ON public.agent_issues USING btree (project, agent_name, created_at) WHERE is_event;

CREATE INDEX ix_agent_issues_fingerprint ON public.agent_issues USING btree (project, fingerprint);

CREATE INDEX ix_agent_issues_group ON public.agent_issues USING btree (project, action, group_id, created_at, agent_name, severity) WHERE (group_id IS NOT NULL);

CREATE INDEX ix_agent_issues_lesson ON public.agent_issues USING btree (project, lesson_id, created_at);

CREATE INDEX ix_agent_issues_pending ON public.agent_issues USING btree (project, created_at) WHERE (action = 'pending'::text);

CREATE INDEX ix_agent_issues_run ON public.agent_issues USING btree (project, run_id);

CREATE INDEX ix_agent_issues_time ON public.agent_issues USING btree (project, created_at, agent_name);

CREATE INDEX ix_agent_issues_waiting ON public.agent_issues USING btree (project, agent_name, created_at) WHERE (action = 'pending'::text);

CREATE INDEX ix_agent_issues_worded ON public.agent_issues USING btree (project, created_at) WHERE ((group_id IS NOT NULL) AND (rule_id = ''::text));

CREATE INDEX ix_agent_lesson_applications_agent ON public.agent_lesson_applications USING btree (project, agent_name, applied_at);

CREATE INDEX ix_agent_lesson_applications_lesson ON public.agent_lesson_applications USING btree (project, lesson_id, applied_at, verdict);

CREATE INDEX ix_agent_lesson_deliveries_time ON ONLY public.agent_lesson_deliveries USING btree (project, delivered_at);

CREATE INDEX ix_agent_lesson_documents_search ON public.agent_lesson_documents USING gin (body_vector);

CREATE INDEX ix_agent_lesson_keys_key ON public.agent_lesson_keys USING btree (project, key);

CREATE INDEX ix_agent_lesson_keys_lesson ON public.agent_lesson_keys USING btree (project, lesson_id);

CREATE INDEX ix_agent_lesson_vectors_age ON public.agent_lesson_vectors USING btree (project, model, embedded_at);

CREATE INDEX ix_agent_lessons_recurring ON public.agent_lessons USING btree (project, issue_count);

CREATE INDEX ix_agent_lessons_revision ON public.agent_lessons USING btree (project, agent_name, revision);

CREATE INDEX ix_agent_lessons_status ON public.agent_lessons USING btree (project, status, agent_name, times_applied, times_verified, times_prevented);

CREATE INDEX ix_agent_run_checks_reporter ON public.agent_run_checks USING btree (project, principal, source, tool, checked_at);

CREATE INDEX ix_agent_runs_time ON public.agent_runs USING btree (project, started_at, agent_name);

CREATE INDEX ix_audit_log_subject ON public.audit_log USING btree (project, subject);

CREATE INDEX ix_audit_log_time ON public.audit_log USING btree (project, logged_at);

CREATE INDEX ix_call_counts_minute ON public.call_counts USING btree (minute);

CREATE INDEX ix_idempotency_keys_created_at ON public.idempotency_keys USING btree (created_at);

CREATE INDEX ix_use_counts_hour ON public.use_counts USING btree (hour);

CREATE UNIQUE INDEX pk_access_tokens ON public.access_tokens USING btree (name);

CREATE UNIQUE INDEX pk_agent_activity_days ON public.agent_activity_days USING btree (project, agent_name, day);

CREATE UNIQUE INDEX pk_agent_checked_lessons ON public.agent_checked_lessons USING btree (project, change, lesson_id);

CREATE UNIQUE INDEX pk_agent_delivery_folds ON public.agent_delivery_folds USING btree (project, agent_name, lesson_id, day);

CREATE UNIQUE INDEX pk_agent_delivery_marks ON public.agent_delivery_marks USING btree (project);

CREATE UNIQUE INDEX pk_agent_delivery_weeks ON public.agent_delivery_weeks USING btree (project, agent_name, week, lesson_id);

CREATE UNIQUE INDEX pk_agent_evidence ON public.agent_evidence USING btree (project, agent_name);

CREATE UNIQUE INDEX pk_agent_experiments ON public.agent_experiments USING btree (project);

CREATE UNIQUE INDEX pk_agent_issues ON public.agent_issues USING btree (project, id);

CREATE UNIQUE INDEX pk_agent_lesson_applications ON public.agent_lesson_applications USING btree (project, run_id, lesson_id);

CREATE UNIQUE INDEX pk_agent_lesson_documents ON public.agent_lesson_documents USING btree (project, document_id);

CREATE UNIQUE INDEX pk_agent_lesson_flags ON public.agent_lesson_flags USING btree (project, lesson_id, principal);

CREATE UNIQUE INDEX pk_agent_lesson_keys ON public.agent_lesson_keys USING btree (project, agent_name, key);

CREATE UNIQUE INDEX pk_agent_lesson_reporters ON public.agent_lesson_reporters USING btree (project, lesson_id, source, tool);

CREATE UNIQUE INDEX pk_agent_lesson_vectors ON public.agent_lesson_vectors USING btree (project, lesson_id, model);

CREATE UNIQUE INDEX pk_agent_lesson_versions ON public.agent_lesson_versions USING btree (project, lesson_id, change);

CREATE UNIQUE INDEX pk_agent_lessons ON public.agent_lessons USING btree (project, id);

CREATE UNIQUE INDEX pk_agent_names ON public.agent_names USING btree (project, agent_name);

CREATE UNIQUE INDEX pk_agent_refinement_runs ON public.agent_refinement_runs USING btree (project, id);

CREATE UNIQUE INDEX pk_agent_revisions ON public.agent_revisions USING btree (project, agent_name);

CREATE UNIQUE INDEX pk_agent_run_checks ON public.agent_run_checks USING btree (project, run_id, source, tool, principal);

CREATE UNIQUE INDEX pk_agent_runs ON public.agent_runs USING btree (project, run_id);

CREATE UNIQUE INDEX pk_agent_service_stops ON public.agent_service_stops USING btree (project);

CREATE UNIQUE INDEX pk_audit_heads ON public.audit_heads USING btree (project, writer);

CREATE UNIQUE INDEX pk_audit_log ON public.audit_log USING btree (project, writer, seq);

CREATE UNIQUE INDEX pk_call_counts ON public.call_counts USING btree (project, principal, writer, minute);

CREATE UNIQUE INDEX pk_idempotency_keys ON public.idempotency_keys USING btree (project, principal, tool, key);

CREATE UNIQUE INDEX pk_project_names ON public.project_names USING btree (name);

CREATE UNIQUE INDEX pk_server_secrets ON public.server_secrets USING btree (name);

CREATE UNIQUE INDEX pk_use_counts ON public.use_counts USING btree (project, principal, kind, writer, hour);

CREATE UNIQUE INDEX uq_access_tokens_token_hash ON public.access_tokens USING btree (token_hash);

CREATE UNIQUE INDEX uq_agent_issues_event ON public.agent_issues USING btree (project, run_id, lesson_id) WHERE is_event;

CREATE UNIQUE INDEX uq_agent_lesson_documents_lesson ON public.agent_lesson_documents USING btree (project, lesson_id);

POLICY one_project ON agent_activity_days FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_activity_days FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_checked_lessons FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_checked_lessons FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_delivery_folds FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_delivery_folds FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_delivery_marks FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_delivery_marks FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_delivery_weeks FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_delivery_weeks FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_evidence FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_evidence FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_experiments FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_experiments FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_issues FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_issues FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_applications FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_applications FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_deliveries FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_deliveries FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_documents FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_documents FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_flags FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_flags FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_keys FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_keys FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_reporters FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_reporters FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_vectors FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_vectors FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lesson_versions FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lesson_versions FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_lessons FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_lessons FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_names FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_names FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_refinement_runs FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_refinement_runs FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_revisions FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_revisions FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_run_checks FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_run_checks FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_runs FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_runs FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON agent_service_stops FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON agent_service_stops FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON audit_heads FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON audit_heads FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON audit_log FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON audit_log FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON call_counts FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON call_counts FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON idempotency_keys FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON idempotency_keys FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

POLICY one_project ON use_counts FOR ALL USING ((project = ( SELECT current_setting('lessonbook.project'::text, true) AS current_setting)) OR (( SELECT current_setting('lessonbook.project'::text, true) AS current_setting) = '*'::text)) FORCED;

POLICY owner_outside ON use_counts FOR ALL USING (COALESCE(( SELECT current_setting('lessonbook.project'::text, true) AS current_setting), ''::text) = ''::text) FORCED;

VIEW agent_learning_stats {security_invoker=true} AS
 WITH activity AS (
         SELECT agent_activity_days.project,
            agent_activity_days.agent_name,
            agent_activity_days.runs,
            agent_activity_days.deliveries,
            agent_activity_days.issues,
            agent_activity_days.last_at
           FROM agent_activity_days
        UNION ALL
         SELECT d.project,
            d.agent_name,
            0,
            1,
            0,
            d.delivered_at
           FROM (agent_delivery_marks m
             CROSS JOIN agent_lesson_deliveries d)
          WHERE ((d.project = m.project) AND (d.delivered_at >= m.folded_before))
        UNION ALL
         SELECT r.project,
            r.agent_name,
            1,
            0,
            0,
            r.started_at
           FROM (agent_delivery_marks m
             CROSS JOIN agent_runs r)
          WHERE ((r.project = m.project) AND (r.started_at >= m.folded_before))
        UNION ALL
         SELECT i.project,
            i.agent_name,
            0,
            0,
            1,
            i.created_at
           FROM (agent_delivery_marks m
             CROSS JOIN agent_issues i)
          WHERE ((i.project = m.project) AND (i.created_at >= m.folded_before))
        ), by_activity AS (
         SELECT activity.project,
            activity.agent_name,
            sum(activity.runs) AS runs,
            sum(activity.deliveries) AS deliveries,
            sum(activity.issues) AS issues,
            max(activity.last_at) AS last_at
           FROM activity
          GROUP BY activity.project, activity.agent_name
        ), by_lesson AS (
         SELECT agent_lessons.project,
            agent_lessons.agent_name,
            sum(
                CASE
                    WHEN (agent_lessons.status <> ALL (ARRAY['rejected'::text, 'superseded'::text])) THEN 1
                    ELSE 0
                END) AS total_lessons,
            sum(
                CASE
                    WHEN agent_lessons.is_active THEN 1
                    ELSE 0
                END) AS active_lessons,
            sum(
                CASE
                    WHEN ((agent_lessons.severity = 4) AND (agent_lessons.status <> ALL (ARRAY['rejected'::text, 'superseded'::text]))) THEN 1
                    ELSE 0
                END) AS critical_lessons,
            sum(
                CASE
                    WHEN ((agent_lessons.severity = 3) AND (agent_lessons.status <> ALL (ARRAY['rejected'::text, 'superseded'::text]))) THEN 1
                    ELSE 0
                END) AS high_lessons,
            sum(
                CASE
                    WHEN ((agent_lessons.severity = 2) AND (agent_lessons.status <> ALL (ARRAY['rejected'::text, 'superseded'::text]))) THEN 1
                    ELSE 0
                END) AS medium_lessons,
            sum(
                CASE
                    WHEN ((agent_lessons.severity = 1) AND (agent_lessons.status <> ALL (ARRAY['rejected'::text, 'superseded'::text]))) THEN 1
                    ELSE 0
                END) AS low_lessons,
            sum(agent_lessons.times_applied) AS applications,
            sum(agent_lessons.times_verified) AS verified,
            sum(agent_lessons.times_prevented) AS prevented,
            avg(
                CASE
                    WHEN agent_lessons.is_active THEN agent_lessons.effectiveness_score
                    ELSE NULL::double precision
                END) AS effectiveness,
            avg(
                CASE
                    WHEN agent_lessons.is_active THEN agent_lessons.effect_low
                    ELSE NULL::double precision
                END) AS effectiveness_low,
            avg(
                CASE
                    WHEN agent_lessons.is_active THEN agent_lessons.effect_high
                    ELSE NULL::double precision
                END) AS effectiveness_high,
            max(agent_lessons.updated_at) AS changed_at
           FROM agent_lessons
          GROUP BY agent_lessons.project, agent_lessons.agent_name
        ), by_waiting AS (
         SELECT agent_issues.project,
            agent_issues.agent_name,
            count(*) AS pending_issues
           FROM agent_issues
          WHERE (agent_issues.action = 'pending'::text)
          GROUP BY agent_issues.project, agent_issues.agent_name
        ), names AS (
         SELECT by_lesson.project,
            by_lesson.agent_name
           FROM by_lesson
        UNION
         SELECT by_activity.project,
            by_activity.agent_name
           FROM by_activity
        )
 SELECT n.project,
    n.agent_name,
    COALESCE(l.total_lessons, (0)::bigint) AS total_lessons,
    COALESCE(l.active_lessons, (0)::bigint) AS active_lessons,
    COALESCE(l.critical_lessons, (0)::bigint) AS critical_lessons,
    COALESCE(l.high_lessons, (0)::bigint) AS high_lessons,
    COALESCE(l.medium_lessons, (0)::bigint) AS medium_lessons,
    COALESCE(l.low_lessons, (0)::bigint) AS low_lessons,
    COALESCE(a.issues, (0)::bigint) AS issues,
    COALESCE(w.pending_issues, (0)::bigint) AS pending_issues,
    COALESCE(a.runs, (0)::bigint) AS runs,
    COALESCE(a.deliveries, (0)::bigint) AS deliveries,
    COALESCE(l.applications, (0)::bigint) AS applications,
    COALESCE(l.verified, (0)::bigint) AS verified,
    COALESCE(l.prevented, (0)::bigint) AS prevented,
    l.effectiveness,
    l.effectiveness_low,
    l.effectiveness_high,
    GREATEST(l.changed_at, a.last_at) AS last_activity_at
   FROM (((names n
     LEFT JOIN by_lesson l ON (((l.project = n.project) AND (l.agent_name = n.agent_name))))
     LEFT JOIN by_activity a ON (((a.project = n.project) AND (a.agent_name = n.agent_name))))
     LEFT JOIN by_waiting w ON (((w.project = n.project) AND (w.agent_name = n.agent_name))));

CREATE TRIGGER agent_issues_marked AFTER INSERT ON public.agent_issues FOR EACH ROW EXECUTE FUNCTION agent_delivery_marks_begin();

CREATE TRIGGER agent_lesson_versions_kept BEFORE DELETE ON public.agent_lesson_versions FOR EACH ROW EXECUTE FUNCTION agent_lesson_versions_refuse();

CREATE TRIGGER agent_lesson_versions_unchanged BEFORE UPDATE ON public.agent_lesson_versions FOR EACH ROW WHEN (((new.lesson_text <> ''::text) OR (new.rationale <> ''::text) OR (new.reason <> ''::text) OR (new.project IS DISTINCT FROM old.project) OR (new.lesson_id IS DISTINCT FROM old.lesson_id) OR (new.change IS DISTINCT FROM old.change) OR (new.version IS DISTINCT FROM old.version) OR (new.action IS DISTINCT FROM old.action) OR (new.principal IS DISTINCT FROM old.principal) OR (new.status IS DISTINCT FROM old.status) OR (new.severity IS DISTINCT FROM old.severity) OR (new.category IS DISTINCT FROM old.category) OR (new.numbers IS DISTINCT FROM old.numbers) OR (new.changed_at IS DISTINCT FROM old.changed_at))) EXECUTE FUNCTION agent_lesson_versions_refuse();

CREATE TRIGGER agent_runs_marked AFTER INSERT ON public.agent_runs FOR EACH ROW EXECUTE FUNCTION agent_delivery_marks_begin();

CREATE OR REPLACE FUNCTION public.agent_delivery_marks_begin()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$ BEGIN
            IF NOT EXISTS (SELECT 1 FROM agent_delivery_marks m WHERE m.project = NEW.project) THEN
                INSERT INTO agent_delivery_marks (project, folded_before) VALUES (NEW.project, '1970-01-01 00:00:00.000000+00')
                    ON CONFLICT DO NOTHING;
            END IF;
            RETURN NULL;
        END $function$;

CREATE OR REPLACE FUNCTION public.agent_lesson_deliveries_keep(moment timestamp with time zone, drop_before timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'public', 'pg_temp'
AS $function$
DECLARE
    month timestamptz := date_trunc('month', moment, 'UTC');
    later timestamptz;
    name text;
    is_needed boolean;
    dropped integer := 0;
    wall text := coalesce(current_setting('lessonbook.project', true), '');
BEGIN
    PERFORM set_config('lessonbook.project', '*', true);  -- not at the function: only a superuser may set it there
    PERFORM pg_advisory_xact_lock(hashtextextended('agent_lesson_deliveries_keep', 0));
    FOR ahead IN 0..2 LOOP
        later := (month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        name := 'agent_lesson_deliveries_' || to_char(month AT TIME ZONE 'UTC', 'YYYY_MM');
        IF to_regclass(name) IS NULL AND NOT EXISTS (
            SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
            WHERE inhparent = 'agent_lesson_deliveries'::regclass AND c.relname ~ '_until_'
                AND right(c.relname, 7) > to_char(month AT TIME ZONE 'UTC', 'YYYY_MM')
        ) THEN
            EXECUTE format('CREATE TABLE %I (LIKE agent_lesson_deliveries INCLUDING DEFAULTS,
                CONSTRAINT %I PRIMARY KEY (project, run_id, lesson_id))', name, 'pk_' || name);
            EXECUTE format('CREATE INDEX %I ON %I (project, delivered_at)', 'ix_' || name || '_time', name);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('CREATE POLICY one_project ON %I USING (project = (SELECT current_setting(''lessonbook.project'', true)) OR (SELECT current_setting(''lessonbook.project'', true)) = ''*'')', name);
            EXECUTE format('CREATE POLICY owner_outside ON %I TO CURRENT_USER USING (coalesce((SELECT current_setting(''lessonbook.project'', true)), '''') = '''')',
                name);
            EXECUTE format('WITH moved AS (DELETE FROM agent_lesson_deliveries_other WHERE run_started_at >= %L AND run_started_at < %L
                RETURNING *) INSERT INTO %I SELECT * FROM moved', month, later, name);
            EXECUTE format('ALTER TABLE agent_lesson_deliveries ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, month, later);
        END IF;
        month := later;
    END LOOP;
    FOR name IN
        SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
        WHERE inhparent = 'agent_lesson_deliveries'::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
    LOOP
        later := to_date(right(name, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC';
        IF name !~ '_until_' THEN
            later := (later AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        END IF;
        CONTINUE WHEN drop_before IS NULL OR later > drop_before;
        -- A run may go on for long: a row that is young, or not in the rollups yet, keeps its partition.
        EXECUTE format('SELECT EXISTS (SELECT FROM agent_delivery_marks m WHERE EXISTS (SELECT FROM %I d
            WHERE d.project = m.project AND d.delivered_at >= least(m.folded_before, $1)))', name)
            INTO is_needed USING drop_before;
        IF NOT is_needed THEN
            EXECUTE format('DROP TABLE %I', name);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    PERFORM set_config('lessonbook.project', wall, true);
    RETURN dropped;
END $function$;

CREATE OR REPLACE FUNCTION public.agent_lesson_versions_refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
            BEGIN RAISE EXCEPTION 'agent_lesson_versions is append-only'; END $function$;
