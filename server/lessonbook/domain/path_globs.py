"""Globs over paths with slashes, matched part by part in time that is at most the product of both lengths."""

from collections.abc import Callable, Sequence
from typing import Final

ANY_FOLDERS: Final = "**"
ANY_LETTERS: Final = "*"
_MAX_PARTS: Final = 32
"""Folders above a file that are looked at."""


def path_parts(place: str) -> tuple[str, ...]:
    """Return the folders and the name of a path in lower case; a slash at its end makes it a folder's."""
    *folders, name = place.strip().replace("\\", "/").casefold().split("/")
    return (*(folder for folder in folders[-_MAX_PARTS:] if folder), name)


def glob_parts(glob: str) -> tuple[str, ...]:
    """Return the parts of a glob that may begin at any folder: `*` stays within a folder, `**` does not."""
    parts = [ANY_FOLDERS]
    for part in glob.casefold().split("/"):
        if part != ANY_FOLDERS or parts[-1] != ANY_FOLDERS:
            parts.append(part)
    if parts[-1] == ANY_FOLDERS:
        parts.append(ANY_LETTERS)  # a folder is no file in it
    return tuple(parts)


def fits_path(glob: Sequence[str], path: Sequence[str]) -> bool:
    """Return whether a glob fits a path, both in parts."""
    ending = glob[1:]
    if ANY_FOLDERS in ending:
        return is_like(path, glob, ANY_FOLDERS, is_name_like)
    return len(path) >= len(ending) and all(map(is_name_like, path[-len(ending) :], ending))


def is_name_like(name: str, glob: str) -> bool:
    """Tell whether a glob fits one part of a path."""
    if "?" in glob or glob.count(ANY_LETTERS) > 1:
        return is_like(name, glob, ANY_LETTERS, lambda letter, wanted: wanted in {letter, "?"})
    before, wild, after = glob.partition(ANY_LETTERS)
    if not wild:
        return name == glob
    return len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)


def is_like(items: Sequence[str], wanted: Sequence[str], wild: str, fits: Callable[[str, str], bool]) -> bool:
    """Tell whether items are like those that are wanted, where `wild` stands for any number of them.

    Only the last `wild` is ever gone back to, so that the work is at most the product of both lengths.
    """
    at = place = retry = 0
    last_wild = -1
    while place < len(items):
        if at < len(wanted) and wanted[at] == wild:
            last_wild, retry, at = at, place, at + 1
        elif at < len(wanted) and fits(items[place], wanted[at]):
            at, place = at + 1, place + 1
        elif last_wild >= 0:
            retry += 1
            at, place = last_wild + 1, retry
        else:
            return False
    return all(part == wild for part in wanted[at:])
