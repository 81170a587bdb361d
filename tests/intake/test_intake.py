"""Reports of any kind come in through one door."""

import bz2
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Intake, ReportKind, collect
from lessonbook.intake.readers import open_report
from lessonbook.intake.report_file import ReportFile
from tests.reading import read_junit, read_report, read_sarif

FIXTURES = Path(__file__).parents[1] / "fixtures"
SARIF = (FIXTURES / "bandit.sarif").read_bytes()
JUNIT = (FIXTURES / "junit.xml").read_bytes()


def descriptions(data: bytes) -> list[str]:
    return [finding.description for finding in read_report(data, place="report").findings]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_sarif_is_known_in_every_encoding(encoding: str):
    assert read_report(SARIF.decode().encode(encoding), place="-") == read_sarif(SARIF)


@pytest.mark.parametrize(
    ("name", "kind", "findings"),
    [
        ("bandit.sarif", "sarif", 21),
        ("ruff.sarif", "sarif", 25),
        ("junit.xml", "junit", 7),
        ("pytest_json_report.json", "pytest", 6),
        ("pytest_reportlog.jsonl", "pytest", 6),
        ("ruff.json", "ruff", 8),
        ("bandit.json", "bandit", 6),
        ("review_comments.json", "review", 3),
        ("review_webhook.json", "review", 1),
    ],
)
def test_a_file_is_known_by_its_content_alone(name: str, kind: FileKind, findings: int):
    file = ReportFile((FIXTURES / name).read_bytes(), "-")
    reading = open_report(file)
    assert reading.kind == kind
    assert len(collect(reading).findings) == findings
    assert collect(open_report(file)) == collect(open_report(file, kind))


def test_a_scanner_that_found_nothing_is_no_error():
    assert read_report(b"[]", place="-") == read_report(b" [ ]\n", place="-", kind="ruff") == Intake()


def test_a_list_is_known_though_its_first_record_is_broken():
    records = [None, {"code": "F401"}, *json.loads((FIXTURES / "ruff.json").read_bytes())]
    intake = read_report(json.dumps(records).encode(), place="-")
    assert (len(intake.findings), len(intake.refused)) == (8, 2)


def test_brackets_make_no_json():
    for text in ("[BUG] the page is blank", "[1] is not shown", "[", "[]]", "[ ] a task", "[x] {done}"):
        assert descriptions(text.encode()) == [text]


