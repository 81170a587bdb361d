"""Asking a team's server over HTTP, where `--server` or `LESSONBOOK_SERVER` names one; nobody else is asked then."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from lessonbook.hooks.json_parts import read_object
from lessonbook.machine.local_sockets import LINE_BYTES_MAX

SERVER_VARIABLE = "LESSONBOOK_SERVER"
TOKEN_VARIABLE = "LESSONBOOK_TOKEN"  # noqa: S105  # the name of the variable that holds it
"""The environment variable with the token of a server over HTTP; files name it and never hold the token."""
_OK = 200


class ServerRefused(Exception):
    """The server did not answer as it should; the message is for the log."""

    code = "refused"


def address_of(options: Mapping[str, str]) -> str:
    """Return the server's address, as the command line or the environment names it; empty where neither does."""
    return options.get("server") or os.environ.get(SERVER_VARIABLE, "")


def ask_server(address: str, request: Mapping[str, object], within_s: float) -> dict[str, object]:
    """Return the server's answer to a request.

    Raises:
        ServerRefused: the address is not one of the web, or the server refuses the request.
        OSError: there is no answer in time.
    """
    import http.client  # only where a server is named

    parts = urlsplit(address.rstrip("/"))
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ServerRefused(f"{SERVER_VARIABLE} is not an address: write https://host, or https://host/p/PROJECT")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=within_s)
    headers = {"Content-Type": "application/json", "User-Agent": "lessonbook-hook"}
    if token := os.environ.get(TOKEN_VARIABLE, ""):
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", f"{parts.path}/api/hooks", json.dumps(request).encode(), headers)
        answer = connection.getresponse()
        content = answer.read(LINE_BYTES_MAX)
    except http.client.HTTPException as error:
        raise ServerRefused(f"the server's answer is not HTTP: {type(error).__name__}") from error
    finally:
        connection.close()
    if answer.status != _OK:
        raise ServerRefused(f"the server answered with status {answer.status}")
    return read_object(content)
