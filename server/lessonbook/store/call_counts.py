"""Queries about the number of calls of each principal, by minute and server process."""

from typing import Final

from sqlalchemy import Connection, delete, func, select

from lessonbook.store import dialect
from lessonbook.store.tables import call_counts, in_project

KEPT_MINUTES: Final = 10


def exchange(connection: Connection, project: str, principal: str, writer: str, minute: int, calls: int) -> int:
    """Store how many calls this process has admitted in a minute, and return how many all others have."""
    key = {"project": project, "principal": principal, "writer": writer, "minute": minute}
    statement = dialect.upsert(dialect.name_of(connection), call_counts, replaced=("calls",))
    connection.execute(statement, {**key, "calls": calls})
    ours = in_project(call_counts, project, principal=principal, minute=minute)
    total = select(func.coalesce(func.sum(call_counts.c.calls), 0)).where(*ours, call_counts.c.writer != writer)
    return int(connection.execute(total).scalar_one())


def prune(connection: Connection, minute: int) -> None:
    """Delete what is older than ten minutes at `minute`."""
    connection.execute(delete(call_counts).where(call_counts.c.minute < minute - KEPT_MINUTES))
