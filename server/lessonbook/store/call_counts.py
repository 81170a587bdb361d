"""Queries about the number of calls and uses of each principal, by period and server process."""

from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, select

from lessonbook.store import dialect
from lessonbook.store.tables import call_counts, in_project, use_counts

KEPT_MINUTES: Final = 10
KEPT_HOURS: Final = 2


def exchange(connection: Connection, project: str, principal: str, writer: str, minute: int, calls: int) -> int:
    """Store how many calls this process has admitted in a minute, and return how many all others have."""
    period = {"principal": principal, "minute": minute}
    return _exchange(connection, call_counts, "calls", project, writer, period, calls)


def exchange_uses(
    connection: Connection, project: str, principal: str, kind: str, writer: str, hour: int, uses: int
) -> int:
    """Store how many uses of a kind this process has admitted in an hour, and return how many all others have."""
    period = {"principal": principal, "kind": kind, "hour": hour}
    return _exchange(connection, use_counts, "uses", project, writer, period, uses)


def _exchange(
    connection: Connection, table: Table, counted: str, project: str, writer: str, period: dict[str, Any], own: int
) -> int:
    statement = dialect.upsert(dialect.name_of(connection), table, replaced=(counted,))
    connection.execute(statement, {"project": project, "writer": writer, **period, counted: own})
    total = select(func.coalesce(func.sum(table.c[counted]), 0))
    others = (*in_project(table, project, **period), table.c.writer != writer)
    return int(connection.execute(total.where(*others)).scalar_one())


def prune(connection: Connection, minute: int) -> None:
    """Delete calls older than ten minutes at `minute`, and uses older than two hours."""
    connection.execute(delete(call_counts).where(call_counts.c.minute < minute - KEPT_MINUTES))
    connection.execute(delete(use_counts).where(use_counts.c.hour < minute // 60 - KEPT_HOURS))
