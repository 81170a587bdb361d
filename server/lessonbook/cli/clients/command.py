"""The command and the arguments that an entry holds."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from lessonbook.domain.errors import InvalidInput
from lessonbook.machine.programs import find_program, own_command

PROGRAM = "lessonbook"
INSTALL_HINT = (
    "Install it with `uv tool install .` in Lessonbook's own folder; where your shell does not find it then, run "
    "`uv tool update-shell`."
)
"""What a person does where `lessonbook` is not on the search path."""
_MCP_PATH = "/mcp"


def is_on_path() -> bool:
    """Return whether `lessonbook` is on the search path."""
    return find_program(PROGRAM) is not None


def command_for(*, shared: bool) -> list[str]:
    """Return the command to write, and its first arguments.

    A shared file names the program only: a path of this machine would be wrong on all others. A person's own file holds
    the whole path, since programs that are started from a desktop do not have the search path of the shell; it is the
    one on the search path where that is this installation, since it outlives an upgrade.
    """
    if shared:
        return [PROGRAM]
    own = own_command()
    found = find_program(PROGRAM)
    if found and os.path.realpath(found) == os.path.realpath(own[0]):
        return [found]
    return own


def remote_url(server: str) -> str:
    """Return the MCP address of a server over HTTP.

    Raises:
        InvalidInput: it is not an address over HTTP, or holds a password, a token or a query.
    """
    try:
        parts = urlsplit(server.strip())
        secret = bool(parts.username or parts.password)
    except ValueError as error:
        raise InvalidInput(f"--server is not a URL ({error})") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise InvalidInput("--server is not a URL like https://lessonbook.example")
    if secret or parts.query or parts.fragment:
        raise InvalidInput(
            "--server may not hold a password, a query or a fragment: the token comes from the environment variable "
            "that the file names"
        )
    base = server.strip().rstrip("/")
    return base if base.endswith(_MCP_PATH) else base + _MCP_PATH
