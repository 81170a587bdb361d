"""serve, install, trust: how agents reach the server."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Literal

import typer

from lessonbook.cli.console import INTERRUPTED, command, escaped, load, options, print_json, say, wants_json, write
from lessonbook.domain.errors import InvalidInput
from lessonbook.machine.programs import find_program


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "serve")(serve)
    command(app, "install")(install)
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


def install(
    client: Annotated[Literal["claude-code", "cursor", "vscode", "codex"], typer.Argument(help="The client.")],
    agent: Annotated[str, typer.Option(help="The agent of calls that name none.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Write a client's MCP configuration, after showing the change.

    It names this project, except where the client has one file for all projects: there the server finds the project by
    the folder it is started in.
    """
    from lessonbook.app import project_name
    from lessonbook.cli import clients

    settings = load(agent=agent)
    if client in clients.USER_WIDE and options().get("project"):
        raise InvalidInput(
            f"{client} has one file for all projects: leave --project out, the server finds the project by the folder"
        )
    arguments = ["serve"] if client in clients.USER_WIDE else ["serve", "--project", project_name(settings)]
    if agent:
        arguments += ["--agent", agent]
    if database := options().get("database"):
        refuse_password(database)
        arguments += ["--database", database]
    plan = clients.plan(client, arguments)
    if wants_json():
        print_json({"file": str(plan.file), "change": plan.difference, "written": yes and bool(plan.difference)})
    elif not plan.difference:
        say(escaped(f"{plan.file} needs no change."))
    else:
        say(f"[bold]{escaped(str(plan.file))}[/bold]")
        write(plan.difference)
    if plan.difference and (yes or (not wants_json() and typer.confirm("Write this?", default=True))):
        plan.write()
        if not wants_json():
            say(f"Written. Restart {client}, and ask it for the lessonbook tools.")
    if plan.is_shared and not find_program("lessonbook") and not wants_json():
        say(
            "[yellow]note[/yellow] `lessonbook` is not on the search path, so the file holds a path of this machine. "
            "Install it (`uv tool install`) and run this again before you share the file."
        )


def refuse_password(database: str) -> None:
    """Refuse to write a password into a client's configuration.

    Raises:
        InvalidInput: the database's address holds one.
    """
    from lessonbook.config.settings import user_file
    from lessonbook.store.urls import without_password

    if without_password(database) != database:
        raise InvalidInput(
            "The database's address holds a password, and a client's configuration is shared with a team. "
            f'Write the address into {user_file()} ([database], url = "…"; make the file readable by you alone), '
            "or leave the password out of it and keep that in ~/.pgpass. Then run this again without the password"
        )


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
