"""Queries over all projects, for the figures of a server: they need the wall `EVERY_PROJECT`."""

from sqlalchemy import Connection, func, select

from lessonbook.store.tables import activity_days, lessons


def lessons_by_status(connection: Connection) -> dict[str, int]:
    """Return how many lessons have each status that any has."""
    query = select(lessons.c.status, func.count()).group_by(lessons.c.status)
    return {row[0]: row[1] for row in connection.execute(query)}


def deliveries_before(connection: Connection, day: str) -> tuple[int, int]:
    """Return how many deliveries are rolled up of the days before `day` (ISO, UTC), and how many of them were shown."""
    deliveries, shown = (func.coalesce(func.sum(activity_days.c[name]), 0) for name in ("deliveries", "shown"))
    row = connection.execute(select(deliveries, shown).where(activity_days.c.day < day)).one()
    return int(row[0]), int(row[1])
