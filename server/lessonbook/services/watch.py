"""Watch: which lessons changed, as it happens, in this process or another."""

from collections.abc import AsyncIterator

from sqlalchemy import Connection

from lessonbook.models.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows

Changed = dict[str, list[str]]
"""Lesson ids by agent name."""


async def changes(work: Workspace, caller: Caller) -> AsyncIterator[Changed]:
    """Yield the project's lessons that changed since the last time, for ever."""
    known = await work.store.read(lambda connection: lesson_rows.revisions_of(connection, caller.project))

    async for _ in work.store.changes():

        def read(connection: Connection) -> tuple[dict[str, int], Changed]:
            now = lesson_rows.revisions_of(connection, caller.project)
            fresh = {agent: known.get(agent, 0) for agent, revision in now.items() if revision > known.get(agent, 0)}
            return now, {
                agent: lesson_rows.ids_changed_after(connection, caller.project, agent, since)
                for agent, since in fresh.items()
            }

        now, changed = await work.store.read(read)
        known.update(now)
        if changed:
            yield changed
