"""Files that hold one list of records in JSON: what ruff, bandit, pytest and code hosts write."""

from collections.abc import Callable, Generator, Iterator
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


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file of `kind` has its records, and how one is read.

    `lists` are the members of the file's object that hold them, the first of which has to be there; none: the file
    itself is the list. `shape` are the members of a record that are read. `advice` is what a person is told whose file
    is another.
    """

    kind: FileKind
    lists: tuple[str, ...]
    shape: Shape
    advice: str
    read: Callable[[dict[str, object]], Finding | None]


def open_records(file: ReportFile, layout: Layout) -> Reading:
    """Return the findings of a file laid out like `layout`. It is read through first, and then record by record.

    Raises:
        InvalidInput: the file is no JSON, or has no such list.
    """
    opened = open_json(file, layout.advice)
    return Reading(layout.kind, _count(opened, layout), _outcomes(opened, layout))


def outcome_of(record: object, place: str, read: Callable[[dict[str, object]], Finding | None]) -> Outcome:
    """Return what `read` makes of a record, or why it cannot be read."""
    if not is_object(record):
        return Refused(place, "is no object")
    try:
        return read(record)
    except Unreadable as error:
        return Refused(place, str(error))


def _count(file: JsonFile, layout: Layout) -> int:
    found: set[str] = set()
    count = 0
    with file.events() as events:
        for name, item in _records(events, layout):
            found.add(name)
            if item is not None:
                skip(events, item)
                count += 1
    if (layout.lists[0] if layout.lists else "") not in found:
        wanted = f"list of `{layout.lists[0]}`" if layout.lists else "list at its top"
        raise InvalidInput(f"{file.file.place} has no {wanted}; {layout.advice}")
    return count


def _outcomes(file: JsonFile, layout: Layout) -> Generator[Outcome]:
    numbers: dict[str, int] = {}
    with file.events() as events:
        for name, item in _records(events, layout):
            if item is None:
                continue
            number = numbers.get(name, 0)
            numbers[name] = number + 1
            allowance = Allowance(RECORD_MAX)
            record = build(events, item, allowance, layout.shape)
            place = f"{name}[{number}]"
            too_large = Refused(place, f"takes more than {RECORD_MAX >> 20} MiB")
            yield too_large if allowance.is_spent else outcome_of(record, place, layout.read)


def _records(events: Events, layout: Layout) -> Iterator[tuple[str, Event | None]]:
    """Yield each list that is found (with None), and the opening event of each of its records."""
    opening = next(events)
    if not layout.lists and opening[0] == "start_array":
        yield from _items_of(events, "")
    elif layout.lists and opening[0] == "start_map":
        for name, event in members(events):
            if name in layout.lists and event[0] == "start_array":
                yield from _items_of(events, name)
            else:
                skip(events, event)


def _items_of(events: Events, name: str) -> Iterator[tuple[str, Event | None]]:
    yield name, None
    for item in items(events):
        yield name, item
