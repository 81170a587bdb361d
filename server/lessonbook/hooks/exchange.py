"""Asking Lessonbook: the team's server where one is named, else a running one over its socket, else this process.

A hook gives up rather than let a person wait. It gives up before anything is logged as delivered: the server keeps to
the time it is given, and so does this process.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from lessonbook.hooks.json_parts import read_object
from lessonbook.hooks.team_server import address_of, ask_server
from lessonbook.machine.local_sockets import LINE_BYTES_MAX, find_sockets, name_for

SLACK_S = 0.2
"""What an answer may take beyond the time that the server was given."""
_CHUNK_BYTES = 64 * 1024
Document = dict[str, object]


class Reach(NamedTuple):
    """How long a request may take, in seconds, and whether this process may load the store for it."""

    within_s: float
    may_load: bool = False


def ask(request: Mapping[str, object], folder: str, options: Mapping[str, str], reach: Reach) -> Document:
    """Return the answer to a request, or nothing where there was none in time.

    Args:
        request: what is asked, as `lessonbook.edges.hook_requests` reads it.
        folder: the project's folder.
        options: `project`, `database`, `config` and `server` of the hook's own command line.
        reach: how long it may take.

    Raises:
        ServerRefused: a team's server refuses the request.
        OSError: a team's server does not answer in time.
    """
    if server := address_of(options):
        if not reach.within_s:
            return {}
        return ask_server(server, {**request, "within_s": reach.within_s}, reach.within_s + SLACK_S)
    began = time.monotonic()
    line = json.dumps({**request, "within_s": reach.within_s}).encode() + b"\n"
    if len(line) > LINE_BYTES_MAX:
        return {}
    for path in find_sockets(name_for(folder, options)) if hasattr(socket, "AF_UNIX") else ():
        answer = _ask_server(path, line, reach.within_s + SLACK_S - (time.monotonic() - began))
        if answer is not None:
            return answer
    left_s = reach.within_s - (time.monotonic() - began)
    if not reach.may_load or left_s <= 0:
        return {}
    from lessonbook.hooks.own_store import answer_here  # loads the product

    return answer_here(request, folder, options, left_s)


def _ask_server(path: str, line: bytes, within_s: float) -> Document | None:
    """Return a server's answer, nothing where it has none in time, and None where there is no server any more."""
    until = time.monotonic() + within_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(max(within_s, 0.01))
        try:
            server.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):  # its server was killed
            _remove(path)
            return None
        except OSError:
            return None
        try:
            server.sendall(line)
            answer = b""
            while not answer.endswith(b"\n") and len(answer) <= LINE_BYTES_MAX:
                server.settimeout(max(until - time.monotonic(), 0.01))
                if not (chunk := server.recv(_CHUNK_BYTES)):
                    break
                answer += chunk
        except OSError:
            return {}  # it may be at work: nobody else is asked
    return read_object(answer)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
