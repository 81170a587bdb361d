"""Failing tests in the JSON of JavaScript's runners: Jest and vitest, mocha, mochawesome (Cypress), Playwright."""

import re
from collections.abc import Iterator
from typing import Final

from lessonbook.domain.documents import Unreadable, checked, list_of, object_of, text_of
from lessonbook.domain.findings import Finding, Reading
from lessonbook.domain.fingerprints import lasting_name
from lessonbook.domain.vocabulary import Severity
from lessonbook.intake.clean_text import without_controls
from lessonbook.intake.fields import failure_in, line_in, line_in_text, path_in, title_of_test
from lessonbook.intake.json_records import Layout, open_records
from lessonbook.intake.json_values import Shape, wanted
from lessonbook.intake.report_file import ReportFile
from lessonbook.machine.patterns import lazy_pattern

_FRAME: Final = lazy_pattern(
    r"\(?((?:file://)?(?:[A-Za-z]:)?[^\s:()]{1,300}\.(?:[cm]?[jt]sx?|vue|svelte)):(\d{1,8})(?::\d{1,6})?\)?"
)
_FOREIGN: Final = lazy_pattern(r"node_modules[/\\]|node:|internal/")
_DEPTH_MAX: Final = 50
_BROKEN: Final = frozenset({"failed", "timedOut", "interrupted"})

_Record = dict[str, object]


def open_jest(file: ReportFile) -> Reading:
    """Return one finding per failed test in the JSON of Jest or vitest, and per file of tests that could not run.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _JEST)


def open_mocha(file: ReportFile) -> Reading:
    """Return one finding per failed test in mocha's JSON.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _MOCHA)


