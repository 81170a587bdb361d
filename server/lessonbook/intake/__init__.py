"""Report files: which kind a file is of, by its content, and the reader of that kind."""

import codecs
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Reading, ReportKind
from lessonbook.intake import other_formats
from lessonbook.intake.dotnet_tests import open_nunit, open_trx, open_xunit
from lessonbook.intake.go_test import open_gotest
from lessonbook.intake.js_tests import open_jest, open_mocha, open_mochawesome, open_playwright
from lessonbook.intake.json_events import Events, first_names, open_json
from lessonbook.intake.json_values import items, members, skip
from lessonbook.intake.junit import open_junit
from lessonbook.intake.linter_lines import are_lines, open_lines
from lessonbook.intake.linter_xml import open_checkstyle, open_cpd, open_cppcheck, open_pmd, open_spotbugs
from lessonbook.intake.plain_text import open_text
from lessonbook.intake.pytest_json import is_report_log, open_pytest
from lessonbook.intake.report_file import ReportFile, encoding_of
from lessonbook.intake.report_paths import with_common_root
from lessonbook.intake.review_comments import COMMENTS, are_comments, open_review
from lessonbook.intake.sarif import open_sarif
from lessonbook.intake.scanner_json import open_bandit, open_ruff
from lessonbook.intake.tap import is_tap, open_tap
from lessonbook.intake.xml_records import root_of

READERS: Final[dict[FileKind, Callable[[ReportFile], Reading]]] = {
    "sarif": open_sarif,
    "junit": open_junit,
    "pytest": open_pytest,
    "ruff": open_ruff,
    "bandit": open_bandit,
    "review": open_review,
    "text": open_text,
    "checkstyle": open_checkstyle,
    "pmd": open_pmd,
    "cpd": open_cpd,
    "spotbugs": open_spotbugs,
    "cppcheck": open_cppcheck,
    "lines": open_lines,
    "trx": open_trx,
    "xunit": open_xunit,
    "nunit": open_nunit,
    "tap": open_tap,
    "gotest": open_gotest,
    "jest": open_jest,
    "mocha": open_mocha,
    "mochawesome": open_mochawesome,
    "playwright": open_playwright,
}
"""The reader of each kind of file."""
XML_ROOTS: Final[dict[str, FileKind]] = {
    "checkstyle": "checkstyle",
    "pmd": "pmd",
    "pmd-cpd": "cpd",
    "BugCollection": "spotbugs",
    "results": "cppcheck",
    "TestRun": "trx",
    "assemblies": "xunit",
    "test-run": "nunit",
    "test-results": "nunit",
}
"""The first elements of XML files that show their kind; others are read as JUnit, or refused."""
_ADVICE: Final = f"say what it is ({', '.join(READERS)}), or give a file of one of these kinds"
_XML = re.compile(
    r"<(?:\?xml|!doctype|(?:[a-z]\w{0,30}:)?testsuites?\b"
    r"|(?:checkstyle|pmd|pmd-cpd|bugcollection|testrun|test-run|test-results|assemblies)[\s>]|results\sversion=)",
    re.IGNORECASE,
)
_JSON_LIST = re.compile(r"\[\s*[{\"]")
"""The beginning of a list of objects or texts, not of a text in brackets."""
_JSON_LINE = re.compile(r"^[ \t]*(?:\{[ \t]*(?=[\"\r\n])|\[[ \t]*(?=[{\r\n]))", re.MULTILINE)
MEMBERS: Final[dict[str, FileKind]] = {
    "runs": "sarif",
    "exitcode": "pytest",
    "collectors": "pytest",
    "comment": "review",
    "pull_request_url": "review",
    "diff_hunk": "review",
}
"""Members of the object at a file's top that show its kind alone."""
MEMBER_SETS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"numFailedTests", "testResults"}), "jest"),
    (frozenset({"stats", "tests", "passes", "failures"}), "mocha"),
    (frozenset({"stats", "results", "meta"}), "mochawesome"),
    (frozenset({"config", "suites", "stats"}), "playwright"),
    (frozenset({"results", "metrics"}), "bandit"),
    (frozenset({"results", "generated_at"}), "bandit"),
    (frozenset({"tests"}), "pytest"),
    *((members, "review") for members in COMMENTS),
    *((frozenset({member}), "review") for member in ("reviews", "comments", "reviewThreads", "data")),
)
"""Members of the object at a file's top that together show its kind, unless it is of another known format."""
_VAGUE: Final = frozenset({"pytest", "review"})
"""Kinds whose members are words that any JSON may have, so that they show no report within a text."""
_NAMES_MAX: Final = 1_000
ITEM_MEMBERS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"code", "filename", "location"}), "ruff"),
    (frozenset({"body", "path"}), "review"),
    *((members, "review") for members in COMMENTS),
)
"""Members of an item of the list at a file's top that together show the file's kind."""
_PACKED: Final[dict[bytes, str]] = {
    b"\x1f\x8b": "gzip: unpack it first (gunzip)",
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first (unzstd)",
    b"PK\x03\x04": "a zip archive: unpack it first, and give a file that was in it",
}
"""How packed files begin, and what to do with them."""