@pytest.mark.parametrize(
    "name", ["bandit.sarif", "pytest_json_report.json", "ruff.json", "bandit.json", "review_comments.json", "junit.xml"]
)
def test_a_file_that_breaks_off_is_refused_whole(name: str):
    whole = (FIXTURES / name).read_bytes().rstrip()
    for kind in ("auto", open_report(ReportFile(whole, "-")).kind):
        with pytest.raises(InvalidInput, match=r"^scan is not valid (JSON|XML) \(line \d+, column \d+\)"):
            open_report(ReportFile(whole[: len(whole) * 3 // 4], "scan"), kind)


RUFF = b'[{"code": "F401", "message": "m", "filename": "a.py", "location": {"row": 1}}]'


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (RUFF[:-1], f"is not valid JSON (line 1, column {len(RUFF)}): it breaks off there"),
        (b"[\n {\n", "is not valid JSON (line 3, column 1): it breaks off there"),
        (b'["a', "is not valid JSON (line 1, column 4)"),
        (b'{"runs": [}', "is not valid JSON (line 1, column "),
        (
            RUFF + RUFF,
            f"is not valid JSON (line 1, column {len(RUFF) + 1}): more follows after the end of the document.",
        ),
        (RUFF + b"\n\nFound 1 error.\n", "is not valid JSON (line 3, column "),
        (b'{"path": "a", "body": "b"}\n{"path": "a", "body": "c"\n', "is not valid JSON (line 3, column "),
        (b"adding\n" + RUFF, "has other words before its JSON (line 2)"),
        (b"> lint\n> ruff\n\n" + RUFF[:-3], "has other words before its JSON (line 4)"),
        (b'warning: x\n{\n "errors": [],\n "generated_at": "", "metrics": {}, "results": []}', "(line 2)"),
        (b'adding\n{"version": "2.1.0", "runs": [{}]}', "has other words before its JSON (line 2)"),
        (b'[{"a": ' + b"[" * 300, "is nested more than 200 deep"),
        (b'{"runs": ' + b"[" * 300 + b"]" * 300 + b"}", "is nested more than 200 deep"),
    ],
)
def test_json_that_cannot_be_read_is_an_error_with_its_place_and_never_text(data: bytes, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, place="scan")
    assert str(caught.value).startswith("scan ")
    assert problem in str(caught.value)


def test_words_about_json_are_text():
    for text in (
        'The answer was\n{"error": "gone"}\nwhere a list was due.',
        'The page shows\n["a", "b"]',
        "Saw this:\n{\n  broken",
        "it answers {}",
    ):
        assert descriptions(text.encode()) == [text]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'{"error": {"code": "ENOLOCK", "summary": "no lock file"}}', "is an error of npm audit"),
        (b'log\n{"numFailedTests": 1, "testResults": []}', "has other words before its JSON (line 2)"),
        (b'{"message": "Not Found", "documentation_url": "u"}', "is an error of GitHub's API"),
        (b"<!DOCTYPE html>\n<html><body>502</body></html>", "is an HTML page, which is not read"),
        (b"<html><body>502</body></html>", "is an HTML page"),
        (b'<?xml version="1.0"?><robot/>', "is XML, but not a JUnit report: it is Robot Framework's XML"),
        (b'<?xml version="1.0"?><coverage line-rate="1"/>', "it is a coverage report (Cobertura, Clover)"),
        (bz2.compress(SARIF), "is bzip2: unpack it first"),
        (lzma.compress(SARIF), "is xz: unpack it first"),
        (b"PK\x03\x04rest", "is a zip archive: give it to `lessonbook report`"),
    ],
)
def test_a_known_other_format_is_named_with_what_to_do(data: bytes, name: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, place="out")
    assert str(caught.value).startswith("out ")
    assert name in str(caught.value)


def test_packed_files_say_so_whatever_they_are_said_to_be():
    for kind in ("sarif", "junit", "text", "ruff"):
        with pytest.raises(InvalidInput, match="out is bzip2: unpack it first"):
            read_report(bz2.compress(SARIF), kind=kind, place="out")


def test_tests_of_another_runner_are_refused_and_not_passed_over():
    intake = read_report(b'{"tests": [{"title": "adds", "err": {"message": "2 !== 3"}}]}', kind="pytest", place="out")
    assert [(refused.place, refused.reason) for refused in intake.refused] == [
        ("tests[0]", "has no outcome, as every test of pytest has")
    ]


def test_a_comment_before_words_makes_no_xml():
    for text in ("<!-- flake8 -->\nThe page is blank", "<!-- never ends\na.py:1 is odd", "<!-- a --><!-- b --> c"):
        assert descriptions(text.encode()) == [text]
    assert descriptions(b"<!-- flake8 -->\nsrc/a.py:7: [F401] unused") == ["unused"]
    assert read_report(b"<!-- a -->\n<!-- b -->\n" + JUNIT.partition(b"?>")[2], place="-") == read_junit(JUNIT)


def test_a_file_on_disk_and_an_open_one_read_like_bytes(tmp_path: Path):
    path = tmp_path / "scan"
    path.write_bytes(SARIF)
    with path.open("rb") as opened:
        opened.read(10)
        for content in (path, opened):
            file = ReportFile(content, "-")
            assert collect(open_report(file)) == read_report(SARIF, place="-")
            assert file.digest() == ReportFile(SARIF, "-").digest()
        assert not opened.closed
    with pytest.raises(InvalidInput, match="gone cannot be read"):
        open_report(ReportFile(tmp_path / "gone", "gone"))


def test_xml_is_read_as_junit():
    assert read_report(JUNIT, place="-") == read_junit(JUNIT)
    assert read_report(b"\n<testsuites/>", place="-").findings == []
    assert read_report(b'<?xml version="1.0" encoding="latin-1"?><testsuite name="\xe9"/>', place="-").findings == []


