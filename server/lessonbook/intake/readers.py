"""Report files: which kind a file is of, by its content, and the reader of that kind."""

import codecs
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Reading, ReportKind
from lessonbook.intake import formats, unread_formats
from lessonbook.intake.dotnet_tests import open_nunit, open_trx, open_xunit
from lessonbook.intake.formats.outline import names_in, outlines
from lessonbook.intake.go_test import open_gotest
from lessonbook.intake.js_tests import open_jest, open_mocha, open_mochawesome, open_playwright
from lessonbook.intake.json_events import EndOfHead, first_names, head_events, open_json
from lessonbook.intake.json_values import items, skip
from lessonbook.intake.junit import open_junit
from lessonbook.intake.linter_lines import are_lines, open_lines
from lessonbook.intake.linter_xml import open_checkstyle, open_cpd, open_cppcheck, open_pmd, open_spotbugs
from lessonbook.intake.packing import unpacked
from lessonbook.intake.plain_text import open_text
from lessonbook.intake.pytest_json import is_report_log, open_pytest
from lessonbook.intake.report_file import NoReport, ReportFile, encoding_of
from lessonbook.intake.report_paths import with_common_root
from lessonbook.intake.review_comments import COMMENTS, are_comments, open_review
from lessonbook.intake.sarif import open_sarif
from lessonbook.intake.scanner_json import open_bandit, open_ruff
from lessonbook.intake.tap import is_tap, open_tap
from lessonbook.intake.xml_records import root_of
from lessonbook.machine.patterns import lazy_pattern

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
    **formats.READERS,
}
"""The reader of each kind of file."""
NAMES: Final[dict[FileKind, str]] = {
    "sarif": "SARIF",
    "junit": "JUnit XML",
    "pytest": "JSON of pytest",
    "ruff": "ruff JSON",
    "bandit": "bandit JSON",
    "review": "review comments",
    "text": "text",
    "checkstyle": "Checkstyle XML",
    "pmd": "PMD XML",
    "cpd": "CPD XML",
    "spotbugs": "SpotBugs XML",
    "cppcheck": "Cppcheck XML",
    "lines": "lines of a linter",
    "trx": "TRX",
    "xunit": "xUnit XML",
    "nunit": "NUnit XML",
    "tap": "TAP",
    "gotest": "JSON of go test",
    "jest": "JSON of Jest",
    "mocha": "JSON of mocha",
    "mochawesome": "JSON of mochawesome",
    "playwright": "JSON of Playwright",
}
"""What people call the kinds whose readers do not say it."""
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
_ADVICE: Final = f"say which format it is, or give a file of another. Read are {unread_formats.READ}"
_XML = lazy_pattern(
    r"<(?:\?xml|!doctype|(?:[a-z]\w{0,30}:)?testsuites?\b"
    r"|(?:checkstyle|pmd|pmd-cpd|bugcollection|testrun|test-run|test-results|assemblies)[\s>]|results\sversion=)",
    re.IGNORECASE,
)
_JSON_LIST = lazy_pattern(r"\[\s*[{\"]")
"""The beginning of a list of objects or texts, not of a text in brackets."""
_JSON_LINE = lazy_pattern(r"^[ \t]*(?:\{[ \t]*(?=[\"\r\n])|\[[ \t]*(?=[{\r\n]))", re.MULTILINE)
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
ITEM_MEMBERS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"code", "filename", "location"}), "ruff"),
    (frozenset({"body", "path"}), "review"),
    *((members, "review") for members in COMMENTS),
)
"""Members of an item of the list at a file's top that together show the file's kind."""
_PACKED: Final[dict[bytes, str]] = {
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first (unzstd)",
    b"PK\x03\x04": "a zip archive: give it to `lessonbook report`, or a file that was in it",
    b"PK\x05\x06": "an empty zip archive: give it the files to report",
}
"""How packed files begin, and what to do with them."""


