"""A JSON format as data: how its files are known, where their records stand, which members of a record are read.

A file is a row of top objects: one object, the objects of a list, or several of either behind each other (JSON lines).
Paths lead from a top object to a value: `Results.*.Target`, where `*` is any item of a list or any member of an object.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lessonbook.domain.documents import Unreadable, is_object, list_of, text_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding, Outcome, Reading, Refused
from lessonbook.intake.formats.outline import outlines, top_objects
from lessonbook.intake.formats.record_fields import RecordFields
from lessonbook.intake.json_events import OPENING, Event, Events, JsonFile, open_json
from lessonbook.intake.json_records import RECORD_MAX, TOO_LARGE
from lessonbook.intake.json_values import Allowance, Shape, build, items, members, skip
from lessonbook.intake.report_file import ReportFile

ANY: Final = "*"
_LATE_MAX: Final = 16 * 1024 * 1024
"""Bytes of memory that members may take which records need and which stand behind them in the file."""

Read = Callable[[RecordFields, RecordFields], Finding | None]
"""Returns the finding in a record, given the members around it; None: it is not a problem. Raises `Unreadable`."""


@dataclass(frozen=True, slots=True)
class Records:
    """One kind of record.

    `at` is the path at which they stand; empty: top objects are records. `wants` are the paths of a record that `read`
    uses.
    """

    at: str
    wants: tuple[str, ...]
    read: Read


@dataclass(frozen=True)
class JsonFormat:
    """A format of JSON files.

    `name` is what people call it. Each text of `known_by` has members which together show the format, `a|b.c`: with
    `!d`, d must not be there, and `=a|b` stands for these members alone. `around` are the paths of members around
    records that readers use; `advice` says which command writes such a file.
    """

    kind: FileKind
    name: str
    known_by: tuple[str, ...]
    advice: str
    records: tuple[Records, ...]
    around: tuple[str, ...] = ()

    def is_known(self, names: set[str]) -> bool:
        """Return whether a top object with the members `names` (see `outline`) is of this format."""
        return any(sign.is_in(names) for sign in self._signs)

    def may_be(self, names: set[str]) -> bool:
        """Return whether a top object has nothing but the lists of this format: of a scanner that found nothing."""
        return bool(names) and names <= {records.at.partition(".")[0] for records in self.records}

    @cached_property
    def _signs(self) -> list["_KnownBy"]:
        return [_KnownBy.of(text) for text in self.known_by]

    @cached_property
    def root(self) -> "Node":
        """The tree of all paths, from a top object."""
        root = Node()
        for records in self.records:
            node = root
            for step in filter(None, records.at.split(".")):
                node = node.children.setdefault(step, Node())
            node.leaf = _Leaf(records.read, shape_of(records.wants))
        for path in self.around:
            _enclose(root, path)
        return root


@dataclass(frozen=True, slots=True)
class _KnownBy:
    """Members that together show a format."""

    needed: set[str]
    banned: set[str]
    is_all: bool

    @classmethod
    def of(cls, text: str) -> "_KnownBy":
        parts = text.removeprefix("=").split("|")
        banned = {part[1:] for part in parts if part.startswith("!")}
        return cls({part for part in parts if not part.startswith("!")}, banned, text.startswith("="))

    def is_in(self, names: set[str]) -> bool:
        return self.needed == names if self.is_all else self.needed <= names and not self.banned & names


@dataclass(frozen=True, slots=True)
class _Leaf:
    """Records that stand at a place: how one is read, and the members of it that are wanted."""

    read: Read
    shape: Shape


@dataclass(slots=True)
class Node:
    """A place in top objects: what is below it, its records, and the members of it that are read for records below."""

    children: dict[str, "Node"] = field(default_factory=dict[str, "Node"])
    leaf: _Leaf | None = None
    around: dict[str, Shape | None] = field(default_factory=dict[str, Shape | None])


def shape_of(paths: Iterable[str]) -> Shape:
    """Return the shape of an object of which the values at `paths` are wanted; numbers are items of a list."""
    shape: dict[str, Shape | None] = {}
    for path in paths:
        _widen(shape, [step for step in path.split(".") if not step.isdecimal()])
    return shape


def open_format(file: ReportFile, formats: Iterable[JsonFormat]) -> Reading:
    """Return the findings of a file in the first of `formats` that it is in: variants of one format.

    Raises:
        InvalidInput: the file is not valid JSON, or in none of them.
    """
    variants = tuple(formats)
    opened = open_json(file, variants[0].advice, many=True)
    variant = _variant(opened, variants)
    if variant is None:
        raise InvalidInput(f"{file.place} is not {variants[0].name}; {variants[0].advice}")
    survey = _Survey()
    with opened.events() as events:
        for opening, place in top_objects(events):
            for event, _, _ in survey.records_of(events, opening, variant.root, place):
                skip(events, event)
                survey.count += 1
    return Reading(variant.kind, survey.count, _outcomes(opened, variant, survey.late), variant.name)


def _variant(file: JsonFile, variants: tuple[JsonFormat, ...]) -> JsonFormat | None:
    empty: JsonFormat | None = variants[0]
    with file.events() as events:
        for names in outlines(events):
            if found := next((variant for variant in variants if variant.is_known(names)), None):
                return found
            empty = next((variant for variant in variants if variant.may_be(names)), None)
    return empty


def _outcomes(file: JsonFile, variant: JsonFormat, late: dict[int, dict[str, object]]) -> Generator[Outcome]:
    with file.events() as events:
        walk = _Walk(late)
        for opening, place in top_objects(events):
            for event, leaf, at in walk.records_of(events, opening, variant.root, place):
                yield _outcome(events, event, leaf, at)


@dataclass(slots=True)
class _At:
    """A place in a file: its node, the members around it, and its path."""

    node: Node
    around: dict[str, object]
    place: str


def _outcome(events: Events, event: Event, leaf: _Leaf, at: _At) -> Outcome:
    allowance = Allowance(RECORD_MAX)
    record = build(events, event, allowance, leaf.shape)
    if allowance.is_spent:
        return Refused(at.place, TOO_LARGE)
    if not is_object(record):
        return Refused(at.place, "is not an object")
    try:
        return leaf.read(RecordFields(record), RecordFields(at.around))
    except Unreadable as error:
        return Refused(at.place, str(error))


_Record = tuple[Event, _Leaf, _At]
"""A record that begins, how it is read, and where it stands."""


class _Walk:
    """Walks top objects in order, and knows what stands behind the records that need it."""

    def __init__(self, late: dict[int, dict[str, object]]) -> None:
        self.late = late
        self._objects = 0

    def records_of(self, events: Events, event: Event, root: Node, place: str) -> Iterator[_Record]:
        """Yield the first event of each record in a top object; the caller reads past it."""
        return self._below(events, event, _At(root, {}, place))

    def _below(self, events: Events, event: Event, at: _At) -> Iterator[_Record]:
        if at.node.leaf is not None:
            yield event, at.node.leaf, at
        elif event[0] == "start_array":
            inner = at.node.children.get(ANY)
            for number, item in enumerate(items(events)):
                if inner is None:
                    skip(events, item)
                else:
                    yield from self._below(events, item, _At(inner, at.around, f"{at.place}[{number}]"))
        elif event[0] == "start_map":
            yield from self._inside(events, at)

    def _inside(self, events: Events, at: _At) -> Iterator[_Record]:
        number = self._objects
        self._objects += 1
        around = {**at.around, **self.late.get(number, {})}
        behind: dict[str, object] | None = None
        for name, event in members(events):
            if name in at.node.around:
                value = build(events, event, Allowance(RECORD_MAX), at.node.around[name])
                around = {**around, name: value}
                if behind is not None:
                    behind[name] = value
                continue
            child = at.node.children.get(name)
            named = around
            if child is None and (child := at.node.children.get(ANY)) is not None:
                named = {**around, ANY: name}
            if child is None:
                skip(events, event)
            elif event[0] in OPENING or child.leaf is not None:
                behind = {} if behind is None else behind
                place = f"{at.place}.{name}" if at.place else name
                yield from self._below(events, event, _At(child, named, place))
        if behind:
            self._keep(number, behind)

    def _keep(self, number: int, behind: dict[str, object]) -> None:
        """Hear what stood behind records of the object of this number."""


class _Survey(_Walk):
    """The first walk, which counts the records and keeps what stands behind them."""

    def __init__(self) -> None:
        super().__init__({})
        self.count = 0
        self._allowance = Allowance(_LATE_MAX)

    def _keep(self, number: int, behind: dict[str, object]) -> None:
        self._allowance.left -= _size(behind)
        if not self._allowance.is_spent:
            self.late[number] = behind


def _size(value: object) -> int:
    """Return about how many bytes a value takes."""
    if is_object(value):
        return 100 + sum(len(key) + _size(each) for key, each in value.items())
    return 100 + sum(map(_size, list_of(value))) + len(text_of(value))


def _enclose(root: Node, path: str) -> None:
    """Have the value at `path` read at the last node of the tree that the path leads through."""
    node, steps = root, path.split(".")
    while len(steps) > 1 and steps[0] in node.children:
        node = node.children[steps.pop(0)]
    _widen(node.around, steps)


def _widen(shape: dict[str, Shape | None], steps: list[str]) -> None:
    name, *rest = steps
    if not rest:
        shape[name] = None
        return
    inner = shape.setdefault(name, {})
    if isinstance(inner, dict):
        _widen(inner, rest)
