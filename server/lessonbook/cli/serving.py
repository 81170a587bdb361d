"""serve, install: being reached by agents."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from lessonbook.cli.console import command, load, options, print_json, say, wants_json
from lessonbook.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "serve")(serve)
    command(app, "install")(install)


def serve(
    agent: Annotated[str, typer.Option(help="The agent this server speaks for, when none is named.")] = "",
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP instead of stdio.")] = False,
    host: Annotated[str, typer.Option(help="HTTP: the address to bind.")] = "",
    port: Annotated[int | None, typer.Option(help="HTTP: the port.", min=0, max=65_535)] = None,
    toolsets: Annotated[str, typer.Option(help="agent, operator, or both with a comma.")] = "",
) -> None:
    """Serve MCP over stdio, or MCP and REST over HTTP."""
    import anyio

    from lessonbook.app import serve_on_http, serve_on_stdio

    server: dict[str, object] = {}
    if host:
        server["host"] = host
    if port is not None:
        server["port"] = port
    if toolsets:
        server["toolsets"] = [name.strip() for name in toolsets.split(",")]
    settings = load(agent=agent, server=server)
    anyio.run(serve_on_http if http else serve_on_stdio, settings)


def install(
    client: Annotated[Literal["claude-code", "cursor", "vscode", "codex"], typer.Argument(help="Whose config.")],
    agent: Annotated[str, typer.Option(help="The agent the client speaks for.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
) -> None:
    """Write a client's MCP configuration; shows the change first.

    It names this project, except where the client has one file for all projects: there the server finds the project by
    the folder it is started in.
    """
    from lessonbook.app import project_name
    from lessonbook.cli import clients

    settings = load(agent=agent)
    if client in clients.USER_WIDE and options().get("project"):
        raise InvalidInput(f"{client} has one file for all projects: leave --project out, the folder tells the project")
    arguments = ["serve"] if client in clients.USER_WIDE else ["serve", "--project", project_name(settings)]
    if agent:
        arguments += ["--agent", agent]
    if database := options().get("database"):
        arguments += ["--database", database]
    plan = clients.plan(client, arguments)
    if wants_json():
        print_json({"file": str(plan.file), "change": plan.difference, "written": yes and bool(plan.difference)})
    elif not plan.difference:
        say(f"{plan.file} is as it should be.")
    else:
        say(f"[bold]{plan.file}[/bold]")
        typer.echo(plan.difference)
    if plan.difference and (yes or (not wants_json() and typer.confirm("Write this?", default=True))):
        plan.write()
        if not wants_json():
            say(f"Written. Restart {client}, and ask it for the lessonbook tools.")
