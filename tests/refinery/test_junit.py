"""Failing tests become findings."""

import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.errors import InvalidInput
from lessonbook.models.findings import Finding, Intake, Refused
from lessonbook.refinery.intake.junit import open_junit, read_junit
from lessonbook.refinery.intake.report_file import ReportFile

FIXTURE = Path(__file__).parents[1] / "fixtures" / "junit.xml"


def read_one(case: str, suite: str = "") -> Finding:
    intake = read_junit(f"<testsuite {suite}>{case}</testsuite>")
    assert intake.refused == []
    return intake.findings[0]


class TestRealFile:
    def test_each_failed_and_broken_test_is_a_finding_and_no_other(self):
        intake = read_junit(FIXTURE.read_bytes())
        assert intake.refused == []
        assert [
            (finding.fingerprint.partition("test_basket.")[2], finding.severity) for finding in intake.findings
        ] == [
            ("test_total_of_a_second_basket_starts_at_zero", "medium"),
            ("test_discount_stays_in_whole_cents", "medium"),
            ("TestAverage.test_of_nothing_is_zero", "medium"),
            ("TestAverage.test_knows_currencies[\\xa5]", "medium"),
            ("test_basket_is_stored", "high"),
            ("test_basket_can_be_exported", "medium"),
            ("test_basket_can_be_exported", "high"),
        ]

    def test_a_finding_says_which_test_failed_how_and_where(self):
        first = read_junit(FIXTURE.read_bytes()).findings[0]
        assert first.description.startswith(
            "tests.test_basket.test_total_of_a_second_basket_starts_at_zero: AssertionError: assert 350 == 100\n"
        )
        assert 'assert total([("milk", 100)]) == 100' in first.description
        assert (first.file, first.line) == ("tests/test_basket.py", 9)
        assert (first.rule_id, first.keys, first.category, first.is_new) == ("", (), None, True)

    def test_text_and_bytes_read_the_same(self):
        text = FIXTURE.read_text("utf-8")
        assert read_junit(text) == read_junit(text.encode()) == read_junit("\ufeff\n" + text)
        utf16 = text.replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16")
        assert read_junit(utf16) == read_junit(text)


class TestShapes:
    def test_suites_nest_and_may_have_a_namespace(self):
        intake = read_junit(
            '<testsuites xmlns="urn:junit"><testsuite><testsuite file="a.php">'
            '<testcase name="one"><failure/></testcase></testsuite></testsuite>'
            '<testsuite><!-- empty --><testcase name="two"><error type="Boom"/></testcase></testsuite></testsuites>'
        )
        assert [(finding.description, finding.file) for finding in intake.findings] == [
            ("one", "a.php"),
            ("two: Boom", ""),
        ]

    def test_an_error_outweighs_a_failure_of_the_same_test(self):
        finding = read_one(
            '<testcase name="t"><failure message="f"/><error message="e"/><failure message="g"/></testcase>'
        )
        assert (finding.description, finding.severity) == ("t: e", "high")

    @pytest.mark.parametrize(
        ("attributes", "file"),
        [
            ('classname="src/cart.test.ts" name="t"', "src/cart.test.ts"),
            ('classname="cart.spec.js" name="t"', "cart.spec.js"),
            ('classname="tests.cart.TestCart" name="t"', ""),
            ('classname="Cart adds up" name="t"', ""),
            ('classname="a/b.py" name="t" file="./c.py"', "c.py"),
        ],
    )
    def test_a_class_name_that_looks_like_a_path_is_the_file(self, attributes: str, file: str):
        assert read_one(f"<testcase {attributes}><failure/></testcase>").file == file

    @pytest.mark.parametrize("line", ["", "0", "-1", "x", "1.5", "٣", "99999999999"])
    def test_a_line_that_is_none_is_left_out(self, line: str):
        assert read_one(f'<testcase name="t" line="{line}"><failure/></testcase>').line is None

    def test_long_outputs_are_clipped(self):
        finding = read_one(f'<testcase name="t"><failure message="m">{"x" * 9_000}</failure></testcase>')
        assert len(finding.description) == 4_000
        assert finding.description.startswith("t: m\nxxx")

    def test_a_report_without_failures_is_empty(self):
        assert read_junit("<testsuites/>") == Intake()
        assert read_junit('<testsuite><testcase name="t"/></testsuite>') == Intake()

    def test_a_nameless_test_is_refused_and_the_others_are_read(self):
        intake = read_junit(
            "<testsuite><testcase><failure/></testcase><testcase name='t'><failure/></testcase></testsuite>"
        )
        assert [finding.description for finding in intake.findings] == ["t"]
        assert intake.refused == [Refused("testcase[0]", "has neither name nor classname")]

    def test_deep_nesting_does_no_harm(self):
        deep = "<testsuite>" * 20_000 + '<testcase name="t"><failure/></testcase>' + "</testsuite>" * 20_000
        assert len(read_junit(deep).findings) == 1


