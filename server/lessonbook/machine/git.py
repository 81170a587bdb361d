"""What git knows of the working folder, called so that it runs no program that the folder names."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from lessonbook.machine.programs import find_program

NAME_MAX: Final = 200
"""Characters of a project's name."""
_NOTHING_FOUND: Final = 1
"""Exit code of `git config` where there is no such key."""
_REASON_MAX: Final = 200
log = logging.getLogger(__name__)
_QUIET: Final = (
    "--no-pager",
    "-c",
    "safe.bareRepository=explicit",  # a folder of a clone may look like a repository with its own configuration
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "log.showSignature=false",  # runs gpg.program
)
_NO_NETWORK: Final = {
    "GIT_ALLOW_PROTOCOL": "none",  # a partial clone would fetch what is missing, by a program its remote names
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "LANGUAGE": "en",  # what it says is read
}


def ask(folder: Path, *arguments: str, timeout_s: float = 5.0) -> subprocess.CompletedProcess[str]:
    """Run git in `folder` and return the completed process, whatever its exit code.

    Raises:
        OSError: there is no git on this machine, or it does not end within `timeout_s`.
    """
    if (git := find_program("git")) is None:
        raise FileNotFoundError("git is not on the search path")
    try:
        return subprocess.run(  # noqa: S603  # fixed words, no shell
            [git, "-C", str(folder), *_QUIET, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_NO_NETWORK},
        )
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"git does not answer within {timeout_s:g} s") from error


def top_of(folder: Path) -> Path | None:
    """Return the top folder of the checkout that `folder` is in, or None where it is in none."""
    try:
        place = os.path.realpath(folder) if folder.parts else os.getcwd()  # noqa: PTH109  # a string
    except FileNotFoundError:  # the working folder was removed
        return None
    # Every call of `get_lessons` asks, and texts take a tenth of the time of paths.
    while not os.path.exists(os.path.join(place, ".git")):  # noqa: PTH110, PTH118  # see above
        place, below = os.path.dirname(place), place  # noqa: PTH120
        if place == below:
            return None
    return Path(place)


def branch_of(folder: Path) -> str:
    """Return the branch that is checked out, read from git's files without running it; empty where there is none."""
    top = top_of(folder)
    if top is None:
        return ""
    try:
        found = top / ".git"
        if found.is_file():  # of a linked worktree
            found = top / found.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (found / "HEAD").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    named = head.strip().removeprefix("ref: refs/heads/")
    return named[:NAME_MAX] if head.startswith("ref: refs/heads/") and named.isprintable() else ""


@dataclass(frozen=True, slots=True)
class Identity:
    """The project of a working folder, and why it has no better name, a sentence; empty where it has."""

    project: str
    trouble: str = ""


def identify(folder: Path) -> Identity:
    """Return the project of a working folder: its git remote, else its top folder's name and a hash of its path.

    The remote is `origin`, else the first one: host and path in lower case, without credentials. Outside of a git
    checkout the project is `default`.
    """
    top = top_of(folder)
    if top is None:
        return Identity("default")
    remotes, reason = _read_remotes(top)
    name = remotes.get("origin") or next(iter(remotes.values()), "")
    if name or not reason:
        return Identity(name or _place_name(top))
    place = _place_name(top)
    trouble = (
        f"Git cannot name this project ({reason}), so it is called {place}, after its folder, and lessons kept under "
        "the name of its remote are not found: mend that, or name the project (`--project`, LESSONBOOK_PROJECT)."
    )
    log.warning("%s", trouble)
    return Identity(place, trouble)


def project_of(folder: Path) -> str:
    """Return the project of a working folder, as `identify` does."""
    return identify(folder).project


def remotes_of(top: Path) -> dict[str, str]:
    """Return the projects that a checkout's remotes name, by remote; none where git does not answer."""
    return _read_remotes(top)[0]


def _read_remotes(top: Path) -> tuple[dict[str, str], str]:
    """Return the projects that a checkout's remotes name, and why git names none; empty where it could."""
    try:
        done = ask(top, "config", "--local", "--null", "--get-regexp", r"^remote\..*\.url$")
        said = done.stderr if "only be used inside" not in done.stderr else ask(top, "rev-parse", "--git-dir").stderr
    except OSError as error:
        return {}, str(error)
    if done.returncode not in {0, _NOTHING_FOUND}:
        return {}, _reason(said, top)
    named: dict[str, str] = {}
    for entry in filter(None, done.stdout.split("\0")):
        key, _, url = entry.partition("\n")
        if name := remote_name(url):
            named.setdefault(key.removeprefix("remote.").removesuffix(".url"), name)
    return named, ""


def _reason(said: str, top: Path) -> str:
    """Return why git did not answer, in a clause without the checkout's path."""
    if "dubious ownership" in said:
        return "the checkout belongs to another user, and `git config --global --add safe.directory FOLDER` trusts it"
    if "not a git repository" in said:
        return "its .git is not a repository"
    first = next(iter(said.strip().splitlines()), "it does not say why")
    shown = "".join(letter for letter in first.replace(str(top), "the checkout") if letter.isprintable())
    return shown.removeprefix("fatal: ")[:_REASON_MAX]


def remote_name(remote: str) -> str:
    """Return `host/owner/name`, in lower case, of a remote in any of git's forms; empty for a path."""
    scp = re.fullmatch(r"(?:[^@/]+@)?([\w.-]+):(?!//)(.+)", remote)
    if scp:
        host, path = scp.groups()
    else:
        try:
            parts = urlsplit(remote)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return ""
    if not host:
        return ""  # a path could spell another host's name
    name = "/".join(part for part in (host, path.strip("/").removesuffix(".git")) if part).lower()
    return name[:NAME_MAX] if name.isprintable() else ""


def _place_name(top: Path) -> str:
    place = hashlib.sha256(os.fsencode(top)).hexdigest()[:8]
    name = "".join(letter for letter in top.name if letter.isprintable())[: NAME_MAX - 9]
    return f"{name or 'checkout'}-{place}"