def open_report(file: ReportFile, kind: ReportKind = "auto") -> Reading:
    """Return the findings of a report, to be read as they are asked for; `auto`: its content decides what it is.

    XML is known by its first element, JSON by its members, and what linters print by its lines; anything else is text,
    one finding per paragraph. A file's name does not count. JSON that is broken, or has other words around it, is never
    taken for text.

    Raises:
        InvalidInput: the report is empty, broken, packed, or of a format that is not read. Nothing was read of it.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    head = file.head()
    for mark, what_to_do in _PACKED.items():
        if head.startswith(mark):
            raise InvalidInput(f"{file.place} is {what_to_do}")
    reader = READERS[_kind(file) if kind == "auto" else kind]
    return with_common_root(partial(reader, file))


def _kind(file: ReportFile) -> FileKind:
    head = file.head()
    beginning = head[:200].decode("latin-1")
    if _is_xml(beginning):  # which names its own encoding
        return XML_ROOTS.get(root_of(file), "junit")
    try:
        opening = codecs.getincrementaldecoder(encoding_of(head))().decode(head).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
    if _is_xml(opening):
        return XML_ROOTS.get(root_of(file), "junit")
    if opening.startswith("{"):
        return _kind_of_object(file, head)
    if opening.startswith("["):
        if _JSON_LIST.match(opening) is None and are_lines(opening):
            return "lines"
        return _kind_of_list(file, is_surely_json=_JSON_LIST.match(opening) is not None)
    if is_tap(opening):
        return "tap"
    _refuse_other(file, opening)
    return "lines" if are_lines(opening) else "text"


def _is_xml(opening: str) -> bool:
    """Return whether a file begins as XML that is not a page, perhaps after comments."""
    if other_formats.is_page(opening.lstrip()):
        return False
    at = 0
    while (rest := opening[at : at + 200].lstrip()).startswith("<!--"):
        end = opening.find("-->", opening.index("<!--", at))
        if end < 0:
            return False
        at = end + len("-->")
    return _XML.match(rest) is not None


def _refuse_other(file: ReportFile, opening: str) -> None:
    """Refuse text of another known format, and words that a report in JSON follows."""
    if other := other_formats.of_text(opening):
        raise InvalidInput(f"{file.place} {other}")
    found = _JSON_LINE.search(opening)
    if found is not None and _is_report(opening[found.start() :].lstrip()):
        line = opening.count("\n", 0, found.start()) + 1
        raise InvalidInput(f"{file.place} has other words before its JSON (line {line}); leave them out, or {_ADVICE}")


def _is_report(opening: str) -> bool:
    """Return whether JSON is a report of a known format, as far as its beginning shows."""
    names = first_names(opening.encode("utf-8", "replace"))
    if opening.startswith("["):
        return any(wanted <= names for wanted, _ in ITEM_MEMBERS) or bool(other_formats.of_item(names))
    sets = ({"runs", "version"}, {"exitcode", "tests"}, *(wanted for wanted, kind in MEMBER_SETS if kind not in _VAGUE))
    return any(wanted <= names for wanted in sets) or bool(other_formats.of_object(names))


def _kind_of_object(file: ReportFile, head: bytes) -> FileKind:
    if is_report_log(head):
        return "pytest"
    if are_comments(head):
        return "review"
    line = first_names(head.lstrip().partition(b"\n")[0])
    if {"Action", "Package"} <= line or {"Action", "ImportPath"} <= line:
        return "gotest"
    if other := other_formats.of_item(line):  # an object a line
        raise InvalidInput(f"{file.place} {other}")
    names: set[str] = set()
    with open_json(file, _ADVICE).events() as events:
        next(events)
        for name in _names(events):
            if name in MEMBERS:
                return MEMBERS[name]
            names.add(name)
    if other := other_formats.of_object(names):
        raise InvalidInput(f"{file.place} {other}")
    for wanted, kind in MEMBER_SETS:
        if wanted <= names:
            return kind
    raise InvalidInput(f"{file.place} is a JSON object that no reader takes; {_ADVICE}")


def _kind_of_list(file: ReportFile, *, is_surely_json: bool) -> FileKind:
    if are_comments(file.head()):
        return "review"
    try:
        opened = open_json(file, _ADVICE)
    except InvalidInput:
        if is_surely_json:
            raise
        return "text"  # in brackets
    with opened.events() as events:
        next(events)
        is_empty = True
        for event in items(events):
            is_empty = False
            if event[0] != "start_map":
                skip(events, event)
                continue
            names = set(_names(events))
            for wanted, kind in ITEM_MEMBERS:
                if wanted <= names:
                    return kind
            if other := other_formats.of_item(names):
                raise InvalidInput(f"{file.place} {other}")
    if is_empty:
        return "ruff"  # which found nothing
    raise InvalidInput(f"{file.place} is a JSON list that no reader takes; {_ADVICE}")


def _names(events: Events) -> Iterator[str]:
    """Yield the members of an object, the first `_NAMES_MAX` of them and those of `MEMBERS`; it is read to its end."""
    for number, (name, event) in enumerate(members(events)):
        if number < _NAMES_MAX or name in MEMBERS:
            yield name
        skip(events, event)
