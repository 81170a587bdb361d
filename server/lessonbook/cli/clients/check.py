"""Whether a client's entry works: the server is started as the client would start it, and asked for its tools."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lessonbook.cli.clients.command import INSTALL_HINT, PROGRAM
from lessonbook.cli.clients.configuration import ConfigurationFile
from lessonbook.cli.clients.machine import Machine
from lessonbook.domain.documents import list_of, object_of, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.machine.programs import own_command

TIMEOUT_S: Final = 30.0
"""Time for the server to start and to answer."""
_OURS: Final = "LESSONBOOK_"
_STDERR_MAX: Final = 300
"""Characters of what a server printed that are shown."""


@dataclass(frozen=True, slots=True)
class StartCommand:
    """How an entry starts its server."""

    command: str
    arguments: list[str]
    folder: Path
    variables: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, found: ConfigurationFile, entry: object, machine: Machine) -> StartCommand:
        """Return how the client starts an entry.

        Raises:
            InvalidInput: the entry names no command, or one in the project's file is not what `install` writes.
        """
        values = object_of(entry)
        if "url" in values or "httpUrl" in values or "serverUrl" in values:
            raise InvalidInput(f"{found.file} names a server over HTTP: ask {found.client.title} whether it connects")
        if values.get("enabled") is False or values.get("disabled") is True:
            raise InvalidInput(f"{found.file} switches the server off")
        words = [values.get("command"), *list_of(values.get("args"))]
        if found.client.joined:
            words = list_of(values.get("command"))
        texts = [word for word in words if isinstance(word, str)]
        if not texts or len(texts) != len(words):
            raise InvalidInput(f"{found.file} has an entry without a command: run `lessonbook install` again")
        given = object_of(values.get("env") or values.get("environment"))
        variables = {name: value for name, value in given.items() if isinstance(value, str)}
        folder = found.top if found.client.starts_in_project else Path(machine.home)
        started = cls(texts[0], texts[1:], Path(text_of(values.get("cwd")) or folder), variables)
        if found.shared:
            started.refuse_foreign(found.file)
        return started

    def refuse_foreign(self, file: Path) -> None:
        """Refuse to run what a cloned folder names, unless it is Lessonbook's own server.

        Raises:
            InvalidInput: it is not.
        """
        ours = self.command == PROGRAM or [self.command, *self.arguments][: len(own_command())] == own_command()
        serves = "serve" in self.arguments and not {"--config"} & {word.split("=")[0] for word in self.arguments}
        if not (ours and serves and all(name.startswith(_OURS) for name in self.variables)):
            raise InvalidInput(
                f"{file} starts something else than `install` writes, so it is not started: "
                f"{' '.join([self.command, *self.arguments])[:_STDERR_MAX]!r}"
            )


async def tool_names(start: StartCommand) -> list[str]:
    """Start a server, and return the names of its tools.

    Raises:
        InvalidInput: it does not start or does not answer; the message holds what it printed last.
    """
    import anyio
    from mcp.client.session import ClientSession
    from mcp.client.stdio import StdioServerParameters, get_default_environment, stdio_client
    from mcp.shared.exceptions import MCPError

    environment = {**get_default_environment(), **start.variables}
    if shutil.which(start.command, path=environment.get("PATH", os.defpath)) is None:
        raise InvalidInput(f"There is no program {start.command!r} on the search path. {INSTALL_HINT}")
    parameters = StdioServerParameters(
        command=start.command, args=start.arguments, env=start.variables, cwd=str(start.folder)
    )
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
        try:
            with anyio.fail_after(TIMEOUT_S):
                async with (
                    stdio_client(parameters, errlog=printed) as (read, write),
                    ClientSession(read, write) as session,
                ):
                    await session.initialize()
                    return [tool.name for tool in (await session.list_tools()).tools]
        except* (OSError, TimeoutError, MCPError, anyio.ClosedResourceError, anyio.BrokenResourceError) as group:
            raise InvalidInput(_why(group.exceptions, printed)) from group
    raise InvalidInput("The server did not answer")


def _why(errors: Sequence[Any], printed: Any) -> str:
    """Return why a server does not work, with the last line that it printed."""
    printed.seek(0)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in printed.read().splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    error = errors[0]
    while hasattr(error, "exceptions"):  # groups within groups
        error = error.exceptions[0]
    reason = (
        f"no answer within {TIMEOUT_S:g} s" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    )
    said = f"; it printed: {last[:_STDERR_MAX]}" if last else ""
    return f"The server does not work ({reason}){said}"
