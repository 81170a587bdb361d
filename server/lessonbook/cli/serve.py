"""serve, trust: how agents reach the server."""

from __future__ import annotations

import gc
import os
import signal
from pathlib import Path
from typing import Annotated, Final

import typer

from lessonbook.cli.console import INTERRUPTED, command, load, options, wants_json
from lessonbook.domain.errors import InvalidInput
from lessonbook.machine.allocator import share_one_arena

_OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000
"""How many more objects than before a server leaves until it looks for unreachable cycles; a call makes twenty such."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "serve")(serve)
    command(app, "trust")(trust)


def serve(
    agent: Annotated[str, typer.Option(help="The agent of calls that name none.")] = "",
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="HTTP: the address to bind.")] = "",
    port: Annotated[int | None, typer.Option(help="HTTP: the port.", min=0, max=65_535)] = None,
    root_path: Annotated[str, typer.Option(help="HTTP: the prefix under which a proxy serves it: /lessonbook.")] = "",
    toolsets: Annotated[str, typer.Option(help="agent, operator, or both with a comma.")] = "",
    auth: Annotated[str, typer.Option(help="HTTP: whose tokens are asked for: tokens, oauth, or both.")] = "",
    session_run: Annotated[
        bool,
        typer.Option("--session-run", help="stdio: lessons without a run_id count for the client's session."),
    ] = False,
) -> None:
    """Serve MCP over stdio, or MCP and REST over HTTP.

    With --auth tokens each call needs a token of `lessonbook token create`; with --auth oauth, one of the issuer that
    [auth] in the configuration names. Without it, the server binds this machine's own addresses only.
    """
    import anyio

    from lessonbook.app import serve_on_http, serve_on_stdio

    names = [name.strip() for name in toolsets.split(",")] if toolsets else None
    server = {"host": host or None, "port": port, "toolsets": names, "root_path": root_path or None}
    accept = [name.strip() for name in auth.split(",")] if auth else None
    settings = load(
        agent=agent,
        server={key: value for key, value in server.items() if value is not None},
        auth={"accept": accept} if accept else {},
    )
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    share_one_arena()
    if http:
        stopped_by = anyio.run(serve_on_http, settings)
    else:
        given = {name: str(value) for name in ("project", "database", "config") if (value := options().get(name))}
        stopped_by = anyio.run(serve_on_stdio, settings, given, _session_of_client() if session_run else "")
    if stopped_by == signal.SIGINT:
        raise typer.Exit(INTERRUPTED)


def _session_of_client() -> str:
    """Return the id of the client's session, which Claude Code passes to its servers; empty if there is none."""
    from lessonbook.hooks.events import is_session_id

    session = os.environ.get("CLAUDE_CODE_SESSION_ID", "")
    return session if is_session_id(session) else ""


def trust(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Trust it without asking.")] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Trust it no longer.")] = False,
) -> None:
    """Trust this folder's lessonbook.toml, after showing what it would change.

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
