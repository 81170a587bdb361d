"""Which process does the upkeep of a project, where several serve it."""

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace


async def does_upkeep(work: Workspace, caller: Caller) -> bool:
    """Return whether this process does the upkeep of the caller's project: the first that asks, while it lasts.

    Raises:
        Unavailable: the database does not answer.
    """
    return await work.store.holds(f"upkeep of {caller.project}")
