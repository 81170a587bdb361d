"""Files and folders that nobody else on the machine may read."""

import contextlib
import os
import uuid
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, for its owner alone; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    for place in (*reversed(folder.parents), folder):
        if not place.is_dir():
            place.mkdir(mode=FOLDER_MODE, exist_ok=True)


def opener(path: str, flags: int) -> int:
    """Open a file for `open(…, opener=opener)`: one that is made is its owner's alone, one that is there stays so."""
    return os.open(path, flags, FILE_MODE)


def make_file(path: Path) -> None:
    """Make an empty file for its owner alone, unless it is there.

    One that is there is not opened: closing it would take away the locks that SQLite holds on it in this process.

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
    """Write a file; one that is made is its owner's alone, one that is there keeps its mode.

    Raises:
        OSError: it cannot be written.
    """
    with open(path, "w", encoding="utf-8", opener=opener) as handle:
        handle.write(text)


def write_anew(path: Path, text: str) -> None:
    """Put a file of ours in the place of the one there was, whole or not at all, for its owner alone.

    Raises:
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    write(fresh, text)
    fresh.replace(path)
