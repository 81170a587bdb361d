"""The command line. Each module holds the commands of one subject and imports what it needs when it runs."""

import sys
from typing import Annotated

import typer

from lessonbook.about import VERSION
from lessonbook.cli import (
    agents,
    audit,
    database,
    demo,
    hook,
    install,
    lessons,
    loop,
    refine,
    serve,
    stats,
    sync,
    takeback,
    tokens,
    transfer,
)
from lessonbook.cli.console import run_command_line, with_options, write

app = typer.Typer(
    name="lessonbook",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: Rich takes longer to load than most commands
)
for module in (
    serve,
    install,
    hook,
    sync,
    demo,
    loop,
    stats,
    refine,
    lessons,
    audit,
    agents,
    tokens,
    takeback,
    transfer,
    database,
):
    module.add_to(app)


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


app.callback()(with_options(_root))


def main() -> None:
    """Run the command line; every foreseeable failure is one sentence, and bad input exits with 2."""
    sys.exit(run_command_line(app))


__all__ = ["app", "main"]
