"""Failing tests, read from JUnit XML files as test runners and CI write them."""

import codecs
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, BinaryIO, Final, cast
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as DefusedTree

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import Finding, Intake, Outcome, Reading, Refused, collect
from lessonbook.models.vocabulary import Severity
from lessonbook.refinery.documents import Unreadable, checked
from lessonbook.refinery.intake.report_file import ReportFile

MAX_DESCRIPTION_CHARS: Final = 4_000

_ADVICE: Final = "give the JUnit XML that a test runner wrote (pytest --junit-xml)"
_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "failure": "medium"}
_SUITES: Final = frozenset({"testsuites", "testsuite"})
_PATH = re.compile(r"(?:[^\s/\\]+[/\\])*[^\s/\\]+\.(?:py|[cm]?[jt]sx?|rb|go|rs|php|java|kt|cs|feature|spec)")
_MAX_LINE: Final = 10_000_000


def read_junit(data: bytes | str, *, place: str = "JUnit") -> Intake:
    """Return the findings of a JUnit XML file in memory. See `open_junit`.

    Raises:
        InvalidInput: this is no JUnit XML, or it declares entities or a document type.
    """
    content = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return collect(open_junit(ReportFile(content, place)))


def open_junit(file: ReportFile) -> Reading:
    """Return one finding per failed or broken test, in order; passed and skipped tests are left out.

    The file is read twice: to see that it is whole, and for the tests, as they are asked for.

    Raises:
        InvalidInput: this is no JUnit XML, or it declares entities or a document type.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; {_ADVICE}")
    return Reading("junit", sum(1 for _ in _cases(file)), _outcomes(file))


def _outcomes(file: ReportFile) -> Generator[Outcome]:
    with closing(_cases(file)) as cases:
        for number, (case, suite_file) in enumerate(cases):
            try:
                yield _finding(case, suite_file)
            except Unreadable as error:
                yield Refused(f"testcase[{number}]", str(error))


class _Trimmed:
    """An XML file without the white space before it, which the declaration of an encoding may not follow."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._has_begun = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end of the file."""
        while not self._has_begun and (piece := self._opened.read(size)):
            mark = codecs.BOM_UTF8 if piece.startswith(codecs.BOM_UTF8) else b""
            if begun := piece.removeprefix(mark).lstrip(b" \t\r\n"):
                self._has_begun = True
                return begun
        return self._opened.read(size)


def _cases(file: ReportFile) -> Generator[tuple[Element, str]]:
    """Yield every test case in document order, with the file its nearest suite names; each is gone after its turn."""
    try:
        with file.open() as opened:
            yield from _cases_among(_elements(_Trimmed(opened)), file.place)
    except DefusedXmlException:
        problem = "declares a document type or entities, which are not read"
        raise InvalidInput(f"{file.place} {problem}; {_ADVICE}") from None
    except ParseError as error:
        line, column = error.position
        where = f"line {line}, column {column + 1}"
        raise InvalidInput(f"{file.place} is not valid XML ({where}); {_ADVICE}") from None
    except (ValueError, LookupError):
        raise InvalidInput(f"{file.place} is in an encoding that cannot be read; save it as UTF-8") from None


def _elements(content: _Trimmed) -> Iterator[tuple[str, Element]]:
    steps = DefusedTree.iterparse(cast("Any", content), events=("start", "end"), forbid_dtd=True)
    return cast("Iterator[tuple[str, Element]]", steps)


def _cases_among(steps: Iterator[tuple[str, Element]], place: str) -> Iterator[tuple[Element, str]]:
    opened: list[Element] = []
    files: list[str] = []  # of each suite that is open, its own or that of one around it
    inside = 0  # how many of the open elements stand in no suite directly
    for step, element in steps:
        name = _name(element)
        if step == "start":
            if not opened and name not in _SUITES:
                raise InvalidInput(f"{place} is XML, but no JUnit report; {_ADVICE}")
            if name in _SUITES and not inside:
                files.append(element.get("file", "") or (files[-1] if files else ""))
            else:
                inside += 1
            opened.append(element)
            continue
        opened.pop()
        if inside == 1 and name == "testcase":
            yield element, files[-1]
        is_needed = inside == 2 and name in _SEVERITIES  # noqa: PLR2004  # a case's own problem, until the case ends
        if opened and not is_needed:
            element.clear()
            del opened[-1][-1]
        if inside:
            inside -= 1
        else:
            files.pop()


def _finding(case: Element, suite_file: str) -> Finding | None:
    problems = {kind: child for child in reversed(case) if (kind := _name(child)) in _SEVERITIES}
    kind = next((kind for kind in _SEVERITIES if kind in problems), "")
    if not kind:
        return None
    class_name, name = case.get("classname", "").strip(), case.get("name", "").strip()
    title = ".".join(part for part in (class_name, name) if part)
    if not title:
        raise Unreadable("has neither name nor classname")
    file = case.get("file", "") or (class_name if _PATH.fullmatch(class_name) else suite_file)
    return Finding(
        description=_description(title, problems[kind]),
        severity=_SEVERITIES[kind],
        file=" ".join(checked(file.removeprefix("./"), "file path", max_chars=1000).split()),
        line=_line(case.get("line", "")),
        fingerprint=checked(title, "name"),
    )


def _description(title: str, problem: Element) -> str:
    message = problem.get("message", "").strip() or problem.get("type", "").strip()
    details = (problem.text or "").strip("\r\n").rstrip()
    told = "\n".join(part for part in (f"{title}: {message}" if message else title, details) if part)
    return checked(told, "message")[:MAX_DESCRIPTION_CHARS].rstrip()


def _line(text: str) -> int | None:
    digits = text.strip()
    line = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else 0  # noqa: PLR2004
    return line if 0 < line <= _MAX_LINE else None


def _name(element: Element) -> str:
    """Return an element's name without its namespace; comments and instructions have none."""
    tag = cast("object", element.tag)
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
