"""What takes long to make from the packaged data, kept in the user's cache folder between processes."""

import contextlib
import hashlib
import marshal
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from platformdirs import user_cache_path

from lessonbook.machine import private_files

_DIGEST_BYTES: Final = 32


def prepared(name: str, sources: Iterable[bytes], make: Callable[[], Any]) -> Any:
    """Return what `make` makes of `sources`, from the cache where it was made of the same sources before.

    It consists of what JSON knows, bytes and tuples. A file that others may write, that was cut off or that another
    version made does not count. Where no file can be written, it is made each time.

    Args:
        name: the name of the file.
        sources: all that `make` depends on.
        make: called where the cache has nothing.
    """
    digest = hashlib.sha256(f"{sys.implementation.cache_tag} {marshal.version}".encode())
    for source in sources:
        digest.update(hashlib.sha256(source).digest())
    key = digest.digest()
    try:
        file = user_cache_path("lessonbook") / f"{name}.bin"
        if (body := _read(file, key)) is not None:
            return marshal.loads(body)  # noqa: S302  # data, not code, which only this user can have written
    except (OSError, ValueError, EOFError, TypeError):
        file = None
    made = make()
    if file is not None:
        with contextlib.suppress(ValueError):  # it holds something else, such as a date
            _write(file, key, marshal.dumps(made))
    return made


def _read(file: Path, key: bytes) -> memoryview | None:
    """Return the content of a file of our own for `key`, or None."""
    try:
        descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as opened:  # noqa: PTH123  # it was opened above
        about = os.fstat(descriptor)
        if os.name != "nt" and (about.st_uid != os.geteuid() or about.st_mode & 0o077):
            return None
        content = memoryview(opened.read())
    found, checksum = bytes(content[:_DIGEST_BYTES]), bytes(content[_DIGEST_BYTES : 2 * _DIGEST_BYTES])
    body = content[2 * _DIGEST_BYTES :]
    return body if found == key and hashlib.sha256(body).digest() == checksum else None


def _write(file: Path, key: bytes, body: bytes) -> None:
    """Write a file at once or not at all: other processes may read it meanwhile."""
    fresh = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        private_files.make_folder(file.parent)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with open(descriptor, "wb") as opened:  # noqa: PTH123  # it was opened above, for us alone
            opened.write(key + hashlib.sha256(body).digest() + body)
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
