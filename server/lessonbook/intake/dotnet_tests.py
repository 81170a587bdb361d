"""Failing tests in the XML of .NET's runners: TRX, xUnit.net, NUnit."""

from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Final

from lessonbook.domain.documents import Unreadable, checked
from lessonbook.domain.findings import Finding, Reading
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.fields import failure_in, line_in_text, path_in, title_of_test
from lessonbook.intake.report_file import ReportFile
from lessonbook.intake.xml_records import Record, XmlElement, XmlLayout, open_xml, records_of, root_of
from lessonbook.machine.patterns import lazy_pattern

_TRX_FAILURES: Final[dict[str, Severity]] = {
    "Failed": "medium",
    **dict.fromkeys(("Error", "Timeout", "Aborted", "PassedButRunAborted", "Disconnected"), "high"),
}
_NUNIT_FAILURES: Final = frozenset({"Failed", "Failure", "Error"})
_FRAME: Final = lazy_pattern(r" in ((?:[A-Za-z]:)?[^\n:<>]{1,300}\.(?:cs|fs|vb)):(?:line )?(\d{1,8})")
_TRX_ADVICE: Final = "give the TRX file that `dotnet test --logger trx` wrote"
_DEFINITIONS_MAX: Final = 100_000


def open_trx(file: ReportFile) -> Reading:
    """Return one finding per failed test of a TRX file; a test that failed by its inner tests is none itself.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _trx(partial(_read_trx, _classes(file))))


def open_xunit(file: ReportFile) -> Reading:
    """Return one finding per failed test in the XML of xUnit.net.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_xml(file, _XUNIT)


def open_nunit(file: ReportFile) -> Reading:
    """Return one finding per failed test in the XML of NUnit 2 or 3.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    root = root_of(file)
    return open_xml(file, _NUNIT_2 if root == _NUNIT_2.root else _NUNIT_3)


def _finding(title: str, message: str, trace: str, severity: Severity = "medium") -> Finding:
    if not title:
        raise Unreadable("has no name")
    frame = _FRAME.search(trace)
    return Finding(
        description=failure_in(title, message, trace),
        severity=severity,
        file=path_in(frame[1].removeprefix("/_/")) if frame else "",
        line=line_in_text(frame[2]) if frame else None,
        fingerprint=lasting_name(checked(title, "name")),
    )


def _classes(file: ReportFile) -> dict[str, str]:
    """Return the classes of the failed tests by their ids; results name the method alone, where MSTest wrote them."""
    failed: set[str] = set()
    for record in _closing(file, "UnitTestResult"):
        if record.element.get("outcome") in _TRX_FAILURES and len(failed) < _DEFINITIONS_MAX:
            failed.add(record.element.get("testId"))
    classes: dict[str, str] = {}
    if failed:
        for record in _closing(file, "UnitTest"):
            method = record.element.at("TestMethod")
            if method is not None and record.element.get("id") in failed:
                classes[record.element.get("id")] = method.get("className").partition(",")[0]
    return classes


def _closing(file: ReportFile, records: str) -> Iterator[Record]:
    layout = XmlLayout("trx", "TestRun", frozenset({records}), _TRX_ADVICE, lambda _: ())
    opened: Generator[Record] = records_of(file, layout)
    with closing(opened):
        yield from opened


def _read_trx(classes: dict[str, str], record: Record) -> Iterator[Finding]:
    yield from _failed_results(record.element, classes)


def _failed_results(result: XmlElement, classes: dict[str, str]) -> Iterator[Finding]:
    outcome = result.get("outcome")
    if outcome not in _TRX_FAILURES:
        return
    inner = result.at("InnerResults")
    found = [each for one in (inner.inside if inner else []) for each in _failed_results(one, classes)]
    if found:
        yield from found
        return
    name, class_name = result.get("testName"), classes.get(result.get("testId"), "")
    is_whole = not class_name or name.startswith(class_name)
    error = ("Output", "ErrorInfo")
    message = result.text_at(*error, "Message") or (f"The outcome is {outcome}" if outcome != "Failed" else "")
    title = title_of_test(name) if is_whole else title_of_test(class_name, name)
    yield _finding(title, message, result.text_at(*error, "StackTrace"), _TRX_FAILURES[outcome])


def _read_xunit(record: Record) -> Iterator[Finding]:
    test = record.element
    if test.name == "error":
        failure, title = test.at("failure"), title_of_test(test.get("type"), test.get("name"))
        severity: Severity = "high"
    else:
        if test.get("result") != "Fail":
            return
        failure, title, severity = test.at("failure"), title_of_test(test.get("name") or test.get("method")), "medium"
    message = failure.text_at("message") if failure else ""
    trace = failure.text_at("stack-trace") if failure else ""
    yield _finding(title, message or (failure.get("exception-type") if failure else ""), trace, severity)


def _read_nunit(record: Record) -> Iterator[Finding]:
    case = record.element
    if case.get("result") not in _NUNIT_FAILURES and case.get("success").lower() != "false":
        return
    is_error = case.get("result") == "Error" or case.get("label") == "Error"
    title = title_of_test(case.get("fullname", "name"))
    failure = ("failure", "message"), ("failure", "stack-trace")
    yield _finding(title, case.text_at(*failure[0]), case.text_at(*failure[1]), "high" if is_error else "medium")


def _trx(read: "partial[Iterator[Finding]]") -> XmlLayout:
    return XmlLayout("trx", "TestRun", frozenset({"UnitTestResult"}), _TRX_ADVICE, read)


_XUNIT: Final = XmlLayout(
    kind="xunit",
    root="assemblies",
    records=frozenset({"test", "error"}),
    advice="give the XML that xUnit.net wrote (-xml)",
    read=_read_xunit,
)
_NUNIT_3: Final = XmlLayout(
    kind="nunit",
    root="test-run",
    records=frozenset({"test-case"}),
    advice="give the XML that NUnit wrote",
    read=_read_nunit,
)
_NUNIT_2: Final = XmlLayout(
    kind="nunit",
    root="test-results",
    records=frozenset({"test-case"}),
    advice="give the XML that NUnit wrote",
    read=_read_nunit,
)
