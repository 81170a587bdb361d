"""Secrets within a text that is written in base64: an `.env`, a Docker configuration, a request."""

from collections.abc import Callable, Iterator
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.value_shape import decoded

_RUN = lazy_pattern(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/]{16,}+={0,2}")
_HEAD: Final = 16


def encoded(text: str, holds_secret: Callable[[str], bool]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and kind of what is in base64 a text that holds a secret, as `holds_secret` says."""
    for match in _RUN.finditer(text):
        run = match.group()
        if decoded(run[:_HEAD]) and (inner := decoded(run)) and holds_secret(inner):
            yield *match.span(), "token"
