"""The command line. Each module holds the commands of one subject and imports what it needs when it runs."""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated, Final

import typer

from lessonbook.about import VERSION
from lessonbook.cli.console import run_command_line, with_options, write

COMMANDS: Final = {
    "serve": ("serve", "trust"),
    "install": ("install", "uninstall"),
    "hook": ("hook",),
    "sync": ("sync",),
    "demo": ("demo",),
    "get": ("get",),
    "report": ("report",),
    "record": ("record",),
    "pending": ("pending",),
    "stats": ("stats", "cleanup", "resume", "experiment"),
    "refine": ("refine",),
    "lessons": ("lessons",),
    "audit": ("flag", "audit"),
    "agents": ("agents",),
    "projects": ("project",),
    "tokens": ("token",),
    "takeback": ("rollback", "forget"),
    "transfer": ("import", "export"),
    "backup": ("backup", "restore"),
    "doctor": ("doctor",),
    "database": ("db",),
}
"""The commands and groups that each module adds, in the order of the help (groups come after commands)."""


def _version(value: bool) -> None:  # Typer's callback
    if value:
        write(f"lessonbook {VERSION}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    _version_: Annotated[  # noqa: ARG001  # its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Lessons for coding agents, with proof of which ones help."""
    if ctx.invoked_subcommand is None:
        write(ctx.get_help())


def app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the commands of the module that has the command `arguments` begin with, else all commands.

    Typer makes every command it knows from its signature at each start, which takes longer than finding the module.
    """
    return _app_of(*(module for module, names in COMMANDS.items() if arguments and arguments[0] in names))


@cache
def _app_of(*modules: str) -> typer.Typer:
    app = typer.Typer(
        name="lessonbook",
        invoke_without_command=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: Rich takes longer to load than most commands
    )
    for module in modules or COMMANDS:
        import_module(f"{__name__}.{module}").add_to(app)
    app.callback()(with_options(_root))
    return app


def main() -> None:
    """Run the command line; every foreseeable failure is one sentence, and bad input exits with 2."""
    sys.exit(run_command_line(app_for(sys.argv[1:])))


__all__ = ["app_for", "main"]
