"""Failing tests in pytest's JSON: the document of pytest-json-report, and the lines of pytest-reportlog."""

import json
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, item_at, list_of, object_of, text_of
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.json_records import RECORD_MAX, Layout, open_records, outcome_of
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.scanner_json import line_in, path_in

MAX_DESCRIPTION_CHARS: Final = 4_000

_ADVICE: Final = "give what pytest-json-report (--json-report) or pytest-reportlog (--report-log) wrote"
_BROKEN: Final = ("failed", "error")
_STAGES: Final = ("setup", "call", "teardown")
_SUFFIX: Final = re.compile(r"\.py\Z")


def open_pytest(file: ReportFile) -> Reading:
    """Return one finding per failed or broken test, and per module that could not be collected.

    A test is named as JUnit files name it, so that both kinds of report tell of the same problem.

    Raises:
        InvalidInput: the file is of neither kind.
    """
    if is_report_log(file.head()):
        return Reading("pytest", sum(1 for _ in _lines(file)), _outcomes_of_lines(file))
    return open_records(file, _DOCUMENT)


def is_report_log(head: bytes) -> bool:
    """Tell whether a file that begins with `head` is a report log: a JSON object a line, each naming its type."""
    try:
        first = object_of(json.loads(head.lstrip().partition(b"\n")[0]))
    except (ValueError, RecursionError):
        return False
    return "$report_type" in first


def _lines(file: ReportFile) -> Generator[tuple[int, bytes]]:
    """Yield the lines that are not blank, numbered from 0; of one that is too long, a part that is longer still."""
    with file.open() as opened:
        number = 0
        while line := opened.readline(RECORD_MAX + 2):
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = opened.readline(RECORD_MAX)
            if line.strip():
                yield number, line
            number += 1


def _outcomes_of_lines(file: ReportFile) -> Generator[Outcome]:
    with closing(_lines(file)) as lines:
        for number, line in lines:
            place = f"lines[{number}]"
            if len(line) > RECORD_MAX + 1:
                yield Refused(place, f"takes more than {RECORD_MAX >> 20} MiB")
                continue
            try:
                record: object = json.loads(line)
            except RecursionError:
                yield Refused(place, "is nested too deeply")
            except ValueError:
                yield Refused(place, "is not valid JSON")
            else:
                yield outcome_of(record, place, _read_report)


def _read_report(record: dict[str, object]) -> Finding | None:
    """Return the finding in one line of a report log."""
    if record.get("outcome") not in _BROKEN or record.get("$report_type") not in ("TestReport", "CollectReport"):
        return None
    told = record.get("longrepr")
    crash = object_of(object_of(told).get("reprcrash"))
    location = list_of(record.get("location"))
    return _finding(
        record,
        severity="medium" if record.get("when") == "call" else "high",
        message=text_of(crash.get("message")),
        details=told if isinstance(told, str) else "\n".join(_source_of(object_of(told))),
        crash=crash,
        start=index_of(item_at(location, 1)),
    )


def _source_of(told: dict[str, object]) -> Iterator[str]:
    """Yield the source that the last entry of a traceback shows."""
    entries = list_of(object_of(told.get("reprtraceback")).get("reprentries"))
    for entry in entries[-1:]:
        yield from map(text_of, list_of(object_of(object_of(entry).get("data")).get("lines")))


def _read_test(record: dict[str, object]) -> Finding | None:
    """Return the finding in one test, or one collected module, of a document."""
    if "outcome" not in record:
        raise Unreadable("has no outcome, as every test of pytest has")
    if record.get("outcome") not in _BROKEN:
        return None
    stages = {name: object_of(record.get(name)) for name in _STAGES}
    broken = next((name for name in _STAGES if stages[name].get("outcome") in _BROKEN), "")
    stage = stages.get(broken, record)
    crash = object_of(stage.get("crash"))
    return _finding(
        record,
        severity="medium" if broken == "call" else "high",
        message=text_of(crash.get("message")),
        details=text_of(stage.get("longrepr")),
        crash=crash,
        start=index_of(record.get("lineno")),
    )


def _finding(
    record: dict[str, object],
    *,
    severity: Severity,
    message: str,
    details: str,
    crash: dict[str, object],
    start: int | None,
) -> Finding:
    node = text_of(record.get("nodeid"))
    if not node:
        raise Unreadable("has no nodeid")
    file = path_in(node.partition("::")[0])
    title = checked(_title(node), "nodeid", max_chars=1_000)
    crashed_here = bool(file) and text_of(crash.get("path")).replace("\\", "/").endswith(file)
    line = line_in(crash.get("lineno")) if crashed_here else None
    told = [f"{title}: {message.strip()}" if message.strip() else title, details.strip("\r\n").rstrip()]
    return Finding(
        description=checked("\n".join(filter(None, told)), "message")[:MAX_DESCRIPTION_CHARS].rstrip(),
        severity=severity,
        file=file,
        line=line or (line_in(start + 1) if start is not None else None),
        fingerprint=title,
    )


def _title(node: str) -> str:
    """Return a test's class and name as JUnit files have them: `tests.test_cart.TestCart.test_total[1]`."""
    plain, bracket, parameters = node.partition("[")
    file, *names = plain.split("::")
    return ".".join([_SUFFIX.sub("", file.replace("/", ".")), *names]) + bracket + parameters


_DOCUMENT: Final = Layout(
    kind="pytest",
    lists=("tests", "collectors"),
    shape={
        "nodeid": None,
        "outcome": None,
        "lineno": None,
        "longrepr": None,
        **{name: {"outcome": None, "crash": None, "longrepr": None} for name in _STAGES},
    },
    advice=_ADVICE,
    read=_read_test,
)
