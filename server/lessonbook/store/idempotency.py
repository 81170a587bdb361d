"""Stored answers: the same request under the same key is done once."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, tuple_

from lessonbook.domain.errors import Conflict
from lessonbook.store import dialect
from lessonbook.store.engine import Retry
from lessonbook.store.tables import idempotency_keys, in_project
from lessonbook.store.types import Row

KEPT_FOR: Final = timedelta(hours=24)
_STORED: Final = select(*(idempotency_keys.c[name] for name in ("request_hash", "answer", "created_at"))).where(
    *in_project(
        idempotency_keys, bindparam("project"), **{name: bindparam(name) for name in ("principal", "tool", "key")}
    )
)


def answer(
    connection: Connection, project: str, principal: str, tool: str, key: str, request_hash: str, now: datetime
) -> Mapping[str, Any] | None:
    """Return the answer given under `key` in the last 24 hours, or None.

    Raises:
        Conflict: the key was used with another request.
    """
    named = {"principal": principal, "tool": tool, "key": key}
    row = connection.execute(_STORED, {"project": project, **named}).one_or_none()
    if row is None:
        return None
    if row.created_at <= now - KEPT_FOR:
        connection.execute(delete(idempotency_keys).where(*in_project(idempotency_keys, project, **named)))
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
        Retry: another transaction has stored an answer under the same key meanwhile.
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
    """Delete keys older than 24 hours, except those that another transaction has locked, and return how many."""
    key = idempotency_keys.primary_key.columns
    old = select(*key).where(idempotency_keys.c.created_at <= now - KEPT_FOR).with_for_update(skip_locked=True)
    return connection.execute(delete(idempotency_keys).where(tuple_(*key).in_(old))).rowcount
