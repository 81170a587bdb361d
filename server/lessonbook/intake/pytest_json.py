"""Failing tests in pytest's JSON: the document of pytest-json-report, and the lines of pytest-reportlog."""

import json
from collections.abc import Generator
from contextlib import closing
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, index_of, item_at, list_of, object_of, text_of
from lessonbook.domain.findings import Finding, Outcome, Reading, Refused
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.intake.fields import failure_in, line_in, path_in
from lessonbook.intake.json_lines import lines_of, object_in
from lessonbook.intake.json_records import Layout, open_records, outcome_of
from lessonbook.intake.json_values import wanted
from lessonbook.intake.report_file import ReportFile

_BROKEN: Final = ("failed", "error")
_STAGES: Final = ("setup", "call", "teardown")


def open_pytest(file: ReportFile) -> Reading:
    """Return one finding per failed or broken test, and per module that could not be collected.

    Tests are named as JUnit files name them, so that a problem has the same fingerprint in both kinds of report.

    Raises:
        InvalidInput: the file is of neither kind.
    """
    if is_report_log(file.head()):
        return Reading("pytest", sum(1 for _ in lines_of(file)), _outcomes_of_lines(file))
    return open_records(file, _DOCUMENT)


def is_report_log(head: bytes) -> bool:
    """Return whether a file that begins with `head` is a report log: a JSON object a line, each with its type."""
    try:
        first: object = json.loads(head.lstrip().partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return "$report_type" in object_of(first)


def _outcomes_of_lines(file: ReportFile) -> Generator[Outcome]:
    with closing(lines_of(file)) as lines:
        for number, line in lines:
            place = f"lines[{number}]"
            record = object_in(line, place)
            yield record if isinstance(record, Refused) else outcome_of(record, place, _read_report)


def _read_report(record: dict[str, object]) -> Finding | None:
    """Return the finding in one line of a report log."""
    if record.get("outcome") not in _BROKEN or record.get("$report_type") not in ("TestReport", "CollectReport"):
        return None
    traceback = record.get("longrepr")
    details = traceback if isinstance(traceback, str) else _source_of(object_of(traceback))
    start = index_of(item_at(list_of(record.get("location")), 1))
    crash = object_of(object_of(traceback).get("reprcrash"))
    return _finding(record, text_of(record.get("when")), crash, details, start)


def _source_of(traceback: dict[str, object]) -> str:
    """Return the source that the last entry of a traceback shows."""
    entries = list_of(object_of(traceback.get("reprtraceback")).get("reprentries"))
    shown = (object_of(object_of(entry).get("data")).get("lines") for entry in entries[-1:])
    return "\n".join(text_of(line) for lines in shown for line in list_of(lines))


def _read_test(record: dict[str, object]) -> Finding | None:
    """Return the finding in one test, or one collected module, of a document."""
    if "outcome" not in record:
        raise Unreadable("has no outcome, as every test of pytest has")
    if record.get("outcome") not in _BROKEN:
        return None
    stages = {name: object_of(record.get(name)) for name in _STAGES}
    broken = next((name for name in _STAGES if stages[name].get("outcome") in _BROKEN), "")
    stage = stages.get(broken, record)
    crash, details = object_of(stage.get("crash")), text_of(stage.get("longrepr"))
    return _finding(record, broken, crash, details, index_of(record.get("lineno")))


def _finding(
    record: dict[str, object], stage: str, crash: dict[str, object], details: str, start: int | None
) -> Finding:
    """Return the finding of a test that broke at `stage`; `start` is the line of the test, from 0."""
    node = text_of(record.get("nodeid"))
    if not node:
        raise Unreadable("has no nodeid")
    file = path_in(node.partition("::")[0])
    title = checked(_title(node), "nodeid", max_chars=1_000)
    crashed_here = bool(file) and text_of(crash.get("path")).replace("\\", "/").endswith(file)
    line = line_in(crash.get("lineno")) if crashed_here else None
    return Finding(
        description=failure_in(title, text_of(crash.get("message")).strip(), details),
        severity="medium" if stage == "call" else "high",
        file=file,
        line=line or (line_in(start + 1) if start is not None else None),
        fingerprint=lasting_name(title),
    )


def _title(node: str) -> str:
    """Return a test's class and name as JUnit files have them: `tests.test_cart.TestCart.test_total[1]`."""
    plain, bracket, parameters = node.partition("[")
    file, *names = plain.split("::")
    return ".".join([file.replace("/", ".").removesuffix(".py"), *names]) + bracket + parameters


_DOCUMENT: Final = Layout(
    kind="pytest",
    lists=("tests", "collectors"),
    shape=wanted(
        *("nodeid", "outcome", "lineno", "longrepr"),
        **dict.fromkeys(_STAGES, wanted("outcome", "crash", "longrepr")),
    ),
    advice="give what pytest-json-report (--json-report) or pytest-reportlog (--report-log) wrote",
    read=_read_test,
)
