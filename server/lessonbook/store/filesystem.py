"""The file system of the database: network file systems, and a lock for the housekeeping."""

import contextlib
import os
import sys
from collections.abc import Generator
from hashlib import sha256
from pathlib import Path

from lessonbook.machine import private_files

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "afs", "ncpfs", "glusterfs", "fuse.glusterfs"}
)


def network_filesystem(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of network file system that `path` is on; None if it is local, or if the kind is unknown."""
    kind = kind_of(path, mounts)
    return kind if kind in NETWORK else None


def kind_of(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the kind of file system that `path` is on; None where the system does not say."""
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
    return kind or None


class ByteLocks:
    """Names that this process holds against others on this machine: locks of single bytes of one file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None
        self._names: set[str] = set()

    def take(self, name: str) -> bool:
        """Hold `name` unless another process does, and return whether this one does.

        Raises:
            OSError: the file cannot be made.
        """
        if name in self._names:
            return True
        if self._descriptor is None:
            self._descriptor = private_files.opener(str(self._file), os.O_RDWR | os.O_CREAT)
        place = int.from_bytes(sha256(name.encode()).digest()[:4]) >> 1  # of two names on one byte, one waits
        if not _lock_byte(self._descriptor, place):
            return False
        self._names.add(name)
        return True

    def close(self) -> None:
        """Let go of all names."""
        descriptor, self._descriptor = self._descriptor, None
        self._names.clear()
        if descriptor is not None:
            os.close(descriptor)


def _lock_byte(descriptor: int, place: int) -> bool:
    """Lock one byte of a file, which may lie beyond its end, and return whether it was free."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415  # exists there only

            os.lseek(descriptor, place, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415  # exists there only

            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
    except OSError:
        return False
    return True


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
