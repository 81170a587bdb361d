"""Cursors: where a page ends, as text that callers pass back, and times in requests."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import PydanticCustomError

from lessonbook.domain.documents import list_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.vocabulary import storable

OFFSET_MAX: Final = 1_000_000
_BAD_CURSOR: Final = "The cursor is not valid: pass next_cursor of the page before, or nothing"


def bad_cursor() -> InvalidInput:
    """Return the error of a cursor that is damaged, or of another list."""
    return InvalidInput(_BAD_CURSOR)


def encode(position: list[Any]) -> str:
    """Return the position as a cursor."""
    return urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode(cursor: str) -> list[object]:
    """Return the position in a cursor; an empty list for an empty cursor.

    Raises:
        InvalidInput: it is damaged.
    """
    if not cursor:
        return []
    try:
        position: object = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise bad_cursor() from error
    held = list_of(position)
    if not held or any(isinstance(part, bool) or (isinstance(part, str) and not is_storable(part)) for part in held):
        raise bad_cursor()
    return held


def offset_of(cursor: str) -> int:
    """Return the number of the item at which a page begins.

    Raises:
        InvalidInput: the cursor is damaged, or of another list.
    """
    match decode(cursor):
        case []:
            return 0
        case [int(begin)] if 0 < begin < OFFSET_MAX:
            return begin
        case _:
            raise bad_cursor()


def is_storable(text: str) -> bool:
    """Return whether the database could store a text."""
    try:
        storable(text)
    except PydanticCustomError:
        return False
    return True


def moment_of(text: str) -> datetime:
    """Return the time in a request, in UTC.

    Raises:
        InvalidInput: it is not an ISO time.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{text[:40]!r} is not a time: write it as 2026-01-31T12:00:00+00:00") from error
