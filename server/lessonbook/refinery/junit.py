"""Failing tests, read from JUnit XML files as test runners and CI write them."""

import re
from collections.abc import Iterator
from typing import Final, cast
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as DefusedTree

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import Finding, Intake
from lessonbook.models.vocabulary import Severity
from lessonbook.refinery.documents import Unreadable, checked

MAX_DESCRIPTION_CHARS: Final = 4_000

_ADVICE: Final = "give the JUnit XML that a test runner wrote (pytest --junit-xml)"
_SEVERITIES: Final[dict[str, Severity]] = {"error": "high", "failure": "medium"}
_SUITES: Final = frozenset({"testsuites", "testsuite"})
_PATH = re.compile(r"(?:[^\s/\\]+[/\\])*[^\s/\\]+\.(?:py|[cm]?[jt]sx?|rb|go|rs|php|java|kt|cs|feature|spec)")
_MAX_LINE: Final = 10_000_000


def read_junit(data: bytes | str, *, place: str = "JUnit") -> Intake:
    """Return one finding per failed or broken test, in order; passed and skipped tests are none.

    `place` names the file in errors.

    Raises:
        InvalidInput: this is no JUnit XML, or it declares entities or a document type.
    """
    intake = Intake()
    for number, (case, suite_file) in enumerate(_cases(_root(data, place))):
        try:
            finding = _finding(case, suite_file)
        except Unreadable as error:
            intake.refuse(f"testcase[{number}]", str(error))
        else:
            intake.findings.extend([finding] if finding else [])
    return intake


def _root(data: bytes | str, place: str) -> Element:
    if not data.strip():
        raise InvalidInput(f"{place} is empty; {_ADVICE}")
    text = data.lstrip("\ufeff \t\r\n") if isinstance(data, str) else data.lstrip(b" \t\r\n")
    try:
        root = DefusedTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException:
        raise InvalidInput(f"{place} declares a document type or entities, which are not read; {_ADVICE}") from None
    except ParseError as error:
        line, column = error.position
        raise InvalidInput(f"{place} is not valid XML (line {line}, column {column + 1}); {_ADVICE}") from None
    except (ValueError, LookupError):
        raise InvalidInput(f"{place} is in an encoding that cannot be read; save it as UTF-8") from None
    if _name(root) not in _SUITES:
        raise InvalidInput(f"{place} is XML, but no JUnit report; {_ADVICE}")
    return root


def _cases(root: Element) -> Iterator[tuple[Element, str]]:
    """Yield every test case in document order, with the file its nearest suite names."""
    waiting = [(root, "")]
    while waiting:
        element, file = waiting.pop()
        if _name(element) == "testcase":
            yield element, file
            continue
        own = element.get("file", "") or file
        waiting += [(child, own) for child in reversed(element) if _name(child) in {*_SUITES, "testcase"}]


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
