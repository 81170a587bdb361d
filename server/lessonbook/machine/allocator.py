"""How the C library hands out memory, for a process that stays."""

import contextlib
import os
from typing import Final

_ARENA_MAX: Final = -8
"""`M_ARENA_MAX` of glibc's `mallopt`."""


def share_one_arena() -> bool:
    """Let all threads take memory from one arena of glibc's; return whether it is so now.

    By default each of the first threads gets an arena of its own, and what one has left over no other uses: 7 MB in a
    server. Threads that wait for Python's lock seldom wait for one arena's. Call it before there are threads; another
    C library is left as it is.
    """
    with contextlib.suppress(AttributeError, ImportError, OSError, ValueError):  # another system's library
        if (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            import ctypes  # noqa: PLC0415  # commands, which are over before it matters, do without

            return bool(ctypes.CDLL(None).mallopt(_ARENA_MAX, 1))
    return False
