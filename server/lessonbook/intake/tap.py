"""Failing tests in TAP, the Test Anything Protocol, as node, mocha, tape, bats and prove print it."""

import re
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.intake.clean_text import without_controls
from lessonbook.intake.fields import MAX_FAILURE_CHARS, failure_in, line_in_text, path_in, title_of_test
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.text_lines import text_lines
from lessonbook.machine.patterns import lazy_pattern

_INDENT: Final = 4
"""Blanks before the lines of a subtest."""
_RESULT: Final = lazy_pattern(
    r"\A(?P<indent> {0,80})(?P<not>not )?ok\b\s{0,8}(?P<number>\d{0,9})\s{0,8}(?:- )?(?P<name>.*?)"
    r"(?:\s#\s{0,8}(?P<mark>todo|skip)\b.*)?",
    re.IGNORECASE,
)
_SUBTEST: Final = lazy_pattern(r"(?P<indent> {0,80})# Subtest: (?P<name>.+)")
_BAIL: Final = lazy_pattern(r"Bail out!\s{0,8}(?P<reason>.*)")
_HEADING: Final = lazy_pattern(r"^(?:TAP version 1[34]|1\.\.\d{1,9})[ \t\r]*$", re.MULTILINE)
_NUMBERED: Final = lazy_pattern(r"^(?:not ok|ok) \d{1,9}\b", re.MULTILINE)
_MESSAGE: Final = lazy_pattern(r"(?:error|message):\s{0,8}(?P<text>.*)")
_FRAME: Final = lazy_pattern(
    r"(?:(?<=[\s('\"])|^)(?P<path>(?:[A-Za-z]:)?[^\s:()'\"<>]{1,300}\.(?:[cm]?[jt]sx?|p[lm]|t|sh|bats|py|rb|go|php))"
    r":(?P<line>\d{1,8})\b"
    r"|\bat (?P<perl>[^\s:()'\"<>]{1,300}\.(?:p[lm]|t)) line (?P<perl_line>\d{1,8})"
    r"|in test file (?P<bats>[^\s:()'\"<>]{1,300}), line (?P<bats_line>\d{1,8})"
)
_FOREIGN: Final = lazy_pattern(r"node:|node_modules/|/node/")
_QUOTES: Final = "'\""
_BLOCK: Final = lazy_pattern(r"[|>][+-]?")
_DULL: Final = lazy_pattern(
    r"\A(?:---|\.\.\.|(?:duration_ms|type|failureType|code|name|stack|operator|severity|exitcode)\b.*"
    r"|# (?:tests|pass|fail)\b.*)\Z"
)


def open_tap(file: ReportFile) -> Reading:
    """Return one finding per `not ok` line; those marked TODO or SKIP are none, nor are tests that failed by subtests.

    Raises:
        InvalidInput: the file is not text, or has no result.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    records = results = 0
    with closing(text_lines(file)) as lines:
        for line in lines:
            results += _RESULT.fullmatch(line) is not None or _BAIL.match(line) is not None
    if not results:
        raise InvalidInput(f"{file.place} has no line `ok` or `not ok`; give the TAP that a test runner printed")
    with closing(_outcomes(file)) as outcomes:
        records = sum(1 for _ in outcomes)
    return Reading("tap", records, _outcomes(file))


def is_tap(opening: str) -> bool:
    """Return whether a text that begins with `opening` is TAP."""
    results = _NUMBERED.findall(opening)
    return bool(results) and (len(results) > 1 or _HEADING.search(opening) is not None)


@dataclass(slots=True)
class _Failed:
    """A test that failed, and the lines that say why."""

    number: int
    title: str
    lines: list[str] = field(default_factory=list[str])

    def finding(self) -> Finding:
        """Return the finding.

        Raises:
            Unreadable: it cannot be stored.
        """
        told = [line for line in self.lines if not _DULL.fullmatch(line)]
        message = ""
        for place, line in enumerate(told):
            if found := _MESSAGE.match(line):
                text = found["text"].strip()
                message = text.strip(_QUOTES) if not _BLOCK.fullmatch(text) else "".join(told[place + 1 : place + 2])
                break
        frames = (found for line in told for found in _FRAME.finditer(line) if not _FOREIGN.search(found[0]))
        frame = next(frames, None)
        path = next((frame[name] for name in ("path", "perl", "bats") if frame[name]), "") if frame else ""
        line = (
            next((frame[f"{name}line"] for name in ("", "perl_", "bats_") if frame[f"{name}line"]), "") if frame else ""
        )
        details = "\n".join(line for line in told if message not in line or not message)
        return Finding(
            description=failure_in(self.title, message, details),
            severity="medium",
            file=path_in(path.removeprefix("file://")),
            line=line_in_text(line),
            fingerprint=lasting_name(checked(self.title, "name")),
        )


def _outcomes(file: ReportFile) -> Generator[Outcome]:
    failed: _Failed | None = None
    names: list[str] = []
    """The subtests that are open, from the outermost in."""
    deepest = -1
    """The depth of the last failed test that no test around it has ended."""
    with closing(text_lines(file)) as lines:
        for number, raw in enumerate(lines, 1):
            line = without_controls(raw)
            if (bail := _BAIL.match(line)) is not None:
                reason = bail["reason"].strip() or "no reason is given"
                yield from _ended(failed)
                failed = _Failed(number, f"The test run was given up: {reason}")
                continue
            if (subtest := _SUBTEST.fullmatch(line)) is not None:
                yield from _ended(failed)
                failed = None
                names[len(subtest["indent"]) // _INDENT :] = [subtest["name"].strip()]
                continue
            if (result := _RESULT.fullmatch(line)) is None:
                if failed is not None and line.strip() and sum(map(len, failed.lines)) < 2 * MAX_FAILURE_CHARS:
                    failed.lines.append(line.strip().removeprefix("# "))
                continue
            yield from _ended(failed)
            failed = None
            depth = len(result["indent"]) // _INDENT
            name = result["name"].strip() or f"test {result['number']}"
            if result["not"] and not result["mark"]:
                if deepest <= depth:
                    failed = _Failed(number, title_of_test(*names[:depth], name))
                deepest = depth
            elif deepest > depth:
                deepest = -1
            del names[depth:]
            if depth == 0:
                deepest = -1
        yield from _ended(failed)


def _ended(failed: _Failed | None) -> Generator[Outcome]:
    if failed is None:
        return
    try:
        yield failed.finding()
    except Unreadable as error:
        yield Refused(f"lines[{failed.number}]", str(error))
