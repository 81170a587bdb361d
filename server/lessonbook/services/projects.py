"""Projects and their names: a project keeps its rows under the name it began with, and further names lead to it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.services import project_merge
from lessonbook.services.project_merge import MergePlan
from lessonbook.services.project_names import KNOWN_FOR
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import audit, project_names
from lessonbook.store import tokens as token_rows
from lessonbook.store.project_names import ProjectName, ProjectSize
from lessonbook.store.row_security import EVERY_PROJECT

NAME_MAX: Final = 200
TOKENS_NAMED: Final = 10
"""Tokens that a plan of a merge names."""
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
    """Lessons that a merge has copied."""
    known: int = 0
    """Lessons that the target of a merge had already."""
    carried: dict[str, int] = {}
    """New rows of a merge by kind: lessons, issues, applications, flags, audit_entries and others."""


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
    """Carry what a project knows to another one, to which the source's names lead from then on.

    Lessons go with their history, flags, issues, applications, pending groups and audit trail; see
    `services/project_merge`. What was measured (runs, deliveries, checks, the rows of the experiment) stays with the
    source and counts nowhere else: lessons that evidence alone made active begin on probation. A merge that was broken
    off, or after which something was still written to the source, is done again by the same command.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: there is no such project.
        InvalidInput: both are the same project.
        Conflict: two lessons have by chance the same id.
    """
    caller.require_person("merge projects", "project merge")
    names, sizes = await _known(work)
    to_name = _stored(target, names, sizes)
    from_name = _stored(source, names, sizes)
    if from_name == to_name and source in sizes:  # merged before: its name leads to the target already
        from_name = source
    if from_name == to_name:
        raise InvalidInput(f"{source!r} and {target!r} are the same project: name two")
    own = sorted({from_name, *(one.name for one in names if one.leads_to == from_name)})

    def read(connection: Connection) -> tuple[MergePlan, list[str]]:
        reaching = [token.name for token in token_rows.every(connection) if not set(own).isdisjoint(token.projects)]
        return project_merge.plan(connection, from_name, to_name), reaching

    with work.store.within(EVERY_PROJECT):
        plan, reaching = await work.store.read(read)
        change = ProjectChange(dry_run=dry_run, actions=_merge_actions(plan, from_name, to_name, own, reaching))
        if dry_run:
            return change
        done = await project_merge.carry(work, replace(caller, project=to_name), from_name)
        counts = {name: count for name, count in sorted(done.counts.items()) if count}

        def write(connection: Connection) -> None:
            for name in own:
                project_names.add(connection, name, to_name, caller.principal, work.now())
            ends = {writer: end[1] for writer, end in audit.heads_of(connection, from_name).items()}
            ledger = Ledger(work, replace(caller, project=to_name), connection, work.now())
            ledger.note("project.merge", to_name, {"from": from_name, **counts, "chains": ends})
            ledger.write()

        await work.store.write(write)
    work.project_names.read_at = None
    return change.model_copy(update={"carried": counts, "copied": counts.get("lessons", 0), "known": len(done.known)})


def _merge_actions(plan: MergePlan, source: str, target: str, own: Sequence[str], reaching: Sequence[str]) -> list[str]:
    """Return what a merge does, a sentence each."""
    carried, left = plan.carried, plan.left
    issues, applications, flags = (count_of(carried[f"{word}s"], word) for word in ("issue", "application", "flag"))
    actions = [
        f"{count_of(carried['lessons'] - plan.known, 'lesson')} of {source!r} to be copied to {target!r} with history",
        f"{count_of(plan.known, 'lesson')} there already, which get the names, issues and flags of theirs",
        f"{issues}, {applications} and {flags} go with them, and {carried['audit_entries']} entries of the audit trail",
        *plan.remarks,
        *(f"{name!r} leads to {target!r}" for name in own),
    ]
    if reaching:
        shown = ", ".join(map(repr, reaching[:TOKENS_NAMED]))
        more = f" and {len(reaching) - TOKENS_NAMED} more" if len(reaching) > TOKENS_NAMED else ""
        actions.append(f"tokens for {source!r} reach {target!r} from then on: {shown}{more}")
    runs, checks = count_of(left["runs"], "run"), count_of(left["checks"], "check")
    actions.append(
        f"kept apart in {source!r}, and counted nowhere else: {runs}, {left['deliveries']} deliveries and {checks}, "
        f"with all that they measured. Runs under way end unmeasured"
    )
    actions.append(
        f"servers notice within {KNOWN_FOR.seconds} seconds: the same command carries what they write to {source!r} "
        f"until then, and `lessonbook project alias --remove {source}` leads back to it"
    )
    return actions


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