def test_anything_else_is_text_with_a_finding_per_paragraph():
    text = "Login fails\nfor users with a +.\n\n  \t\n\nThe export is slow.\r\n\r\n[BUG] <div> is not closed\n"
    assert descriptions(text.encode()) == [
        "Login fails\nfor users with a +.",
        "The export is slow.",
        "[BUG] <div> is not closed",
    ]
    assert descriptions("\ufeffÀ l'aide".encode("utf-16-le")) == ["À l'aide"]
    assert descriptions(b"<div> is not closed") == ["<div> is not closed"]


def test_a_kind_that_is_named_is_not_guessed():
    assert read_report(b'{"runs": []}', kind="text", place="-").findings[0].description == '{"runs": []}'
    with pytest.raises(InvalidInput, match="out is not valid JSON"):
        read_report(JUNIT, kind="sarif", place="out")
    with pytest.raises(InvalidInput, match="out is not valid XML"):
        read_report(SARIF, kind="junit", place="out")


def test_paragraphs_beyond_the_hundredth_are_refused_and_not_lost_silently():
    intake = read_report(b"one\n\n" * 130, place="-")
    assert len(intake.findings) == 100
    assert [(refused.place, refused.reason) for refused in intake.refused] == [
        ("paragraphs[100:130]", "30 beyond the first 100 are not read; report them separately")
    ]


def test_what_no_database_stores_and_no_one_reads_is_dropped_from_a_paragraph():
    intake = read_report(b"a long \x1b[31mone\x1b[0m\x00\n\n\x00\n\nfine", place="-")
    assert [finding.description for finding in intake.findings] == ["a long one", "fine"]
    assert intake.refused == []


def test_entities_in_words_are_decoded_once():
    assert descriptions(b"Use &quot;x&quot; &amp;amp; &#39;y&#39;") == ["Use \"x\" &amp; 'y'"]
    assert descriptions(b"Escape < as &lt; in &quot;a&quot;") == ['Escape < as &lt; in "a"']


def test_a_paragraph_that_is_too_long_is_refused_and_the_others_are_taken():
    intake = read_report(b"short\n\n" + b"x" * 30_000, place="-")
    assert [finding.description for finding in intake.findings] == ["short"]
    assert [refused.place for refused in intake.refused] == ["paragraphs[1]"]
    assert "at most 20000" in intake.refused[0].reason


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is empty"),
        (b" \n\t\r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xef\xbb\xbf \n", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"\x00\x00\x00", "is empty"),
        ("\u2028 \n".encode(), "is empty"),
        (b'{"results": []}', "is a JSON object that no reader takes; say which format it is"),
        (b'{"version": "2.1.0"}', "is a JSON object that no reader takes"),
        (b"{}", "is a JSON object that no reader takes"),
        (b"[1, 2]", "is a JSON list"),
        (b'{"runs": [', "is not valid JSON"),
        (b'[{"ruleId": "no-eval"}]', "is a JSON list"),
        (b"<testsuite>", "is not valid XML"),
        (b"caf\xe9", "is not UTF-8 text"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(data: bytes, problem: str):
    with pytest.raises(InvalidInput) as caught:
        read_report(data, place="report.bin")
    assert str(caught.value).startswith("report.bin ")
    assert problem in str(caught.value)


@given(
    st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.tuples(
        st.sampled_from([b"{", b"[", b"<?xml ", b"<testsuite", b"\xff\xfe", b"\xef\xbb\xbf"]), st.binary(max_size=40)
    ).map(b"".join)
)
def test_any_bytes_are_read_or_invalid(data: bytes):
    try:
        intake = read_report(data, place="-")
    except InvalidInput:
        return
    assert all(finding.description.strip() for finding in intake.findings)


NAMES = ["runs", "results", "version", "metrics", "tests", "outcome", "nodeid", "comment", "body", "path", "diff_hunk"]
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just("2.1.0"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*NAMES, "code", "filename", "location", "message", "$report_type"]), inner)
    ),
    max_leaves=12,
)


@given(ANY_JSON, st.sampled_from(["auto", "sarif", "pytest", "ruff", "bandit", "review"]))
def test_any_json_is_read_or_invalid(value: object, kind: ReportKind):
    for data in (json.dumps(value), f"{json.dumps({'$report_type': 'TestReport'})}\n{json.dumps(value)}"):
        try:
            intake = read_report(data.encode(), kind=kind, place="-")
        except InvalidInput:
            continue
        assert all(finding.description.strip() for finding in intake.findings)
