"""The MCP configuration files of clients: where they are, and how this server is added to each."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lessonbook.domain.documents import object_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.machine import private_files
from lessonbook.machine.programs import own_command, shared_command

_NAME: Final = "lessonbook"
USER_WIDE: Final = frozenset({"codex"})
"""Clients with one file for all projects of a person: it names no project. The server finds the project by the folder
it is started in."""
_OURS: Final = re.compile(rf"^\[mcp_servers\.{_NAME}\]\ncommand = .*\nargs = .*\n", re.MULTILINE)
"""The lines that an earlier `install` wrote."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A change to one file."""

    file: Path
    before: str
    after: str

    @property
    def is_shared(self) -> bool:
        """Whether the file lies in the project, where a team shares it."""
        return not self.file.is_absolute()

    @property
    def difference(self) -> str:
        """The change as a unified diff; empty where there is none."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True), "now", "then"
        )
        return "".join(lines)

    def write(self) -> None:
        """Write the file, and make its folder; outside the project both are readable for their owner only.

        Raises:
            InvalidInput: the file or its folder cannot be made or written.
        """
        try:
            if self.is_shared:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self.file.write_text(self.after, encoding="utf-8")
            else:
                private_files.make_folder(self.file.parent)
                private_files.write(self.file, self.after)
        except OSError as error:
            raise InvalidInput(
                f"{self.file} cannot be written ({error.strerror}): check its folder, or add the server by hand"
            ) from error


def plan(client: str, arguments: list[str]) -> Plan:
    """Return the change that lets `client` start this server with `arguments`.

    Raises:
        InvalidInput: the client's file is there and cannot be read, or leads out of the project.
    """
    command, *first = own_command() if client == "codex" else shared_command()
    arguments = [*first, *arguments]
    entry = {"command": command, "args": arguments}
    match client:
        case "claude-code":
            return _json_plan(Path(".mcp.json"), "mcpServers", {"type": "stdio", **entry})
        case "cursor":
            return _json_plan(Path(".cursor/mcp.json"), "mcpServers", entry)
        case "vscode":
            return _json_plan(Path(".vscode/mcp.json"), "servers", {"type": "stdio", **entry})
        case _:
            return _codex_plan(Path.home() / ".codex" / "config.toml", entry)


def _read(file: Path) -> str:
    """Return the text of a client's file; empty where there is none."""
    try:
        return file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidInput(f"{file} cannot be read ({reason}): add the server there by hand") from error


def _json_plan(file: Path, key: str, entry: dict[str, Any]) -> Plan:
    if (place := file.resolve()) != Path.cwd().resolve() / file:
        # A link in a cloned repository could lead to another file of the person's.
        raise InvalidInput(f"{file} is a link that leads to {place}: change that file by hand if it is yours")
    before = _read(file)
    try:
        document: object = json.loads(before or "{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{file} is not plain JSON ({error}): add the server there by hand") from error
    whole = object_of(document)
    servers = object_of(whole.setdefault(key, {}))
    if whole is not document or servers is not whole[key]:
        raise InvalidInput(f"{file} has no object {key!r}: add the server there by hand")
    servers[_NAME] = entry
    return Plan(file, before, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _codex_plan(file: Path, entry: dict[str, Any]) -> Plan:
    before = _read(file)
    try:
        known = tomllib.loads(before).get("mcp_servers", {}).get(_NAME)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is not valid TOML ({error}): correct it first") from error
    if known == entry:
        return Plan(file, before, before)
    # JSON strings and lists of strings are valid TOML.
    block = "".join(f"{key} = {json.dumps(value)}\n" for key, value in entry.items())
    block = f"[mcp_servers.{_NAME}]\n{block}"
    if known is not None:
        return Plan(file, before, _replaced(file, before, known, block))
    gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    return Plan(file, before, before + gap + block)


def _replaced(file: Path, before: str, known: object, block: str) -> str:
    """Return the file with the server's lines replaced by `block`, where an earlier `install` wrote all of them.

    Raises:
        InvalidInput: they were changed or written by hand.
    """
    found = _OURS.search(before)
    if found is None or tomllib.loads(found[0])["mcp_servers"][_NAME] != known or "serve" not in found[0]:
        raise InvalidInput(f"{file} has a server {_NAME!r} already: change it there by hand")
    return before[: found.start()] + block + before[found.end() :]
