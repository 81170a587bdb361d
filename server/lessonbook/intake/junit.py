"""Failing tests, read from JUnit XML files as test runners and CI write them."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.fields import MAX_FAILURE_CHARS, failure_in, line_in_text, path_in, title_of_test
from lessonbook.intake.report_file import NoReport, ReportFile
from lessonbook.intake.unread_formats import not_of_root
from lessonbook.intake.xml_stream import Bounds, local_name, parse
from lessonbook.machine.patterns import lazy_pattern

_ADVICE: Final = "give the JUnit XML that a test runner wrote (pytest --junit-xml)"
_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "failure": "medium"}
_SUITES: Final = frozenset({"testsuites", "testsuite"})
_OF_A_CASE: Final = 2
_PATH = lazy_pattern(r"\A(?:[^\s/\\]+[/\\])*[^\s/\\]+\.(?:py|[cm]?[jt]sx?|rb|go|rs|php|java|kt|cs|feature|spec)")


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
        self._bounds = Bounds(place, _ADVICE)
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
        name = local_name(tag)
        if not self._bounds.depth and name not in _SUITES:
            raise NoReport(f"{self._place} {not_of_root(name, 'testsuites')}; {_ADVICE}")
        self._bounds.enter(tag, attributes)
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
        self._bounds.leave()
        if not self._inside:
            self._files.pop()
            return
        self._inside -= 1
        self._problem = None
        if not self._inside and self._case is not None:
            self._done.append(self._case)
            self._case = None


def _cases(file: ReportFile) -> Generator[_Case]:
    """Yield every test case in document order."""
    cases = _Cases(file.place)
    for _ in parse(file, cases, _ADVICE):
        yield from cases.taken()


def _finding(case: _Case) -> Finding | None:
    kind = next((kind for kind in _SEVERITIES if kind in case.problems), None)
    if kind is None:
        return None
    attributes, problem = case.attributes, case.problems[kind]
    class_name = attributes.get("classname", "").strip()
    title = title_of_test(class_name, attributes.get("name", ""))
    if not title:
        raise Unreadable("has neither name nor classname")
    message = problem.attributes.get("message", "").strip() or problem.attributes.get("type", "").strip()
    file = attributes.get("file", "") or (class_name if _PATH.fullmatch(class_name) else case.suite_file)
    return Finding(
        description=failure_in(title, message, problem.text),
        severity=_SEVERITIES[kind],
        file=path_in(file),
        line=line_in_text(attributes.get("line", "")),
        fingerprint=lasting_name(checked(title, "name")),
    )
