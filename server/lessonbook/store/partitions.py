"""Deliveries by month: partitions are made ahead, and dropped after their time. SQLite has one table."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, text

from lessonbook.store import dialect, rollups
from lessonbook.store.tables import deliveries
from lessonbook.store.types import UtcDateTime

DELETED_MAX: Final = 20_000
"""Rows that are deleted in one transaction at most, where there are no partitions to drop."""
_DELETE: Final = text("""
    DELETE FROM agent_lesson_deliveries WHERE rowid IN (
        SELECT rowid FROM agent_lesson_deliveries WHERE project = :project AND delivered_at < :before LIMIT :most)
""").bindparams(bindparam("before", type_=UtcDateTime()))
_MAY_KEEP: Final = text(
    "SELECT has_function_privilege('agent_lesson_deliveries_keep(timestamptz, timestamptz)', 'EXECUTE')"
)
_KEEP: Final = text("SELECT agent_lesson_deliveries_keep(:now, :before)").bindparams(
    bindparam("now", type_=UtcDateTime()), bindparam("before", type_=UtcDateTime())
)
_STRAY: Final = text("SELECT EXISTS (SELECT FROM agent_lesson_deliveries_other)")


def keep(connection: Connection, project: str, now: datetime, days: int) -> int:
    """Make the partitions of this month and the next two, and drop what is older than `days` (0: nothing).

    Only rows that are in the rollups go.

    Returns:
        How many partitions were dropped; on SQLite how many rows of the project were deleted, `DELETED_MAX` at most.
    """
    before = now - timedelta(days=days) if days else None
    match dialect.name_of(connection):
        case "sqlite":
            return _delete(connection, project, before) if before else 0
        case "postgresql":
            if not connection.execute(_MAY_KEEP).scalar_one():
                return 0
            return int(connection.execute(_KEEP, {"now": now, "before": before}).scalar_one())


def warning(connection: Connection) -> str:
    """Return a warning if nobody makes partitions, else an empty text."""
    if dialect.name_of(connection) == "sqlite" or connection.execute(_MAY_KEEP).scalar_one():
        return ""
    stray = " Some deliveries lie in agent_lesson_deliveries_other already." * connection.execute(_STRAY).scalar_one()
    return (
        "The database role may not make partitions of deliveries: let the owner of the tables run what "
        f"`lessonbook db grant ROLE` prints.{stray}"
    )


def of_run(connection: Connection, started_at: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions that lead to the partitions where a run's deliveries may lie: its own, and the first."""
    match dialect.name_of(connection):
        case "sqlite":
            return ()
        case "postgresql":
            return (deliveries.c.run_started_at.in_((started_at, rollups.NEVER)),)


def _delete(connection: Connection, project: str, before: datetime) -> int:
    before = min(before, rollups.mark_of(connection, project))
    return connection.execute(_DELETE, {"project": project, "before": before, "most": DELETED_MAX}).rowcount
