"""Authorisation in front of every route: a bearer token names who calls, and for which project."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lessonbook.config.settings import AuthSettings, Settings
from lessonbook.domain.errors import ConfigError, Forbidden, LessonbookError, Unauthorised
from lessonbook.domain.token_scopes import SCOPES
from lessonbook.edges.access.gateway import Gateway, answer
from lessonbook.edges.access.grants import Grant, GrantVerifier
from lessonbook.edges.access.host_guard import PROBES
from lessonbook.edges.access.identity import Acting, acting_as
from lessonbook.edges.access.token_expiry import Validity
from lessonbook.edges.access.token_verification import KNOWN_FOR_S, Verification

METADATA: Final = "/.well-known/oauth-protected-resource"
OPEN: Final = PROBES
"""Addresses that need no token: one bit for load balancers, and whether an orchestrator may send requests."""
_OK: Final = 200
_CHALLENGE: Final = b"www-authenticate"
_SERVED: Final = ("/mcp", "/api")
"""What a project's address, `/p/{project}`, leads to."""
_MISSING: Final = "A token is missing: send the header `Authorization: Bearer …`"
_MADE_BY: Final = " with a token that somebody made by `lessonbook token create`"


def verification_for(settings: AuthSettings, gateway: Gateway) -> Verification:
    """Return what verifies tokens of the accepted kinds.

    Raises:
        ConfigError: a setting of the issuer is missing.
    """
    verifiers: list[GrantVerifier] = []
    if "tokens" in settings.accept:
        from lessonbook.edges.access.static_tokens import StaticTokens  # noqa: PLC0415  # only the kinds that are used

        verifiers.append(StaticTokens(gateway))
    if "oauth" in settings.accept:
        from lessonbook.edges.access.oauth import OAuthTokens  # noqa: PLC0415  # as above

        verifiers.append(OAuthTokens(settings, gateway.project))
    return Verification(verifiers, gateway.now_s)


def check_settings(settings: AuthSettings) -> None:
    """Check that the settings of authorisation go together.

    Raises:
        ConfigError: one is missing, or there are some of an issuer whose tokens are not accepted.
    """
    needed = ("issuer", "audience", "jwks")
    if "oauth" in settings.accept:
        for name in needed:
            if not getattr(settings, name):
                raise ConfigError(
                    f'auth.accept has "oauth", so auth.{name} is needed: see [auth] in config.example.toml'
                )
    elif given := [name for name in needed if getattr(settings, name)]:
        raise ConfigError(
            f'auth.{given[0]} is set, but auth.accept has no "oauth", so no token of an issuer is accepted: add it to '
            "auth.accept, or start the server with --auth oauth"
        )


