"""Files that hold one list of records in JSON: what ruff, bandit, pytest and code hosts write."""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from lessonbook.domain.documents import Unreadable, is_object
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding, Outcome, Reading, Refused
from lessonbook.intake.json_events import Event, Events, JsonFile, open_json
from lessonbook.intake.json_values import Allowance, Shape, build, items, members, skip
from lessonbook.intake.report_file import ReportFile

RECORD_MAX: Final = 4 * 1024 * 1024
"""Bytes of memory that one record may take."""
TOO_LARGE: Final = f"takes more than {RECORD_MAX >> 20} MiB"

Reader = Callable[[dict[str, object]], Finding | None]
"""Returns the finding in a record; None where it is left out. Raises `Unreadable`."""

ManyReader = Callable[[dict[str, object]], Finding | Iterable[Finding] | None]
"""A reader that may return several findings: of a file with its failed tests."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file of `kind` has its records, and how one is read.

    `lists` are the members of the file's object that hold them; the first has to be there. Empty: the file itself is
    the list. `shape` are the members of a record that are read. `advice` ends the error where a file is of another
    kind.
    """

    kind: FileKind
    lists: tuple[str, ...]
    shape: Shape
    advice: str
    read: ManyReader


def open_records(file: ReportFile, layout: Layout) -> Reading:
    """Return the findings of a file laid out like `layout`. It is read through first, and then record by record.

    Raises:
        InvalidInput: the file is not valid JSON, or has no such list.
    """
    opened = open_json(file, layout.advice)
    return Reading(layout.kind, _count(opened, layout), _outcomes(opened, layout))


def read_record(events: Events, event: Event, place: str, shape: Shape, read: Reader) -> Outcome:
    """Return the outcome of the record that `event` opens, with the members of `shape` alone."""
    allowance = Allowance(RECORD_MAX)
    record = build(events, event, allowance, shape)
    return Refused(place, TOO_LARGE) if allowance.is_spent else outcome_of(record, place, read)


def outcomes_of(record: object, place: str, read: ManyReader) -> list[Outcome]:
    """Return all that `read` makes of a record, or why it cannot be read."""
    if not is_object(record):
        return [Refused(place, "is not an object")]
    try:
        made = read(record)
        return [made] if made is None or isinstance(made, Finding) else list(made) or [None]
    except Unreadable as error:
        return [Refused(place, str(error))]


def outcome_of(record: object, place: str, read: Reader) -> Outcome:
    """Return what `read` makes of a record, or why it cannot be read."""
    if not is_object(record):
        return Refused(place, "is not an object")
    try:
        return read(record)
    except Unreadable as error:
        return Refused(place, str(error))


def _count(file: JsonFile, layout: Layout) -> int:
    found: set[str] = set()
    count = 0
    with file.events() as events:
        for name in _lists(events, layout):
            found.add(name)
            for item in items(events):
                skip(events, item)
                count += 1
    if (layout.lists or ("",))[0] not in found:
        wanted = f"list of `{layout.lists[0]}`" if layout.lists else "list at its top"
        raise InvalidInput(f"{file.file.place} has no {wanted}; {layout.advice}")
    return count


def _outcomes(file: JsonFile, layout: Layout) -> Generator[Outcome]:
    with file.events() as events:
        for name in _lists(events, layout):
            for number, item in enumerate(items(events)):
                place = f"{name}[{number}]"
                allowance = Allowance(RECORD_MAX)
                record = build(events, item, allowance, layout.shape)
                if allowance.is_spent:
                    yield Refused(place, TOO_LARGE)
                else:
                    yield from outcomes_of(record, place, layout.read)


def _lists(events: Events, layout: Layout) -> Iterator[str]:
    """Yield the name of each list of records, whose items have to be walked through before the next is asked for."""
    opening = next(events)
    if not layout.lists and opening[0] == "start_array":
        yield ""
    elif layout.lists and opening[0] == "start_map":
        for name, event in members(events):
            if name in layout.lists and event[0] == "start_array":
                yield name
            else:
                skip(events, event)
