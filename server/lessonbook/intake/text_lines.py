"""The lines of a text file, however large."""

import codecs
from collections.abc import Generator
from typing import Final

from lessonbook.domain.errors import InvalidInput
from lessonbook.intake.report_file import ReportFile, encoding_of

LINE_MAX: Final = 10_000
"""Characters read of a line."""


def text_lines(file: ReportFile) -> Generator[str]:
    """Yield the lines of a text; of one that is too long, its beginning.

    Raises:
        InvalidInput: the file is not UTF-8, nor what its byte order mark says.
    """
    decoder = codecs.getincrementaldecoder(encoding_of(file.head()))()
    kept = ""
    try:
        for chunk in file.chunks():
            *whole, kept = (kept + decoder.decode(chunk)).split("\n")
            yield from map(_cut, whole)
            kept = kept[:LINE_MAX]
        kept += decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise InvalidInput(f"{file.place} is not UTF-8 text; save it as UTF-8") from None
    if kept:
        yield _cut(kept)


def _cut(line: str) -> str:
    return line[:LINE_MAX].rstrip("\r").removeprefix("\ufeff")
