"""Watch: which lessons changed, as it happens, in this process or another."""

from collections.abc import AsyncIterator

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows

Changed = dict[str, list[str]]
"""Lesson ids by agent name."""


class Watch:
    """Follows a project's lessons. What it has told stays known when following breaks off and begins anew."""

    def __init__(self, work: Workspace, caller: Caller) -> None:
        self._work = work
        self._project = caller.project
        self._known: dict[str, int] | None = None

    def report_all(self) -> None:
        """Report every lesson first, unless following has begun: somebody listens who may have missed any change."""
        if self._known is None:
            self._known = {}

    async def changes(self) -> AsyncIterator[Changed]:
        """Yield the lessons that changed since the last time, for ever; nothing the first time, to say it has begun.

        Raises:
            Unavailable: the database does not answer. Call again: what changed meanwhile comes first.
        """
        async for _ in self._work.store.changes():
            known, changed = await self._work.store.read(self._fresh)
            self._known = known
            yield changed

    def _fresh(self, connection: Connection) -> tuple[dict[str, int], Changed]:
        now = lesson_rows.revisions_of(connection, self._project)
        if self._known is None:
            return now, {}
        known = self._known
        return now, {
            agent: lesson_rows.ids_changed_after(connection, self._project, agent, known.get(agent, 0))
            for agent, revision in now.items()
            if revision > known.get(agent, 0)
        }
