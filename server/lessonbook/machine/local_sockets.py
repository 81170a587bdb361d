"""Where a running server can be asked by other processes of the same user on this machine: one Unix socket per server.

A hook of a client starts a process for each prompt and each edit. It asks a server that is there already, since loading
the store takes longer than a person should wait. Imports are few for the same reason.

A socket's name is a hash of all that decides which lessons a server serves: the checkout, the options of the command
line and the environment. So whoever computes the same name would serve the same, and a file of a cloned folder, which
is none of these, leads nowhere else.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping

try:
    from _blake2 import blake2b  # hashlib loads OpenSSL, which takes longer than all the rest
except ImportError:  # another Python
    from hashlib import blake2b

LINE_BYTES_MAX = 1024 * 1024
"""Longest request and longest answer: one line of JSON each."""
TRIED_MAX = 4
"""How many servers of one name a caller tries, the newest first."""
SUFFIX = ".sock"
_NAMED_BY = ("DATABASE_URL", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
_PREFIX = "LESSONBOOK_"


def socket_folder() -> str:
    """Return the folder of this user's sockets; the path is short, as a socket's may have 104 bytes."""
    return f"/tmp/lessonbook-{_user()}"  # noqa: S108  # private: see `is_private_folder`


def _user() -> int:
    return os.getuid() if sys.platform != "win32" else 0


def name_for(folder: str, options: Mapping[str, str]) -> str:
    """Return the name of the sockets of servers that were started in the checkout of `folder` with `options`."""
    environment = {
        name: value for name, value in os.environ.items() if name in _NAMED_BY or name.upper().startswith(_PREFIX)
    }
    parts = [top_of_checkout(folder), sorted(options.items()), sorted(environment.items())]
    return digest(json.dumps(parts))


def digest(text: str) -> str:
    """Return 128 bits of BLAKE2b over a text, as 32 hexadecimal digits."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def top_of_checkout(folder: str) -> str:
    """Return the top folder of the checkout that `folder` is in, else the folder itself, without symbolic links."""
    here = place = os.path.realpath(folder)
    while not os.path.exists(os.path.join(place, ".git")):
        above = os.path.dirname(place)
        if above == place:
            return here
        place = above
    return place


def is_private_folder(path: str) -> bool:
    """Return whether `path` is a folder of this user, not a link to one, that nobody else may enter."""
    return _is_own(path, stat.S_ISDIR)


def is_private_socket(path: str) -> bool:
    """Return whether `path` is a socket of this user, not a link to one, that nobody else may use."""
    return _is_own(path, stat.S_ISSOCK)


def _is_own(path: str, is_kind: Callable[[int], bool]) -> bool:
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return is_kind(found.st_mode) and found.st_uid == _user() and not stat.S_IMODE(found.st_mode) & 0o077


def find_sockets(name: str) -> Iterator[str]:
    """Yield the paths of at most `TRIED_MAX` sockets of a name, the newest first; none in a folder of somebody else."""
    folder = socket_folder()
    if not is_private_folder(folder):
        return
    with os.scandir(folder) as entries:
        ours = [entry for entry in entries if entry.name.startswith(f"{name}.") and entry.name.endswith(SUFFIX)]
    found = ((_age(entry.path), entry.path) for entry in ours if is_private_socket(entry.path))
    for _, path in sorted(found)[:TRIED_MAX]:
        yield path


def _age(path: str) -> float:
    """Return a number that is greater the older a file is."""
    try:
        return -os.lstat(path).st_mtime
    except OSError:  # its server has just ended
        return 0.0
