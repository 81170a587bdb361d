import os
import subprocess
import sys

import pytest

from lessonbook.machine.allocator import share_one_arena

_THREADS = """
import ctypes, sys, threading
from lessonbook.machine.allocator import share_one_arena
if sys.argv[1] == "shared":
    assert share_one_arena()
together = threading.Barrier(3)
def take():
    held = bytes(100_000)
    together.wait()
    del held
threads = [threading.Thread(target=take) for _ in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
ctypes.CDLL(None).malloc_stats()
"""


def _has_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False


@pytest.mark.skipif(not _has_glibc(), reason="arenas are those of glibc")
def test_threads_of_a_process_that_shares_one_arena_take_memory_from_it() -> None:
    def arenas(how: str) -> int:
        done = subprocess.run([sys.executable, "-c", _THREADS, how], check=True, capture_output=True, text=True)
        return done.stderr.count("Arena ")

    assert arenas("shared") == 1
    assert arenas("apart") > 1


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: None, raising=False)  # pyright: ignore[reportUnknownLambdaType]
    assert not share_one_arena()
