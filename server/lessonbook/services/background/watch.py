"""Watching a project for changed lessons, in this process or another."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows

Changed = dict[str, list[str]]
"""Lesson ids by agent name."""


class Watch:
    """Watches one project's lessons. It remembers what it reported, also when watching fails and begins again."""

    def __init__(self) -> None:
        self._known: dict[str, int] | None = None

    def report_all(self) -> None:
        """Report every lesson first, unless watching has begun: a subscriber may have missed any change."""
        if self._known is None:
            self._known = {}

    async def follow(self, work: Workspace, caller: Caller, heard: Callable[[Changed], Awaitable[None]]) -> None:
        """Call `heard` with each of `changes`, for ever."""
        async for changed in self.changes(work, caller):
            await heard(changed)

    async def changes(self, work: Workspace, caller: Caller) -> AsyncIterator[Changed]:
        """Yield the lessons that changed since the last time, for ever; first an empty one, to show it has begun.

        Raises:
            Unavailable: the database does not answer. The next call yields first what changed meanwhile.
        """
        async for _ in work.store.changes():
            known, changed = await work.store.read(partial(self._fresh, project=caller.project))
            self._known = known
            yield changed

    def _fresh(self, connection: Connection, project: str) -> tuple[dict[str, int], Changed]:
        now = lesson_rows.revisions_of(connection, project)
        if self._known is None:
            return now, {}
        known = self._known
        return now, {
            agent: lesson_rows.ids_changed_after(connection, project, agent, known.get(agent, 0))
            for agent, revision in now.items()
            if revision > known.get(agent, 0)
        }
