"""Commands forked off a process that has imported everything and turned the loop once, which is most of their work.

`forked(...)` returns a command that behaves as `python ...` would: same streams, environment, signals and exit code.
What a command imports, and when, is for tests that start one afresh.
"""

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import folders

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def forked(*arguments: str) -> list[str]:
    """Return a command that does what `python -W error <arguments>` does, sooner.

    `arguments` begin with `-m lessonbook`, or with the path of a script.
    """
    return [sys.executable, "-I", "-S", str(HERE / "launcher.py"), _address(), *arguments]


@functools.cache
def _address() -> str:
    """Return where this process's fork server listens, started on first use; it ends with this process."""
    folder = tempfile.TemporaryDirectory(prefix="lessonbook-fork-", dir=folders.SHORT)  # a socket's path is short
    address = str(Path(folder.name) / "socket")
    command = [sys.executable, "-W", "error", str(HERE / "server.py"), address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "server"), str(ROOT)])}
    environment.pop("PYTHONUNBUFFERED", None)  # prints must be able to linger in the buffer
    server = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert server.stdin is not None
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"
    server.stdout.close()

    @atexit.register
    def end() -> None:
        server.stdin.close()
        server.wait()
        folder.cleanup()

    return address
