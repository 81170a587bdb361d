"""Formats that are known but not read: the error names them, and what to use instead."""

import re
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern

_FOR_SARIF: Final = "have it write SARIF"
_FOR_JUNIT: Final = "have it write JUnit XML"


class _OtherFormat(NamedTuple):
    """A format: its name, the members by which its objects are known, and what to do instead of reporting it."""

    name: str
    members: frozenset[str]
    instead: str


def _known(name: str, members: str, instead: str = "") -> _OtherFormat:
    return _OtherFormat(name, frozenset(members.split("|")), instead)


_OBJECTS: Final = (
    _known("CTRF", "results|reportFormat", _FOR_JUNIT),
    _known("JSON of Safety", "report_meta|vulnerabilities"),
    _known("JSON of RSpec", "examples|summary_line", f"{_FOR_JUNIT} (rspec_junit_formatter)"),
    _known("a coverage report", "meta|files|totals"),
    _known("a CycloneDX bill of materials", "bomFormat"),
    _known("an SPDX bill of materials", "spdxVersion"),
    _known("a package manifest", "name|dependencies"),
    _known("an error of npm audit", "error.code|error.summary", "mend the call that was made"),
    _known("an error of GitHub's API", "documentation_url|message", "mend the call that was made"),
)
_ITEMS: Final = (_known("JSON of Cucumber", "elements|keyword", f"{_FOR_JUNIT} (--format junit)"),)
_ROOTS: Final[dict[str, tuple[str, str]]] = {
    "testng-results": ("TestNG's own XML", "give its junitreports"),
    "robot": ("Robot Framework's XML", f"{_FOR_JUNIT} (--xunit)"),
    "issues": ("Android lint's XML", f"{_FOR_SARIF} (sarifReport)"),
    "coverage": ("a coverage report (Cobertura, Clover)", "it names no problem"),
    "report": ("a coverage report (JaCoCo)", "it names no problem"),
    "html": ("an HTML page", "give the file it was made from"),
}
"""The first elements of XML files, each with the format's name and what to do instead."""
_ROOT = lazy_pattern(r"<(testng-results)[\s>]")
"""Those that also begin files without a declaration, and no sentence about a page."""
_PAGE = lazy_pattern(r"<!doctype html\b|<html[\s>]", re.IGNORECASE)
READ: Final = (
    "SARIF, JUnit and other XML of test runners, XML, JSON and lines of most scanners and linters (the README names"
    " them), TAP, review comments, and text"
)


def of_object(members: Collection[str]) -> str:
    """Return which known format a JSON object with these members is, and what to do instead; else an empty text."""
    return _known_by(_OBJECTS, members)


def of_item(members: Collection[str]) -> str:
    """Return the same of a JSON list, or a file of JSON lines, whose items have these members."""
    return _known_by(_ITEMS, members)


def of_text(opening: str) -> str:
    """Return the same of a file that begins with `opening` and is not JSON."""
    if is_page(opening):
        return _sentence(*_ROOTS["html"])
    root = _ROOT.match(opening)
    return _sentence(*_ROOTS[root[1]]) if root else ""


def is_page(opening: str) -> bool:
    """Return whether a file that begins with `opening` is an HTML page."""
    return _PAGE.match(opening) is not None


def not_of_root(root: str, wanted: str) -> str:
    """Return why an XML file whose first element is `root` is refused where `wanted` is expected."""
    name = "a JUnit report" if wanted == "testsuites" else f"one that begins with <{wanted}>"
    known = f": it {_sentence(*_ROOTS[root])}" if root in _ROOTS else ""
    return f"is XML, but not {name}{known}"


def _known_by(formats: Iterable[_OtherFormat], members: Collection[str]) -> str:
    names = set(members)
    return next((_sentence(name, instead) for name, needed, instead in formats if needed <= names), "")


def _sentence(name: str, instead: str) -> str:
    return f"is {name}, which is not read{': ' if instead else ''}{instead}. Read are {READ}"