class TestStreaming:
    def test_memory_does_not_grow_with_the_number_of_tests(self):
        def peak(count: int) -> int:
            passed = f'<testcase name="p"><system-out>{"x" * 1_000}</system-out></testcase>'
            failed = f'<testcase name="t"><failure message="m">{"y" * 1_000}</failure></testcase>'
            content = f"<testsuites><testsuite>{(passed + failed) * count}</testsuite></testsuites>".encode()
            tracemalloc.start()
            try:
                outcomes = open_junit(ReportFile(content, "-")).outcomes
                assert sum(isinstance(outcome, Finding) for outcome in outcomes) == count
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        assert peak(4_000) < 1.5 * peak(400)

    def test_a_file_that_breaks_off_is_refused_before_anything_of_it_is_read(self):
        whole = FIXTURE.read_bytes()
        with pytest.raises(InvalidInput, match="is not valid XML"):
            open_junit(ReportFile(whole[: len(whole) * 3 // 4], "out.xml"))

    def test_passed_tests_count_among_the_records(self):
        reading = open_junit(ReportFile(FIXTURE, "out.xml"))
        assert (reading.kind, reading.records) == ("junit", 11)
        reading.outcomes.close()


LAUGHS = "".join(f'<!ENTITY b{n} "{f"&b{n - 1};" * 10}">' for n in range(1, 12))
LAUGHS = f'<!DOCTYPE a [<!ENTITY b0 "ha">{LAUGHS}]><testsuite name="&b11;"/>'


class TestRefusals:
    @pytest.mark.parametrize(
        ("data", "problem"),
        [
            (b"", "is empty"),
            (b"no xml", "is not valid XML (line 1, column 1)"),
            (b"<testsuite>", "is not valid XML"),
            (b"<testsuite>\x00</testsuite>", "is not valid XML"),
            (b"<html/>", "no JUnit report"),
            (b"<testcase/>", "no JUnit report"),
            (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "encoding that cannot be read"),
            (b'<?xml version="1.0" encoding="shift_jis"?><testsuite/>', "encoding that cannot be read"),
            ("<testsuite name='\ud800'/>", "is not valid XML (line 1, column 18)"),
            (LAUGHS, "declares a document type or entities"),
            ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><testsuite name="x">&b;</testsuite>', "declares"),
            ('<!DOCTYPE a SYSTEM "http://localhost:1/a.dtd"><testsuite/>', "declares"),
        ],
    )
    def test_what_is_no_junit_is_refused_in_one_sentence(self, data: bytes | str, problem: str):
        with pytest.raises(InvalidInput) as caught:
            read_junit(data, place="out.xml")
        assert str(caught.value).startswith("out.xml ")
        assert problem in str(caught.value)

    @given(st.binary(max_size=60) | st.text(max_size=60))
    def test_anything_is_read_or_invalid(self, data: bytes | str):
        for wrapped in (data, f'<testsuite><testcase name="{data!r}"><error>{data!r}</error></testcase></testsuite>'):
            try:
                read_junit(wrapped)
            except InvalidInput:
                continue
