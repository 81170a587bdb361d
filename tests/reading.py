"""Reports that are in memory, read to their end."""

from lessonbook.domain.findings import Intake, ReportKind, collect
from lessonbook.intake.junit import open_junit
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.sarif import open_sarif


def read_report(data: bytes, *, kind: ReportKind = "auto", place: str) -> Intake:
    """Return everything in a report."""
    return collect(open_report(ReportFile(data, place), kind))


def count_outcomes(file: ReportFile, count: int) -> None:
    """Read a file of any format to its end, and assert how many tests, results or lines were told of it."""
    assert sum(outcome is not None for outcome in open_report(file).outcomes) == count


def read_junit(data: bytes | str, *, place: str = "JUnit") -> Intake:
    """Return everything in a JUnit XML file."""
    return collect(open_junit(ReportFile(_content(data), place)))


def read_sarif(data: bytes | str, *, place: str = "SARIF") -> Intake:
    """Return everything in a SARIF file."""
    return collect(open_sarif(ReportFile(_content(data), place)))


def _content(data: bytes | str) -> bytes:
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
