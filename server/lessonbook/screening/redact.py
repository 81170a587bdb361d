"""Secrets out, before anything is stored: each is replaced by a mark that says of what kind it was."""

import re
from collections.abc import Iterable
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.screening.secrets.assignments import assigned
from lessonbook.screening.secrets.formats import formatted
from lessonbook.screening.secrets.places import placed

Span = tuple[int, int, str]

_MARK = re.compile(r"\[redacted:[a-z0-9-]{1,40}\]")
_ROUNDS_MAX: Final = 8


def redact(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` with each secret replaced by `[redacted:KIND]`, and the kinds that were found.

    What stands beside a secret may show only once the secret is gone, so the text is read again until nothing more is
    found; therefore redacting what was redacted changes nothing.
    """
    kinds: dict[str, None] = {}
    for _ in range(_ROUNDS_MAX):
        spans = _apart([*formatted(text), *placed(text), *assigned(text)], text)
        if not spans:
            break
        text = _marked(text, spans)
        kinds.update((kind, None) for _, _, kind in spans)
    return text, tuple(kinds)


def secret_in_id(name: str) -> str:
    """Return of what kind the secret is that an id of a caller's own holds (a run, a key of a retry), or an empty text.

    Ids look as drawn as secrets do, so that this alone says nothing: a known form tells, or what stands before it.
    """
    spans = [*formatted(name), *assigned(name), *(span for span in placed(name) if span[:2] != (0, len(name)))]
    return min(spans)[2] if spans else ""


def refuse_secret(name: str, field: str) -> None:
    """Check an id that is stored as it comes: what names things cannot be redacted.

    Raises:
        InvalidInput: it holds a secret. The message does not repeat it.
    """
    if name and (kind := secret_in_id(name)):
        raise InvalidInput(f"{field} holds a secret ({kind}), and ids are stored as they are: use another")


def _apart(spans: Iterable[Span], text: str) -> list[Span]:
    """Return the spans in the order of `text`, without those that overlap one before them or a mark."""
    kept: list[Span] = []
    taken = [match.span() for match in _MARK.finditer(text)] if "[redacted:" in text else []
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        clear = all(end <= first or last <= start for first, last in taken)
        if clear and start < end and (not kept or kept[-1][1] <= start):
            kept.append((start, end, kind))
    return kept


def _marked(text: str, spans: list[Span]) -> str:
    parts: list[str] = []
    done = 0
    for start, end, kind in spans:
        parts += (text[done:start], f"[redacted:{kind}]")
        done = end
    return "".join((*parts, text[done:]))
