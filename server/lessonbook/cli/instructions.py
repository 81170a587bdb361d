"""The block of a file of instructions (AGENTS.md and the like) that says how to use Lessonbook.

It holds no lessons: a lesson is served for a task, in a run, where its effect is measured, and a file is neither.
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lessonbook.domain.errors import InvalidInput

BEGIN: Final = "<!-- lessonbook:begin - kept by `lessonbook sync`; edits between these marks are lost -->"
END: Final = "<!-- lessonbook:end -->"
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
TEXT: Final = """\
## Lessons from earlier issues (Lessonbook)

- Before you write code, call the tool `get_lessons` of the server `lessonbook` with the task and the files you will \
change. Keep its `run_id`. Where lessons arrive by themselves, use the run they name.
- Follow the lessons that apply. They are advice on code and grant no permission.
- Commit with the trailer `Lessonbook-Run: <run_id>`, so that CI can report against the run.
- Afterwards call `record_application` with the `run_id` and the ids of the lessons you followed.
- Report what goes wrong, or what QA, CI, a reviewer or a user finds, with `report_issues` and the `run_id`.
- Without the tools, run `lessonbook get "<task>" --file <path>`.
"""
_BEGINS: Final = re.compile(r"^<!-- lessonbook:begin\b[^\n]*$", re.MULTILINE)
_ENDS: Final = re.compile(r"^<!-- lessonbook:end -->[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class InstructionsFile:
    """A file of instructions as it is, and as it is to be. None: there is no file."""

    path: Path
    before: str | None
    after: str | None

    @property
    def is_current(self) -> bool:
        """Whether the file needs no change."""
        return self.before == self.after

    def difference(self) -> str:
        """Return the change as a unified diff."""
        lines = difflib.unified_diff(_lines(self.before), _lines(self.after), "now", "then")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).replace("\r\n", "\n")

    def write(self) -> None:
        """Write the file, or remove it where nothing but the block was in it.

        Raises:
            InvalidInput: it cannot be written.
        """
        try:
            if self.after is None:
                self.path.unlink(missing_ok=True)
                return
            fresh = self.path.with_name(f".{self.path.name}.lessonbook")
            fresh.write_bytes(self.after.encode("utf-8", "surrogateescape"))
            if self.before is not None:
                fresh.chmod(self.path.stat().st_mode & 0o7777)
            fresh.replace(self.path)
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be written ({error.strerror}): check its folder") from error


def read_instructions(path: Path, *, remove: bool = False) -> InstructionsFile:
    """Return a file with its block brought up to date, or without it where it is to be removed.

    What stands outside of the marks stays as it is, with its kind of line breaks, and bytes that are not UTF-8.

    Raises:
        InvalidInput: the file cannot be read, leads elsewhere, or its marks are not one pair.
    """
    if (place := Path(os.path.realpath(path))) != Path(os.path.realpath(path.parent)) / path.name:
        # A link in a cloned repository could lead to another file of the person's.
        raise InvalidInput(f"{path} is a link that leads to {place}: name that file if it is yours")
    try:
        content = path.read_bytes() if path.exists() else None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    if content is not None and len(content) > FILE_BYTES_MAX:
        raise InvalidInput(f"{path} is larger than {FILE_BYTES_MAX // 1024**2} MiB: it is not a file of instructions")
    before = None if content is None else content.decode("utf-8", "surrogateescape")
    return InstructionsFile(path, before, _without(path, before) if remove else _with_block(path, before))


def has_block(path: Path) -> bool:
    """Return whether a file has the block's beginning; also False where it cannot be read."""
    try:
        return _BEGINS.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def _with_block(path: Path, text: str | None) -> str:
    if text is None:
        return _block("\n") + "\n"
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    if (span := _find(path, text)) is not None:
        return text[: span[0]] + _block(end_of_line) + text[span[1] :]
    lead = "" if not text.strip() else end_of_line if text.endswith("\n") else end_of_line * 2
    tail = end_of_line if text.endswith("\n") or not text else ""
    return f"{text}{lead}{_block(end_of_line)}{tail}"


def _without(path: Path, text: str | None) -> str | None:
    """Return the text as it was before the block came: also the blank line that was added goes."""
    if text is None or (span := _find(path, text)) is None:
        return text
    head, tail = text[: span[0]], text[span[1] :]
    end_of_line = "\r\n" if "\r\n" in text else "\n"
    if not tail:  # the file had no line break at its end
        head = head.removesuffix(end_of_line * 2)
    elif tail == end_of_line:
        head, tail = head.removesuffix(end_of_line) if head.endswith(end_of_line * 2) else head, ""
    return head + tail or None


def _block(end_of_line: str) -> str:
    return f"{BEGIN}\n{TEXT}{END}".replace("\n", end_of_line)


def _find(path: Path, text: str) -> tuple[int, int] | None:
    """Return where the block begins and ends; None where there is none."""
    begins, ends = list(_BEGINS.finditer(text)), list(_ENDS.finditer(text))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0].start() > ends[0].start():
        raise InvalidInput(
            f"{path} has {len(begins)} begin and {len(ends)} end marks of lessonbook: leave one pair, or none"
        )
    return begins[0].start(), ends[0].start() + len(END)


def _lines(text: str | None) -> list[str]:
    return (text or "").encode("utf-8", "replace").decode().splitlines(keepends=True)
