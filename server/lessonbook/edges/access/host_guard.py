"""The guard in front of every route: which hosts and web origins it serves, and how long a body may be."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lessonbook.config.settings import ServerSettings
from lessonbook.domain.errors import STOPPED, Undecided
from lessonbook.edges.access.bodies import BodyRefusedError, BoundedBody, too_large
from lessonbook.edges.tracing import TRACING
from lessonbook.logs import request_id_of, set_context

BODY_MAX: Final = 4 * 1024 * 1024
UPLOAD_MAX: Final = 64 * 1024 * 1024
BODY_S: Final = 60.0
UPLOAD_S: Final = 600.0
"""Seconds in which a body has to arrive, and an upload."""
REQUEST_ID: Final = "x-request-id"
"""The header with the id of a request, which its log lines carry: a client's own, or one made for it."""
PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Addresses served under any Host, since an orchestrator's probe sends the address of a pod; they tell very little."""
UPLOADS: Final = "/api/reports/"
_LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """ASGI middleware that refuses foreign Host and Origin headers (403) and oversized bodies (413) on every route.

    A page in the user's browser can reach a server on their own machine; without this check it could call its tools
    (DNS rebinding, CVE-2025-66416).
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        public = urlsplit(settings.public_url).netloc
        self._hosts = frozenset(filter(None, (*settings.allowed_hosts, _named_address(settings.host), public)))
        self._origins = frozenset(filter(None, (*settings.allowed_origins, settings.public_url)))
        self._open: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = request_id_of(headers.get(REQUEST_ID, ""))
        with set_context(request_id=request_id), TRACING.continued(headers):
            await self._guarded(scope, receive, _naming(send, request_id), headers)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        refusal = self._refusal(headers, is_probe=scope["path"] in PROBES)
        if refusal:
            await _refuse(403, "forbidden", refusal)(scope, receive, send)
            return
        path: str = scope["path"]
        is_upload = path.startswith(UPLOADS) or (path.startswith("/p/") and UPLOADS in path)
        most, whole_s = (UPLOAD_MAX, UPLOAD_S) if is_upload else (BODY_MAX, BODY_S)
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            refusal = too_large(most)
            await _refuse(refusal.status, refusal.code, str(refusal))(scope, receive, send)
            return
        await self._limited(scope, receive, send, BoundedBody(receive, most, whole_s))

    def refuse_rest(self) -> None:
        """Answer every request in flight by an error now."""
        for refusal in self._open:
            if not refusal.done():
                refusal.set_result(None)

    def _refusal(self, headers: Headers, *, is_probe: bool) -> str:
        hosts = headers.getlist("host")
        if not is_probe and (len(hosts) != 1 or not self._serves(hosts[0])):
            return "This Host is not served: add it to server.allowed_hosts."
        if not all(self._trusts(origin, "".join(hosts)) for origin in headers.getlist("origin")):
            return "This Origin may not call the server: add it to server.allowed_origins."
        return ""

    def _serves(self, host: str) -> bool:
        return _is_local(host) or host in self._hosts or host.rpartition(":")[0] in self._hosts

    def _trusts(self, origin: str, host: str) -> bool:
        """Return whether a page of this origin may call: the server's own, or a configured one.

        A page from another port of this machine is another program's.
        """
        parts = urlsplit(origin)
        is_own = parts.scheme in {"http", "https"} and parts.netloc.lower() == host.lower()
        return origin in self._origins or is_own

    async def _limited(self, scope: Scope, receive: Receive, send: Send, body: BoundedBody) -> None:
        """Pass the request on, and refuse it where its body is too large or too slow."""
        refused, answered = False, False

        async def received() -> Message:
            nonlocal refused
            try:
                return await body()
            except BodyRefusedError as error:
                if not refused and not answered:
                    refused = True
                    await _refuse(error.status, error.code, str(error))(scope, receive, send)
                refused = True
                raise

        async def noted(message: Message) -> None:
            nonlocal answered
            answered = True
            if not refused:  # else this is the application's answer to our error
                await send(message)

        if await self._ended(asyncio.ensure_future(self._app(scope, received, noted))):
            return
        refused = True
        if not answered:
            stopped = Undecided(STOPPED, takes_key=_may_write(scope))
            await _refuse(503, stopped.code, str(stopped))(scope, receive, send)

    async def _ended(self, work: asyncio.Future[None]) -> bool:
        """Wait for the application's end; returns False where the server stops first, and cancels the work."""
        refusal = asyncio.get_running_loop().create_future()
        self._open.add(refusal)
        try:
            await asyncio.wait({work, refusal}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(refusal)
            if not work.done():
                work.add_done_callback(_forget)
                work.cancel()
        if not work.done():
            return False
        with suppress(BodyRefusedError):
            work.result()
        return True


def _naming(send: Send, request_id: str) -> Send:
    """Return `send` that adds the request's id to the answer."""

    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (REQUEST_ID.encode(), request_id.encode())]
            message = {**message, "headers": headers}
        await send(message)

    return named


def _may_write(scope: Scope) -> bool:
    """Return whether a request may be one that takes a key, by its method and the last name of its path."""
    from lessonbook.edges.tool_table import takes_key  # noqa: PLC0415  # not before the server stops

    called = Headers(scope=scope).get("mcp-name") or scope["path"].rpartition("/")[2]
    return scope["method"] == "POST" and takes_key(called)


def _forget(work: asyncio.Future[None]) -> None:
    """Drop the outcome of cancelled work, so that asyncio does not log it."""
    if not work.cancelled():
        work.exception()


def _refuse(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "message": message}, status)


def _named_address(host: str) -> str:
    """Return the address that a server is bound to as a Host header names it; empty for all addresses of a machine."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # compared, not bound
        return ""
    return f"[{host}]" if ":" in host else host


def _is_local(host: str) -> bool:
    name, _, port = host.lower().rpartition(":")
    return host.lower() in _LOCAL_NAMES or (name in _LOCAL_NAMES and port.isdigit())
