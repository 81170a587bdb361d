"""The command line. Each module holds the commands of one subject and imports what it needs when it runs."""

import typer

from lessonbook.about import VERSION
from lessonbook.cli import agents, database, demo, install, lessons, loop, refine, serve, stats, transfer
from lessonbook.cli.console import report_errors

app = typer.Typer(
    name="lessonbook",
    help="Lessons for coding agents, with proof of which ones help.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for module in (serve, install, demo, loop, stats, refine, lessons, agents, transfer, database):
    module.add_to(app)


def _version(value: bool) -> None:  # Typer's callback
    if value:
        typer.echo(f"lessonbook {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    _version_: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Set what is common to all commands."""


def main() -> None:
    """Run the command line; every foreseeable failure is one sentence, and bad input exits with 2."""
    with report_errors():
        app(standalone_mode=True)


__all__ = ["app", "main"]
