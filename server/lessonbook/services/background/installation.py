"""What the doctor says of the settings: who may reach the server, with which tokens, and what others may change."""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Final
from urllib.parse import urlsplit

from lessonbook.config.settings import Settings, user_file
from lessonbook.config.working_folder import find_files
from lessonbook.domain.errors import ConfigError
from lessonbook.store.engine import TRANSACTION_TIMEOUT_S
from lessonbook.store.tokens import TokenRow

LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
CALL_S: Final = 30.0
"""Time-out of a call, in seconds; within it a query's embedding is waited for before its transaction begins."""
_STRONG: Final = frozenset({"lessons:approve", "evidence:write", "admin"})


def warnings(settings: Settings, tokens: list[TokenRow]) -> list[str]:
    """Return what is risky in the settings, a sentence each that says what to do. `tokens`: those that are valid."""
    return [
        *_of_address(settings),
        *_of_authorisation(settings, tokens),
        *_of_files(settings),
        *_of_timeouts(settings),
    ]


def _of_address(settings: Settings) -> Iterator[str]:
    server = settings.server
    if server.host not in LOCAL and not settings.auth.accept:
        yield (
            f"server.host = {server.host!r} would open the server to the network without authorisation, so "
            '`serve --http` refuses to start: set auth.accept = ["tokens"], or host = "127.0.0.1".'
        )
    if server.host not in LOCAL and not (server.public_url or server.allowed_hosts):
        yield (
            f"server.host = {server.host!r}, but only requests to this machine's own names are served: set "
            "server.public_url to where clients reach it."
        )
    for name in ("allowed_hosts", "allowed_origins"):
        for value in getattr(server, name):
            if "*" in value:
                yield f"server.{name} has {value!r}, which matches nothing: names are compared letter for letter."
    if "null" in server.allowed_origins:
        yield 'server.allowed_origins has "null", the origin of any page in a frame without rights: take it out.'
    for address in (server.public_url, *server.allowed_origins):
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname not in LOCAL:
            yield f"{address} is not encrypted, so tokens can be overheard: put a proxy with TLS before it, use https."


def _of_authorisation(settings: Settings, tokens: list[TokenRow]) -> Iterator[str]:
    auth = settings.auth
    if "tokens" in auth.accept and not tokens and "oauth" not in auth.accept:
        yield "Tokens are asked for, and there is none: make one for each client with `lessonbook token create NAME`."
    if lasting := [token.name for token in tokens if token.expires_at is None and _STRONG & {*token.scopes}]:
        yield (
            f"These tokens may approve, give evidence or read the audit trail, and never expire: {', '.join(lasting)}. "
            "Make others with --expires, and `lessonbook token revoke NAME` these."
        )
    if auth.jwks and "://" not in auth.jwks and _others_may_write(Path(auth.jwks)):
        yield (
            f"Others on this machine may change {auth.jwks}, and so make tokens of their own: "
            f"`chmod go-w {quote(auth.jwks)}` ends that."
        )


def _of_files(settings: Settings) -> Iterator[str]:
    password = urlsplit(settings.database.url).password if "://" in settings.database.url else None
    own = user_file()
    if password and os.name != "nt" and own.is_file() and own.stat().st_mode & 0o077 and password in own.read_text():
        yield f"Others on this machine may read the password in {own}: `chmod 600 {quote(str(own))}` ends that."
    try:
        files = find_files(Path())
    except ConfigError:  # the command that asked has said so already
        return
    for file in files:
        if file.is_trusted and _others_may_write(file.path):
            yield (
                f"You trust {file.path}, which others on this machine may change; trust ends when they do. "
                f"`chmod go-w {quote(str(file.path))}` keeps them from it."
            )


def _of_timeouts(settings: Settings) -> Iterator[str]:
    most = CALL_S - TRANSACTION_TIMEOUT_S
    if settings.semantic.model and settings.semantic.timeout_s > most:
        yield (
            f"semantic.timeout_s = {settings.semantic.timeout_s:g} leaves a call of {CALL_S:g} s too little for the "
            f"database where the model is slow: set at most {most:g}."
        )


def _others_may_write(path: Path) -> bool:
    return os.name != "nt" and path.is_file() and bool(path.stat().st_mode & 0o022)
