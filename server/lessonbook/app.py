"""Composition: settings → store → services → MCP and HTTP. Nothing is opened before it is needed."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessonbook.config.settings import Settings, load_settings
from lessonbook.domain.errors import ConfigError
from lessonbook.domain.lesson import Caller
from lessonbook.domain.principals import LOCAL
from lessonbook.logs import set_up
from lessonbook.machine import local_sockets
from lessonbook.machine.git import Identity, branch_of, identify

if TYPE_CHECKING:
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace
    from lessonbook.store.engine import Store

_SHARED_BRANCHES: Final = frozenset({"main", "master", "trunk", "develop", "dev"})
_TWO_WEEKS_S: Final = 14 * 24 * 3_600


def project_name(settings: Settings, folder: Path | None = None) -> str:
    """Return the configured project, else that of the working folder."""
    return _identity(settings, folder).project


def _identity(settings: Settings, folder: Path | None = None) -> Identity:
    return Identity(settings.project) if settings.project else identify(folder or Path())


def store_for(settings: Settings) -> Store:
    """Return the configured database, not migrated."""
    from lessonbook.store.engine import connect  # noqa: PLC0415  # loads SQLAlchemy
    from lessonbook.store.urls import parse_address  # noqa: PLC0415

    return connect(parse_address(settings.database_url))


def change_of(folder: Path) -> str:
    """Return what is worked on in a folder: its branch within two weeks; empty on a branch that everybody works on.

    Whoever asks for lessons twice while working on one change gets the same coins.
    """
    branch = branch_of(folder)
    return "" if branch in _SHARED_BRANCHES or not branch else f"branch {branch} {int(time.time()) // _TWO_WEEKS_S}"


def gateway_for(
    settings: Settings,
    principal: str,
    *,
    person: bool = False,
    is_guarded: bool = False,
    run_id: str = "",
    in_folder: bool = False,
) -> Gateway:
    """Return a gateway for calls by `principal` in the configured project; for a `person` there is no time-out.

    Where `is_guarded`, calls are made for whom a request's token names, and none without one. `run_id` is the run of
    lessons that are asked for without one. `in_folder`: whoever calls works in this process's folder.
    """
    from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway  # noqa: PLC0415  # not every command calls a service

    async def open_workspace() -> Workspace:
        from lessonbook.services.opening import open_workspace  # noqa: PLC0415  # not before the first call

        return await open_workspace(settings, on_connect=gateway.connected)

    identity = _identity(settings)
    caller = Caller(
        identity.project,
        principal,
        person=person,
        agent_name=settings.agent,
        run_id=run_id,
        project_note=identity.trouble,
    )
    change = (lambda: change_of(Path())) if in_folder else None
    timeout_s = None if person else TOOL_TIMEOUT_S
    gateway = Gateway(open_workspace, caller, timeout_s, is_guarded=is_guarded, change_of=change)
    return gateway


def names_for_hooks(settings: Settings, options: Mapping[str, str]) -> list[str]:
    """Return the names under which hooks find a server that was started with `options` in this folder.

    Where the options change neither project nor database, as in what `install` writes, hooks without options find it.
    """
    folder = os.getcwd()  # noqa: PTH109  # a string
    names = [local_sockets.name_for(folder, options)]
    if options:
        try:
            plain = load_settings()
        except ConfigError:  # of files that the options leave out
            return names
        if project_name(plain) == project_name(settings) and plain.database_url == settings.database_url:
            names.append(local_sockets.name_for(folder, {}))
    return names


async def serve_on_stdio(settings: Settings, options: Mapping[str, str] | None = None, run_id: str = "") -> int | None:
    """Serve MCP on stdin and stdout until stdin ends, or SIGINT or SIGTERM arrives; return the signal.

    Args:
        settings: the settings in force.
        options: `project`, `database` and `config` of the command line.
        run_id: the run of lessons that are asked for without one.
    """
    from lessonbook.edges.mcp_server import build_server  # noqa: PLC0415  # only what this transport needs
    from lessonbook.edges.tracing import traced  # noqa: PLC0415
    from lessonbook.edges.transport.local_listener import answer_hooks  # noqa: PLC0415
    from lessonbook.edges.transport.stdio import serve_stdio  # noqa: PLC0415

    gateway = gateway_for(settings, LOCAL, run_id=run_id, in_folder=True)
    server = build_server(gateway, settings.server.toolsets or ["agent", "operator"], stays_connected=True)
    set_up(settings.log_level, settings.log_format)  # after the SDK's own set-up
    try:
        with traced():
            async with answer_hooks(gateway, names_for_hooks(settings, options or {}), expected=bool(run_id)):
                return await serve_stdio(server, gateway.give_up)
    finally:
        await gateway.close()


async def serve_on_http(settings: Settings) -> int | None:
    """Serve MCP, REST and health over HTTP until SIGINT or SIGTERM, and return the signal.

    Raises:
        ConfigError: the address is open to the network without authorisation, or taken, or a setting is missing.
    """
    from lessonbook.edges.tracing import traced  # noqa: PLC0415  # only what this transport needs
    from lessonbook.edges.transport.http import serve_http  # noqa: PLC0415  # only what this transport needs

    gateway = gateway_for(settings, LOCAL, is_guarded=bool(settings.auth.accept))
    try:
        with traced():
            return await serve_http(gateway, settings)
    finally:
        await gateway.close()
