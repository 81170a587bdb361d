"""Composition: settings → store → services → MCP and HTTP. Nothing is opened before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lessonbook.config.settings import Settings
from lessonbook.domain.lesson import Caller
from lessonbook.logs import set_up
from lessonbook.machine.git import project_of

if TYPE_CHECKING:
    from lessonbook.edges.access.gateway import Gateway
    from lessonbook.services.workspace import Workspace
    from lessonbook.store.engine import Store


def project_name(settings: Settings, folder: Path | None = None) -> str:
    """Return the configured project, else that of the working folder."""
    return settings.project or project_of(folder or Path())


def store_for(settings: Settings) -> Store:
    """Return the configured database, not migrated."""
    from lessonbook.store.engine import connect  # noqa: PLC0415  # loads SQLAlchemy
    from lessonbook.store.urls import parse_address  # noqa: PLC0415

    return connect(parse_address(settings.database_url))


def gateway_for(settings: Settings, principal: str, *, person: bool = False, is_guarded: bool = False) -> Gateway:
    """Return a gateway for calls by `principal` in the configured project; for a `person` there is no time-out.

    Where `is_guarded`, calls are made for whom a request's token names, and none without one.
    """
    from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway  # noqa: PLC0415  # not every command calls a service

    async def open_workspace() -> Workspace:
        from lessonbook.services.opening import open_workspace  # noqa: PLC0415  # not before the first call

        return await open_workspace(settings)

    caller = Caller(project_name(settings), principal, person=person, agent_name=settings.agent)
    return Gateway(open_workspace, caller, None if person else TOOL_TIMEOUT_S, is_guarded=is_guarded)


async def serve_on_stdio(settings: Settings) -> int | None:
    """Serve MCP on stdin and stdout until stdin ends, or SIGINT or SIGTERM arrives; return the signal."""
    from lessonbook.edges.mcp_server import build_server  # noqa: PLC0415  # only what this transport needs
    from lessonbook.edges.transport.stdio import serve_stdio  # noqa: PLC0415

    gateway = gateway_for(settings, "local")
    server = build_server(gateway, settings.server.toolsets or ["agent", "operator"], stays_connected=True)
    set_up(settings.log_level)  # after the SDK's own set-up
    try:
        return await serve_stdio(server, gateway.give_up)
    finally:
        await gateway.close()


async def serve_on_http(settings: Settings) -> int | None:
    """Serve MCP, REST and health over HTTP until SIGINT or SIGTERM, and return the signal.

    Raises:
        ConfigError: the address is open to the network without authorisation, or taken, or a setting is missing.
    """
    from lessonbook.edges.transport.http import serve_http  # noqa: PLC0415  # only what this transport needs

    gateway = gateway_for(settings, "local", is_guarded=bool(settings.auth.accept))
    try:
        return await serve_http(gateway, settings)
    finally:
        await gateway.close()
