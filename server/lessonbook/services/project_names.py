"""The further names of projects, kept in memory: every call is made under the name that the rows have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.store import project_names
from lessonbook.store.project_names import ProjectName, ProjectSize

if TYPE_CHECKING:
    from lessonbook.services.workspace import Workspace

KNOWN_FOR: Final = timedelta(seconds=30)
"""How old a process's knowledge of project names may be."""


@dataclass(slots=True)
class ProjectNames:
    """The further names of projects, as this process knows them."""

    leads_to: Mapping[str, str] = field(default_factory=dict[str, str])
    read_at: datetime | None = None

    async def resolve(self, work: "Workspace", caller: Caller) -> Caller:
        """Return the caller with the name under which the project's rows are stored."""
        now = work.now()
        if self.read_at is None or not self.read_at <= now < self.read_at + KNOWN_FOR:
            try:
                for project in self.know(await work.store.read(project_names.every), now):
                    work.group_caches.drop(project)
                    work.precedent_caches.drop(project)
            except Unavailable:  # the call itself will say so
                self.read_at = now
        stored = self.leads_to.get(caller.project, caller.project)
        return caller if stored == caller.project else replace(caller, project=stored)

    def know(self, names: list[ProjectName], now: datetime) -> set[str]:
        """Take over what the database says, and return the projects to which a name leads that did not before."""
        known = self.leads_to
        self.leads_to = {one.name: one.leads_to for one in names}
        self.read_at = now
        return {project for name, project in self.leads_to.items() if known.get(name) != project}


def similar_projects(project: str, names: list[ProjectName], sizes: Mapping[str, ProjectSize]) -> list[str]:
    """Return the projects with lessons that may be this one under another name: a renamed remote, or a fork.

    They have the same last part (`host/owner/name`). None where the project has lessons, or
    its name leads to another.
    """
    has_own = project in sizes and sizes[project].lessons
    if has_own or any(one.name == project for one in names) or "/" not in project:
        return []
    *_, last = project.split("/")
    return [name for name, size in sorted(sizes.items()) if size.lessons and name.split("/")[-1] == last != ""]


def hint_on(connection: Connection, caller: Caller) -> str:
    """Return a sentence on a project that may be the caller's under another name; empty where there is none.

    The transaction has to reach all projects.
    """
    similar = similar_projects(caller.project, project_names.every(connection), project_names.sizes(connection))
    if not similar:
        return ""
    return (
        f"project {caller.project} has no lessons, and {similar[0]} has some. Where they are the same (a remote was "
        f"renamed, a repository forked): `lessonbook project alias {caller.project} {similar[0]}`"
    )
