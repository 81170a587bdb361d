"""Projects and their names: a project keeps its rows under the name it began with, and further names lead to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.services.transfer import export_lessons, import_lessons
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import project_names
from lessonbook.store.project_names import ProjectName, ProjectSize
from lessonbook.store.row_security import EVERY_PROJECT

NAME_MAX: Final = 200
_LIST: Final = "see `lessonbook project list`"


class KnownProject(BaseModel):
    """A project: the name that people use, the one that its rows have, its other names and what it has."""

    name: str
    stored_as: str
    other_names: list[str]
    lessons: int
    issues: int
    runs: int
    last_at: str = ""


class ProjectChange(BaseModel):
    """What a change of projects does, or would do in a dry run."""

    dry_run: bool
    actions: list[str]
    copied: int = 0
    known: int = 0
    quarantined: int = 0


async def list_projects(work: Workspace, caller: Caller) -> list[KnownProject]:
    """Return all projects of the database.

    Raises:
        Forbidden: the caller is not a person.
    """
    caller.require_person("list projects", "project list")
    names, sizes = await _known(work)
    stored = sorted(sizes.keys() | {one.leads_to for one in names})
    return [_project(name, names, sizes.get(name, ProjectSize(0, 0, 0, None))) for name in stored]


def _project(stored: str, names: list[ProjectName], size: ProjectSize) -> KnownProject:
    own = [one for one in names if one.leads_to == stored]
    shown = next((one.name for one in own if one.is_shown), stored)
    return KnownProject(
        name=shown,
        stored_as=stored,
        other_names=sorted({stored, *(one.name for one in own)} - {shown}),
        lessons=size.lessons,
        issues=size.issues,
        runs=size.runs,
        last_at=size.last_at.isoformat() if size.last_at else "",
    )


async def _known(work: Workspace) -> tuple[list[ProjectName], dict[str, ProjectSize]]:
    with work.store.within(EVERY_PROJECT):
        return await work.store.read(
            lambda connection: (project_names.every(connection), project_names.sizes(connection))
        )


async def alias_project(
    work: Workspace, caller: Caller, name: str, project: str, *, dry_run: bool = True
) -> ProjectChange:
    """Let a name lead to a project, as the old name of a remote that was renamed.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: there is no such project.
        Conflict: the name has lessons, issues or runs of its own: merge it.
        InvalidInput: the name is the project's already, or cannot be one.
    """
    return await _name(work, caller, name, project, "alias", dry_run=dry_run)


async def rename_project(
    work: Workspace, caller: Caller, project: str, name: str, *, dry_run: bool = True
) -> ProjectChange:
    """Give a project another name, by which it is shown and found; the old one leads to it still.

    Its rows keep the name that they were written under, as the audit trail's hashes say it.

    Raises:
        LessonbookError: as `alias_project`.
    """
    return await _name(work, caller, name, project, "rename", dry_run=dry_run)


async def _name(
    work: Workspace, caller: Caller, name: str, project: str, action: str, *, dry_run: bool
) -> ProjectChange:
    caller.require_person(f"{action} a project", f"project {action}")
    name = _checked(name)
    names, sizes = await _known(work)
    stored = _stored(project, names, sizes)
    if name == stored and action == "alias":
        raise InvalidInput(f"{name!r} is the project's name already")
    if name in sizes and name != stored:
        raise Conflict(
            f"{name!r} is a project of its own, with {sizes[name].lessons} lessons: "
            f"`lessonbook project merge` brings the two together"
        )
    if any(one.leads_to == name for one in names) and name != stored:
        raise Conflict(f"Other names lead to {name!r}: {_LIST}")
    shown = action == "rename"
    said = f"{name!r} leads to the project that is stored as {stored!r}"
    actions = [f"{said}, and it is shown by that name" if shown else said]

    def write(connection: Connection) -> None:
        project_names.add(connection, name, stored, caller.principal, work.now(), is_shown=shown)
        ledger = Ledger(work, replace(caller, project=stored), connection, work.now())
        ledger.note(f"project.{action}", stored, {"name": name})
        ledger.write()

    if not dry_run:
        with work.store.within(stored):
            await work.store.write(write)
        work.project_names.read_at = None
    return ProjectChange(dry_run=dry_run, actions=actions)


async def remove_alias(work: Workspace, caller: Caller, name: str, *, dry_run: bool = True) -> ProjectChange:
    """Let a further name lead nowhere; after a merge, the project of that name is as it was before.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: no project is found by this name.
    """
    caller.require_person("remove a project's name", "project alias --remove")
    names, _ = await _known(work)
    stored = next((one.leads_to for one in names if one.name == name), "")
    if not stored:
        raise NotFound(f"{name!r} leads to no other project: {_LIST}")

    def write(connection: Connection) -> None:
        project_names.remove(connection, name)
        ledger = Ledger(work, replace(caller, project=stored), connection, work.now())
        ledger.note("project.unalias", stored, {"name": name})
        ledger.write()

    if not dry_run:
        with work.store.within(stored):
            await work.store.write(write)
        work.project_names.read_at = None
    return ProjectChange(dry_run=dry_run, actions=[f"{name!r} no longer leads to {stored!r}"])


async def merge_projects(
    work: Workspace, caller: Caller, source: str, target: str, *, dry_run: bool = True
) -> ProjectChange:
    """Copy the lessons of a project to another one, to which the source's name leads from then on.

    Lessons that a person approved stay active; others begin on probation. Runs, issues and evidence stay with the
    source: what was measured there was measured among its runs. Removing the alias undoes the leading.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: there is no such project.
        InvalidInput: both are the same project.
    """
    caller.require_person("merge projects", "project merge")
    names, sizes = await _known(work)
    from_name, to_name = (_stored(name, names, sizes) for name in (source, target))
    if from_name == to_name:
        raise InvalidInput(f"{source!r} and {target!r} are the same project: name two")
    there = replace(caller, project=to_name)
    with work.store.within(from_name):
        lessons = await export_lessons(work, replace(caller, project=from_name))
    own = sorted({from_name, *(one.name for one in names if one.leads_to == from_name)})
    change = ProjectChange(
        dry_run=dry_run,
        actions=[
            f"{count_of(len(lessons), 'lesson')} of {from_name!r} to be copied to {to_name!r}, unless it is there",
            *(f"{name!r} leads to {to_name!r}" for name in own),
            f"runs, issues and evidence of {from_name!r} stay as they are",
        ],
    )
    if dry_run:
        return change
    placed = [(f"{from_name} {place}", lesson) for place, lesson in enumerate(lessons, 1)]
    approved = [one for one in placed if one[1].trust == "approved"]
    others = [one for one in placed if one[1].trust != "approved"]

    def write(connection: Connection) -> None:
        for name in own:
            project_names.add(connection, name, to_name, caller.principal, work.now())
        ledger = Ledger(work, there, connection, work.now())
        ledger.note("project.merge", to_name, {"from": from_name, "lessons": len(lessons)})
        ledger.write()

    with work.store.within(to_name):
        done = [
            await import_lessons(work, there, part, active=active)
            for part, active in ((approved, True), (others, False))
        ]
        await work.store.write(write)
    work.project_names.read_at = None
    change.copied = sum(one.created + one.resting for one in done)
    change.known = sum(one.known for one in done)
    change.quarantined = sum(one.quarantined for one in done)
    return change


def _stored(project: str, names: list[ProjectName], sizes: Mapping[str, ProjectSize]) -> str:
    stored = next((one.leads_to for one in names if one.name == project), project)
    if stored not in sizes and not any(one.leads_to == stored for one in names):
        raise NotFound(f"There is no project {project!r}: {_LIST}")
    return stored


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_MAX or not name.isprintable() or name == EVERY_PROJECT:
        raise InvalidInput(f"A project's name has 1 to {NAME_MAX} printable characters, and is not *")
    return name
