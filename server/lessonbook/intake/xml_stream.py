"""XML files as a stream, however large: parsed in pieces, bounded, and errors for people."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from lessonbook.domain.errors import InvalidInput
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.xml_text import xml_text

DEPTH_MAX: Final = 200
"""Elements within each other; reports nest a few deep."""
NAMES_MAX: Final = 1_000
"""Different names of elements and attributes in one file."""
TAG_MAX: Final = 4 * 1024 * 1024
"""Bytes of one tag with its attributes, or of one comment."""


class Target(Protocol):
    """What a parser gives the parts of a file to."""

    def start(self, tag: str, attributes: Mapping[str, str], /) -> None:
        """Take the beginning of an element."""
        ...

    def data(self, text: str, /) -> None:
        """Take text."""
        ...

    def end(self, tag: str, /) -> None:
        """Take the end of an element."""
        ...


class Bounds:
    """Refuses what no report holds, since the parser keeps every open element and every name in memory."""

    def __init__(self, place: str, advice: str) -> None:
        self._place = place
        self._advice = advice
        self._names: set[str] = set()
        self.depth = 0

    def enter(self, tag: str, attributes: Mapping[str, str]) -> None:
        """Count an element.

        Raises:
            InvalidInput: elements are nested too deeply, or have too many names.
        """
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise InvalidInput(f"{self._place} is nested more than {DEPTH_MAX} elements deep; {self._advice}")
        self._names.add(tag)
        self._names.update(attributes)
        if len(self._names) > NAMES_MAX:
            raise InvalidInput(f"{self._place} has more than {NAMES_MAX} names of elements; {self._advice}")

    def leave(self) -> None:
        """Count the end of an element."""
        self.depth -= 1


def parse(file: ReportFile, target: Target, advice: str) -> Iterator[None]:
    """Give a file to `target`, and yield after each piece, so that what it gathered can be taken.

    Raises:
        InvalidInput: the file is not valid XML, or declares entities or a document type. `advice` ends the error.
    """
    parser: Any = DefusedXMLParser(target=target, encoding="utf-8", forbid_dtd=True)
    fed = 0
    try:
        with file.open() as opened:
            for piece in xml_text(opened):
                content = piece.encode()
                parser.feed(content)
                fed += len(content)
                if fed - parser.parser.CurrentByteIndex > TAG_MAX:  # it would be looked at again with each piece
                    raise InvalidInput(f"{file.place} has a tag or comment of more than {TAG_MAX >> 20} MiB; {advice}")
                yield
            parser.close()
        yield
    except DefusedXmlException:
        problem = "declares a document type or entities, which are not read"
        raise InvalidInput(f"{file.place} {problem}; {advice}") from None
    except ParseError as error:
        line, column = error.position
        raise InvalidInput(f"{file.place} is not valid XML (line {line}, column {column + 1}); {advice}") from None
    except LookupError:
        raise InvalidInput(f"{file.place} is in an encoding that cannot be read; save it as UTF-8") from None


def local_name(tag: str) -> str:
    """Return the name of an element without its namespace."""
    return tag.rpartition("}")[2]
