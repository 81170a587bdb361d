"""Words of report files without what is no part of them: control characters, colours, HTML entities."""

import html
from typing import Final

from lessonbook.machine.patterns import lazy_pattern

_COLOUR: Final = lazy_pattern(
    "\x1b(?:\\[[0-9;:?]{0,30}[A-Za-z]|\\][^\x07\x1b]{0,300}(?:\x07|\x1b\\\\))|\x9b[0-9;:?]{0,30}[A-Za-z]"
)
_CONTROL: Final = lazy_pattern("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_ENTITY: Final = lazy_pattern(r"&(?:quot|apos|lt|gt|amp|nbsp|#\d{2,6}|#[xX][0-9a-fA-F]{2,5});")
_QUOTE: Final = lazy_pattern(r"&(?:quot|apos|nbsp|#0{0,3}3[49]|#[xX]2[27]);")


def without_controls(text: str) -> str:
    """Return a text without control characters and the colours of terminals; tabs and line ends stay."""
    return _CONTROL.sub("", _COLOUR.sub("", text))


def decoded(text: str) -> str:
    """Return a text whose HTML entities are decoded once.

    In a text that has angle brackets, `&lt;` is what the text is about, and only quotation marks are decoded.
    """
    if "&" not in text:
        return text
    pattern = _QUOTE if "<" in text or ">" in text else _ENTITY
    return pattern.sub(lambda found: html.unescape(found[0]).replace("\xa0", " "), text)
