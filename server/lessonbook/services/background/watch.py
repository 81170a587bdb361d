"""Watching projects for changed lessons, in this process or another."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from sqlalchemy import Connection

from lessonbook.domain.lesson import Caller
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows

Changed = dict[str, list[str]]
"""Lesson ids by agent name."""


class Watch:
    """Watches the lessons of projects. It remembers what it reported, also when watching fails and begins again."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, int]] = {}
        self._projects: dict[str, None] = {}

    def report_all(self, project: str) -> None:
        """Report every lesson of a project first, unless watching it has begun: a subscriber may have missed any."""
        self._projects[project] = None
        self._known.setdefault(project, {})

    async def begin(self, work: Workspace, caller: Caller) -> None:
        """Watch the caller's project as well, for changes from now on.

        Raises:
            Unavailable: the database does not answer.
        """
        self._projects[caller.project] = None
        if caller.project not in self._known:
            now = await work.store.read(lambda connection: lesson_rows.revisions_of(connection, caller.project))
            self._known.setdefault(caller.project, now)

    async def follow(self, work: Workspace, caller: Caller, heard: Callable[[str, Changed], Awaitable[None]]) -> None:
        """Call `heard` with each of `changes`, for ever."""
        async for project, changed in self.changes(work, caller):
            await heard(project, changed)

    async def changes(self, work: Workspace, caller: Caller) -> AsyncIterator[tuple[str, Changed]]:
        """Yield a project and its lessons that changed since the last time, for ever.

        The first is of the caller's own project, perhaps without lessons, to show that watching has begun.

        Raises:
            Unavailable: the database does not answer. The next call yields first what changed meanwhile.
        """
        self._projects[caller.project] = None
        has_begun = False
        async for _ in work.store.changes():
            for project in list(self._projects):
                with work.store.within(project):
                    known, changed = await work.store.read(partial(self._fresh, project=project))
                self._known[project] = known
                if changed or not has_begun or project == caller.project:
                    has_begun = True
                    yield project, changed

    def _fresh(self, connection: Connection, project: str) -> tuple[dict[str, int], Changed]:
        now = lesson_rows.revisions_of(connection, project)
        if project not in self._known:
            return now, {}
        known = self._known[project]
        return now, {
            agent: lesson_rows.ids_changed_after(connection, project, agent, known.get(agent, 0))
            for agent, revision in now.items()
            if revision > known.get(agent, 0)
        }
