"""Redaction, before anything is stored: each secret is replaced by a mark that names its kind."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.machine.patterns import lazy_pattern
from lessonbook.screening.secrets.assignments import assigned
from lessonbook.screening.secrets.by_place import placed
from lessonbook.screening.secrets.calls import called
from lessonbook.screening.secrets.commands import commanded
from lessonbook.screening.secrets.encoded import encoded
from lessonbook.screening.secrets.labelled_codes import labelled
from lessonbook.screening.secrets.languages import foreign
from lessonbook.screening.secrets.pairs import paired
from lessonbook.screening.secrets.prose import said
from lessonbook.screening.secrets.token_formats import formatted
from lessonbook.screening.secrets.unescaped import views

Span = tuple[int, int, str]

_MARK = lazy_pattern(r"\[redacted:[a-z0-9-]{1,40}\]")
_PUBLIC_ID = lazy_pattern(
    r"(?:CVE|GHSA|GO|RUSTSEC|PYSEC|OSV|SNYK|BDSA|AVD|CKV2?|CWE)[-_][A-Za-z0-9_-]{1,120}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
_ROUNDS_MAX: Final = 8


def redact(text: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` with each secret replaced by `[redacted:KIND]`, and the kinds that were found.

    The text is read again until nothing more is found, since some secrets are found only once others are gone. So
    redacting a redacted text changes nothing.
    """
    kinds: dict[str, None] = {}
    for _ in range(_ROUNDS_MAX):
        spans = _apart([*_found(text), *_found_in_views(text)], text)
        if not spans:
            break
        text = _marked(text, spans)
        kinds.update((kind, None) for _, _, kind in spans)
    return text, tuple(kinds)


def without_marks(text: str) -> str:
    """Return `text` without the marks that redaction left in it: they are no words of its author."""
    return _MARK.sub(" ", text) if "[redacted:" in text else text


def redact_rule_id(rule_id: str) -> str:
    """Return a scanner's rule id with each secret in it replaced by a mark.

    The tool before it is no name of a secret, and an id that identifies an advisory or is a UUID is no secret.
    """
    tool, colon, bare = rule_id.rpartition(":")
    return rule_id if _PUBLIC_ID.fullmatch(bare) else f"{tool}{colon}{redact(bare)[0]}"


def secret_in_id(name: str) -> str:
    """Return the kind of the secret in an id that a caller chose (of a run, of a retry), or an empty text.

    Ids look as random as secrets do, so that alone does not count: only a known form, or a name or place before it.
    """
    spans = [
        *formatted(name),
        *assigned(name, _small(name)),
        *(span for span in placed(name) if span[:2] != (0, len(name))),
    ]
    return min(spans)[2] if spans else ""


@lru_cache(maxsize=256)  # agents are named again and again; a name that is refused is not kept
def refuse_secret(name: str, field: str) -> None:
    """Check an id that is stored as it is, since ids cannot be redacted; `field` names it in the error.

    Raises:
        InvalidInput: the id holds a secret. The message does not repeat it.
    """
    if name and (kind := secret_in_id(name)):
        raise InvalidInput(f"{field} holds a secret ({kind}), and ids are stored as they are: use another")


def _found(text: str) -> Iterator[Span]:
    yield from _plain(text)
    yield from encoded(text, lambda inner: next(_plain(inner), None) is not None)


def _plain(text: str) -> Iterator[Span]:
    small = _small(text)
    yield from formatted(text)
    yield from placed(text)
    yield from assigned(text, small)
    yield from foreign(text, small)
    yield from commanded(text, small)
    yield from paired(text, small)
    yield from labelled(text, small)
    yield from called(text)
    yield from said(text, small)


def _found_in_views(text: str) -> Iterator[Span]:
    for view in views(text):
        for start, end, kind in _plain(view.text):
            yield *view.span(start, end), kind


def _small(text: str) -> str:
    """Return `text` in small letters, each where its capital stood."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(char.lower() if char.isascii() else char for char in text)


def _apart(spans: Iterable[Span], text: str) -> list[Span]:
    """Return the spans in the order of `text`, without those that overlap an earlier one or a mark."""
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
