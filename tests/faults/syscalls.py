"""System calls that fail from now on, as a full or broken disk makes them fail: by a filter of the kernel (seccomp).

Linux alone has it. It needs no privileges, concerns a process and its children, and cannot be taken back.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Sequence

IS_POSSIBLE = sys.platform == "linux" and os.uname().machine in {"x86_64", "aarch64"}

NUMBERS = {
    "x86_64": {"pwrite64": 18, "fsync": 74, "fdatasync": 75, "seccomp": 317},
    "aarch64": {"pwrite64": 68, "fsync": 82, "fdatasync": 83, "seccomp": 277},
}
FULL, BROKEN = errno.ENOSPC, errno.EIO

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NO_NEW_PRIVILEGES = 38
_FILTER, _ALL_THREADS = 1, 1


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def let_fail(names: Sequence[str], error: int) -> None:
    """Let these system calls of all threads of this process fail with an error number from now on."""
    numbers = NUMBERS[os.uname().machine]
    steps = [(_LOAD, 0, 0, 0)]  # the call's number
    steps += [(_EQUAL, len(names) - place, 0, numbers[name]) for place, name in enumerate(names)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERROR | error)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = _Program(len(steps), ctypes.addressof(code))
    kernel = ctypes.CDLL(None, use_errno=True)
    done = kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    done = done or kernel.syscall(numbers["seccomp"], _FILTER, _ALL_THREADS, ctypes.byref(program))
    if done:
        raise OSError(ctypes.get_errno(), "no filter for system calls")
