"""What a call of `get_lessons` writes: its run, its deliveries, its answer, in as few turns as the database allows."""

import json
from collections.abc import Sequence
from typing import Final, assert_never

from sqlalchemy import Connection, bindparam, text

from lessonbook.store import dialect, runs
from lessonbook.store.engine import Retry
from lessonbook.store.tables import idempotency_keys
from lessonbook.store.types import Row, UtcDateTime

# A turn to the server and back takes longer than what it does there, and on a busy machine far longer.
_AT_ONCE: Final = text("""
    WITH run AS (
        INSERT INTO agent_runs (project, run_id, agent_name, principal, holdout, p_holdout, task_hash, started_at)
        SELECT :project, :run_id, :agent_name, :principal, :holdout, CAST(:p_holdout AS float8), :task_hash, :now
        WHERE :is_new
        ON CONFLICT DO NOTHING RETURNING 1
    ), delivered AS (
        INSERT INTO agent_lesson_deliveries (project, run_id, lesson_id, agent_name, shown, p_show, exempt,
            policy_version, position, lesson_version, tokens, delivered_at)
        SELECT :project, :run_id, d.lesson_id, :agent_name, d.shown, d.p_show, d.exempt,
            d.policy_version, d.position, d.lesson_version, d.tokens, :now
        FROM jsonb_to_recordset(CAST(:deliveries AS jsonb)) AS d(lesson_id text, shown boolean, p_show float8,
            exempt boolean, policy_version text, position int2, lesson_version int4, tokens int4)
        ON CONFLICT DO NOTHING RETURNING 1
    ), answered AS (
        INSERT INTO idempotency_keys (project, principal, tool, key, request_hash, answer, created_at)
        SELECT :project, :principal, :tool, :key, :request_hash, CAST(:answer AS jsonb), :now
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM delivered), (SELECT count(*) FROM answered)
""").bindparams(bindparam("now", type_=UtcDateTime()))
_OF_A_DELIVERY: Final = (
    "lesson_id",
    "shown",
    "p_show",
    "exempt",
    "policy_version",
    "position",
    "lesson_version",
    "tokens",
)


def log(connection: Connection, run: Row, deliveries: Sequence[Row], answered: Row, *, is_new: bool) -> None:
    """Write a run where it `is_new`, deliveries of it, all of one moment, and the answer as `idempotency.kept` has it.

    Raises:
        Retry: another call of this run was first: what it decided wins.
    """
    name = dialect.name_of(connection)
    match name:
        case "sqlite":
            whole = not is_new or runs.add(connection, run)
            whole = whole and runs.add_deliveries(connection, deliveries) == len(deliveries)
            whole = whole and bool(dialect.insert_new(connection, idempotency_keys, [answered]))
        case "postgresql":
            rows = [{column: row[column] for column in _OF_A_DELIVERY} for row in deliveries]
            given = {**run, **answered, "is_new": is_new, "now": answered["created_at"]}
            given |= {"deliveries": json.dumps(rows), "answer": json.dumps(answered["answer"])}
            del given["started_at"], given["created_at"]
            whole = tuple(connection.execute(_AT_ONCE, given).one()) == (int(is_new), len(rows), 1)
        case _:
            assert_never(name)
    if not whole:
        raise Retry
