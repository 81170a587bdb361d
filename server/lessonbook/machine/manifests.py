"""The manifests of a working folder: what its top and the folders just below it say of what it is built with."""

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

DEPTH_MAX: Final = 2
"""Folders below the working folder that are looked into."""
ENTRIES_MAX: Final = 4_000
FILES_MAX: Final = 60
BYTES_MAX: Final = 256 * 1024
"""Read of one file."""
_SKIPPED: Final = frozenset(
    {"node_modules", "vendor", "venv", "env", "target", "dist", "build", "bin", "obj", "out", "site-packages", "Pods"}
)
_HIDDEN_SEEN: Final = frozenset({".github", ".gitlab-ci.yml"})


def read_manifests(folder: Path, is_manifest: Callable[[str], bool]) -> dict[str, str]:
    """Return the beginnings of the files for whose path, relative and with slashes, `is_manifest` is true.

    Nothing is run, and no symbolic link is followed. What cannot be read is left out.
    """
    found: dict[str, str] = {}
    for path in _files(folder):
        if len(found) == FILES_MAX:
            break
        if is_manifest(path) and (text := _beginning(folder / path)) is not None:
            found[path] = text
    return found


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths of files, those of the folder itself first."""
    waiting, seen = [""], 0
    while waiting:
        inside = waiting.pop(0)
        for entry in _entries(folder / inside):
            seen += 1
            if seen > ENTRIES_MAX:
                return
            if entry.name in _SKIPPED or (entry.name.startswith(".") and entry.name not in _HIDDEN_SEEN):
                continue
            path = f"{inside}{entry.name}"
            if entry.is_file(follow_symlinks=False):
                yield path
            elif entry.is_dir(follow_symlinks=False) and path.count("/") < DEPTH_MAX:
                waiting.append(f"{path}/")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(islice(entries, ENTRIES_MAX), key=lambda entry: entry.name)
    except OSError:
        return []


def _beginning(path: Path) -> str | None:
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(handle, "rb") as file:
            return file.read(BYTES_MAX).decode("utf-8", "replace")
    except (OSError, ValueError):
        return None
