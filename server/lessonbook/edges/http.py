"""HTTP: MCP at /mcp, REST at /api, health at /healthz, one guard before all of them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from mcp.server.transport_security import TransportSecuritySettings

from lessonbook import __version__
from lessonbook.config import Settings
from lessonbook.edges.desk import Desk
from lessonbook.edges.guard import Guard
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.rest import add_rest, is_alive
from lessonbook.errors import ConfigError

LOCAL: Final = ("127.0.0.1", "localhost", "::1")


async def serve_http(desk: Desk, settings: Settings) -> None:
    """Serve until interrupted.

    Raises:
        ConfigError: the address is not this machine's own.
        Unavailable: the database does not answer.
    """
    host = settings.server.host
    if host not in LOCAL:
        raise ConfigError(
            f"server.host = {host!r} would let the network in, and there is no authorisation yet: "
            "bind 127.0.0.1 and put a proxy that authenticates before it"
        )
    app = await build_app(desk, settings)
    config = uvicorn.Config(
        app, host=host, port=settings.server.port, log_level="warning", access_log=False, ws="none", server_header=False
    )
    await uvicorn.Server(config).serve()


async def build_app(desk: Desk, settings: Settings) -> Guard:
    """Return the ASGI application. The workspace is opened, since all replicas share a secret that is kept there."""
    workspace = await desk.workspace()
    state_key = hmac.new(workspace.secret, b"request-state", hashlib.sha256).digest()
    server = build_server(desk, settings.server.toolsets or ["agent"], stays_connected=False, state_key=state_key)
    # The guard below checks Host and Origin for every route alike, so the SDK's own check for /mcp is off.
    mcp_app = server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with server.session_manager.run():
            yield

    app = FastAPI(
        title="Lessonbook",
        version=__version__,
        summary="Lessons that fit an agent's task, and proof of which ones help.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    add_rest(app, desk)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> JSONResponse:
        alive = await is_alive(desk)
        return JSONResponse({"ok": alive}, 200 if alive else 503)

    app.router.routes.extend(mcp_app.router.routes)
    return Guard(app, settings.server)
