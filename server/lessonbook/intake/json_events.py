"""JSON files as a stream of events, however large: decoding, and errors for people."""

import codecs
import io
import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, cast

import ijson

from lessonbook.domain.errors import InvalidInput
from lessonbook.intake.report_file import CHUNK_BYTES, ReportFile

Event = tuple[str, Any]
"""The kind of an event (`start_map`, `map_key`, `string`, …) and its value."""

Events = Iterator[Event]

OPENING: Final = frozenset({"start_map", "start_array"})
CLOSING: Final = frozenset({"end_map", "end_array"})

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|(u[dD][89a-fA-F][\da-fA-F]{2})|[^u]|u(?=[\da-fA-F]{4}))"
)
"""An escape in a JSON text: a pair of surrogates, half of one (in the group), or any other."""
_ENDLESS_DIGITS: Final = 4_000
_ENDLESS_NUMBER = re.compile(rb"\d{%d}|\d[eE][+-]?\d{17}" % _ENDLESS_DIGITS)
_NOT_ALLOWED: Final = "holds bytes or numbers that JSON does not allow"
DEPTH_MAX: Final = 200
"""Lists and objects within each other."""
_LONGEST_ESCAPE: Final = len(rb"\ud83d\ude00")
_REPLACEMENT: Final = rb"\ufffd"


class EndOfHead(Exception):
    """The beginning of a file ends within a value."""


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file that is valid JSON from its first byte to its last."""

    file: ReportFile
    has_huge_numbers: bool
    many: bool = False
    """Whether several values may stand behind each other."""

    @contextmanager
    def events(self) -> Generator[Events]:
        """Yield the events of the file, from the beginning at each call.

        Raises:
            InvalidInput: the file was changed since it was opened.
        """
        with self.file.open() as opened:
            try:
                yield _parsed(_Feed(opened), has_huge_numbers=self.has_huge_numbers, many=self.many)
            except ijson.JSONError:
                raise InvalidInput(f"{self.file.place} was changed while it was read; report it again") from None


def open_json(file: ReportFile, advice: str, *, many: bool = False) -> JsonFile:
    r"""Read a file through and return it as a stream of events; `many`: of several values, as in JSON lines.

    Half of a surrogate pair (`\ud800` alone), which no text can hold, is read as U+FFFD.

    Raises:
        InvalidInput: the file is empty, nested more than `DEPTH_MAX` deep, or not valid JSON. The error has line,
            column and `advice`, and nothing of the content.
    """
    if file.is_blank():
        raise InvalidInput(f"{file.place} is empty; {advice}")
    if _is_read(file, advice, has_huge_numbers=False, many=many):
        return JsonFile(file, has_huge_numbers=False, many=many)
    if _holds_endless_number(file):
        raise InvalidInput(f"{file.place} {_NOT_ALLOWED}; {advice}")
    _is_read(file, advice, has_huge_numbers=True, many=many)
    return JsonFile(file, has_huge_numbers=True, many=many)


def _parsed(feed: "_Feed", *, has_huge_numbers: bool, many: bool) -> Events:
    # Numbers as C has them are read a third faster, but end the parser where they do not fit.
    parsed = ijson.basic_parse(feed, buf_size=CHUNK_BYTES, use_float=not has_huge_numbers, multiple_values=many)
    return cast("Events", parsed)


def _is_read(file: ReportFile, advice: str, *, has_huge_numbers: bool, many: bool) -> bool:
    """Read a file to its end; False where a number in it does not fit."""
    with file.open() as opened:
        feed = _Feed(opened)
        try:
            is_too_deep = _is_too_deep(_parsed(feed, has_huge_numbers=has_huge_numbers, many=many))
        except ijson.JSONError as error:
            if "overflow" in str(error):
                return False
            where = _place_of_fault(file, feed.given_before, many=many)
            raise InvalidInput(f"{file.place} is not valid JSON ({where}){_fault(error)}; {advice}") from None
        except (ValueError, ArithmeticError, SystemError):  # SystemError: the C parser met one of the others
            raise InvalidInput(f"{file.place} {_NOT_ALLOWED}; {advice}") from None
    if is_too_deep:
        raise InvalidInput(f"{file.place} is nested more than {DEPTH_MAX} deep; {advice}")
    return True


def _is_too_deep(events: Events) -> bool:
    """Return whether lists and objects are nested more than `DEPTH_MAX` deep; events beyond are not asked for."""
    depth = 0
    for kind, _ in events:
        if kind in OPENING:
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif kind in CLOSING:
            depth -= 1
    return False


def _fault(error: ijson.JSONError) -> str:
    """Return what is wrong, where the parser's error is one of the common mistakes."""
    if "trailing" in str(error):
        return (
            ": more follows after the end of the document. Leave it out, or, if it is another document, make one list "
            "of them with `jq -s .`, of lists with `jq -s add`"
        )
    return ": it breaks off there" if isinstance(error, ijson.IncompleteJSONError) and "EOF" in str(error) else ""


