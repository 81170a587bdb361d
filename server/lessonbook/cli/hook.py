"""hook: what clients run at their events, and what to tell them so."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Literal

import typer

from lessonbook.cli.console import command, options, wants_json, warn, write
from lessonbook.domain.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "hook")(hook)


def hook(
    printed: Annotated[
        Literal["claude-code", "codex"] | None,
        typer.Option("--print", help="Print what this client's file of hooks has to hold."),
    ] = None,
    server: Annotated[
        str,
        typer.Option(
            envvar="LESSONBOOK_SERVER", help="Ask this server, with LESSONBOOK_TOKEN: https://host.", show_envvar=True
        ),
    ] = "",
) -> None:
    """Answer one event of a client: reads it as JSON from standard input, and prints what is added to the session.

    Lessons for a prompt and for a file to be edited; at the end of a turn a report of tests left failing, and which
    lessons were followed. It always ends with code 0, and prints nothing where it has nothing to say.
    """
    from lessonbook.hooks.command import OPTIONS, run_hook
    from lessonbook.hooks.registration import FILES, hooks_of

    if printed:
        write(json.dumps(hooks_of(printed), indent=2))
        if not wants_json():
            warn(f"Merge this into {FILES[printed]}.")
        return
    if sys.stdin.isatty():
        raise InvalidInput("A client runs this and writes an event to it: see `lessonbook hook --help`")
    given = {**options(), "server": server}
    run_hook({name: str(value) for name in OPTIONS if (value := given.get(name))})
