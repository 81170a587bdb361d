"""The configuration file of a working folder: what it may set, and whether a person trusts it.

A cloned repository, or a pull request in CI, brings its own `lessonbook.toml`. Until a person ran `lessonbook trust`
there, it may set only what does no harm.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from platformdirs import user_data_path

from lessonbook.domain.documents import is_list, is_object, object_of
from lessonbook.domain.errors import ConfigError
from lessonbook.machine import git, private_files

FILE_NAME: Final = "lessonbook.toml"
FILE_BYTES_MAX: Final = 64 * 1024
"""A longer file is refused: the time to read TOML grows with the square of a key's length."""
DATA_BYTES_MAX: Final = 64 * 1024 * 1024
NAMED_MAX: Final = 12
"""Maximum number of ignored settings that one warning names."""
SHOWN_CHARACTERS_MAX: Final = 120
_HARMLESS: Final = frozenset({"agent", "log_level"})

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FolderFile:
    """A configuration file as it was read; its paths are absolute."""

    path: Path
    values: Values
    content: bytes

    @property
    def is_trusted(self) -> bool:
        """Whether a person trusts the file, and the data files it names, as they are now."""
        known = _trusted().get(str(self.path), "")
        # The data files of an unknown file are not read: one may be a device, or have no end.
        return known.startswith(f"{_hash(self.content)}:") and known == self.digest()

    def digest(self) -> str:
        """Return the hashes of the file and of the data files it names: a change of any of them ends the trust."""
        return f"{_hash(self.content)}:{_hash_of_data(self.values)}"


