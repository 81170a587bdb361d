"""The runs that the commits under test name in their `Lessonbook-Run` trailers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.machine import git

TRAILER: Final = "Lessonbook-Run"
RUNS_MAX: Final = 100
_TRAILER: Final = re.compile(rf"^[ \t>*-]{{0,8}}{TRAILER}:[ \t]*([^\s<>`]{{1,200}})[ \t]*$", re.M | re.I)
"""A trailer in any block of a message: squashed commits keep each other's messages, and indent them at times."""
_TIMEOUT_S: Final = 10.0
_BASES: Final = (
    ("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
    ("GITHUB_BASE_REF", "origin/"),
    ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "origin/"),
    ("CHANGE_TARGET", "origin/"),
    ("BITBUCKET_PR_DESTINATION_BRANCH", "origin/"),
    ("SYSTEM_PULLREQUEST_TARGETBRANCH", "origin/"),
)
"""Variables in which CI systems name the branch that a change goes to, and what git puts before it."""
_ZEROS: Final = re.compile(r"^0+$")


@dataclass(frozen=True, slots=True)
class Trailers:
    """The runs of a range of commits, each once, and what the reader should know of the range."""

    run_ids: tuple[str, ...]
    note: str = ""


def runs_from_git(folder: Path, base: str = "") -> Trailers:
    """Return the runs named by the commits from `base` to HEAD, merged ones among them, latest commit first.

    Without a base it is the one that the CI system names, else the first parent of a merge commit, else the main
    branch of the remote; where none of these is there, it is the last commit alone.

    Raises:
        InvalidInput: the folder is not a git checkout with a commit, there is no git, or it does not know `base`.
    """
    if _said(folder, "rev-parse", "--verify", "-q", "HEAD^{commit}") is None:
        raise InvalidInput("--run-from-git needs a git checkout with a commit; name the run with --run")
    if base and _commit(folder, base) is None:
        raise InvalidInput(
            f"git does not know {base!r} here: fetch it (in CI with the whole history), or leave --base out"
        )
    wanted = base or _base_of_change(folder)
    messages = _said(folder, "log", "--format=%B%x00", f"{wanted}..HEAD" if wanted else "-1") or ""
    found = tuple(dict.fromkeys(_TRAILER.findall(messages)))
    note = ""
    if _said(folder, "rev-parse", "--is-shallow-repository") == "true":
        read = "the commits that are here" if wanted else "the last commit alone"
        note = f"This is a shallow clone, so {read} was read: check out the whole history (fetch-depth: 0)."
    return Trailers(found[:RUNS_MAX], note)


def _base_of_change(folder: Path) -> str:
    named = (prefix + name.removeprefix("refs/heads/") for key, prefix in _BASES if (name := os.environ.get(key, "")))
    second_parent = _said(folder, "rev-parse", "--verify", "-q", "HEAD^2")
    for base in (*named, *(["HEAD^1"] if second_parent else []), "origin/HEAD"):
        known = None if _ZEROS.match(base) else _commit(folder, base)
        if known is not None and known != _commit(folder, "HEAD"):
            return known
    return ""


def _commit(folder: Path, name: str) -> str | None:
    return _said(folder, "rev-parse", "--verify", "-q", "--end-of-options", f"{name}^{{commit}}")


def _said(folder: Path, *arguments: str) -> str | None:
    """Return what git answers; None where it fails."""
    try:
        done = git.ask(folder, *arguments, timeout_s=_TIMEOUT_S)
    except OSError as error:
        raise InvalidInput("--run-from-git needs git on this machine; name the run with --run") from error
    return done.stdout.strip() if done.returncode == 0 else None
