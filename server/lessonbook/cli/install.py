"""install, uninstall: this server in the configuration of MCP clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lessonbook.cli.console import command, load, options, print_json, print_table, run, say, strong, wants_json, write
from lessonbook.domain.errors import InvalidInput, LessonbookError, NotFound

if TYPE_CHECKING:
    from lessonbook.cli.clients.client_table import McpClient
    from lessonbook.cli.clients.configuration import ConfigurationFile, FileChange
    from lessonbook.config.settings import Settings

ClientName = Annotated[str, typer.Argument(help="The client; `lessonbook install --list` shows all.")]
ScopeOption = Annotated[
    Literal["project", "user"] | None,
    typer.Option(help="The project's file or your own; by default the one that the client is known for."),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show the change, and write nothing.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "install")(install)
    command(app, "uninstall")(uninstall)


def install(
    client: ClientName = "",
    agent: Annotated[str, typer.Option(help="The agent of calls that name none.")] = "",
    toolsets: Annotated[str, typer.Option(help="agent, or agent,operator.")] = "agent",
    server: Annotated[str, typer.Option(help="The URL of a server over HTTP, instead of one of your own.")] = "",
    scope: ScopeOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    show_list: Annotated[bool, typer.Option("--list", help="Show the clients, their files, and where it is.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Start the server as the client would, ask its tools.")
    ] = False,
) -> None:
    """Write a client's MCP configuration, after showing the change.

    A file in the project names this project. Your own files do not: the server finds the project by the folder it is
    started in.
    """
    if show_list:
        _show_list()
    elif check:
        _check(client, scope)
    else:
        known = _client(client)
        found = _file(known, scope)
        entry = _remote(known, server, agent) if server else _local(found, agent, toolsets)
        _carry_out(found.with_entry(entry), known, yes=yes, dry_run=dry_run, then=known.afterwards)
        _say_notes(found, remote=bool(server))


def uninstall(
    client: ClientName, scope: ScopeOption = None, yes: YesOption = False, dry_run: DryRunOption = False
) -> None:
    """Remove this server from a client's MCP configuration, after showing the change."""
    known = _client(client)
    _carry_out(_file(known, scope).without_entry(), known, yes=yes, dry_run=dry_run, then="Restart it.")


def _client(name: str) -> McpClient:
    """Return the client of a name.

    Raises:
        InvalidInput: no client has it; the message names the nearest.
    """
    from difflib import get_close_matches

    from lessonbook.cli.clients.client_table import CLIENTS

    if name in CLIENTS:
        return CLIENTS[name]
    near = get_close_matches(name.lower(), CLIENTS, n=1, cutoff=0.5)
    asked = f"{name[:40]!r} is not a known client" if name else "Name the client"
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    raise InvalidInput(f"{asked}{meant}: one of {', '.join(CLIENTS)}")


def _file(known: McpClient, scope: Literal["project", "user"] | None) -> ConfigurationFile:
    from lessonbook.cli.clients.configuration import ConfigurationFile
    from lessonbook.cli.clients.machine import Machine

    return ConfigurationFile.find(known, scope, Machine.current())


def _local(found: ConfigurationFile, agent: str, toolsets: str) -> dict[str, Any]:
    """Return the entry that starts a server of the person's own.

    Raises:
        InvalidInput: an option is wrong for this file, or would write a password into it.
    """
    from lessonbook.app import project_name
    from lessonbook.cli.clients.command import command_for

    settings = load()
    program, *arguments = command_for(shared=found.shared)
    arguments += ["serve", "--toolsets", _toolsets(toolsets)]
    if found.shared:
        arguments += ["--project", project_name(settings, found.top)]
    elif options().get("project"):
        raise InvalidInput(
            f"{found.file} is one file for all your projects: leave --project out, the server finds the project by the "
            "folder"
        )
    if agent:
        arguments += ["--agent", _known_agent(agent, settings)]
    if database := options().get("database"):
        refuse_password(database)
        arguments += ["--database", database]
    return found.client.entry(program, arguments)


def _remote(known: McpClient, server: str, agent: str) -> dict[str, Any]:
    """Return the entry of a server over HTTP.

    Raises:
        InvalidInput: the URL is wrong, or the client cannot take the token from the environment.
    """
    from lessonbook.cli.clients.command import remote_url

    if agent or options().get("project") or options().get("database"):
        raise InvalidInput("--server says where the lessons are: leave --agent, --project and --database out")
    entry = known.remote_entry(remote_url(server))
    if entry is None:
        raise InvalidInput(
            f"{known.title} cannot take a token from the environment, and a file never holds one: "
            "let `lessonbook serve` use the team's database instead"
        )
    return entry


def _toolsets(given: str) -> str:
    names = [name.strip() for name in given.split(",")]
    if not names or not set(names) <= {"agent", "operator"}:
        raise InvalidInput("--toolsets is agent, operator, or both with a comma")
    return ",".join(dict.fromkeys(names))


