"""One door for reports: tells what a file is by its content, and has the right reader read it."""

import codecs
import re
from collections.abc import Callable
from typing import Final

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import FileKind, Intake, Reading, ReportKind, collect
from lessonbook.refinery.intake.json_events import Event, Events, open_json
from lessonbook.refinery.intake.json_values import items, members, skip
from lessonbook.refinery.intake.junit import open_junit
from lessonbook.refinery.intake.plain_text import open_text
from lessonbook.refinery.intake.pytest_json import is_report_log, open_pytest
from lessonbook.refinery.intake.report_file import ReportFile, encoding_of
from lessonbook.refinery.intake.review_comments import open_review
from lessonbook.refinery.intake.sarif import open_sarif
from lessonbook.refinery.intake.scanner_json import open_bandit, open_ruff

_READERS: Final[dict[FileKind, Callable[[ReportFile], Reading]]] = {
    "sarif": open_sarif,
    "junit": open_junit,
    "pytest": open_pytest,
    "ruff": open_ruff,
    "bandit": open_bandit,
    "review": open_review,
    "text": open_text,
}
_ADVICE: Final = f"say what it is ({', '.join(_READERS)}), or give a file of one of these kinds"
_XML = re.compile(r"<(?:\?xml|!doctype|!--|(?:[a-z]\w*:)?testsuites?\b)", re.IGNORECASE)
_MEMBERS: Final[dict[str, FileKind]] = {
    "runs": "sarif",
    "generated_at": "bandit",
    "metrics": "bandit",
    "exitcode": "pytest",
    "collectors": "pytest",
    "tests": "pytest",
    "comment": "review",
    "pull_request_url": "review",
    "diff_hunk": "review",
}
"""Members of an object at a file's top that are found in files of one kind only."""
_ITEM_MEMBERS: Final[tuple[tuple[frozenset[str], FileKind], ...]] = (
    (frozenset({"code", "filename", "location"}), "ruff"),
    (frozenset({"body", "path"}), "review"),
)
"""What an item of a list at a file's top has in files of one kind."""


def open_report(file: ReportFile, kind: ReportKind = "auto") -> Reading:
    """Return the findings of a report, to be read as they are asked for; `auto` tells its kind by its content.

    A file's name counts for nothing. XML is read as JUnit, JSON as what its members say, and anything else as text, one
    finding per paragraph.

    Raises:
        InvalidInput: the report is empty, broken, or JSON of another kind. None of it was read then.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; nothing was reported")
    return _READERS[_kind(file) if kind == "auto" else kind](file)


def read_report(data: bytes, *, kind: ReportKind = "auto", place: str) -> Intake:
    """Return everything in a report that is in memory. See `open_report`.

    Raises:
        InvalidInput: as for `open_report`.
    """
    return collect(open_report(ReportFile(data, place), kind))


def _kind(file: ReportFile) -> FileKind:
    head = file.head()
    if _XML.match(head[:200].decode("latin-1").lstrip()):  # XML names its own encoding
        return "junit"
    try:
        opening = codecs.getincrementaldecoder(encoding_of(head))().decode(head).lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        raise InvalidInput(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
    if _XML.match(opening):
        return "junit"
    if opening.startswith("{"):
        return _kind_of_object(file, head)
    if opening.startswith("["):
        return _kind_of_list(file)
    return "text"


def _kind_of_object(file: ReportFile, head: bytes) -> FileKind:
    if is_report_log(head):
        return "pytest"
    with open_json(file, _ADVICE).events() as events:
        next(events)
        for name, event in members(events):
            if name in _MEMBERS:
                return _MEMBERS[name]
            skip(events, event)
    raise InvalidInput(f"{file.place} is a JSON object that no reader takes; {_ADVICE}")


def _kind_of_list(file: ReportFile) -> FileKind:
    try:
        opened = open_json(file, _ADVICE)
    except InvalidInput:
        return "text"  # in brackets
    with opened.events() as events:
        next(events)
        is_empty = True
        for event in items(events):
            is_empty = False
            if (kind := _kind_of_item(events, event)) is not None:
                return kind
    if is_empty:
        return "ruff"  # which found nothing
    raise InvalidInput(f"{file.place} is a JSON list that no reader takes; {_ADVICE}")


def _kind_of_item(events: Events, event: Event) -> FileKind | None:
    if event[0] != "start_map":
        skip(events, event)
        return None
    names: set[str] = set()
    for name, opening in members(events):
        names.add(name)
        skip(events, opening)
    return next((kind for wanted, kind in _ITEM_MEMBERS if wanted <= names), None)
