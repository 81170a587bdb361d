"""project …: the projects of the database, and the names by which they are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    FAILED,
    add_group,
    command,
    print_table,
    run,
    say,
    shown_as_json,
    wants_json,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lessonbook.services.projects import ProjectChange

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking; with --json, without it a dry run.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = add_group(app, "project", "List projects, rename and merge them, and let other names lead to them.")
    command(group, "list")(list_)
    command(group, "rename")(rename)
    command(group, "merge")(merge)
    command(group, "alias")(alias)


def list_() -> None:
    """List the projects of the database, with all names by which they are found."""
    projects = run(services.projects.list_projects)
    if not shown_as_json({"projects": projects}):
        rows = [
            (one.name, "\n".join(one.other_names), one.lessons, one.issues, one.runs, one.last_at[:16])
            for one in projects
        ]
        print_table("Projects", ["project", "also", "lessons", "issues", "runs", "last used"], rows, alone=True)


def rename(
    project: Annotated[str, typer.Argument(help="A name of the project.")],
    name: Annotated[str, typer.Argument(help="Its new name.")],
    yes: Yes = False,
) -> None:
    """Give a project another name; it is found by its old name still."""
    _carry_out(lambda dry_run: run(services.projects.rename_project, project, name, dry_run=dry_run), yes=yes)


def merge(
    source: Annotated[str, typer.Argument(help="The project whose lessons, issues and history are carried.")],
    target: Annotated[str, typer.Argument(help="The project that gets them.")],
    yes: Yes = False,
) -> None:
    """Carry what a project knows to another; its name leads there, and what was measured stays apart."""
    _carry_out(lambda dry_run: run(services.projects.merge_projects, source, target, dry_run=dry_run), yes=yes)


def alias(
    name: Annotated[str, typer.Argument(help="The name, as of a remote before it was renamed.")],
    project: Annotated[str, typer.Argument(help="The project to which it leads.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Let the name lead nowhere again.")] = False,
    yes: Yes = False,
) -> None:
    """Let a name lead to a project, or, with --remove, nowhere again."""
    if remove == bool(project):
        raise typer.BadParameter("name the project, or say --remove")
    if remove:
        _carry_out(lambda dry_run: run(services.projects.remove_alias, name, dry_run=dry_run), yes=yes)
    else:
        _carry_out(lambda dry_run: run(services.projects.alias_project, name, project, dry_run=dry_run), yes=yes)


def _carry_out(act: Callable[[bool], ProjectChange], *, yes: bool) -> None:
    """Show what would be done, and do it where a person agrees."""
    planned = act(True)
    if not wants_json():
        write("\n".join(planned.actions))
    if not yes and (wants_json() or not typer.confirm("Do this?")):
        shown_as_json(planned)
        raise typer.Exit(0 if wants_json() else FAILED)
    done = act(False)
    if not shown_as_json(done):
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in done.carried.items())
        say(f"Done: {counts} carried." if counts else "Done.")
