"""A server whose client dies leaves no orphan and no half write, even while it waits for its turn to write."""

import contextlib
import fcntl
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from tests.contract.processes import command, environment
from tests.contract.test_ends import a_call, assert_sound
from tests.patience import PATIENCE_S
from tests.store.obstacles import locked
from tests.store.test_writer_queue import waiters

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.parametrize("dialect", ["sqlite"])]

PARENT = (
    "import subprocess, sys\n"
    "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
    "for line in sys.stdin.buffer: child.stdin.write(line); child.stdin.flush()\n"
)


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Be the one whose turn it is."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who waits for a lock")
@pytest.mark.parametrize("is_new", [False, True])  # the server waits in a call, or while it opens the database
async def test_a_server_that_waits_for_its_turn_does_not_outlive_its_client(
    database_url: str, dialect: str, is_new: bool
) -> None:
    if not is_new:
        await assert_sound(database_url, 0)
    path = Path(f"{database_url.removeprefix('sqlite:///')}.queue")
    with anyio.fail_after(PATIENCE_S), held(path):
        arguments = [sys.executable, "-c", PARENT, *command()]
        async with (
            locked(database_url),
            await anyio.open_process(arguments, env=environment(database_url)) as parent,
        ):
            assert parent.stdin is not None
            assert parent.stderr is not None
            await parent.stdin.send(a_call(1))
            while not waiters(path):  # noqa: ASYNC110  # another process waits, of which no event tells
                await anyio.sleep(0.01)
            parent.send_signal(signal.SIGKILL)
            async for _ in parent.stderr:  # the server holds this pipe as its stderr, and closes it by ending
                pass
    await assert_sound(database_url, 0)
