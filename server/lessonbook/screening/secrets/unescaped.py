"""A text as it reads once it is unescaped, or once its parts are joined, and where each part of that stood."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from lessonbook.machine.patterns import lazy_pattern

_ESCAPES: Final = ("&quot;", "&#", "&lt;", "&apos;", "%3", "%2", "%4", "\\u00", "\\x", '\\\\"')
_ESCAPE = lazy_pattern(
    r"&(?:quot|apos|amp|lt|gt|#0?3[49]|#0?38|#0?6[0-2]|#0?58|#x(?:2[267]|3[a-eA-E]));"
    r"|%(?:2[1-9A-Fa-f]|3[0-9A-Ea-e]|40|5[BDbd]|7[BDbd])"
    r"|\\u00(?:2[267]|3[a-eA-E])|\\x(?:2[267]|3[a-eA-E])"
    r"|\\{2,6}(?=\")"
)
_NAMED: Final = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">"}
_GLUE = lazy_pattern(
    r"""(["'])(?:[ \t]{0,4}[+.&][ \t]{0,4}(?:\r?\n)?[ \t]{0,40}|[ \t]{0,4}\\?\r?\n[ \t]{0,40}(?:[+.&][ \t]{0,4})?)\1"""
    r"""|[ \t]{0,8}\\\r?\n[ \t]{0,40}"""
)


class View(NamedTuple):
    """A text made of another, and its pieces: where each begins in it, and where it began and ended in the other."""

    text: str
    begins: list[int]
    origins: list[tuple[int, int]]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return where what stands from `start` to `end` stood in the other text."""
        first, last = bisect_right(self.begins, start) - 1, bisect_right(self.begins, end - 1) - 1
        begin, until = self.origins[first][0] + start - self.begins[first], self.origins[last][1]
        is_whole = end == (self.begins[last + 1] if last + 1 < len(self.begins) else len(self.text))
        return begin, until if is_whole else self.origins[last][0] + end - self.begins[last]


def views(text: str) -> Iterator[View]:
    """Yield `text` unescaped and `text` joined, where either differs from it."""
    if any(escape in text for escape in _ESCAPES) and (view := _replaced(text, _ESCAPE)) is not None:
        yield view
    if ("\\\n" in text or '"' in text or "'" in text) and (view := _replaced(text, _GLUE)) is not None:
        yield view


def _replaced(text: str, pattern: re.Pattern[str]) -> View | None:
    parts: list[str] = []
    begins: list[int] = []
    origins: list[tuple[int, int]] = []
    size = done = 0

    def add(part: str, start: int, end: int) -> None:
        nonlocal size
        if part:
            parts.append(part)
            begins.append(size)
            origins.append((start, end))
            size += len(part)

    for match in pattern.finditer(text):
        add(text[done : match.start()], done, match.start())
        add(_reading(match.group()), *match.span())
        done = match.end()
    if done == 0:
        return None
    add(text[done:], done, len(text))
    return View("".join(parts), begins, origins)


def _reading(escape: str) -> str:
    """Return the character that `escape` stands for; of a glue between parts, the blank that it leaves, if any."""
    if escape[0] == "&":
        name = escape[1:-1]
        return _NAMED.get(name) or chr(ord(bytes.fromhex(name[2:])) if name[1] == "x" else int(name[1:]))
    if escape[0] == "%" or escape[:2] in {"\\u", "\\x"}:
        return bytes.fromhex(escape[-2:]).decode()
    return " " if escape[0] in " \t" else ""