def _known_agent(name: str, settings: Settings) -> str:
    """Return an agent's name as the roster or the database spells it.

    Raises:
        InvalidInput: no agent of the project has the name; the message names the nearest.
    """
    from lessonbook import services
    from lessonbook.classify.agent_roster import folded, load_roster

    roster = load_roster(settings.data.roster)
    if roster.known(name):
        return roster.resolve(name)
    others = [agent.agent_name for agent in run(services.agents.list_agents)]
    if alike := next((other for other in others if folded(other) == folded(name)), ""):
        return alike
    near = roster.nearest(name, also=others)
    meant = f"; the nearest is {' or '.join(near)}" if near else ""
    raise InvalidInput(
        f"{name[:80]!r} is not an agent of this project{meant}. `lessonbook agents` lists all, `lessonbook agents add` "
        "adds one"
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


def _carry_out(change: FileChange, known: McpClient, *, yes: bool, dry_run: bool, then: str) -> None:
    """Show a change, and write it where the person agrees."""
    wanted = bool(change.difference) and not dry_run
    if wants_json():
        if wanted and yes:
            change.write()
        print_json({"file": str(change.file), "change": change.difference, "written": wanted and yes})
        return
    if not change.difference:
        write(f"{change.file} is as it should be: there is nothing to do.")
        return
    write(f"{change.file}\n{change.difference}")
    if wanted and (yes or typer.confirm("Write this?", default=True)):
        change.write()
        say(f"Written for {known.title}. {then}")


def _say_notes(found: ConfigurationFile, *, remote: bool) -> None:
    """Say what else a person has to know for the entry to work."""
    from lessonbook.cli.clients.command import INSTALL_HINT, is_on_path
    from lessonbook.hooks.team_server import TOKEN_VARIABLE

    if wants_json():
        return
    if remote:
        say(f"{found.client.title} reads the token from the environment variable {TOKEN_VARIABLE}: set it there.")
        return
    if found.shared and not is_on_path():
        say(
            ("note", "yellow"),
            " `lessonbook` is not on the search path, and this file starts it by its name. " + INSTALL_HINT,
        )
    if not found.client.starts_in_project:
        say(
            ("note", "yellow"),
            f" {found.client.title} starts servers outside of any project's folder: the lessons "
            "are those of the project `default`.",
        )


def _show_list() -> None:
    """Print every client with its files and whether each of them has this server."""
    from lessonbook.cli.clients.client_table import CLIENTS

    rows: list[dict[str, str]] = []
    for known in CLIENTS.values():
        for scope in known.scopes:
            row = {"client": known.name, "title": known.title, "scope": scope, "file": "", "state": ""}
            try:
                found = _file(known, scope)
                row |= {"file": str(found.file), "state": "configured" if found.entry() is not None else "-"}
            except LessonbookError as error:
                row["state"] = str(error)
            rows.append(row)
    if wants_json():
        print_json({"clients": rows})
    else:
        print_table("", ["client", "scope", "file", "lessonbook"], [(*_cells(row), row["state"]) for row in rows])


def _cells(row: dict[str, str]) -> tuple[str, str, str]:
    return row["client"], row["scope"], row["file"]


def _check(client: str, scope: Literal["project", "user"] | None) -> None:
    """Start the server of a client, or of each client that has it, and print its tools or what went wrong."""
    from lessonbook.cli.clients.client_table import CLIENTS

    chosen = [_client(client)] if client else list(CLIENTS.values())
    checked: list[dict[str, Any]] = []
    for known in chosen:
        for one in (scope,) if scope else known.scopes:
            if scope is None or one in known.files:
                checked += _checked(known, one)
    if not checked:
        where = f"{client} has" if client else "No client has"
        raise NotFound(f"{where} no server {'lessonbook' if client else 'of ours'}: run `lessonbook install` first")
    if wants_json():
        print_json({"checked": checked})
    for row in checked:
        if not wants_json():
            say(strong(row["client"]), f" {row['file']}")
            found = (
                (("works", "green"), ", ".join(row["tools"])) if row["works"] else (("fails", "red"), row["problem"])
            )
            say("  ", found[0], f": {found[1]}")
    if not all(row["works"] for row in checked):
        raise typer.Exit(1)


def _checked(known: McpClient, scope: Literal["project", "user"]) -> list[dict[str, Any]]:
    """Return the outcome for one file; none where it does not have this server."""
    import anyio

    from lessonbook.cli.clients.check import StartCommand, tool_names
    from lessonbook.cli.clients.machine import Machine

    row: dict[str, Any] = {"client": known.name, "file": "", "works": False, "tools": [], "problem": ""}
    try:
        found = _file(known, scope)
        row["file"] = str(found.file)
        if (entry := found.entry()) is None:
            return []
        row["tools"] = anyio.run(tool_names, StartCommand.of(found, entry, Machine.current()))
        row["works"] = True
    except LessonbookError as error:
        row["problem"] = str(error)
    return [row]
