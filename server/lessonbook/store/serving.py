"""The reads and writes of a call of `get_lessons`, in as few round trips as possible.

Every agent waits for this call before it starts, so its statements are SQL text: on PostgreSQL a round trip takes
longer than the statement, and on SQLite SQLAlchemy takes longer than the database.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.store import dialect
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row, UtcDateTime, sqlite_moment

_RUN: Final = (
    "project",
    "run_id",
    "agent_name",
    "principal",
    "holdout",
    "p_holdout",
    "task_hash",
    "started_at",
    "label",
    "routed",
    "change",
)
_DELIVERY: Final = {
    "agent_name": "text",
    "lesson_id": "text",
    "shown": "boolean",
    "p_show": "float8",
    "exempt": "boolean",
    "policy_version": "text",
    "position": "int2",
    "lesson_version": "int4",
    "tokens": "int4",
}
_ANSWER: Final = ("project", "principal", "tool", "key", "request_hash", "answer", "created_at")


def _insert(table: str, columns: Sequence[str]) -> str:
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608  # names of ours


_SQLITE_RUN: Final = _insert("agent_runs", _RUN)
_SQLITE_DELIVERY: Final = _insert("agent_lesson_deliveries", ("project", "run_id", *_DELIVERY, "delivered_at"))
_SQLITE_ANSWER: Final = _insert("idempotency_keys", _ANSWER)
_SQLITE_CHANGED: Final = """
    SELECT 1 FROM agent_lessons WHERE project = :project AND agent_name = :agent AND revision > :agent_revision
    UNION ALL
    SELECT 1 FROM agent_lessons WHERE project = :project AND agent_name = :shared AND revision > :shared_revision
    LIMIT 1"""
_SQLITE_REVISIONS: Final = "SELECT agent_name, revision FROM agent_revisions WHERE project = ?"
_POSTGRESQL: Final = text(f"""
    WITH run AS (
        INSERT INTO agent_runs ({", ".join(_RUN)})
        SELECT :project, :run_id, :agent_name, :principal, :holdout, CAST(:p_holdout AS float8), :task_hash, :now,
            :label, CAST(:routed AS boolean), :change
        WHERE :is_new
        ON CONFLICT DO NOTHING RETURNING 1
    ), delivered AS (
        INSERT INTO agent_lesson_deliveries (project, run_id, {", ".join(_DELIVERY)}, delivered_at,
            run_started_at)
        SELECT :project, :run_id, {", ".join(f"d.{column}" for column in _DELIVERY)}, :now, :began_at
        FROM jsonb_to_recordset(CAST(:deliveries AS jsonb))
            AS d({", ".join(f"{column} {kind}" for column, kind in _DELIVERY.items())})
        ON CONFLICT DO NOTHING RETURNING 1
    ), answered AS (
        INSERT INTO idempotency_keys ({", ".join(_ANSWER)})
        SELECT :project, :principal, :tool, :key, :request_hash, CAST(:answer AS jsonb), :now
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT (SELECT count(*) FROM run), (SELECT count(*) FROM delivered), (SELECT count(*) FROM answered)
""").bindparams(bindparam("now", type_=UtcDateTime()), bindparam("began_at", type_=UtcDateTime()))  # noqa: S608  # names of ours


def log(
    connection: Connection, run: Row, deliveries: Sequence[Row], answered: Row, *, is_new: bool, began_at: datetime
) -> None:
    """Write a run if it `is_new`, its deliveries, and the answer as `idempotency.kept` returns it, at one moment.

    `began_at` is the moment in the run's row: it decides in which partition its deliveries lie.

    Raises:
        Retry: another call of this run was faster, and its decisions stand.
    """
    deliveries = sorted(deliveries, key=itemgetter("lesson_id"))  # one order in all calls of a run: no deadlock
    match dialect.name_of(connection):
        case "sqlite":
            whole = _log_on_sqlite(connection, run, deliveries, answered, is_new=is_new)
        case "postgresql":
            rows = [{column: row[column] for column in _DELIVERY} for row in deliveries]
            given = {**run, **answered, "is_new": is_new, "now": answered["created_at"], "began_at": began_at}
            given |= {"deliveries": json.dumps(rows), "answer": json.dumps(answered["answer"])}
            del given["started_at"], given["created_at"]
            whole = tuple(connection.execute(_POSTGRESQL, given).one()) == (int(is_new), len(rows), 1)
    if not whole:
        raise Retry


def _log_on_sqlite(connection: Connection, run: Row, deliveries: Sequence[Row], answered: Row, *, is_new: bool) -> bool:
    driver: Any = connection.connection.driver_connection
    moment = sqlite_moment(answered["created_at"])
    if is_new and driver.execute(_SQLITE_RUN, {**run, "started_at": moment}).rowcount != 1:
        return False
    rows = [{**row, "delivered_at": moment} for row in deliveries]
    if rows and driver.executemany(_SQLITE_DELIVERY, rows).rowcount != len(rows):
        return False
    kept = {**answered, "answer": json.dumps(answered["answer"]), "created_at": moment}
    return driver.execute(_SQLITE_ANSWER, kept).rowcount == 1


def may_have_changed(
    connection: Connection, project: str, agent_name: str, agent_revision: int, shared_revision: int
) -> bool:
    """Return whether a lesson of the agent or a shared one may have changed after those revisions.

    It is checked on SQLite only, where that is cheap; on PostgreSQL it would be another round trip.
    """
    match dialect.name_of(connection):
        case "sqlite":
            driver: Any = connection.connection.driver_connection
            given = {"project": project, "agent": agent_name, "shared": SHARED_AGENT}
            given |= {"agent_revision": agent_revision, "shared_revision": shared_revision}
            return driver.execute(_SQLITE_CHANGED, given).fetchone() is not None
        case "postgresql":
            return True


def revisions_of(connection: Connection, project: str) -> dict[str, int]:
    """Return the current revision of each agent of a project; on SQLite without SQLAlchemy, which takes longer."""
    match dialect.name_of(connection):
        case "sqlite":
            driver: Any = connection.connection.driver_connection
            return dict(driver.execute(_SQLITE_REVISIONS, (project,)).fetchall())
        case "postgresql":
            return lesson_rows.revisions_of(connection, project)