class Authorisation:
    """ASGI middleware that lets a request pass with a valid token only, in the name of whom it names.

    A request whose token is revoked or expires while it is answered, as a stream may be for hours, is broken off.
    """

    def __init__(self, app: ASGIApp, settings: Settings, verification: Verification) -> None:
        self._app = AuthContextMiddleware(app)  # the SDK binds its own state to the principal
        self._verification = verification
        self._auth = settings.auth
        self._public_url = settings.server.public_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        path: str = scope.get("path", "")
        if scope["type"] == "lifespan" or path in OPEN:
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            return  # nothing else is served, so nothing else passes
        elif path == METADATA or path.startswith(f"{METADATA}/"):
            await self._metadata(scope)(scope, receive, send)
        else:
            await self._authorised(scope, receive, send)

    async def _authorised(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            grant = await answer(lambda: self._grant(headers))
            project, rest = _place_of(scope["path"], grant)
        except Unauthorised as error:
            challenge = self._challenge(scope, "invalid_token" if headers.get("authorization") else "")
            await _refusal(401, error, challenge)(scope, receive, send)
            return
        except LessonbookError as error:
            status = 403 if isinstance(error, Forbidden) else 503
            await _refusal(status, error)(scope, receive, send)
            return
        inner = {**scope, "path": rest, "raw_path": quote(rest).encode(), "user": AuthenticatedUser(grant)}
        with acting_as(grant.caller(project)) as acting:
            # Only a client that got its token from an issuer can ask for more; to others the answer itself says it.
            steps_up = rest.rstrip("/") == "/mcp" and bool(grant.claims)
            work = self._app(inner, receive, self._challenging(scope, send, acting if steps_up else None))
            await Validity(lambda: self._grant(headers), KNOWN_FOR_S).guard(work)

    async def _grant(self, headers: Headers) -> Grant:
        given = headers.getlist("authorization")
        scheme, _, token = (given[0] if len(given) == 1 else "").strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorised(_MISSING + (_MADE_BY if "tokens" in self._auth.accept else ""))
        return await self._verification.verify_token(token.strip())

    def _challenging(self, scope: Scope, send: Send, acting: Acting | None) -> Send:
        """Return `send` that lets a client find out how to get what its token lacks.

        A 403 that names a scope names the issuer's metadata as well. With `acting`, an answer over MCP whose token
        lacks a scope becomes such a 403.
        """

        async def challenged(message: Any) -> None:
            if message["type"] == "http.response.start":
                status, named = message["status"], dict(message.get("headers", []))
                challenge = named.pop(_CHALLENGE, b"").decode()
                if acting is not None and acting.missing and status == _OK:
                    status, challenge = 403, self._challenge(scope, "insufficient_scope", acting.missing)
                elif challenge and (place := self._place_of_metadata(scope)):
                    challenge += f', resource_metadata="{place}"'
                if challenge:
                    headers = [*named.items(), (_CHALLENGE, challenge.encode())]
                    message = {**message, "status": status, "headers": headers}
            await send(message)

        return challenged

    def _challenge(self, scope: Scope, error: str, missing: str = "") -> str:
        """Return the header WWW-Authenticate; clients find the issuer by the address in it (RFC 9728)."""
        parts = {"error": error, "scope": missing, "resource_metadata": self._place_of_metadata(scope)}
        said = ", ".join(f'{name}="{value}"' for name, value in parts.items() if value)
        return f"Bearer {said}" if said else 'Bearer realm="lessonbook"'

    def _place_of_metadata(self, scope: Scope) -> str:
        """Return the address of the metadata; empty where no issuer's tokens are accepted."""
        if "oauth" not in self._auth.accept:
            return ""
        path = scope["path"].rstrip("/")
        return f"{self._base(scope)}{METADATA}{quote(path) if path.endswith('/mcp') else ''}"

    def _metadata(self, scope: Scope) -> JSONResponse:
        """Return the protected-resource metadata (RFC 9728): which issuer's tokens are accepted."""
        if "oauth" not in self._auth.accept:
            message = "No issuer's tokens are accepted here: people make tokens with `lessonbook token create`"
            return JSONResponse({"error": "not_found", "message": message}, 404)
        is_address = "://" in self._auth.audience
        suffix = scope["path"].removeprefix(METADATA)
        document = {
            "resource": self._auth.audience if is_address else f"{self._base(scope)}{quote(suffix)}",
            "authorization_servers": [self._auth.issuer],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "Lessonbook",
        }
        return JSONResponse(document, headers={"Cache-Control": "public, max-age=3600"})

    def _base(self, scope: Scope) -> str:
        """Return where clients reach the server; the guard has checked the Host header."""
        return self._public_url or f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}"


def _place_of(path: str, grant: Grant) -> tuple[str, str]:
    """Return the project that a request is for, and the rest of its path; without `/p/{project}`: the token's first.

    Raises:
        Forbidden: the token is not for the project.
    """
    if not path.startswith("/p/"):
        return grant.projects[0], path
    for project in grant.projects:
        rest = path.removeprefix(f"/p/{project}")
        if rest != path and any(rest == place or rest.startswith(f"{place}/") for place in _SERVED):
            return project, rest
    raise Forbidden(
        "The token is not for the project at this address, or the address is not /p/{project}/mcp or /p/{project}/api"
    )


def _refusal(status: int, error: LessonbookError, challenge: str = "") -> JSONResponse:
    headers = {"WWW-Authenticate": challenge} if challenge else None
    return JSONResponse({"error": error.code, "message": str(error)}, status, headers=headers)
