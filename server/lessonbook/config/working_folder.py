"""The configuration file of a working folder, which may be anybody's: what it may set, and whether a person trusts it.

A cloned repository, or a pull request in CI, brings its own `lessonbook.toml`. Until a person ran `lessonbook trust`
there, it sets only what cannot hurt.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from platformdirs import user_data_path

from lessonbook.domain.errors import ConfigError
from lessonbook.machine import git, private_files

FILE_NAME: Final = "lessonbook.toml"
FILE_BYTES_MAX: Final = 64 * 1024
"""A longer file is refused: reading TOML takes time that grows with the square of a hostile key."""
DATA_BYTES_MAX: Final = 64 * 1024 * 1024
NAMED_MAX: Final = 12
"""Names of ignored settings in one warning."""
NAME_CHARACTERS_MAX: Final = 60
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
        # What an unknown file names is not read: it may be a device, or have no end.
        return known.startswith(f"{_hash(self.content)}:") and known == self.digest()

    def digest(self) -> str:
        """Return the hash of the file, and that of the data files it names: a change of any needs trust again."""
        return f"{_hash(self.content)}:{_hash_of_data(self.values)}"


def read_toml(path: Path) -> tuple[Values, bytes]:
    """Return what a TOML file says, its relative paths made absolute from the file's own folder, and its bytes.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML.
    """
    try:
        with path.open("rb") as handle:
            content = handle.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise ConfigError(f"{path} is longer than {FILE_BYTES_MAX // 1024} KiB: it is no configuration file")
        return anchored(tomllib.loads(content.decode()), path.absolute().parent), content
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {brief(str(error))}") from error


def anchored(values: Mapping[str, Any], folder: Path) -> Values:
    """Return `values` with the relative paths in them made absolute: a file means the same in every working folder."""

    def absolute(text: object) -> object:
        return str(folder / os.path.expanduser(text)) if isinstance(text, str) and text else text  # noqa: PTH111  # never raises

    whole = dict(values)
    if isinstance(data := whole.get("data"), dict):
        whole["data"] = {key: absolute(value) for key, value in cast("Values", data).items()}
    if isinstance(semantic := whole.get("semantic"), dict):
        table = cast("Values", semantic)
        is_name = table.get("base_url") or os.environ.get("LESSONBOOK_SEMANTIC_BASE_URL")
        if "model" in table and not is_name:
            whole["semantic"] = {**table, "model": absolute(table["model"])}
    if isinstance(database := whole.get("database"), dict) and "url" in database:
        table = cast("Values", database)
        whole["database"] = {**table, "url": _anchored_url(table["url"], folder)}
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
    return [read(place / FILE_NAME) for place in places if os.path.isfile(place / FILE_NAME)]  # noqa: PTH113  # False where it may not be looked at


def read(path: Path) -> FolderFile:
    """Return a working folder's file.

    Raises:
        ConfigError: it cannot be read, or is not valid TOML.
    """
    return FolderFile(path, *read_toml(path))


def permitted(file: FolderFile, toolsets: list[str]) -> tuple[Values, list[str]]:
    """Return what a file that nobody trusts may set, and the names of its other settings.

    It may choose the agent and the log level, narrow the toolsets (`toolsets` are those in force without it, none for
    the transport's own), and choose between the projects of its checkout's remotes.
    """
    kept: Values = {key: value for key, value in file.values.items() if key in _HARMLESS}
    ignored: list[str] = []
    for key, value in file.values.items():
        if key in _HARMLESS or value in ("", {}):
            continue
        table = cast("Values", value) if isinstance(value, dict) else None
        if key == "project" and (project := _agreed(file.path.parent, cast("object", value))):
            kept["project"] = project
        elif key == "server" and table and "toolsets" in table:
            kept["server"] = {"toolsets": _narrowed(toolsets, table["toolsets"])}
            ignored += [f"server.{name}" for name in table if name != "toolsets"]
        else:
            ignored += [f"{key}.{name}" for name in table] if table else [key]
    return kept, ignored


def _agreed(folder: Path, project: object) -> str | None:
    """Return a project as one of the checkout's remotes names it; None where none does."""
    top = git.top_of(folder)
    wanted = project.strip().lower().removesuffix(".git") if isinstance(project, str) else ""
    return wanted if top and wanted and wanted in git.remotes_of(top).values() else None


def _narrowed(in_force: list[str], wanted: object) -> object:
    if not isinstance(wanted, list):
        return wanted  # told as a wrong value
    names = cast("list[object]", wanted)
    if in_force:
        return [name for name in in_force if name in names] or in_force
    return [] if "operator" in names else names  # the operators' tools are there on stdio alone, unless a person asks


def warning(file: FolderFile, ignored: list[str]) -> str:
    """Return the sentence that names the settings of a file that are ignored."""
    names = ", ".join(shown(name) for name in ignored[:NAMED_MAX])
    more = f" and {len(ignored) - NAMED_MAX} more" if len(ignored) > NAMED_MAX else ""
    return (
        f"{file.path} is not trusted, so these settings of it are ignored: {names}{more}. "
        f"Run `lessonbook trust` in {file.path.parent} to see what they would change and to accept them."
    )


def shown(name: str) -> str:
    """Return the name of a setting fit for a terminal: a file may hold anything."""
    return brief(name if name.isprintable() else ascii(name))


def brief(text: str) -> str:
    """Return the beginning of a text that somebody else chose."""
    return text if len(text) <= NAME_CHARACTERS_MAX * 2 else f"{text[: NAME_CHARACTERS_MAX * 2]}…"


def trust(file: FolderFile) -> None:
    """Remember that a person trusts a file as it is now.

    Raises:
        ConfigError: it names a model in the folder itself, or what is remembered cannot be written.
    """
    _refuse_own_model(file)
    _remember({**_trusted(), str(file.path): file.digest()})


def distrust(path: Path) -> bool:
    """Forget that a file was trusted; returns whether it was.

    Raises:
        ConfigError: what is remembered cannot be written.
    """
    known = _trusted()
    was_trusted = known.pop(str(path), None) is not None
    if was_trusted:
        _remember(known)
    return was_trusted


def _refuse_own_model(file: FolderFile) -> None:
    """Refuse a model whose files the folder could change later: models are code and too large to be hashed."""
    semantic = file.values.get("semantic")
    table = cast("Values", semantic) if isinstance(semantic, dict) else {}
    model, top = table.get("model"), git.top_of(file.path.parent) or file.path.parent
    if not isinstance(model, str) or not model or table.get("base_url"):
        return
    places = {Path(os.path.normpath(model)), Path(os.path.realpath(model))}
    if any(place == top or top in place.parents for place in places):
        raise ConfigError(
            f"{file.path}: semantic.model lies in the folder itself, whose files may change: "
            "put the model in a place of your own, and name that"
        )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_of_data(values: Values) -> str:
    whole = hashlib.sha256()
    data = values.get("data")
    for name, value in sorted(cast("Values", data).items()) if isinstance(data, dict) else ():
        path = Path(str(value))
        for part in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            content = _content(part)
            whole.update(f"{name}\0{part.name}\0{len(content)}\0".encode("utf-8", "surrogateescape") + content)
    return whole.hexdigest()


def _content(path: Path) -> bytes:
    """Return the bytes of a data file; none for what is no file."""
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
    """Return the hash of each trusted file. What cannot be read is not trusted."""
    try:
        known: object = json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    table = cast("Values", known) if isinstance(known, dict) else {}
    return {path: digest for path, digest in table.items() if isinstance(digest, str)}


def _remember(known: Mapping[str, str]) -> None:
    try:
        private_files.write_anew(_store(), json.dumps(known, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise ConfigError(f"{_store()} cannot be written: {error.strerror}") from error