def open_mochawesome(file: ReportFile) -> Reading:
    """Return one finding per failed test in the JSON of mochawesome, as Cypress writes it.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _MOCHAWESOME)


def open_playwright(file: ReportFile) -> Reading:
    """Return one finding per failed test in Playwright's JSON, whatever the browsers; a flaky test is none.

    Raises:
        InvalidInput: the file is not of this kind.
    """
    return open_records(file, _PLAYWRIGHT)


def _finding(
    names: tuple[str, ...], message: str, trace: str, path: str, line: object, severity: Severity = "medium"
) -> Finding:
    title = title_of_test(*names)
    if not title:
        raise Unreadable("has no name")
    message, trace = without_controls(message).strip(), without_controls(trace).strip()
    frames = [found for found in _FRAME.finditer(trace or message) if not _FOREIGN.search(found[1])]
    path = path or (frames[0][1] if frames else "")
    placed = line_in(line) or next((line_in_text(frame[2]) for frame in frames if _same_file(path, frame[1])), None)
    return Finding(
        description=failure_in(title, message, trace.removeprefix(message).strip() if message else trace),
        severity=severity,
        file=path_in(path.removeprefix("file://")),
        line=placed,
        fingerprint=lasting_name(checked(title, "name")),
    )


def _same_file(one: str, other: str) -> bool:
    return re.split(r"[/\\]", one)[-1] == re.split(r"[/\\]", other)[-1]


def _read_jest(record: _Record) -> Iterator[Finding]:
    path = text_of(record.get("name")) or text_of(record.get("testFilePath"))
    found = False
    for each in list_of(record.get("assertionResults")) or list_of(record.get("testResults")):
        test = object_of(each)
        if test.get("status") != "failed":
            continue
        found = True
        outer = tuple(map(text_of, list_of(test.get("ancestorTitles"))))
        names = (*outer, text_of(test.get("title"))) if test.get("title") else (text_of(test.get("fullName")),)
        message, _, trace = "\n".join(map(text_of, list_of(test.get("failureMessages")))).partition("\n")
        yield _finding(names, message, trace, path, object_of(test.get("location")).get("line"))
    if not found and (record.get("status") == "failed" or text_of(record.get("failureMessage"))):
        message, _, trace = (text_of(record.get("message")) or text_of(record.get("failureMessage"))).partition("\n")
        name = path_in(path).rpartition("/")[2]
        yield _finding((name,), f"the file of tests cannot run: {message}", trace, path, None, "high")


def _read_mocha(record: _Record) -> Iterator[Finding]:
    name = text_of(record.get("fullTitle")) or text_of(record.get("title"))
    error = object_of(record.get("err"))
    yield _finding(
        (name,), text_of(error.get("message")), text_of(error.get("stack")), text_of(record.get("file")), None
    )


def _read_mochawesome(record: _Record) -> Iterator[Finding]:
    yield from _in_mochawesome(record, text_of(record.get("file")), 0)


def _in_mochawesome(suite: _Record, path: str, depth: int) -> Iterator[Finding]:
    path = text_of(suite.get("file")) or text_of(suite.get("fullFile")) or path
    if depth > _DEPTH_MAX:
        raise Unreadable("is nested too deeply")
    for member in ("tests", "beforeHooks", "afterHooks"):
        for each in list_of(suite.get(member)):
            test = object_of(each)
            if test.get("fail") is True or test.get("state") == "failed":
                error = object_of(test.get("err"))
                name = text_of(test.get("fullTitle")) or text_of(test.get("title"))
                yield _finding((name,), text_of(error.get("message")), text_of(error.get("estack")), path, None)
    for each in list_of(suite.get("suites")):
        yield from _in_mochawesome(object_of(each), path, depth + 1)


def _read_playwright(record: _Record) -> Iterator[Finding]:
    if "message" in record:  # an error of the whole run
        yield _finding(("the test run",), text_of(record["message"]), text_of(record.get("stack")), "", None, "high")
        return
    yield from _in_playwright(record, (), 0)


def _in_playwright(suite: _Record, names: tuple[str, ...], depth: int) -> Iterator[Finding]:
    if depth > _DEPTH_MAX:
        raise Unreadable("is nested too deeply")
    inner = (*names, text_of(suite.get("title"))) if depth else (text_of(suite.get("title")),)
    for each in list_of(suite.get("specs")):
        spec = object_of(each)
        failed = next(filter(None, (_failed_run(object_of(test)) for test in list_of(spec.get("tests")))), None)
        if failed is None:
            continue
        error = object_of(failed.get("error")) or object_of(next(iter(list_of(failed.get("errors"))), None))
        path = text_of(spec.get("file")) or text_of(suite.get("file"))
        line = object_of(error.get("location")).get("line") or spec.get("line")
        message, stack = text_of(error.get("message")), text_of(error.get("stack"))
        yield _finding((*inner, text_of(spec.get("title"))), message, stack, path, line)
    for each in list_of(suite.get("suites")):
        yield from _in_playwright(object_of(each), inner, depth + 1)


def _failed_run(test: _Record) -> _Record | None:
    """Return the last run of a test that failed against expectation; None where it did not, or was only flaky."""
    if test.get("status") not in {"unexpected", None}:
        return None
    results = [object_of(result) for result in list_of(test.get("results"))]
    return next((result for result in reversed(results) if result.get("status") in _BROKEN), None)


_JEST_TEST: Final = wanted("status", "title", "fullName", "ancestorTitles", "failureMessages", location=wanted("line"))
_JEST: Final = Layout(
    kind="jest",
    lists=("testResults",),
    shape=wanted(
        *("name", "testFilePath", "status", "message", "failureMessage"),
        assertionResults=_JEST_TEST,
        testResults=_JEST_TEST,
    ),
    advice="give what `jest --json` or `vitest --reporter=json` wrote",
    read=_read_jest,
)
_MOCHA: Final = Layout(
    kind="mocha",
    lists=("failures",),
    shape=wanted("title", "fullTitle", "file", err=wanted("message", "stack")),
    advice="give what `mocha --reporter json` wrote",
    read=_read_mocha,
)
_MOCHAWESOME_TEST: Final = wanted("title", "fullTitle", "fail", "state", err=wanted("message", "estack"))
_MOCHAWESOME_SUITE: Final[dict[str, Shape | None]] = {
    **wanted("file", "fullFile"),
    **dict.fromkeys(("tests", "beforeHooks", "afterHooks"), _MOCHAWESOME_TEST),
}
_MOCHAWESOME_SUITE["suites"] = _MOCHAWESOME_SUITE
_MOCHAWESOME: Final = Layout(
    kind="mochawesome",
    lists=("results",),
    shape=_MOCHAWESOME_SUITE,
    advice="give the JSON that mochawesome wrote",
    read=_read_mochawesome,
)
_ERROR: Final = wanted("message", "stack", location=wanted("line"))
_SPEC: Final = wanted(
    "title", "file", "line", tests=wanted("status", results=wanted("status", error=_ERROR, errors=_ERROR))
)
_PLAYWRIGHT_SUITE: Final[dict[str, Shape | None]] = {**wanted("title", "file", "message", "stack"), "specs": _SPEC}
_PLAYWRIGHT_SUITE["suites"] = _PLAYWRIGHT_SUITE
_PLAYWRIGHT: Final = Layout(
    kind="playwright",
    lists=("suites", "errors"),
    shape=_PLAYWRIGHT_SUITE,
    advice="give what `playwright test --reporter=json` wrote",
    read=_read_playwright,
)
