"""A client's configuration file: found, read, changed and written."""

from __future__ import annotations

import difflib
import os
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from lessonbook.cli.clients import jsonc, toml
from lessonbook.cli.clients.client_table import McpClient, Scope
from lessonbook.cli.clients.machine import Machine
from lessonbook.domain.documents import is_object, object_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.machine import git, private_files

NAME: Final = "lessonbook"
BYTES_MAX: Final = 4 * 1024 * 1024
"""Size of a file that is read."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a client's file holds, and what it will hold."""

    file: Path
    before: str
    after: str
    shared: bool
    """Whether the file lies in the project, where a team shares it."""

    @property
    def difference(self) -> str:
        """The change as a unified diff; empty where there is none."""
        before, after = (_ended(text).splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, "now", "then"))

    def write(self) -> None:
        """Replace the file at once; it keeps its mode, and a new one outside the project is its owner's alone.

        Raises:
            InvalidInput: the file or its folder cannot be written, or the file changed since it was read.
        """
        if read_text(self.file) != self.before:
            raise InvalidInput(f"{self.file} was changed by somebody else meanwhile: run this again")
        try:
            _write(self.file, self.after, shared=self.shared)
        except OSError as error:
            raise InvalidInput(f"{self.file} cannot be written ({_reason(error)}); nothing was changed") from error


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """The file in which a client reads its servers in one scope."""

    client: McpClient
    scope: Scope
    file: Path
    top: Path
    """The top folder of the project."""

    @classmethod
    def find(cls, client: McpClient, scope: Scope | None, machine: Machine) -> ConfigurationFile:
        """Return the file that the client reads from here, which need not exist.

        Raises:
            InvalidInput: the client has no such scope, or the file in the project is a link that leads elsewhere.
        """
        wanted = scope or client.scopes[0]
        if wanted not in client.files:
            only = "in the project" if "project" in client.files else "of your own"
            raise InvalidInput(f"{client.title} has only a file {only}: leave --scope out")
        top = project_top()
        places = [top / place for place in client.candidates(wanted, machine)]  # an absolute path stays as it is
        found = cls(client, wanted, next((place for place in places if place.exists()), places[0]), top)
        if found.shared and (target := found.file.resolve()) != top.resolve() / found.file.relative_to(top):
            # A link in a cloned repository could lead to another file of the person's.
            raise InvalidInput(
                f"{found.file} is a link that leads to {target}: change that file by hand if it is yours"
            )
        return found

    @property
    def shared(self) -> bool:
        """Whether the file lies in the project, where a team shares it."""
        return self.scope == "project"

    def entry(self) -> object:
        """Return the entry of this server, or None.

        Raises:
            InvalidInput: the file cannot be read.
        """
        return self._servers(self._format.read, read_text(self.file)).get(NAME)

    def with_entry(self, entry: dict[str, Any]) -> FileChange:
        """Return the change that makes `entry` this server's.

        Raises:
            InvalidInput: the file cannot be read or changed; the message says what to add by hand.
        """
        before = read_text(self.file)
        try:
            if self._servers(self._format.read, before).get(NAME) == entry:
                return self._change(before, before)
            after = self._format.with_member(before, self.client.key, NAME, entry)
            self._refuse_other_changes(before, after, entry)
        except InvalidInput as error:
            snippet = self._format.with_member("", self.client.key, NAME, entry)
            raise InvalidInput(f"{self.file} was left as it is: {error}. Add this to it by hand:\n{snippet}") from error
        return self._change(before, after)

    def without_entry(self) -> FileChange:
        """Return the change that removes this server's entry, and nothing else.

        Raises:
            InvalidInput: the file cannot be read or changed.
        """
        before = read_text(self.file)
        try:
            after = self._format.without_member(before, self.client.key, NAME)
            self._refuse_other_changes(before, after, None)
        except InvalidInput as error:
            raise InvalidInput(f"{self.file} was left as it is: {error}. Remove {NAME!r} from it by hand") from error
        return self._change(before, after)

    @property
    def _format(self) -> ModuleType:
        return toml if self.file.suffix == ".toml" else jsonc

    def _change(self, before: str, after: str) -> FileChange:
        return FileChange(self.file, before, after, self.shared)

    def _servers(self, read: Any, text: str) -> dict[str, object]:
        servers = read(text).get(self.client.key, {})
        if not is_object(servers):
            raise InvalidInput(f"its {self.client.key!r} is not an object")
        return servers

    def _refuse_other_changes(self, before: str, after: str, entry: dict[str, Any] | None) -> None:
        """Refuse a change of anything but this server's entry: what is not expected is not written."""
        was, then = self._format.read(before), self._format.read(after)
        expected = dict(object_of(was.get(self.client.key)))
        expected.pop(NAME, None)
        if entry is not None:
            expected[NAME] = entry
        if then.get(self.client.key, {}) != expected or _without(then, self.client.key) != _without(
            was, self.client.key
        ):
            raise InvalidInput("it cannot be changed without a change of something else")


def project_top() -> Path:
    """Return the top folder of the checkout the person is in, else the working folder.

    Raises:
        InvalidInput: the working folder does not exist any more.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        raise InvalidInput("The working folder does not exist any more: change to another one") from error
    return git.top_of(here) or here


def read_text(file: Path) -> str:
    """Return the text of a client's file; empty where there is none.

    Raises:
        InvalidInput: it cannot be read.
    """
    try:
        if not file.exists():
            return ""
        if not file.is_file():
            raise InvalidInput(f"{file} is not a file: move it away first")
        if file.stat().st_size > BYTES_MAX:
            raise InvalidInput(f"{file} is larger than {BYTES_MAX // 1024 // 1024} MiB: add the server by hand")
        return file.read_bytes().decode("utf-8")  # keeps the ends of lines as they are
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read ({_reason(error)})") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} cannot be read (it is not UTF-8): add the server there by hand") from error


def _write(file: Path, text: str, *, shared: bool) -> None:
    target = file.resolve()  # of a person's own link to their file, the file is replaced
    if target.exists():
        mode = stat.S_IMODE(target.stat().st_mode)
        if not mode & 0o222:
            raise PermissionError(13, "the file is read-only")
    else:
        mode = _default_mode() if shared else private_files.FILE_MODE
    if shared:
        target.parent.mkdir(parents=True, exist_ok=True)
    else:
        private_files.make_folder(target.parent)
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with open(fresh, "wb", opener=private_files.opener) as handle:
            handle.write(text.encode())
            handle.flush()
            os.fsync(handle.fileno())
        fresh.chmod(mode)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def _default_mode() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _ended(text: str) -> str:
    """Return a text whose last line has an end, so that a diff's lines do not run together."""
    return text if not text or text.endswith("\n") else f"{text}\n"


def _without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
