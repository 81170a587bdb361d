"""Lines of JSON-RPC: split, parsed, refused and encoded. No input or output happens here."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple, cast

from mcp_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError

from lessonbook.domain.vocabulary import SURROGATE_STAND_IN
from lessonbook.edges.transport.half_pairs import replaced

MAX_LINE_BYTES: Final = 1024 * 1024
"""A longer line is refused. At most this and one chunk of it are held in memory."""

_END_BYTES = 1024
_MAX_ID_LENGTH = 256
_MAX_ID = 2**63

# The scalar members at either end of an object that cannot be parsed: clients write the id first or last.
_BLANK = rb"\s{0,40}"
_MEMBER = rb'"(?:jsonrpc|id|method)"' + _BLANK + rb":" + _BLANK + rb'(?:"[^"\\]{0,256}"|-?\d{1,18})' + _BLANK
_FIRST_MEMBERS = re.compile(rb"\A\s*\{\s*((?:" + _MEMBER + rb"[,}]" + _BLANK + rb")+)")
_LAST_MEMBERS = re.compile(rb"((?:," + _BLANK + _MEMBER + rb"){1,8})\}" + _BLANK + rb"\Z")
_METHOD = re.compile(rb'"method"\s*:')
_ID = re.compile(rb'"id"\s*:\s*("[^"]*"|-?\d+)')

# The answers never repeat what was sent.
_TOO_LONG = "line longer than 1 MiB; send less"
_NO_JSON = "line is not JSON in UTF-8; send one JSON-RPC message a line"
_NO_OBJECT = "line is not an object; send one JSON-RPC message a line, not a batch"
_NO_REQUEST = (
    'line is not a JSON-RPC request; send jsonrpc "2.0", id a string or an integer, method a string, params an object, '
    "all in valid Unicode and neither huge nor deeply nested"
)


class LongLine(NamedTuple):
    """The two ends of a line that is too long."""

    first: bytes
    last: bytes


class Splitter:
    """Splits a stream of bytes into lines. It holds at most one line and one chunk."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._first = b""

    def split(self, chunk: bytes) -> Iterator[bytes | LongLine]:
        """Yield the lines that end within this chunk."""
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            self._add(piece)
            line = bytes(self._line)
            yield LongLine(self._first, line) if self._first else line
            self._line.clear()
            self._first = b""
        self._add(rest)

    def _add(self, piece: bytes) -> None:
        self._line += piece
        if self._first or len(self._line) > MAX_LINE_BYTES:
            self._first = self._first or bytes(self._line[:_END_BYTES])
            del self._line[:-_END_BYTES]


def parse(line: bytes) -> JSONRPCMessage | None:
    """Return the message on a line, with stand-ins for halves of surrogate pairs; None where it is not valid."""
    if (message := _parse(line)) is not None:
        return message
    whole = replaced(line)
    message = _parse(whole) if whole != line else None
    # An answer to an id that was not sent would leave the client waiting.
    return None if SURROGATE_STAND_IN in str(getattr(message, "id", "")) else message


def _parse(line: bytes) -> JSONRPCMessage | None:
    with suppress(ValidationError):  # most lines are requests, and one model is twice as fast as the union
        return JSONRPCRequest.model_validate_json(line, by_name=False)
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return None
    # A request whose id is null or a fraction validates as a notification, and its sender would wait for ever.
    if isinstance(message, JSONRPCNotification) and "id" in json.loads(line):
        return None
    return message


def refuse(line: bytes | LongLine) -> bytes | None:
    """Return the encoded error for a line that is not a message; None where it is not a request."""
    if isinstance(line, LongLine):
        return _encode_error(_find_id(*line), INVALID_REQUEST, _TOO_LONG)
    try:
        value: object = json.loads(line.decode())  # unlike pydantic it accepts half a surrogate pair
    except (ValueError, RecursionError):
        found = _find_id(line[:_END_BYTES], line[-_END_BYTES:])
        return _encode_error(found, PARSE_ERROR, _NO_JSON)
    if not isinstance(value, dict):
        return _encode_error(None, INVALID_REQUEST, _NO_OBJECT)
    members = cast("dict[str, object]", value)
    is_notification = "method" in members and "id" not in members
    is_response = "method" not in members and ("result" in members or "error" in members)
    if is_notification or is_response:
        return None
    return _encode_error(_admit_id(members.get("id")), INVALID_REQUEST, _NO_REQUEST)


def _find_id(first: bytes, last: bytes) -> RequestId | None:
    """Return the id of a request from the two ends of its line, before or after `params`."""
    matches = (_FIRST_MEMBERS.match(first), _LAST_MEMBERS.search(last))
    members = b"".join(match[1] for match in matches if match)
    ids: set[bytes] = set(_ID.findall(members))
    if len(ids) != 1 or not _METHOD.search(members):  # a response has our own id
        return None
    try:
        return _admit_id(json.loads(ids.pop().decode()))
    except ValueError:
        return None


def _admit_id(value: object) -> RequestId | None:
    """Return an id that may be sent back, else None."""
    if isinstance(value, str) and len(value) <= _MAX_ID_LENGTH and value.isprintable():
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MAX_ID else None


def encode(message: JSONRPCMessage) -> bytes:
    """Return a message as a line, or an error where an answer cannot be written as JSON."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except ValueError:  # a tool's answer may hold what JSON cannot, and its caller waits for one
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            raise
        return _encode_error(message.id, INTERNAL_ERROR, "the answer cannot be written as JSON")


def _encode_error(request_id: RequestId | None, code: int, message: str) -> bytes:
    answer = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"