def first_names(opening: bytes) -> set[str]:
    """Return the members of the object that JSON begins with, alone or first in a list, as far as `opening` goes."""
    names: set[str] = set()
    depth = 0
    with suppress(ijson.JSONError, ValueError, ArithmeticError, SystemError):
        for kind, value in cast("Events", ijson.basic_parse(io.BytesIO(opening))):
            if kind in OPENING:
                depth += 1 if depth or kind == "start_map" else 0
            elif kind in CLOSING:
                depth -= 1
                if depth <= 0:
                    break
            elif kind == "map_key" and depth == 1:
                names.add(value)
    return names


def head_events(head: bytes) -> Events:
    """Yield the events of the values that begin a file, as far as its `head` goes.

    Raises:
        EndOfHead: the head ends within a value, or goes on with something else.
    """
    try:
        yield from _parsed(_Feed(io.BytesIO(head)), has_huge_numbers=False, many=True)
    except (ijson.JSONError, ValueError, ArithmeticError, SystemError):
        raise EndOfHead from None


def _holds_endless_number(file: ReportFile) -> bool:
    """Return whether there is a number that Python would not read either; digits in a text count as well."""
    before = b""
    for chunk in file.chunks():
        if _ENDLESS_NUMBER.search(before + chunk):
            return True
        before = chunk[-_ENDLESS_DIGITS:]
    return False


class _Feed:
    """A JSON file for the parser: its bytes in UTF-8, without half surrogates, whatever its encoding."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self._kept = b""
        self._given = self.given_before = 0
        head = opened.read(4)
        encoding = json.detect_encoding(head)
        self._decoder = None if encoding.startswith("utf-8") else codecs.getincrementaldecoder(encoding)()
        self._ahead = head.removeprefix(codecs.BOM_UTF8)
        """Bytes that were read of the file already. `given_before`: bytes the parser had before its last piece."""

    def read(self, size: int) -> bytes:
        """Return about `size` more bytes; none only at the end of the file."""
        given = b""
        while size and not given:
            piece = self._ahead + self._opened.read(size)
            self._ahead = b""
            given = self._mended(self._decoded(piece), is_last=not piece)
            if not piece:
                break
        if size:
            self.given_before = self._given
            self._given += len(given)
        return given

    def _decoded(self, piece: bytes) -> bytes:
        if self._decoder is None:
            return piece
        return self._decoder.decode(piece, final=not piece).encode()

    def _mended(self, piece: bytes, *, is_last: bool) -> bytes:
        """Return the bytes without half surrogates. What may be a part of an escape is kept for the next call."""
        piece = self._kept + piece
        self._kept = b""
        tail = len(piece) - _LONGEST_ESCAPE
        if b"\\" not in piece[max(tail, 0) :] and b"\\ud" not in piece and b"\\uD" not in piece:
            return piece
        end = len(piece) if is_last else max(tail, 0)
        parts: list[bytes] = []
        done = 0
        for escape in _ESCAPE.finditer(piece):
            if escape.start() >= end:
                break
            if escape.group(1):
                parts += [piece[done : escape.start()], _REPLACEMENT]
                done = escape.end()
            end = max(end, escape.end())
        self._kept = piece[end:]
        return b"".join([*parts, piece[done:end]])


def _place_of_fault(file: ReportFile, given_before: int, *, many: bool) -> str:
    """Return the line and column at which the parser fails, by parsing byte by byte from `given_before` on."""
    line, column = 1, 1
    events = ijson.sendable_list()
    parser = ijson.basic_parse_coro(events, multiple_values=many)
    try:
        for step in _steps(file, given_before):
            parser.send(step)
            events.clear()
            line += step.count(b"\n")
            characters = len(step.rpartition(b"\n")[2].decode(errors="ignore"))
            column = characters + (1 if b"\n" in step else column)
        parser.close()
    except ijson.JSONError:
        return f"line {line}, column {column}"
    finally:
        with suppress(ijson.JSONError):
            parser.close()
    return "at its end"


def _steps(file: ReportFile, given_before: int) -> Iterator[bytes]:
    """Yield what the parser was given, byte by byte from `given_before` on."""
    given = 0
    with file.open() as opened:
        feed = _Feed(opened)
        while piece := feed.read(CHUNK_BYTES):
            yield from [piece] if given < given_before else (piece[at : at + 1] for at in range(len(piece)))
            given += len(piece)
