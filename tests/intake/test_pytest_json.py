"""pytest's JSON becomes findings, in either shape."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Intake, Refused
from tests.reading import read_report

FIXTURES = Path(__file__).parents[1] / "fixtures"
DOCUMENT = (FIXTURES / "pytest_json_report.json").read_bytes()
LOG = (FIXTURES / "pytest_reportlog.jsonl").read_bytes()


def log(*lines: object) -> bytes:
    start = {"pytest_version": "9.2.0", "$report_type": "SessionStart"}
    return "".join(json.dumps(line) + "\n" for line in (start, *lines)).encode()


def line(node: str = "tests/test_a.py::test_one", **more: object) -> dict[str, Any]:
    return {"nodeid": node, "outcome": "failed", "when": "call", "$report_type": "TestReport", **more}


def read(data: bytes) -> Intake:
    return read_report(data, kind="pytest", place="out")


@pytest.mark.parametrize("data", [DOCUMENT, LOG], ids=["document", "log"])
class TestRealFiles:
    def test_each_failed_and_broken_test_is_a_finding_and_no_other(self, data: bytes):
        intake = read(data)
        assert intake.refused == []
        assert [(finding.fingerprint, finding.severity, finding.line) for finding in intake.findings] == [
            ("tests.test_broken", "high", None),
            ("tests.test_basket.test_a_basket_adds_up", "medium", 20),
            ("tests.test_basket.test_an_empty_basket_costs_nothing", "medium", 25),
            ("tests.test_basket.TestExport.test_a_basket_is_stored", "high", 10),
            ("tests.test_basket.TestExport.test_a_basket_is_exported", "high", 16),
            ("tests.test_basket.TestExport.test_a_currency_is_known[\\xa5[x]]", "medium", 37),
        ]
        assert {finding.file for finding in intake.findings} == {"tests/test_basket.py", "tests/test_broken.py"}

    def test_a_finding_says_which_test_failed_and_shows_its_source(self, data: bytes):
        finding = read(data).findings[1]
        assert finding.description.startswith(
            "tests.test_basket.test_a_basket_adds_up: AssertionError: assert 351 == 350"
        )
        assert 'assert total([("milk", 100), ("bread", 250)]) == 350' in finding.description

    def test_a_module_that_cannot_be_collected_says_why(self, data: bytes):
        assert "No module named 'a_module_that_is_not_there'" in read(data).findings[0].description


def test_a_test_has_the_name_that_a_junit_file_gives_it():
    case = '<testsuite><testcase classname="tests.test_a.TestB" name="test_c[1]"><failure/></testcase></testsuite>'
    (of_junit,) = read_report(case.encode(), place="-").findings
    (finding,) = read(log(line("tests/test_a.py::TestB::test_c[1]"))).findings
    assert finding.fingerprint == of_junit.fingerprint == "tests.test_a.TestB.test_c[1]"


def test_lines_of_other_types_and_outcomes_are_left_out():
    others = [
        line(outcome="passed"),
        line(outcome="skipped"),
        line(outcome="rerun"),
        line(**{"$report_type": "WarningMessage"}),
        line(outcome=["failed"]),
    ]
    assert read(log(*others)) == Intake()


def test_a_test_that_passed_though_it_should_not_is_a_finding():
    (finding,) = read(log(line(longrepr="[XPASS(strict)] later", location=["tests/test_a.py", 6, "test_one"]))).findings
    assert finding.description == "tests.test_a.test_one\n[XPASS(strict)] later"
    assert finding.line == 7


def test_a_line_that_is_no_json_is_refused_and_the_others_are_read():
    data = log(line("a.py::one")) + b'{"nodeid": \n[[[\n\n7\n' + b"[" * 100_000 + b"\n" + b'{"$report_type": "TestRep'
    intake = read(data + b"\n" + log(line("a.py::two"), line("")))
    assert [finding.fingerprint for finding in intake.findings] == ["a.one", "a.two"]
    assert intake.refused == [
        Refused("lines[2]", "is not valid JSON"),
        Refused("lines[3]", "is not valid JSON"),
        Refused("lines[5]", "is not an object"),
        Refused("lines[6]", "is nested too deeply"),
        Refused("lines[7]", "is not valid JSON"),
        Refused("lines[10]", "has no nodeid"),
    ]


def test_a_line_that_is_too_long_is_refused_alone():
    intake = read(log(line(longrepr="x" * 5_000_000), line("a.py::two")))
    assert [finding.fingerprint for finding in intake.findings] == ["a.two"]
    assert intake.refused == [Refused("lines[1]", "takes more than 4 MiB")]


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"tests": 5}', b'{"collectors": []}'])
def test_another_file_is_refused_in_one_sentence(data: bytes):
    with pytest.raises(InvalidInput, match=r"^out has no list of `tests`; give what pytest-json-report"):
        read(data)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["reprcrash", "reprtraceback", "lineno", "path", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
TEST = {"nodeid": "a.py::b", "outcome": "failed", "lineno": 3, "call": {"outcome": "failed"}, "setup": {}}


@given(st.sampled_from([*line(), "longrepr", "location"]), st.sampled_from(list(TEST)), ANYTHING)
def test_whatever_a_record_holds_the_others_are_read(of_line: str, of_test: str, value: object):
    one, two = line("a.py::one"), line("a.py::two")
    for data in (
        log(one, line(**{of_line: value}), value, two),
        json.dumps({"tests": [one, {**TEST, of_test: value}, value, two]}).encode(),
    ):
        intake = read(data)
        assert all(isinstance(finding, Finding) for finding in intake.findings)
        assert (intake.findings[0].fingerprint, intake.findings[-1].fingerprint) == ("a.one", "a.two")
