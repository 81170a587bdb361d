"""What test runners write in formats of their own becomes findings."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Finding, Intake, Refused
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.memory import needs_less, peak_memory
from tests.reading import count_outcomes, read_report

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runners"


def read(content: object, kind: FileKind) -> list[Finding]:
    data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    assert open_report(ReportFile(data, "-")).kind == kind
    intake = read_report(data, place="-")
    assert intake.refused == []
    return intake.findings


@pytest.mark.parametrize(
    ("name", "kind", "findings", "title"),
    [
        ("mstest.trx", "trx", 1, "Pickles.TestHarness.MSTest.AdditionFeature.FailToAddTwoNumbers"),
        ("xunit.trx", "trx", 3, "DotnetTests.XUnitV3Tests.FixtureTests.Failing_Test"),
        ("nunit.xml", "nunit", 5, "DotnetTests.XUnitTests.CalculatorTests.Exception_In_TargetTest"),
        ("mocha.json", "mocha", 4, "Timeout test"),
        ("mocha.tap", "tap", 2, "cart adds an item"),
        ("go_test.jsonl", "gotest", 6, "~/git/test-reporter/reports/go.TestFailing"),
    ],
)
def test_real_files_are_known_by_their_content_and_read(name: str, kind: FileKind, findings: int, title: str):
    data = (FIXTURES / name).read_bytes()
    assert open_report(ReportFile(data, "-")).kind == kind
    intake = read_report(data, place="-")
    assert (len(intake.findings), intake.refused) == (findings, [])
    assert intake.findings[0].fingerprint == title
    assert intake.findings[0].description.startswith(title)
    assert read_report(data, kind=kind, place="-") == intake


class TestDotnet:
    def test_a_failed_test_has_its_place_from_the_trace(self):
        finding = read((FIXTURES / "xunit.trx").read_text(), "trx")[0]
        assert (finding.file, finding.line) == ("reports/dotnet/DotnetTests.XUnitV3Tests/FixtureTests.cs", 25)
        assert "Assert.Null() Failure: Value is not null" in finding.description

    def test_a_test_that_failed_by_its_inner_tests_is_none_itself(self):
        inner = "".join(
            f'<UnitTestResult outcome="{how}" testName="t({n})"/>' for n, how in enumerate(["Failed", "Passed"])
        )
        outer = f'<UnitTestResult outcome="Failed" testName="t"><InnerResults>{inner}</InnerResults></UnitTestResult>'
        late = '<UnitTestResult outcome="Timeout" testName="late"/>'
        findings = read(f"<TestRun><Results>{outer}{late}</Results></TestRun>", "trx")
        assert [(finding.description, finding.severity) for finding in findings] == [
            ("t(0)", "medium"),
            ("late: The outcome is Timeout", "high"),
        ]

    def test_xunit_and_both_versions_of_nunit_are_read(self):
        trace = "<stack-trace>at T() in C:\\a\\1\\s\\T.cs:line 4</stack-trace>"
        failure = f"<failure><message>Expected 2</message>{trace}</failure>"
        xunit = f'<test name="A.T" result="Fail">{failure}</test><test name="A.U" result="Pass"/>'
        found = [
            read(f"<assemblies><assembly><collection>{xunit}</collection></assembly></assemblies>", "xunit"),
            read(f'<test-run><test-case fullname="A.T" result="Failed">{failure}</test-case></test-run>', "nunit"),
            read(f'<test-results><test-case name="A.T" success="False">{failure}</test-case></test-results>', "nunit"),
        ]
        for (finding,) in found:
            assert (finding.fingerprint, finding.file, finding.line) == ("A.T", "T.cs", 4)
            assert finding.description.startswith("A.T: Expected 2\nat T()")


EVENT = {"Time": "2026-11-01T00:00:00Z", "Package": "github.com/acme/shop/internal/db"}


class TestGo:
    def event(self, action: str, test: str = "", output: str = "", **more: str) -> dict[str, str]:
        said = {"Test": test, "Output": output, **more}
        return {**EVENT, "Action": action, **{name: value for name, value in said.items() if value}}

    def read(self, *events: dict[str, str]) -> list[Finding]:
        return read("\n".join(map(json.dumps, events)), "gotest")

    def test_a_failed_test_has_what_it_printed_and_its_place(self):
        (finding,) = self.read(
            self.event("run", "TestX"),
            self.event("output", "TestX", "=== RUN   TestX\n"),
            self.event("output", "TestX", "    x_test.go:7: want 2\n"),
            self.event("output", "TestX", "--- FAIL: TestX (0.12s)\n"),
            self.event("fail", "TestX"),
            self.event("output", "", "FAIL\n"),
            self.event("fail"),
        )
        assert finding.description == "github.com/acme/shop/internal/db.TestX: x_test.go:7: want 2"
        assert (finding.file, finding.line, finding.severity) == ("internal/db/x_test.go", 7, "medium")

    def test_a_package_is_a_finding_only_where_no_test_of_it_failed(self):
        broken = {"ImportPath": "p", "Action": "build-output", "Output": "db/a.go:3:2: undefined: x\n"}
        findings = self.read(broken, self.event("fail", FailedBuild="p"))
        assert [(finding.description, finding.file, finding.severity) for finding in findings] == [
            ("github.com/acme/shop/internal/db: the package fails\ndb/a.go:3:2: undefined: x", "db/a.go", "high")
        ]
        assert self.read(self.event("run", "TestX"), self.event("pass", "TestX"), self.event("pass")) == []

    def test_a_line_that_is_broken_is_refused_alone(self):
        data = json.dumps(self.event("fail", "TestX")) + '\n{"Action": "fa\n'
        intake = read_report(data.encode(), kind="gotest", place="-")
        assert len(intake.findings) == 1
        assert intake.refused == [Refused("lines[1]", "is not valid JSON")]

    def test_memory_does_not_grow_with_tests_that_pass(self):
        def reading(count: int) -> Callable[[], object]:
            parts = (
                json.dumps(self.event(action, f"Test{number}", "x" * 500))
                for number in range(count)
                for action in ("run", "output", "pass")
            )
            file = ReportFile("\n".join(parts).encode(), "-")
            return lambda: count_outcomes(file, 0)

        assert needs_less(reading(4_000), 1.5 * peak_memory(reading(400)))


class TestTap:
    def test_subtests_are_findings_and_the_tests_around_them_none(self):
        text = (
            "TAP version 13\n# Subtest: cart\n    # Subtest: adds\n    not ok 1 - adds\n      ---\n"
            "      duration_ms: 1.5\n"
            "      location: '/home/ann/shop/src/cart.test.js:3:1'\n      failureType: 'testCodeFailure'\n"
            "      error: |-\n        Expected 2\n      code: 'ERR_ASSERTION'\n      ...\n"
            "    ok 2 - removes\n    1..2\n"
            "not ok 1 - cart\n  ---\n  error: '1 subtest failed'\n  ...\n1..1\n"
        )
        (finding,) = read(text, "tap")
        assert finding.fingerprint == "cart.adds"
        assert finding.description.startswith("cart.adds: Expected 2")
        assert (finding.file, finding.line) == ("src/cart.test.js", 3)

    def test_what_is_marked_and_what_passes_is_none(self):
        text = (
            "1..4\nnot ok 1 - a # TODO later\nnot ok 2 - b # SKIP no network\nok 3 - c\nnot ok 4 d\n# at t/x.t line 9\n"
        )
        (finding,) = read(text, "tap")
        assert (finding.description.partition("\n")[0], finding.file, finding.line) == ("d", "t/x.t", 9)

    def test_a_run_that_was_given_up_is_a_finding(self):
        (finding,) = read("1..9\nok 1\nBail out! No database\n", "tap")
        assert finding.description == "The test run was given up: No database"

    def test_words_are_no_tap(self):
        for text in ("ok, so the page is blank", "not ok 1 time in 3", "1..5 of the rows are lost"):
            assert open_report(ReportFile(text.encode(), "-")).kind == "text"


class TestJavaScript:
    def test_jest_and_vitest_are_read(self):
        failed = {
            "status": "failed",
            "ancestorTitles": ["cart"],
            "title": "adds",
            "failureMessages": ["\x1b[31mError: 2 !== 3\x1b[39m\n    at /home/ann/shop/src/cart.test.ts:9:3"],
        }
        passed = {"status": "passed", "title": "works", "ancestorTitles": [], "failureMessages": []}
        files = [
            {"assertionResults": [failed, passed], "name": "/home/ann/shop/src/cart.test.ts", "status": "failed"},
            {
                "assertionResults": [],
                "name": "/home/ann/shop/lib/b.test.ts",
                "status": "failed",
                "message": "No module\nx",
            },
        ]
        one, other = read({"numFailedTests": 1, "success": False, "testResults": files}, "jest")
        assert one.description.startswith("cart.adds: Error: 2 !== 3\n")
        assert (one.file, one.line, one.severity) == ("src/cart.test.ts", 9, "medium")
        assert other.description == "b.test.ts: the file of tests cannot run: No module\nx"
        assert (other.file, other.severity) == ("lib/b.test.ts", "high")

    def test_mochawesome_is_read_however_deep(self):
        test = {
            "fullTitle": "shop cart adds",
            "fail": True,
            "err": {"message": "2 !== 3", "estack": "at x (cy/a.cy.js:4:1)"},
        }
        suite = {"suites": [{"suites": [], "tests": [test, {"fullTitle": "x", "fail": False, "err": {}}]}], "tests": []}
        result = {"fullFile": "cy/a.cy.js", **suite}
        (finding,) = read({"stats": {}, "results": [result], "meta": {}}, "mochawesome")
        assert (finding.fingerprint, finding.file, finding.line) == ("shop cart adds", "cy/a.cy.js", 4)

    def test_playwright_is_read_once_a_test_and_without_the_flaky(self):
        def spec(title: str, *tests: dict[str, object]) -> dict[str, object]:
            return {"title": title, "ok": False, "tests": list(tests), "file": "a.spec.ts", "line": 3}

        error = {"message": "\x1b[31mTimed out\x1b[39m", "stack": "", "location": {"line": 9}}
        broken = {"status": "unexpected", "results": [{"status": "failed", "error": error}]}
        flaky = {"status": "flaky", "results": [{"status": "failed", "error": error}, {"status": "passed"}]}
        inner = {"title": "login", "specs": [spec("works", broken, broken), spec("is slow", flaky)]}
        suite = {"title": "a.spec.ts", "file": "a.spec.ts", "specs": [], "suites": [inner]}
        (finding,) = read({"config": {}, "suites": [suite], "errors": [], "stats": {}}, "playwright")
        assert finding.fingerprint == "a.spec.ts.login.works"
        assert (finding.description, finding.line) == ("a.spec.ts.login.works: Timed out", 9)

    def test_runs_without_failures_are_empty(self):
        assert read({"numFailedTests": 0, "testResults": []}, "jest") == []
        assert read({"stats": {}, "tests": [], "passes": [], "failures": []}, "mocha") == []


@pytest.mark.parametrize(
    ("data", "kind", "problem"),
    [
        (b"{}", "jest", "has no list of `testResults`; give what `jest --json`"),
        (b"[]", "mocha", "has no list of `failures`"),
        (b"{", "playwright", "is not valid JSON"),
        (b"{}", "mochawesome", "has no list of `results`"),
        (b"{}\n", "gotest", "has no event with an `Action`"),
        (b"\n", "gotest", "is empty"),
        (b"words", "tap", "has no line `ok` or `not ok`"),
        (b" ", "tap", "is empty"),
        (b"<assemblies/>", "trx", "is XML, but not one that begins with <TestRun>"),
        (b"<x/>", "nunit", "is XML, but not one that begins with <test-run>"),
    ],
)
def test_another_file_is_refused_in_one_sentence(data: bytes, kind: FileKind, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, kind=kind, place="out")
    assert str(caught.value).startswith("out ")
    assert problem in str(caught.value)


NAMES = [
    *("testResults", "failures", "results", "suites", "specs", "tests", "err", "error", "errors", "status", "title"),
    *("assertionResults", "fail", "failureMessages", "Action", "Package", "Test", "Output", "message", "fullTitle"),
]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(["failed", "unexpected", "fail"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=16,
)


@given(ANY_JSON, st.sampled_from(["jest", "mocha", "mochawesome", "playwright", "gotest"]))
def test_any_json_is_read_or_invalid(value: object, kind: FileKind):
    try:
        intake = read_report(json.dumps(value).encode(), kind=kind, place="-")
    except InvalidInput:
        return
    assert isinstance(intake, Intake)
    assert all(finding.description.strip() for finding in intake.findings)
