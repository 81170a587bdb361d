"""One door for reports: tells what a file is by its content, and has the right reader read it."""

import codecs
import re
from collections.abc import Callable
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Intake, Reading, ReportKind, collect
from lessonbook.intake import other_formats
from lessonbook.intake.json_events import Event, Events, first_names, open_json
from lessonbook.intake.json_values import items, members, skip
from lessonbook.intake.junit import open_junit
from lessonbook.intake.plain_text import open_text
from lessonbook.intake.pytest_json import is_report_log, open_pytest
from lessonbook.intake.report_file import ReportFile, encoding_of
from lessonbook.intake.review_comments import open_review
from lessonbook.intake.sarif import open_sarif
from lessonbook.intake.scanner_json import open_bandit, open_ruff

READERS: Final[dict[FileKind, Callable[[ReportFile], Reading]]] = {
    "sarif": open_sarif,
    "junit": open_junit,
    "pytest": open_pytest,
    "ruff": open_ruff,
    "bandit": open_bandit,
    "review": open_review,
    "text": open_text,
}
"""The reader of each kind of file."""
_ADVICE: Final = f"say what it is ({', '.join(READERS)}), or give a file of one of these kinds"
_XML = re.compile(r"<(?:\?xml|!doctype|(?:[a-z]\w{0,30}:)?testsuites?\b)", re.IGNORECASE)
_JSON_LIST = re.compile(r"\[\s*[{\"]")
"""What begins a list of objects or texts, and no text in brackets."""
_JSON_LINE = re.compile(r"^[ \t]*(?:\{[ \t]*(?=[\"\r\n])|\[[ \t]*(?=[{\r\n]))", re.MULTILINE)
MEMBERS: Final[dict[str, FileKind]] = {
    "runs": "sarif",
    "exitcode": "pytest",
    "collectors": "pytest",
    "comment": "review",
    "pull_request_url": "review",
    "diff_hunk": "review",
}
"""Members of an object at a file's top that are found in files of one kind only."""
MEMBER_SETS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"results", "metrics"}), "bandit"),
    (frozenset({"results", "generated_at"}), "bandit"),
    (frozenset({"tests"}), "pytest"),
)
"""What an object at a file's top has in files of one kind, where it is of no other known format."""
_NAMES_MAX: Final = 1_000
ITEM_MEMBERS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"code", "filename", "location"}), "ruff"),
    (frozenset({"body", "path"}), "review"),
)
"""What an item of a list at a file's top has in files of one kind."""
_PACKED: Final[dict[bytes, str]] = {
    b"\x1f\x8b": "gzip: unpack it first (gunzip)",
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first (unzstd)",
    b"PK\x03\x04": "a zip archive: unpack it first, and give a file that was in it",
}
"""How packed files begin, and what to do with them."""


def open_report(file: ReportFile, kind: ReportKind = "auto") -> Reading:
    """Return the findings of a report, to be read as they are asked for; `auto` tells its kind by its content.

    A file's name counts for nothing. XML is read as JUnit, JSON as what its members say, and anything else as text, one
    finding per paragraph. JSON that is broken, or has other words around it, is never taken for text.

    Raises:
        InvalidInput: the report is empty, broken, packed, or of a format that is not read. None of it was read then.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    head = file.head()
    if packed := next((told for mark, told in _PACKED.items() if head.startswith(mark)), ""):
        raise InvalidInput(f"{file.place} is {packed}")
    return READERS[_kind(file) if kind == "auto" else kind](file)


def read_report(data: bytes, *, kind: ReportKind = "auto", place: str) -> Intake:
    """Return everything in a report that is in memory. See `open_report`.

    Raises:
        InvalidInput: as for `open_report`.
    """
    return collect(open_report(ReportFile(data, place), kind))


def _kind(file: ReportFile) -> FileKind:
    head = file.head()
    beginning = head[:200].decode("latin-1")
    if _is_xml(beginning) and not other_formats.is_page(beginning.lstrip()):  # XML names its own encoding
        return "junit"
    try:
        opening = codecs.getincrementaldecoder(encoding_of(head))().decode(head).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
    if _is_xml(opening) and not other_formats.is_page(opening):
        return "junit"
    if opening.startswith("{"):
        return _kind_of_object(file, head)
    if opening.startswith("["):
        return _kind_of_list(file, is_surely_json=_JSON_LIST.match(opening) is not None)
    _refuse_other(file, opening)
    return "text"


def _is_xml(opening: str) -> bool:
    """Tell whether a file begins as XML: comments may come first, which a page, a script or a log may have too."""
    at = 0
    while (rest := opening[at : at + 200].lstrip()).startswith("<!--"):
        end = opening.find("-->", opening.index("<!--", at))
        if end < 0:
            return False
        at = end + len("-->")
    return _XML.match(rest) is not None


def _refuse_other(file: ReportFile, opening: str) -> None:
    """Refuse text that is a known format, or that a report in JSON follows."""
    if other := other_formats.of_text(opening):
        raise InvalidInput(f"{file.place} {other}")
    found = _JSON_LINE.search(opening)
    if found is not None and _is_report(opening[found.start() :].lstrip()):
        line = opening.count("\n", 0, found.start()) + 1
        raise InvalidInput(f"{file.place} has other words before its JSON (line {line}); leave them out, or {_ADVICE}")


def _is_report(opening: str) -> bool:
    """Tell whether JSON that begins so is a report of a known format, as far as its beginning goes."""
    names = first_names(opening.encode("utf-8", "replace"))
    if opening.startswith("["):
        return any(wanted <= names for wanted, _ in ITEM_MEMBERS) or bool(other_formats.of_item(names))
    told = {"runs", "version"} <= names or any(wanted <= names for wanted, kind in MEMBER_SETS if kind == "bandit")
    return told or {"exitcode", "tests"} <= names or bool(other_formats.of_object(names))


def _kind_of_object(file: ReportFile, head: bytes) -> FileKind:
    if is_report_log(head):
        return "pytest"
    line = first_names(head.lstrip().partition(b"\n")[0])
    if other := other_formats.of_item(line):  # an object a line
        raise InvalidInput(f"{file.place} {other}")
    names: set[str] = set()
    with open_json(file, _ADVICE).events() as events:
        next(events)
        for name, event in members(events):
            if name in MEMBERS:
                return MEMBERS[name]
            if len(names) < _NAMES_MAX:
                names.add(name)
            skip(events, event)
    if other := other_formats.of_object(names):
        raise InvalidInput(f"{file.place} {other}")
    for wanted, kind in MEMBER_SETS:
        if wanted <= names:
            return kind
    raise InvalidInput(f"{file.place} is a JSON object that no reader takes; {_ADVICE}")


def _kind_of_list(file: ReportFile, *, is_surely_json: bool) -> FileKind:
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
            names = _names_of_item(events, event)
            for wanted, kind in ITEM_MEMBERS:
                if wanted <= names:
                    return kind
            if other := other_formats.of_item(names):
                raise InvalidInput(f"{file.place} {other}")
    if is_empty:
        return "ruff"  # which found nothing
    raise InvalidInput(f"{file.place} is a JSON list that no reader takes; {_ADVICE}")


def _names_of_item(events: Events, event: Event) -> set[str]:
    if event[0] != "start_map":
        skip(events, event)
        return set()
    names: set[str] = set()
    for name, opening in members(events):
        if len(names) < _NAMES_MAX:
            names.add(name)
        skip(events, opening)
    return names
