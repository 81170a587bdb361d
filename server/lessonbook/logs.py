"""Logging to stderr: stdout is for MCP and for output. One fault writes few lines, and none is long."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

LINE_MAX: Final = 2_000
"""Characters of a message."""
RECORD_MAX: Final = 20_000
"""Characters of a record with its traceback."""
REPEATS_MAX: Final = 20
"""Records from one place in the code within a minute; further ones are counted."""
WINDOW_S: Final = 60.0


class BoundedFormatter(logging.Formatter):
    """Formats a record as one line of bounded length, and a traceback below it.

    Messages hold what callers sent: control characters are escaped, so that none can forge a line.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
        """Return the line without the traceback."""
        record.message = _cut("".join(map(_shown, record.message)), LINE_MAX)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record."""
        return _cut(super().format(record), RECORD_MAX)


class Seldom(logging.Filter):
    """Lets through few records from one place in the code, and says later how many it held back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        place, now = (record.pathname, record.lineno), self._clock()
        since, count = self._seen.get(place, (now, 0))
        if now - since >= WINDOW_S:
            if count > REPEATS_MAX:
                record.msg = f"{record.getMessage()} (and {count - REPEATS_MAX} like it before)"
                record.args = None
            since, count = now, 0
        self._seen[place] = (since, count + 1)
        return count < REPEATS_MAX


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} … {len(text) - most} characters left out … {text[-most // 2 :]}"


def set_up(level: str) -> None:
    """Send log records of `level` and above to stderr, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(BoundedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
