"""Where tests keep their files: in memory where there is room, for SQLite waits for a disk at each commit."""

import os
import shutil
from pathlib import Path
from typing import Final

ROOM_BYTES: Final = 2_000_000_000
_MEMORY = Path("/dev/shm")


def _is_fit(place: Path) -> bool:
    """Return whether a folder is writable, has room, and lets programs in it be run."""
    return (
        place.is_dir()
        and os.access(place, os.W_OK | os.X_OK)
        and shutil.disk_usage(place).free > ROOM_BYTES
        and not os.statvfs(place).f_flag & os.ST_NOEXEC
    )


SHORT: Final = _MEMORY if _is_fit(_MEMORY) else Path("/tmp")
"""A folder with a short path, as the path of a socket may not be longer than 107 bytes."""


def keep_in_memory() -> None:
    """Let pytest make the folders of tests in memory, unless a person has said where."""
    if SHORT == _MEMORY:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
