"""Files that hold one JSON object a line."""

import json
from collections.abc import Generator

from lessonbook.domain.documents import is_object
from lessonbook.domain.findings import Refused
from lessonbook.intake.json_records import RECORD_MAX, TOO_LARGE
from lessonbook.intake.report_file import ReportFile


def lines_of(file: ReportFile) -> Generator[tuple[int, bytes]]:
    """Yield the lines that are not blank, numbered from 0; of one that is too long, its beginning."""
    with file.open() as opened:
        number = 0
        while line := opened.readline(RECORD_MAX + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = opened.readline(RECORD_MAX)
            if line.strip():
                yield number, line
            number += 1


def object_in(line: bytes, place: str) -> dict[str, object] | Refused:
    """Return the object on a line, or why it cannot be read."""
    if len(line) > RECORD_MAX + 1:
        return Refused(place, TOO_LARGE)
    try:
        record: object = json.loads(line)
    except RecursionError:
        return Refused(place, "is nested too deeply")
    except ValueError:
        return Refused(place, "is not valid JSON")
    return record if is_object(record) else Refused(place, "is not an object")
