"""The file system of the database: network file systems, and a lock for the housekeeping."""

import contextlib
import os
import sys
from collections.abc import Generator
from pathlib import Path

from lessonbook.machine import private_files

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ncpfs", "glusterfs", "fuse.glusterfs"}
)


def network_filesystem(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of network file system that `path` is on; None if it is local, or if the kind is unknown."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    place = os.path.realpath(path)
    best, kind = "", ""
    for line in lines:
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind if kind in NETWORK else None


@contextlib.contextmanager
def sole_owner(lock: Path) -> Generator[bool]:
    """Hold `lock` while the block runs, and yield whether it is held; False if another process holds it.

    Raises:
        OSError: the file cannot be made.
    """
    with open(lock, "a", opener=private_files.opener) as handle:
        try:
            if sys.platform == "win32":
                import msvcrt  # noqa: PLC0415  # exists there only

                msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl  # noqa: PLC0415  # exists there only

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
