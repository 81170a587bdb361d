"""What the database holds over all projects, for the figures of a server."""

from dataclasses import dataclass

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import census, migrate
from lessonbook.store.row_security import EVERY_PROJECT


@dataclass(frozen=True, slots=True)
class Census:
    """Lessons by status, deliveries shown and withheld up to the end of yesterday (UTC), and the schema's revision."""

    lessons: dict[str, int]
    shown: int
    withheld: int
    schema: int


async def take_census(work: Workspace, _caller: Caller) -> Census:
    """Return what the database holds.

    Raises:
        Unavailable: it does not answer.
    """
    today = work.now().date().isoformat()

    def read(connection: Connection) -> Census:
        deliveries, shown = census.deliveries_before(connection, today)
        return Census(census.lessons_by_status(connection), shown, deliveries - shown, int(revision or 0))

    revision = await migrate.current(work.store)
    with work.store.within(EVERY_PROJECT):
        return await work.store.read(read)
