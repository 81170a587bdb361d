"""HTTP: MCP at /mcp, REST at /api, health at /healthz; one guard and authorisation in front of all routes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final
from urllib.parse import quote

import anyio
import anyio.to_thread
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lessonbook.config.settings import ServerSettings, Settings
from lessonbook.domain.errors import ConfigError
from lessonbook.edges.access.authorisation import Authorisation, check_settings, verification_for
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.access.host_guard import Guard
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.subscriptions import Announcer
from lessonbook.edges.tool_table import Toolset
from lessonbook.edges.transport.half_pairs import HalfPairs
from lessonbook.logs import set_up

LOCAL: Final = ("127.0.0.1", "localhost", "::1")
GRACE_S: Final = 5
"""Seconds for requests in flight after the signal to stop."""
HEADERS_S: Final = 10.0
"""Seconds in which the head of a request has to arrive, from the beginning of a connection or of the head."""
IDLE_S: Final = 15
"""Seconds that a connection may be idle between two requests."""
LEAVE_S: Final = 3
"""Seconds for them to end once they have been refused."""
_NO_STREAM: Final = Response(status_code=405, headers={"Allow": "POST"})
"""The answer to a client that would listen on a stream of its session: no session is kept, so nothing would ever come.

Older clients open one after they have connected, and it would count as a connection for as long as they run.
"""


def _announce(url: str) -> None:
    sys.stderr.write(f"Lessonbook serves on {url} (MCP at {url}/mcp, REST at {url}/docs)\n")
    sys.stderr.flush()


async def serve_http(gateway: Gateway, settings: Settings, on_ready: Callable[[str], None] = _announce) -> int | None:
    """Serve until SIGINT or SIGTERM, and return the signal.

    The server starts even where the database is down: requests get an error until it is back. Requests in flight at the
    end have `GRACE_S` seconds; then they are answered by an error.

    Args:
        gateway: the way to the services.
        settings: the address to listen on, among others.
        on_ready: called with the server's URL once it accepts requests.

    Raises:
        ConfigError: the address is open to the network without authorisation, or taken, or a setting is missing.
    """
    check_settings(settings.auth)
    listener = bind(settings.server.host, settings.server.port, is_guarded=bool(settings.auth.accept))
    try:
        announcer = Announcer(gateway)
        app = build_app(gateway, settings, announcer)
        set_up(settings.log_level, settings.log_format)  # after the SDK's own set-up
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            ws="none",
            server_header=False,
            http=Hurried,
            limit_concurrency=settings.server.max_connections or None,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=GRACE_S + LEAVE_S,
        )
        loop = asyncio.get_running_loop()

        def stop() -> None:
            gateway.is_draining = True
            announcer.close()
            loop.call_later(GRACE_S, app.refuse_rest)
            loop.call_later(GRACE_S + 1, gateway.give_up)

        server = _Server(config, on_ready=lambda: on_ready(_url_of(listener)), on_shutdown=stop)
        await server.serve(sockets=[listener])
        return server.stopped_by
    finally:
        listener.close()


def bind(host: str, port: int, *, is_guarded: bool = False) -> socket.socket:
    """Return a socket bound to an address, one of this machine's own unless tokens are asked for; port 0: any.

    Raises:
        ConfigError: the address is another, or taken.
    """
    if host not in LOCAL and not is_guarded:
        raise ConfigError(
            f"server.host = {host!r} would open the server to the network, and without authorisation to everybody in "
            "it: make a token for each client (`lessonbook token create NAME`) and start with --auth tokens, or bind "
            "127.0.0.1"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; otherwise each answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there the option would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(f"{host}:{port} cannot be listened on ({error.strerror}): choose another port") from error
    return listener


def build_app(gateway: Gateway, settings: Settings, announcer: Announcer | None = None) -> Guard:
    """Return the ASGI application: `/mcp` at once, every other route at its first request."""
    toolsets: list[Toolset] = settings.server.toolsets or ["agent"]
    if settings.server.metrics:
        from lessonbook.edges.metrics import Metrics  # noqa: PLC0415  # only where they are served

        gateway.watcher = Metrics(gateway.load)
    server = build_server(gateway, toolsets, stays_connected=False, announcer=announcer)
    # The guard checks Host and Origin of every route, so the SDK's own check for /mcp is off.
    mcp_app = server.streamable_http_app(
        stateless_http=True,
        json_response=True,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    site: ASGIApp = Site(HalfPairs(mcp_app), gateway, toolsets, settings.server.root_path)
    if settings.auth.accept:
        site = Authorisation(site, settings, verification_for(settings.auth, gateway))
    return _BelowRoot(site, settings.server)


class _BelowRoot(Guard):
    """The guard behind a proxy that serves us under a prefix, and passes it on or takes it away."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        super().__init__(app, settings)
        self._prefix = settings.root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on by its path below the prefix."""
        if scope["type"] == "http" and self._prefix and f"{scope['path']}/".startswith(f"{self._prefix}/"):
            path = scope["path"][len(self._prefix) :] or "/"
            scope = {**scope, "path": path, "raw_path": quote(path).encode()}
        await super().__call__(scope, receive, send)


class Site:
    """MCP at `/mcp`, and REST at every other address, built at its first request since few servers need it."""

    def __init__(self, mcp_app: ASGIApp, gateway: Gateway, toolsets: Sequence[Toolset], root_path: str = "") -> None:
        self._mcp_app = mcp_app
        self._toolsets = toolsets
        self._root_path = root_path
        self._gateway = gateway
        self._rest_app: ASGIApp | None = None
        self._making = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to its application."""
        if scope["type"] != "http":
            app = self._mcp_app  # the lifespan is that application's: it starts and ends the session manager
        elif scope["path"].rstrip("/") != "/mcp":
            app = await self._rest()
        else:
            app = _NO_STREAM if scope["method"] == "GET" else self._mcp_app
        await app(scope, receive, send)

    async def _rest(self) -> ASGIApp:
        async with self._making:
            if self._rest_app is None:
                self._rest_app = await anyio.to_thread.run_sync(self._make_rest)
            return self._rest_app

    def _make_rest(self) -> ASGIApp:
        from lessonbook.edges.rest import build_rest  # noqa: PLC0415  # FastAPI takes as long to load as the store

        return build_rest(self._gateway, self._toolsets, self._root_path)


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Hurried(H11Protocol):
    """HTTP/1.1 with a time-out for the head of a request: uvicorn would wait for it for ever."""

    _timer: asyncio.TimerHandle | None = None
    headers_s: float = HEADERS_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # uvicorn's
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._hurry()

    def data_received(self, data: bytes) -> None:
        """Read on; the head of a request is waited for, its body is the guard's."""
        super().data_received(data)
        if self._is_answering:
            self._rest()
        elif self._timer is None:
            self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._rest()
        super().connection_lost(exc)

    def _hurry(self) -> None:
        self._timer = self.loop.call_later(self.headers_s, self._give_up)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._is_answering:
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete


class _Server(uvicorn.Server):
    """Uvicorn with callbacks when it is ready and when it begins to stop: it waits for streams that we have to end."""

    def __init__(
        self, config: uvicorn.Config, *, on_ready: Callable[[], None], on_shutdown: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_shutdown = on_shutdown

    @property
    def stopped_by(self) -> int | None:
        """The signal that stopped the server."""
        return next(iter(self._captured_signals), None)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture signals as uvicorn does, but do not raise them again at the end: we choose the exit code."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(super().capture_signals())
            yield
            signals, self._captured_signals = self._captured_signals, []
            stack.close()
            self._captured_signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_shutdown()
        await super().shutdown(sockets)