def open_report(file: ReportFile, kind: ReportKind = "auto") -> Reading:
    """Return the findings of a report, to be read as they are asked for; `auto`: its content decides what it is.

    XML is known by its first element, JSON by its members, and what linters print by its lines; anything else is text,
    one finding per paragraph. A file's name does not count. JSON that is broken, or has other words around it, is never
    taken for text.

    Gzip is unpacked as it is read.

    Raises:
        NoReport: it is of no format that is read, or empty.
        InvalidInput: it is broken, or packed in another way. Nothing was read of it.
    """
    file = unpacked(file)
    if file.is_blank():
        raise NoReport(f"{file.place} is empty; nothing was reported")
    head = file.head()
    for mark, what_to_do in _PACKED.items():
        if head.startswith(mark):
            raise NoReport(f"{file.place} is {what_to_do}")
    chosen = _kind(file) if kind == "auto" else kind
    reading = with_common_root(partial(READERS[chosen], file))
    if reading.name:
        return reading
    is_empty_list = kind == "auto" and chosen == "ruff" and not reading.records
    return replace(reading, name="an empty JSON list" if is_empty_list else NAMES.get(reading.kind, reading.kind))


def _kind(file: ReportFile) -> FileKind:
    head = file.head()
    beginning = head[:200].decode("latin-1")
    if _is_xml(beginning):  # which names its own encoding
        return XML_ROOTS.get(root_of(file), "junit")
    try:
        opening = codecs.getincrementaldecoder(encoding_of(head))().decode(head).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise NoReport(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
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
    if unread_formats.is_page(opening.lstrip()):
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
    if other := unread_formats.of_text(opening):
        raise NoReport(f"{file.place} {other}")
    found = _JSON_LINE.search(opening)
    if found is not None and _is_report(opening[found.start() :].lstrip()):
        line = opening.count("\n", 0, found.start()) + 1
        raise InvalidInput(f"{file.place} has other words before its JSON (line {line}); leave them out, or {_ADVICE}")


def _is_report(opening: str) -> bool:
    """Return whether JSON is a report of a known format, as far as its beginning shows."""
    names = first_names(opening.encode("utf-8", "replace"))
    if opening.startswith("["):
        is_known = any(wanted <= names for wanted, _ in ITEM_MEMBERS)
        return is_known or bool(unread_formats.of_item(names) or formats.kind_of(names))
    sets = ({"runs", "version"}, {"exitcode", "tests"}, *(wanted for wanted, kind in MEMBER_SETS if kind not in _VAGUE))
    return any(wanted <= names for wanted in sets) or bool(unread_formats.of_object(names) or formats.kind_of(names))


def _kind_of_object(file: ReportFile, head: bytes) -> FileKind:
    line = first_names(head.lstrip().partition(b"\n")[0])
    if kind := _kind_of_stream(head, line):
        return kind
    if other := unread_formats.of_item(line):  # an object a line
        raise NoReport(f"{file.place} {other}")
    names: set[str] = set()
    with open_json(file, _ADVICE).events() as events:
        next(events)
        for name in names_in(events):
            if name in MEMBERS:
                return MEMBERS[name]
            names.add(name)
    if kind := formats.kind_of(names):
        return kind
    if other := unread_formats.of_object(names):
        raise NoReport(f"{file.place} {other}")
    for wanted, kind in MEMBER_SETS:
        if wanted <= names:
            return kind
    raise NoReport(f"{file.place} is a JSON object that no reader takes; {_ADVICE}")


def _kind_of_stream(head: bytes, line: set[str]) -> FileKind | None:
    """Return the kind of a file of several objects, by those that begin it, or None; `line`: members of the first."""
    if is_report_log(head):
        return "pytest"
    found: list[set[str]] = []
    is_cut = False
    try:
        found.extend(outlines(head_events(head)))
    except EndOfHead:
        is_cut = True
    for names in found if len(found) + is_cut > 1 else []:
        if kind := formats.kind_of(names):
            return kind
    if are_comments(head):
        return "review"
    return "gotest" if {"Action", "Package"} <= line or {"Action", "ImportPath"} <= line else None


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
            names = set(names_in(events))
            if kind := _kind_of_item(names):
                return kind
            if other := unread_formats.of_item(names):
                raise NoReport(f"{file.place} {other}")
    if is_empty:
        return "ruff"  # which found nothing
    raise NoReport(f"{file.place} is a JSON list that no reader takes; {_ADVICE}")


def _kind_of_item(names: set[str]) -> FileKind | None:
    """Return the kind of a file whose list has an item with these members, or None."""
    return next((kind for wanted, kind in ITEM_MEMBERS if wanted <= names), None) or formats.kind_of(names)
