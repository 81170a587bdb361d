"""Files and folders that nobody else on the machine may read."""

import contextlib
import os
import uuid
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def make_folder(folder: Path) -> None:
    """Make `folder` and its missing parents with mode 0700; an existing one keeps its mode.

    Raises:
        OSError: it cannot be made.
    """
    for place in (*reversed(folder.parents), folder):
        if not place.is_dir():
            place.mkdir(mode=FOLDER_MODE, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """Open a file, as the `opener` of `open`: a new one has mode 0600, an existing one keeps its mode."""
    return os.open(path, flags, FILE_MODE)


def make_file(path: Path) -> None:
    """Make an empty file with mode 0600, unless it exists.

    An existing one is not opened: closing it would release the locks that SQLite holds on it in this process.

    Raises:
        OSError: it cannot be made.
    """
    if path.exists():
        return
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE))
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()


def write(path: Path, text: str) -> None:
    """Write a file; a new one has mode 0600, an existing one keeps its mode.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "w", encoding="utf-8", opener=opener) as handle:
        handle.write(text)


def replace(path: Path, text: str) -> None:
    """Replace a file atomically by one with mode 0600, and make its folder.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    write(fresh, text)
    fresh.replace(path)
