"""Values out of a stream of JSON events: walked through, skipped, or built as far as they are wanted."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, Union, cast

from lessonbook.intake.json_events import CLOSING, OPENING, Event, Events

Shape = Mapping[str, Union["Shape", None]]
"""The members of an object that are wanted, each with the shape of its value; None: all of it. A list has the shape of
its items."""

_CONTAINER_COST: Final = 100

_Container = dict[str, object] | list[object]


def wanted(*whole: str, **parts: Shape) -> Shape:
    """Return the shape of an object of which the members `whole` are wanted, and of those in `parts` a part each."""
    return dict.fromkeys(whole) | parts


class Allowance:
    """The bytes of memory, about, that may still be built; below zero, they did not suffice."""

    def __init__(self, size: int) -> None:
        self.left = size

    @property
    def is_spent(self) -> bool:
        """Whether something had to be left out."""
        return self.left < 0


def members(events: Events) -> Iterator[tuple[str, Event]]:
    """Yield the names and opening events of an object's members, after its own opening event.

    Each value has to be built, skipped or walked through before the next member is asked for. `items` is alike.
    """
    for kind, value in events:
        if kind == "end_map":
            return
        yield value, next(events)


def items(events: Events) -> Iterator[Event]:
    """Yield the opening event of each item of a list, after its own opening event."""
    for event in events:
        if event[0] == "end_array":
            return
        yield event


def skip(events: Events, event: Event) -> None:
    """Read past the value that `event` opens."""
    if event[0] in OPENING:
        _close(events, 1)


def build(
    events: Events, event: Event, allowance: Allowance, shape: Shape | None = None, text_max: int | None = None
) -> object:
    """Return the value that `event` opens, as `json` would, with the members of `shape` alone.

    Args:
        events: the stream, behind `event`.
        event: the value's first event.
        allowance: once it is spent, the rest of the value is left out.
        shape: the members that are wanted; None: all.
        text_max: the characters to which texts are cut; None: they are not.
    """
    if event[0] not in OPENING:
        allowance.left -= _cost(event[1])
        return _plain(event[1], text_max)
    root = holder = _opened(event[0])
    inside = shape
    holders: list[tuple[_Container, Shape | None]] = [(root, shape)]
    key = ""
    for kind, value in events:
        if kind == "map_key":
            if inside is not None and value not in inside:
                skip(events, next(events))
            else:
                key = value
            continue
        if kind in CLOSING:
            holders.pop()
            if not holders:
                break
            holder, inside = holders[-1]
            continue
        is_container = kind in OPENING
        allowance.left -= _CONTAINER_COST if is_container else _cost(value) + len(key)
        if allowance.left < 0:
            _close(events, len(holders) + is_container)
            break
        made: object = _opened(kind) if is_container else _plain(value, text_max)
        if isinstance(holder, dict):
            holder[key] = made
            inner = inside[key] if inside is not None else None
        else:
            holder.append(made)
            inner = inside
        if is_container:
            holder, inside = cast("_Container", made), inner
            holders.append((holder, inside))
    return root


def _close(events: Events, depth: int) -> None:
    for kind, _ in events:
        if kind in OPENING:
            depth += 1
        elif kind in CLOSING:
            depth -= 1
            if not depth:
                return


def _opened(kind: str) -> _Container:
    return {} if kind == "start_map" else []


def _cost(value: object) -> int:
    return len(value) if isinstance(value, str) else 8


def _plain(value: object, text_max: int | None) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value[:text_max] if text_max is not None and isinstance(value, str) else value
