"""The JSON formats of scanners: one table, to which a format is added as a few lines in the module of its family."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from lessonbook.domain.findings import FileKind, Reading
from lessonbook.intake.formats import (
    code_security,
    compilers,
    dependencies,
    gitlab,
    infrastructure,
    linters,
    secrets,
)
from lessonbook.intake.formats.govulncheck import is_govulncheck, open_govulncheck
from lessonbook.intake.formats.json_format import JsonFormat, open_format
from lessonbook.intake.report_file import ReportFile

FORMATS: Final[tuple[JsonFormat, ...]] = (
    *linters.FORMATS,
    *compilers.FORMATS,
    *gitlab.FORMATS,
    *infrastructure.FORMATS,
    *secrets.FORMATS,
    *dependencies.FORMATS,
    *code_security.FORMATS,
)
"""All formats; a file is in the first whose members it has."""


def _by_kind(formats: Iterable[JsonFormat]) -> dict[FileKind, list[JsonFormat]]:
    kinds: dict[FileKind, list[JsonFormat]] = {}
    for one in formats:
        kinds.setdefault(one.kind, []).append(one)
    return kinds


def _reader(variants: list[JsonFormat]) -> Callable[[ReportFile], Reading]:
    return partial(open_format, formats=variants)


READERS: Final[dict[FileKind, Callable[[ReportFile], Reading]]] = {
    **{kind: _reader(variants) for kind, variants in _by_kind(FORMATS).items()},
    "govulncheck": open_govulncheck,
}
"""The reader of each kind."""


def kind_of(names: set[str]) -> FileKind | None:
    """Return the kind of a file by the members of one of its top objects (see `outline`), or None."""
    if is_govulncheck(names):
        return "govulncheck"
    for one in FORMATS:
        if one.is_known(names):
            return one.kind
    return None
