"""Imports the package, turns the loop once, and forks for each command that a launcher asks for.

python server.py <socket>; it ends, and every command with it, when its standard input does.
"""

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import lessonbook
from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.task_rules import hazards_of
from lessonbook.machine.patterns import LazyPattern
from tests import bounds, statements
from tests.forks import first_use

LIMITS = "TEST_LIMITS"
"""The variable that holds time limits of the product as JSON, for a command that is to keep to shorter ones."""
STREAMS = 3
STREAM_BYTES = STREAMS * array.array("i").itemsize
MORE = (
    "alembic.autogenerate",
    "alembic.command",
    "asyncpg",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.dialects.sqlite",
    "mcp.server.mcpserver",
    "rich.logging",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
)


def load() -> None:
    for found in pkgutil.walk_packages(lessonbook.__path__, "lessonbook."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in MORE:
        importlib.import_module(name)
    # What a command would make at first use.
    hazards_of(load_catalogue(None))
    load_roster(None)
    for found in gc.get_objects():
        if isinstance(found, LazyPattern):
            _ = found.compiled
        elif isinstance(found, type) and issubclass(found, BaseModel) and found.__module__.startswith("lessonbook."):
            found.model_rebuild()
    statements.share()
    first_use.have()
    bounds.widen()
    gc.collect()
    gc.freeze()


class Commands:
    """The commands at work, each with the connection of its launcher."""

    def __init__(self, address: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()
        self.ended, wake = socket.socketpair()
        for end in (self.ended, wake):
            end.setblocking(False)
        self.wake = wake
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno())
        self.launchers: dict[int, socket.socket] = {}
        self.watched = selectors.DefaultSelector()
        for place in (0, self.listener, self.ended):
            self.watched.register(place, selectors.EVENT_READ)

    def next_job(self) -> dict[str, Any] | None:
        """Serve; return what is to be done in each process that is forked, and None where all is over."""
        while True:
            for key, _ in self.watched.select():
                if key.fileobj == 0:
                    for child in self.launchers:
                        os.kill(child, signal.SIGKILL)
                    return None
                if key.fileobj is self.listener:
                    if job := self._begin(self.listener.accept()[0]):
                        return job
                elif key.fileobj is self.ended:
                    self._reap()
                else:
                    self._launcher_left(key.fileobj)

    def _begin(self, launcher: socket.socket) -> dict[str, Any] | None:
        told, ancillary, *_ = launcher.recvmsg(1 << 16, socket.CMSG_SPACE(STREAM_BYTES))
        while not told.endswith(b"\n"):
            told += launcher.recv(1 << 16)
        streams = array.array("i", ancillary[0][2][:STREAM_BYTES])
        if child := os.fork():
            for stream in streams:
                os.close(stream)
            self.launchers[child] = launcher
            self.watched.register(launcher, selectors.EVENT_READ)
            launcher.sendall(f"{child}\n".encode())
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        for place in (launcher, self.listener, self.ended, self.wake, *self.launchers.values(), self.watched):
            place.close()
        return json.loads(told)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.ended.recv(1 << 16)
        with contextlib.suppress(ChildProcessError):
            while (status := os.waitpid(-1, os.WNOHANG))[0]:
                launcher = self.launchers.pop(status[0])
                with contextlib.suppress(KeyError):  # it was killed
                    self.watched.unregister(launcher)
                with contextlib.suppress(OSError):
                    launcher.sendall(f"{os.waitstatus_to_exitcode(status[1])}\n".encode())
                launcher.close()

    def _launcher_left(self, launcher: Any) -> None:
        """Kill the command of a launcher that was killed."""
        for child, known in self.launchers.items():
            if known is launcher:
                os.kill(child, signal.SIGKILL)
        self.watched.unregister(launcher)


def run(job: dict[str, Any]) -> None:
    """Do what `python <arguments>` does."""
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    if encoding := os.environ.get("PYTHONIOENCODING"):  # as Python does when it starts
        sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    bounds.set_limits(json.loads(os.environ.get(LIMITS, "{}")))
    arguments = job["arguments"]
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        importlib.import_module(f"{arguments[1]}.cli").main()
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).parent))
        runpy.run_path(arguments[0], run_name="__main__")


def end(code: object) -> None:
    """End as Python does, but for taking apart every module: of what was there before the fork, this would be a copy.

    What was made since and left open complains, as it would at Python's own end.
    """
    if not isinstance(code, int | None):
        sys.exit(str(code))
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as Python's own end does
    atexit._run_exitfuncs()
    gc.collect()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code or 0)


signal.signal(signal.SIGINT, signal.default_int_handler)  # as a terminal starts a command, whoever started this
load()
commands = Commands(sys.argv[1])
sys.stdout.write("ready\n")
sys.stdout.flush()
nothing = os.open(os.devnull, os.O_WRONLY)
os.dup2(nothing, 1)
os.close(nothing)
if (job := commands.next_job()) is not None:
    try:
        run(job)
    except SystemExit as stop:
        end(stop.code)
    else:
        end(None)
