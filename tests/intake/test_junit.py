"""Failing tests become findings."""

import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import Finding, Intake, Refused
from lessonbook.domain.places import without_users
from lessonbook.intake.junit import open_junit
from lessonbook.intake.report_file import CHUNK_BYTES, ReportFile
from lessonbook.intake.xml_stream import DEPTH_MAX
from tests.reading import read_junit

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIXTURE = FIXTURES / "junit.xml"


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

    def test_suites_may_be_nested_as_deep_as_no_runner_nests_them_and_no_deeper(self):
        def nested(depth: int) -> str:
            return "<testsuite>" * depth + '<testcase name="t"><failure/></testcase>' + "</testsuite>" * depth

        assert len(read_junit(nested(DEPTH_MAX - 2)).findings) == 1
        with pytest.raises(InvalidInput, match="nested more than 200 elements deep"):
            read_junit(nested(DEPTH_MAX - 1))


FORBIDDEN = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"


def problems_in_whole_document(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, severity and description of each failed or broken test, as a parser of whole documents has them."""

    def walk(suite: ET.Element) -> Iterator[tuple[str, str, str]]:
        for element in suite:
            if element.tag in {"testsuite", "testsuites"}:
                yield from walk(element)
            elif element.tag == "testcase":
                for kind, severity in (("error", "high"), ("failure", "medium")):
                    if (problem := element.find(kind)) is not None:
                        names = (element.get("classname", ""), element.get("name", ""))
                        name = ".".join(without_users(each) for each in names if each)
                        message = problem.get("message", "").strip() or problem.get("type", "").strip()
                        details = (problem.text or "").strip("\r\n").rstrip()
                        title = f"{name}: {message}" if message else name
                        yield name, severity, "\n".join(filter(None, (title, details)))[:4_000].rstrip()
                        break

    yield from walk(ET.fromstring(re.sub(FORBIDDEN, "", text)))


def problems_read(content: bytes) -> list[tuple[str, str, str]]:
    intake = read_junit(content)
    assert intake.refused == []
    return [(finding.fingerprint, finding.severity or "", finding.description) for finding in intake.findings]


TEXTS = st.text(st.sampled_from("ab\n é\x1b\x00\x0c\uffff"), max_size=12)
CHILDREN = st.sampled_from(
    ["system-out", "system-err", "properties", "skipped", "failure", "error", "rerunFailure", "failure", "error"]
)


@st.composite
def cases(draw: st.DrawFn) -> str:
    children = draw(
        st.lists(st.tuples(CHILDREN, TEXTS, st.sampled_from(["", "<property/>", "<failure/>"])), max_size=5)
    )
    inner = "".join(f"<{name}>{text}{element}{text}</{name}>" for name, text, element in children)
    return f'<testcase classname="c" name="n{draw(st.integers(0, 99))}">{inner}</testcase>'


SUITES = st.recursive(
    cases(), lambda inner: st.lists(inner, max_size=4).map(lambda parts: f"<testsuite>{''.join(parts)}</testsuite>")
)


class TestOrder:
    @given(st.lists(SUITES, max_size=4), st.integers(0, 400))
    def test_the_same_problems_are_found_as_in_the_whole_document_wherever_they_stand(
        self, parts: list[str], before_end_of_chunk: int
    ):
        text = f"<testsuites>{''.join(parts)}</testsuites>"
        padding = "x" * (CHUNK_BYTES - len("<!---->") - before_end_of_chunk)
        expected = list(problems_in_whole_document(text))
        assert problems_read(text.encode()) == expected
        assert problems_read(f"<!--{padding}-->{text}".encode()) == expected

    @pytest.mark.parametrize(
        ("name", "findings"),
        [("junit.xml", 7), ("junit_vitest.xml", 2), ("junit_node.xml", 1), ("junit_jest.xml", 4)],
    )
    def test_the_same_problems_are_found_as_in_the_whole_document_in_files_of_real_runners(
        self, name: str, findings: int
    ):
        content = (FIXTURES / name).read_bytes()
        assert problems_read(content) == list(problems_in_whole_document(content.decode()))
        assert len(problems_read(content)) == findings

    def test_a_problem_behind_output_properties_or_a_skip_mark_is_found(self):
        before = ("<system-out>log</system-out>", "<properties><property/></properties>", "<skipped/>")
        for children in before:
            finding = read_one(f'<testcase name="t">{children}<error message="broke">at 5</error></testcase>')
            assert (finding.description, finding.severity) == ("t: broke\nat 5", "high")


class TestCharacters:
    @pytest.mark.parametrize(
        "control", ["\x1b", "&#27;", "&#x1B;", "&#0;", "&#x0c;", "\x00", "\x0b", "\ufffe", "&#xD800;"]
    )
    def test_what_xml_forbids_is_dropped_and_the_rest_is_read(self, control: str):
        finding = read_one(
            f'<testcase name="t{control}"><failure message="a{control}b">c{control}[31m</failure></testcase>'
        )
        assert finding.description == "t: ab\nc[31m"

    def test_what_xml_forbids_is_dropped_where_a_file_is_read_in_pieces(self):
        for gap in range(12):
            text = (
                f"<testsuite><!--{'x' * (CHUNK_BYTES - 70 + gap)}--><testcase name='&#27;t'><failure>&#x1b;a&amp;&#65;"
            )
            finding = read_junit(f"{text}</failure></testcase></testsuite>").findings[0]
            assert finding.description == "t\na&A"

    def test_bytes_that_are_not_in_the_files_encoding_are_marked(self):
        intake = read_junit(b"<testsuite><testcase name='caf\xe9'><failure/></testcase></testsuite>")
        assert intake.findings[0].description == "caf\ufffd"

    @pytest.mark.parametrize("encoding", ["latin-1", "shift_jis", "utf-16", "utf-16-le", "cp1252", "us-ascii"])
    def test_files_are_read_in_the_encoding_they_are_in(self, encoding: str):
        name = "日本" if encoding == "shift_jis" else "t" if encoding == "us-ascii" else "é"
        suite = f'<testsuite><testcase name="{name}"><failure/></testcase></testsuite>'
        text = f'<?xml version="1.0" encoding="{encoding}"?>{suite}'
        assert read_junit(text.encode(encoding)).findings[0].description == name

    def test_a_declaration_of_wide_characters_that_are_not_there_is_passed_over(self):
        text = '<?xml version="1.0" encoding="utf-16"?><testsuite><testcase name="é"><failure/></testcase></testsuite>'
        assert read_junit(text.encode("utf-8")).findings[0].description == "é"


class TestStreaming:
    def test_memory_does_not_grow_with_nested_elements(self):
        tracemalloc.start()
        try:
            with pytest.raises(InvalidInput, match="nested more than"):
                read_junit(b"<testsuite>" * 200_000)
            assert tracemalloc.get_traced_memory()[1] < 8_000_000
        finally:
            tracemalloc.stop()

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
            (b"<html/>", "not a JUnit report"),
            (b"<coverage/>", "not a JUnit report: it is a coverage report (Cobertura, Clover), which is not read"),
            (b"<testcase/>", "not a JUnit report"),
            (b'<?xml version="1.0" encoding="klingon"?><testsuite/>', "encoding that cannot be read"),
            (b'<?xml version="1.0" encoding="idna"?><testsuite/>', "encoding that cannot be read"),
            (b'<?xml version="1.0" encoding="zlib"?><testsuite/>', "encoding that cannot be read"),
            (b"<testsuite><a>\n</b>", "is not valid XML (line 2, column 3)"),
            (b"<testsuite>" + b"".join(b"<a%d/>" % n for n in range(1_001)), "more than 1000 names"),
            (b"<testsuite>" + b"<!--" + b"x" * (5 << 20), "a tag or comment of more than 4 MiB"),
            (b"<testsuite name='" + b"x" * (5 << 20), "a tag or comment of more than 4 MiB"),
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
