"""The top objects of a JSON file, and which members they have: by these a format is known."""

from collections.abc import Iterator
from typing import Final

from lessonbook.intake.json_events import Event, Events
from lessonbook.intake.json_values import items, members, skip

_DEPTH: Final = 3
_NAMES_MAX: Final = 1_000
_ITEMS_MAX: Final = 20


def top_objects(events: Events) -> Iterator[tuple[Event, str]]:
    """Yield the first event of each object at the top, or in lists at the top, and its place; the caller reads past it.

    What is neither is yielded as well where it stands in a list, as a record that cannot be read.
    """
    for number, event in enumerate(events):
        if event[0] == "start_array":
            yield from _top_objects_in(events, f"values[{number}]" if number else "")
        else:
            yield event, f"values[{number}]" if number else ""


def _top_objects_in(events: Events, place: str) -> Iterator[tuple[Event, str]]:
    for number, item in enumerate(items(events)):
        if item[0] == "start_array":
            yield from _top_objects_in(events, f"{place}[{number}]")
        else:
            yield item, f"{place}[{number}]"


def outlines(events: Events) -> Iterator[set[str]]:
    """Yield the members of each top object: `a`, `a.b` and `a.b.c`, whether lists stand between them or not.

    A set is filled when the next one is asked for, or the stream ends; in a stream that breaks off it has what came.
    """
    for event, _ in top_objects(events):
        if event[0] == "start_map":
            names: set[str] = set()
            yield from _outline(events, names)
        else:
            skip(events, event)


def _outline(events: Events, names: set[str]) -> Iterator[set[str]]:
    for name in names_in(events):
        names.add(name)
    yield names


def names_in(events: Events, prefix: str = "", depth: int = _DEPTH) -> Iterator[str]:
    """Yield the members of an object whose opening event was read, and of those below it; it is read to its end.

    Of a list, the first twenty items are looked into; of an object, a thousand members.
    """
    for number, (name, event) in enumerate(members(events)):
        path = prefix + name
        if number < _NAMES_MAX or not prefix:
            yield path
        yield from _below(events, event, f"{path}.", depth - 1 if number < _NAMES_MAX else 0)


def _below(events: Events, event: Event, prefix: str, depth: int) -> Iterator[str]:
    if event[0] == "start_map" and depth:
        yield from names_in(events, prefix, depth)
    elif event[0] == "start_array" and depth:
        for number, item in enumerate(items(events)):
            yield from _below(events, item, prefix, depth if number < _ITEMS_MAX else 0)
    else:
        skip(events, event)
