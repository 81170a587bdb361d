"""Failing tests, read from JUnit XML files as test runners and CI write them."""

import re
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.fields import MAX_FAILURE_CHARS, failure_in, line_in
from lessonbook.intake.other_formats import not_junit
from lessonbook.intake.report_file import NoReport, ReportFile
from lessonbook.intake.xml_text import xml_text

DEPTH_MAX: Final = 200
"""Elements within each other; test runners nest suites a few deep."""
NAMES_MAX: Final = 1_000
"""Different names of elements and attributes in one file."""
TAG_MAX: Final = 4 * 1024 * 1024
"""Bytes of one tag with its attributes, or of one comment."""

_ADVICE: Final = "give the JUnit XML that a test runner wrote (pytest --junit-xml)"
_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "failure": "medium"}
_SUITES: Final = frozenset({"testsuites", "testsuite"})
_OF_A_CASE: Final = 2
_PATH = re.compile(r"\A(?:[^\s/\\]+[/\\])*[^\s/\\]+\.(?:py|[cm]?[jt]sx?|rb|go|rs|php|java|kt|cs|feature|spec)")


def open_junit(file: ReportFile) -> Reading:
    """Return one finding per failed or broken test, in order; passed and skipped tests are left out.

    The file is read twice: to see that it is whole, and for the tests, as they are asked for.

    Raises:
        InvalidInput: the file is not JUnit XML, or declares entities or a document type.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; {_ADVICE}")
    return Reading("junit", sum(1 for _ in _cases(file)), _outcomes(file))


def _outcomes(file: ReportFile) -> Generator[Outcome]:
    with closing(_cases(file)) as cases:
        for number, case in enumerate(cases):
            try:
                yield _finding(case)
            except Unreadable as error:
                yield Refused(f"testcase[{number}]", str(error))


@dataclass(slots=True)
class _Case:
    """A test case: its attributes, the file its nearest suite names, and its first problem of either kind."""

    attributes: Mapping[str, str]
    suite_file: str
    problems: dict[str, "_FailedTest"] = field(default_factory=dict[str, "_FailedTest"])


@dataclass(slots=True)
class _FailedTest:
    """A failure or an error: its attributes, and as much of its text as is kept."""

    attributes: Mapping[str, str]
    text: str = ""

    def add(self, piece: str) -> None:
        """Append a piece of text."""
        if len(self.text) < MAX_FAILURE_CHARS:
            self.text = (self.text + piece).lstrip("\r\n")[: 2 * MAX_FAILURE_CHARS]


class _Cases:
    """The target of a parser: gathers test cases, in whatever order a case's elements stand, and nothing else."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._names: set[str] = set()
        self._depth = 0
        self._inside = 0
        """Open elements below the innermost suite: 1 in a case, 2 in one of its elements."""
        self._files: list[str] = []
        """The file of each open suite: its own, or that of a suite around it."""
        self._case: _Case | None = None
        self._problem: _FailedTest | None = None
        self._done: list[_Case] = []

    def taken(self) -> list[_Case]:
        """Return the cases that ended since the last call."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Take the beginning of an element."""
        name = tag.rpartition("}")[2]
        if not self._depth and name not in _SUITES:
            raise NoReport(f"{self._place} {not_junit(name)}; {_ADVICE}")
        self._bound(tag, attributes)
        if name in _SUITES and not self._inside:
            self._files.append(attributes.get("file", "") or (self._files[-1] if self._files else ""))
            return
        self._inside += 1
        self._problem = None  # the text of a problem ends at the first element in it
        if self._inside == 1 and name == "testcase":
            self._case = _Case(attributes, self._files[-1])
        elif self._inside == _OF_A_CASE and self._case is not None and name in _SEVERITIES.keys() - self._case.problems:
            self._problem = self._case.problems[name] = _FailedTest(attributes)

    def data(self, text: str) -> None:
        """Take text."""
        if self._problem is not None:
            self._problem.add(text)

    def end(self, _tag: str) -> None:
        """Take the end of an element."""
        self._depth -= 1
        if not self._inside:
            self._files.pop()
            return
        self._inside -= 1
        self._problem = None
        if not self._inside and self._case is not None:
            self._done.append(self._case)
            self._case = None

    def _bound(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Refuse what no test runner writes, since the parser keeps every open element and every name in memory."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise InvalidInput(f"{self._place} is nested more than {DEPTH_MAX} elements deep; {_ADVICE}")
        self._names.add(tag)
        self._names.update(attributes)
        if len(self._names) > NAMES_MAX:
            raise InvalidInput(f"{self._place} has more than {NAMES_MAX} names of elements; {_ADVICE}")


def _cases(file: ReportFile) -> Generator[_Case]:
    """Yield every test case in document order."""
    cases = _Cases(file.place)
    parser: Any = DefusedXMLParser(target=cases, encoding="utf-8", forbid_dtd=True)
    fed = 0
    try:
        with file.open() as opened:
            for piece in xml_text(opened):
                content = piece.encode()
                parser.feed(content)
                fed += len(content)
                if fed - parser.parser.CurrentByteIndex > TAG_MAX:  # it would be looked at again with each piece
                    raise InvalidInput(f"{file.place} has a tag or comment of more than {TAG_MAX >> 20} MiB; {_ADVICE}")
                yield from cases.taken()
            parser.close()
        yield from cases.taken()
    except DefusedXmlException:
        problem = "declares a document type or entities, which are not read"
        raise InvalidInput(f"{file.place} {problem}; {_ADVICE}") from None
    except ParseError as error:
        line, column = error.position
        where = f"line {line}, column {column + 1}"
        raise InvalidInput(f"{file.place} is not valid XML ({where}); {_ADVICE}") from None
    except LookupError:
        raise InvalidInput(f"{file.place} is in an encoding that cannot be read; save it as UTF-8") from None


def _finding(case: _Case) -> Finding | None:
    kind = next((kind for kind in _SEVERITIES if kind in case.problems), None)
    if kind is None:
        return None
    attributes, problem = case.attributes, case.problems[kind]
    class_name = attributes.get("classname", "").strip()
    title = ".".join(filter(None, (class_name, attributes.get("name", "").strip())))
    if not title:
        raise Unreadable("has neither name nor classname")
    message = problem.attributes.get("message", "").strip() or problem.attributes.get("type", "").strip()
    file = attributes.get("file", "") or (class_name if _PATH.fullmatch(class_name) else case.suite_file)
    return Finding(
        description=failure_in(title, message, problem.text),
        severity=_SEVERITIES[kind],
        file=" ".join(checked(file.removeprefix("./"), "file path", max_chars=1000).split()),
        line=_line(attributes.get("line", "").strip()),
        fingerprint=checked(title, "name"),
    )


def _line(digits: str) -> int | None:
    is_short = len(digits) < 9  # noqa: PLR2004  # a longer one is no line, and slow to read
    return line_in(int(digits)) if is_short and digits.isascii() and digits.isdigit() else None
