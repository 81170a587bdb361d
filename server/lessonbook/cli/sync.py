"""sync: the block in AGENTS.md and the like that says how to use Lessonbook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from lessonbook.cli.console import FAILED, command, print_json, say, strong, wants_json, write

_USUAL: Final = ("AGENTS.md", "CLAUDE.md", "GEMINI.md")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "sync")(sync)


def sync(
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", help="AGENTS.md, CLAUDE.md, GEMINI.md …; repeatable. Otherwise those that have the block."
        ),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only show the change; exit code 1 if there is one.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the block out again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Keep a block in AGENTS.md that tells agents how to use Lessonbook; what is outside of its marks never changes.

    For clients without hooks. The block holds no lessons: they come from get_lessons, for a task.
    """
    from lessonbook.cli.instructions import read_instructions

    planned = [read_instructions(path, remove=remove) for path in files or _usual_files()]
    changed = [file for file in planned if not file.is_current]
    if not wants_json():
        for file in changed:
            say(strong(str(file.path)))
            write(file.difference())
    written = bool(changed) and not check and (yes or (not wants_json() and typer.confirm("Write this?", default=True)))
    if written:
        for file in changed:
            file.write()
    if wants_json():
        rows = [{"file": str(file.path), "change": file.difference()} for file in planned]
        print_json({"files": rows, "written": written})
    elif not changed:
        say(f"{', '.join(str(file.path) for file in planned)}: nothing to change.")
    elif written:
        say("Written.")
    if check and changed:
        raise typer.Exit(FAILED)


def _usual_files() -> list[Path]:
    """Return the usual files here that have the block, else AGENTS.md."""
    from lessonbook.cli.instructions import has_block

    return [path for name in _USUAL if has_block(path := Path(name))] or [Path(_USUAL[0])]
