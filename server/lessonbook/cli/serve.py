"""serve, trust: how agents reach the server."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from lessonbook.cli.console import INTERRUPTED, command, load, wants_json
from lessonbook.domain.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "serve")(serve)
    command(app, "trust")(trust)


def serve(
    agent: Annotated[str, typer.Option(help="The agent of calls that name none.")] = "",
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="HTTP: the address to bind.")] = "",
    port: Annotated[int | None, typer.Option(help="HTTP: the port.", min=0, max=65_535)] = None,
    toolsets: Annotated[str, typer.Option(help="agent, operator, or both with a comma.")] = "",
) -> None:
    """Serve MCP over stdio, or MCP and REST over HTTP."""
    import anyio

    from lessonbook.app import serve_on_http, serve_on_stdio

    names = [name.strip() for name in toolsets.split(",")] if toolsets else None
    server = {"host": host or None, "port": port, "toolsets": names}
    settings = load(agent=agent, server={key: value for key, value in server.items() if value is not None})
    stopped_by = anyio.run(serve_on_http if http else serve_on_stdio, settings)
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def trust(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Trust it without asking.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no longer.")] = False,
) -> None:
    """Let this folder's lessonbook.toml set everything, after showing what it would change.

    Trust ends when the file, or a catalogue or roster that it names, changes.
    """
    from lessonbook.cli import trust
    from lessonbook.config import working_folder

    files = working_folder.find_files(Path())
    if not files:
        raise InvalidInput(f"There is no {working_folder.FILE_NAME} in this folder, nor above it in its checkout")
    file = files[0]
    if revoke:
        trust.revoke(file)
        return
    rows = trust.changes(file)
    accepted = file.is_trusted
    if not accepted:
        if not wants_json():
            trust.show(file, rows)
        if yes or (not wants_json() and typer.confirm("Trust it?", default=False)):
            working_folder.trust(file)
            accepted = True
    trust.conclude(file, rows, trusted=accepted)
