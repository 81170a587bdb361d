"""Answers already given: the same request under the same key is done once."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, delete, select, tuple_

from lessonbook.domain.errors import Conflict
from lessonbook.store import dialect
from lessonbook.store.engine import Retry
from lessonbook.store.tables import idempotency_keys
from lessonbook.store.types import Row

KEPT_FOR: Final = timedelta(hours=24)


def answer(
    connection: Connection, project: str, principal: str, tool: str, key: str, request_hash: str, now: datetime
) -> dict[str, Any] | None:
    """Return the answer given under `key` in the last 24 hours, or None.

    Raises:
        Conflict: the key was used with another request.
    """
    columns = idempotency_keys.c
    named = (columns.project == project, columns.principal == principal, columns.tool == tool, columns.key == key)
    row = connection.execute(
        select(columns.request_hash, columns.answer, columns.created_at).where(*named)
    ).one_or_none()
    if row is None:
        return None
    if row.created_at <= now - KEPT_FOR:
        connection.execute(delete(idempotency_keys).where(*named))
        return None
    if row.request_hash != request_hash:
        raise Conflict(
            f"idempotency_key {key!r} was already used for another {tool} request: use a new key for a new request"
        )
    return row.answer


def remember(
    connection: Connection,
    project: str,
    principal: str,
    tool: str,
    key: str,
    request_hash: str,
    given: dict[str, Any],
    now: datetime,
) -> None:
    """Store the answer given under `key`.

    Raises:
        Retry: another transaction has just answered under the same key.
    """
    row = kept(project, principal, tool, key, request_hash, given, now)
    if not dialect.insert_new(connection, idempotency_keys, [row]):
        raise Retry


def kept(
    project: str, principal: str, tool: str, key: str, request_hash: str, given: dict[str, Any], now: datetime
) -> Row:
    """Return the row that stores an answer."""
    return {
        "project": project,
        "principal": principal,
        "tool": tool,
        "key": key,
        "request_hash": request_hash,
        "answer": given,
        "created_at": now,
    }


def prune(connection: Connection, now: datetime) -> int:
    """Delete keys older than 24 hours, but for those that somebody is just using again, and return how many."""
    named = tuple_(*idempotency_keys.primary_key.columns)
    old = select(*idempotency_keys.primary_key.columns).where(idempotency_keys.c.created_at <= now - KEPT_FOR)
    statement = delete(idempotency_keys).where(named.in_(old.with_for_update(skip_locked=True)))
    return connection.execute(statement).rowcount
