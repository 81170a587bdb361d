"""What is kept of a session between its hooks: tests that fail, and lessons whose application is recorded.

One small file per session, in the person's state folder. It holds names of tests, never what a command printed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from lessonbook.hooks.json_parts import object_of, read_object
from lessonbook.machine.local_sockets import digest, is_private_folder

KEPT_S = 7 * 24 * 3600
"""A file that was not written for so long is removed."""
STATE_BYTES_MAX = 256 * 1024
LOG_BYTES_MAX = 128 * 1024
_MESSAGE_MAX = 300

State = dict[str, dict[str, object]]
"""`failing`: what `failing_tests.read_outcome` found, by the command's hash; `recorded`: lesson ids."""


def state_folder() -> str:
    """Return the person's state folder for this program, as platformdirs names it, which takes longer to import."""
    home = os.path.expanduser("~")
    if sys.platform == "darwin":
        return f"{home}/Library/Application Support/lessonbook"
    if sys.platform == "win32":
        return os.path.join(os.environ.get("LOCALAPPDATA", home), "lessonbook")
    named = os.environ.get("XDG_STATE_HOME", "")
    return f"{named if named.strip() else f'{home}/.local/state'}/lessonbook"


@contextmanager
def open_state(session: str) -> Generator[State]:
    """Yield what is kept of a session, and write it when the block ends, if it changed.

    Hooks of one session may run at the same time; they take turns.

    Raises:
        OSError: the folder is not this person's own, or cannot be written.
    """
    folder = _own_folder("sessions")
    path = f"{folder}/{digest(session)}.json"
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o600), "r+", encoding="utf-8") as handle:
        _lock(handle.fileno())
        before = handle.read(STATE_BYTES_MAX)
        state = _state_of(before)
        yield state
        after = json.dumps(state)
        if after != before and len(after) <= STATE_BYTES_MAX:
            handle.seek(0)
            handle.truncate()
            handle.write(after)


def has_state(session: str) -> bool:
    """Return whether anything is kept of a session."""
    return os.path.exists(f"{state_folder()}/sessions/{digest(session)}.json")


def forget_old_sessions() -> None:
    """Remove the files of sessions that have been silent for `KEPT_S` seconds."""
    oldest = time.time() - KEPT_S
    with os.scandir(_own_folder("sessions")) as entries:
        for entry in entries:
            if entry.name.endswith(".json") and entry.stat(follow_symlinks=False).st_mtime < oldest:
                os.unlink(entry.path)


def log_failure(event: str, error: BaseException) -> None:
    """Note in `hook.log` that a hook failed. Of errors that are not ours only the kind is noted."""
    words = f"{error}" if hasattr(error, "code") else ""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {event[:40]!a}: {type(error).__name__} {words[:_MESSAGE_MAX]!a}\n"
    path = f"{_own_folder('')}/hook.log"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o600), "a", encoding="utf-8") as handle:
        if handle.tell() > LOG_BYTES_MAX:
            handle.truncate(0)
        handle.write(line)


def _own_folder(name: str) -> str:
    """Return a folder of ours in the state folder, made with mode 0700 where it is missing."""
    folder = state_folder()
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if name:
        folder = f"{folder}/{name}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if sys.platform != "win32" and not is_private_folder(folder):
            os.chmod(folder, 0o700)  # fails where it is not ours
    return folder


def _lock(descriptor: int) -> None:
    if sys.platform != "win32":
        import fcntl  # Unix only

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _state_of(text: str) -> State:
    told = read_object(text)
    return {name: object_of(told.get(name)) for name in ("failing", "recorded")}
