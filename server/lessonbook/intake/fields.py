"""The fields of a finding, read from what report files hold."""

from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, text_of
from lessonbook.domain.places import repository_path, without_users
from lessonbook.intake.clean_text import decoded, without_controls

MAX_DESCRIPTION_CHARS: Final = 20_000
MAX_FAILURE_CHARS: Final = 4_000
"""Characters kept of a failed test: its message, and the beginning of its traceback."""
_LINE_MAX: Final = 10_000_000
_PATH_MAX: Final = 1_000


def path_in(text: str) -> str:
    """Return a path as it is kept: on one line, with slashes, without `./` or a known root of repositories before it.

    Raises:
        Unreadable: it cannot be stored, or has more than 1,000 characters.
    """
    path = " ".join(checked(text, "file path").split()).replace("\\", "/").removeprefix("./")
    return checked(repository_path(path), "file path", max_chars=_PATH_MAX)


def line_in(value: object) -> int | None:
    """Return a line number from 1 up, or None."""
    line = index_of(value)
    return line if line and line <= _LINE_MAX else None


def line_in_text(digits: str) -> int | None:
    """Return the line number that a text of at most 8 digits is, or None."""
    digits = digits.strip()
    is_short = len(digits) < 9  # noqa: PLR2004  # a longer one is no line, and slow to read
    return line_in(int(digits)) if is_short and digits.isascii() and digits.isdigit() else None


def message_in(value: object) -> str:
    """Return the message of a scanner, at most `MAX_DESCRIPTION_CHARS` long; its HTML entities are decoded once.

    Raises:
        Unreadable: it is empty, or cannot be stored.
    """
    return plain_message_in(decoded(text_of(value)))


def plain_message_in(text: str) -> str:
    """Return a message that is not escaped, or was decoded already, without control characters.

    Raises:
        Unreadable: it is empty, or cannot be stored.
    """
    message = checked(without_controls(text), "message").strip()
    if not message:
        raise Unreadable("has no message")
    return message[:MAX_DESCRIPTION_CHARS]


def failure_in(title: str, message: str, details: str) -> str:
    """Return the description of a failed test, at most `MAX_FAILURE_CHARS` long.

    Raises:
        Unreadable: it cannot be stored.
    """
    parts = (f"{title}: {message}" if message else title, details.strip("\r\n").rstrip())
    return checked(without_controls("\n".join(filter(None, parts))), "message")[:MAX_FAILURE_CHARS].rstrip()


def title_of_test(*names: str) -> str:
    """Return the title of a test: its names from the outermost in, joined by dots, without homes of users."""
    return ".".join(without_users(name.strip()) for name in names if name.strip())
