"""Which files `report` reads: those it is given, and those in folders and archives that are reports."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from lessonbook.domain.errors import InvalidInput
from lessonbook.intake.packing import is_archive, members_of
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import NoReport, ReportFile

if TYPE_CHECKING:
    from lessonbook.domain.findings import ReportKind

IN_MEMORY_MAX: Final = 1024 * 1024
"""Bytes of standard input that are kept in memory; more is kept in a temporary file."""
FILES_MAX: Final = 10_000
_STDIN: Final = "-"
_REPORT_NAMES: Final = (".sarif", ".json", ".jsonl", ".ndjson", ".xml", ".trx", ".tap", ".gz", ".zip")
"""How the names of files end that are looked at in folders."""
_NEVER_SEARCHED: Final = frozenset({"node_modules", "venv", "site-packages", "__pycache__"})
_WILDCARD = re.compile(r"[*?\[]")
_TOLD_MAX: Final = 20


@dataclass(frozen=True, slots=True)
class Reported:
    """What is reported: a file, or an issue in words. `is_searched`: it was found in a folder or an archive."""

    kind: ReportKind
    file: ReportFile
    in_words: bool = False
    is_searched: bool = False

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes, unpacked."""
        yield from self.file.chunks()

    def close(self) -> None:
        """Free what was kept of standard input."""
        if not isinstance(self.file.content, (bytes, Path)):
            self.file.content.close()


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that one call reports, and the files that are no reports and were left out."""

    reported: list[Reported]
    left_out: list[str]

    def close(self) -> None:
        """Free what was kept of standard input."""
        for one in self.reported:
            one.close()


def choose(
    words: Sequence[str], files: Sequence[Path], named: Mapping[ReportKind, Path | None], kind: ReportKind | None
) -> Inputs:
    """Return what the command line names: an issue in words, or files, folders, archives and standard input.

    Where there is more than one file, each is read to its end before anything is reported.

    Args:
        words: the arguments: an issue in words, or files; `-` is standard input.
        files: the files of `--file`.
        named: the files of `--sarif` and `--junit`, by format.
        kind: the format of the others, from `--format`.

    Raises:
        InvalidInput: nothing was named, words beside files, or a file that cannot be read.
    """
    chosen: list[tuple[ReportKind, str]] = [(of, str(path)) for of, path in named.items() if path]
    if kind and not (words or files):
        raise InvalidInput("--format goes with FILE, --file FILE or -: leave it out")
    text = words[0] if len(words) == 1 and not _is_place(words[0]) else ""
    if text and (files or chosen):
        raise InvalidInput("Say what to report: a text or files, one of them")
    if text:
        if kind:
            raise InvalidInput("--format goes with FILE, --file FILE or -: leave it out")
        file = ReportFile(text.encode("utf-8", "surrogatepass"), "the text")
        return Inputs([Reported("text", file, in_words=True)], [])
    if wrong := next((word for word in words if not _is_place(word)), ""):
        raise InvalidInput(f"{wrong[:100]!r} is not there: put an issue in words into quotes, or check the file's name")
    chosen = [*((kind or "auto", str(path)) for path in (*words, *files)), *chosen]
    if not chosen:
        raise InvalidInput("Say what to report: a text, FILE…, --file FILE, --sarif FILE or --junit FILE")
    if sum(path == _STDIN for _, path in chosen) > 1:
        raise InvalidInput("Standard input (-) is read once: name it once")
    found = [one for of, path in chosen for one in _files_of(of, path)]
    return _read_through(found)


def _is_place(word: str) -> bool:
    """Return whether an argument names files, not an issue in words."""
    if word == _STDIN or _is_like_a_path(word):
        return True
    try:
        return Path(word).exists() or bool(_WILDCARD.search(word) and glob.glob(word, recursive=True))  # noqa: PTH207
    except (OSError, ValueError):  # too long for a name, or holds a NUL
        return False


def _is_like_a_path(word: str) -> bool:
    return len(word.split()) == 1 and ("/" in word or word.lower().endswith((*_REPORT_NAMES, ".txt", ".log")))


def _files_of(kind: ReportKind, path: str) -> Iterator[Reported]:
    """Yield the files that one name stands for."""
    if path == _STDIN:
        yield from _opened(kind, ReportFile(_held(sys.stdin.buffer), "standard input"))
    elif Path(path).is_dir():
        for file in _in_folder(Path(path)):
            yield from _opened(kind, ReportFile(file, str(file)), is_searched=True)
    elif Path(path).exists() or not _WILDCARD.search(path):
        yield from _opened(kind, ReportFile(Path(path), path))
    else:
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207  # a pattern may begin with a root
        if not matches:
            raise InvalidInput(f"No file matches {path}; check the pattern")
        for match in matches:
            yield from _files_of(kind, match)


def _opened(kind: ReportKind, file: ReportFile, *, is_searched: bool = False) -> Iterator[Reported]:
    if is_archive(file):
        yield from (Reported(kind, member, is_searched=True) for member in members_of(file))
    else:
        yield Reported(kind, file, is_searched=is_searched)


def _in_folder(folder: Path) -> list[Path]:
    """Return the files in a folder that may be reports, by their names, links left out."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NEVER_SEARCHED)
        files = (Path(place, name) for name in sorted(names) if name.lower().endswith(_REPORT_NAMES))
        found += [file for file in files if not file.is_symlink()]
        if len(found) > FILES_MAX:
            raise InvalidInput(f"{folder} has more than {FILES_MAX} files that may be reports; name a part of it")
    return found


def _read_through(found: list[Reported]) -> Inputs:
    """Return the inputs without files that are no reports, once all others were read to their end."""
    kept: list[Reported] = []
    left_out: list[str] = []
    for one in found:
        if len(found) == 1 and not one.is_searched:
            kept.append(one)  # read through by whoever reports it
        elif _is_report(one):
            kept.append(one)
        else:
            left_out.append(one.file.place)
    if not kept:
        looked = f"; looked at {len(left_out)}: {', '.join(left_out[:_TOLD_MAX])}" if left_out else ""
        raise InvalidInput(f"No report was found{looked}")
    return Inputs(kept, left_out)


def _is_report(one: Reported) -> bool:
    try:
        reading = open_report(one.file, one.kind)
    except NoReport as error:
        if one.is_searched:
            return False
        raise InvalidInput(f"{error} (nothing was reported)") from None
    except InvalidInput as error:
        raise InvalidInput(f"{error} (nothing was reported)") from None
    reading.outcomes.close()
    return not (one.is_searched and reading.kind == "text" and one.kind == "auto")


def _held(stream: BinaryIO) -> BinaryIO:
    """Return the content of a stream as a nameless file that can be rewound."""
    held = cast("BinaryIO", tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_MAX))  # noqa: SIM115  # see close
    shutil.copyfileobj(stream, held)
    return held
