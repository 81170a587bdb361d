"""XML files that hold records: what linters, scanners and test runners write, read record by record."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from lessonbook.domain.documents import Unreadable
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding, Outcome, Reading, Refused
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.unread_formats import not_of_root
from lessonbook.intake.xml_stream import Bounds, local_name, parse

_TEXT_MAX: Final = 20_000
"""Characters kept of one element's text."""
_RECORD_TEXT_MAX: Final = 200_000
_ELEMENTS_MAX: Final = 5_000
"""Elements kept of one record."""


@dataclass(slots=True)
class XmlElement:
    """One element of a record: its name, attributes, own text, and the elements in it."""

    name: str
    attributes: Mapping[str, str]
    text: str = ""
    inside: list["XmlElement"] = field(default_factory=list["XmlElement"])

    def all(self, name: str) -> list["XmlElement"]:
        """Return the elements of a name directly in this one."""
        return [element for element in self.inside if element.name == name]

    def at(self, *path: str) -> "XmlElement | None":
        """Return the first element that a path of names leads to."""
        found: XmlElement | None = self
        for name in path:
            found = next((element for element in found.inside if element.name == name), None) if found else None
        return found

    def text_at(self, *path: str) -> str:
        """Return the text of the first element that a path leads to, stripped; empty if there is none."""
        found = self.at(*path)
        return found.text.strip() if found else ""

    def get(self, *names: str) -> str:
        """Return the first of the attributes that is there and not blank, stripped."""
        return next((value for name in names if (value := self.attributes.get(name, "").strip())), "")


@dataclass(frozen=True, slots=True)
class Record:
    """A record, and the attributes of the elements around it by their names; of two of a name, the inner one's."""

    element: XmlElement
    around: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class XmlLayout:
    """Which elements of a file of `kind` are records, and what findings one holds.

    `root` is the file's first element. `read` returns the findings of a record, and raises `Unreadable`. `advice` ends
    the error where a file is of another kind.
    """

    kind: FileKind
    root: str
    records: frozenset[str]
    advice: str
    read: Callable[[Record], Iterable[Finding]]


def open_xml(file: ReportFile, layout: XmlLayout) -> Reading:
    """Return the findings of a file laid out like `layout`. It is read through first, and then record by record.

    Raises:
        InvalidInput: the file is not valid XML, or its first element is another.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; {layout.advice}")
    return Reading(layout.kind, sum(1 for _ in records_of(file, layout)), _outcomes(file, layout))


def records_of(file: ReportFile, layout: XmlLayout) -> Generator[Record]:
    """Yield the records of a file in order."""
    target = _RecordTarget(file.place, layout)
    for _ in parse(file, target, layout.advice):
        yield from target.taken()


def root_of(file: ReportFile) -> str:
    """Return the name of a file's first element, as far as its beginning shows; empty if it does not."""
    target = _Root()
    try:
        for _ in parse(ReportFile(file.head(), file.place), target, ""):
            if target.name:
                break
    except InvalidInput:
        return target.name
    return target.name


def _outcomes(file: ReportFile, layout: XmlLayout) -> Generator[Outcome]:
    with closing(records_of(file, layout)) as records:
        for number, record in enumerate(records):
            yield from _outcomes_of(record, layout, f"{record.element.name}[{number}]")


def _outcomes_of(record: Record, layout: XmlLayout, place: str) -> Iterator[Outcome]:
    try:
        yield from list(layout.read(record)) or [None]
    except Unreadable as error:
        yield Refused(place, str(error))


class _Root:
    """The target of a parser that looks for the first element."""

    def __init__(self) -> None:
        self.name = ""

    def start(self, tag: str, _attributes: Mapping[str, str]) -> None:
        self.name = self.name or local_name(tag)

    def data(self, text: str) -> None:
        pass

    def end(self, tag: str) -> None:
        pass


class _RecordTarget:
    """The target of a parser: gathers records, and nothing else."""

    def __init__(self, place: str, layout: XmlLayout) -> None:
        self._place = place
        self._layout = layout
        self._bounds = Bounds(place, layout.advice)
        self._around: list[tuple[str, Mapping[str, str]]] = []
        self._open: list[XmlElement | None] = []
        """The record that is open and the elements in it; None: one that is not kept."""
        self._elements = self._characters = 0
        self._done: list[Record] = []

    def taken(self) -> list[Record]:
        """Return the records that ended since the last call."""
        done, self._done = self._done, []
        return done

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        name = local_name(tag)
        if not self._bounds.depth and name != self._layout.root:
            raise InvalidInput(f"{self._place} {not_of_root(name, self._layout.root)}; {self._layout.advice}")
        self._bounds.enter(tag, attributes)
        if self._open:
            self._elements += 1
            holder = self._open[-1]
            element = XmlElement(name, attributes) if holder is not None and self._elements < _ELEMENTS_MAX else None
            if holder is not None and element is not None:
                holder.inside.append(element)
            self._open.append(element)
        elif name in self._layout.records and self._around:
            self._elements = self._characters = 0
            self._open.append(XmlElement(name, attributes))
        else:
            self._around.append((name, attributes))

    def data(self, text: str) -> None:
        element = self._open[-1] if self._open else None
        if element is not None and len(element.text) < _TEXT_MAX and self._characters < _RECORD_TEXT_MAX:
            element.text = (element.text + text)[:_TEXT_MAX]
            self._characters += len(text)

    def end(self, _tag: str) -> None:
        self._bounds.leave()
        if not self._open:
            self._around.pop()
        elif (element := self._open.pop()) is not None and not self._open:
            self._done.append(Record(element, dict(self._around)))