def read_toml(path: Path) -> tuple[Values, bytes]:
    """Return the values of a TOML file, its relative paths made absolute from its own folder, and its bytes.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is longer than {FILE_BYTES_MAX // 1024} KiB: it is not a configuration file")
        return anchored(tomllib.loads(content.decode()), path.absolute().parent), content
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {brief(str(error))}") from error


def anchored(values: Mapping[str, Any], folder: Path) -> Values:
    """Return `values` with relative paths made absolute, so that a file means the same in every working folder."""

    def absolute(text: object) -> object:
        return str(folder / os.path.expanduser(text)) if isinstance(text, str) and text else text  # noqa: PTH111  # never raises

    whole = dict(values)
    if is_object(data := whole.get("data")):
        whole["data"] = {key: absolute(value) for key, value in data.items()}
    if is_object(semantic := whole.get("semantic")) and "model" in semantic:
        is_name = semantic.get("base_url") or os.environ.get("LESSONBOOK_SEMANTIC_BASE_URL")
        whole["semantic"] = semantic if is_name else {**semantic, "model": absolute(semantic["model"])}
    if is_object(database := whole.get("database")) and "url" in database:
        whole["database"] = {**database, "url": _anchored_url(database["url"], folder)}
    return whole


def _anchored_url(url: object, folder: Path) -> object:
    if not isinstance(url, str) or not url.lower().startswith("sqlite"):
        return url
    scheme, separator, rest = url.partition("://")
    path = rest.removeprefix("/")
    if not separator or path in {"", ":memory:"}:
        return url
    return f"{scheme}:///{folder / os.path.expanduser(path)}"  # noqa: PTH111  # never raises


def find_files(folder: Path) -> list[FolderFile]:
    """Return the configuration files of a working folder, the nearest first: its own, then up to its checkout's top.

    Raises:
        ConfigError: one cannot be read, or is not valid TOML.
    """
    try:
        here = Path(os.path.realpath(folder))
    except FileNotFoundError:  # the working folder was removed
        return []
    top = git.top_of(here) or here
    places = [place for place in (here, *here.parents) if place == top or top in place.parents]
    return [read(place / FILE_NAME) for place in places if os.path.isfile(place / FILE_NAME)]  # noqa: PTH113  # False where access is denied


def read(path: Path) -> FolderFile:
    """Return a working folder's file.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML.
    """
    return FolderFile(path, *read_toml(path))


def permitted(file: FolderFile, toolsets: list[object]) -> tuple[Values, list[str]]:
    """Return what a file that nobody trusts may set, and the names of its other settings.

    It may choose the agent and the log level, narrow the toolsets (`toolsets` are those in force without it; empty: the
    transport's own), and choose between the projects of its checkout's remotes.
    """
    kept: Values = {key: value for key, value in file.values.items() if key in _HARMLESS}
    ignored: list[str] = []
    for key, value in file.values.items():
        if key in _HARMLESS or value in ("", {}):
            continue
        table = object_of(value)
        if key == "project" and (project := _agreed(file.path.parent, value)):
            kept["project"] = project
        elif key == "server" and "toolsets" in table:
            kept["server"] = {"toolsets": _narrowed(toolsets, table["toolsets"])}
            ignored += [f"server.{name}" for name in table if name != "toolsets"]
        else:
            ignored += [f"{key}.{name}" for name in table] if table else [key]
    return kept, ignored


def _agreed(folder: Path, project: object) -> str | None:
    """Return the project where one of the checkout's remotes names it, else None."""
    top = git.top_of(folder)
    wanted = project.strip().lower().removesuffix(".git") if isinstance(project, str) else ""
    return wanted if top and wanted and wanted in git.remotes_of(top).values() else None


def _narrowed(in_force: list[object], wanted: object) -> object:
    if not is_list(wanted):
        return wanted  # validation reports the wrong value
    if in_force:
        return [name for name in in_force if name in wanted] or in_force
    return [] if "operator" in wanted else wanted  # empty: no operators' tools over HTTP


def warning(file: FolderFile, ignored: list[str]) -> str:
    """Return the warning that names the ignored settings of a file."""
    names = ", ".join(shown(name) for name in ignored[:NAMED_MAX])
    more = f" and {len(ignored) - NAMED_MAX} more" if len(ignored) > NAMED_MAX else ""
    return (
        f"{file.path} is not trusted, so these settings of it are ignored: {names}{more}. "
        f"Run `lessonbook trust` in {file.path.parent} to see what they would change and to accept them."
    )


def shown(name: str) -> str:
    """Return the name of a setting, cut and without control characters, for a terminal."""
    return brief(name if name.isprintable() else ascii(name))


def brief(text: str) -> str:
    """Return at most the first `SHOWN_CHARACTERS_MAX` characters of a text that somebody else wrote."""
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"


def trust(file: FolderFile) -> None:
    """Store that a person trusts a file as it is now.

    Raises:
        ConfigError: it names a model in the folder itself, or the store cannot be written.
    """
    _refuse_own_model(file)
    _remember({**_trusted(), str(file.path): file.digest()})


def distrust(path: Path) -> bool:
    """Revoke the trust in a file; returns whether it was trusted.

    Raises:
        ConfigError: the store cannot be written.
    """
    known = _trusted()
    was_trusted = known.pop(str(path), None) is not None
    if was_trusted:
        _remember(known)
    return was_trusted


def _refuse_own_model(file: FolderFile) -> None:
    """Refuse a model in the folder itself: models run code, may change later and are too large to hash."""
    semantic = object_of(file.values.get("semantic"))
    model, top = semantic.get("model"), git.top_of(file.path.parent) or file.path.parent
    if not isinstance(model, str) or not model or semantic.get("base_url"):
        return
    places = {Path(os.path.normpath(model)), Path(os.path.realpath(model))}
    if any(place == top or top in place.parents for place in places):
        raise ConfigError(
            f"{file.path}: semantic.model lies in the folder itself, whose files may change: "
            "put the model in a folder of your own, and name that"
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_of_data(values: Values) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(object_of(values.get("data")).items()):
        path = Path(str(value))
        for part in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            content = _content(part)
            whole.update(f"{name}\0{part.name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return whole.hexdigest()


def _content(path: Path) -> bytes:
    """Return the bytes of a data file; none where it is not a regular file or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as handle:
            return handle.read(DATA_BYTES_MAX)
    except (OSError, ValueError):
        return b""


def _store() -> Path:
    return user_data_path("lessonbook", appauthor=False) / "trusted.json"


def _trusted() -> dict[str, str]:
    """Return the digest of each trusted file; none where the store cannot be read."""
    try:
        known: object = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {path: digest for path, digest in object_of(known).items() if isinstance(digest, str)}


def _remember(known: Mapping[str, str]) -> None:
    try:
        private_files.replace(_store(), json.dumps(known, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigError(f"{_store()} cannot be written: {error.strerror}") from error
