"""The own JSON of ruff and bandit becomes findings."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import FileKind, Intake, Refused
from tests.reading import read_report

FIXTURES = Path(__file__).parents[1] / "fixtures"


def read(content: object, kind: FileKind) -> Intake:
    return read_report(json.dumps(content).encode(), kind=kind, place="scan")


def ruff(**more: object) -> dict[str, Any]:
    return {"code": "S608", "filename": "a.py", "location": {"row": 1, "column": 1}, "message": "Odd.", **more}


def bandit(**more: object) -> dict[str, Any]:
    return {"test_id": "B608", "filename": "a.py", "line_number": 1, "issue_text": "Odd.", **more}


def test_ruffs_findings_have_place_and_rule_and_leave_the_severity_open():
    intake = read_report((FIXTURES / "ruff.json").read_bytes(), place="-")
    assert intake.refused == []
    assert {finding.severity for finding in intake.findings} == {None}
    sql = next(finding for finding in intake.findings if finding.rule_id == "ruff:S608")
    assert (sql.file, sql.line, sql.keys) == ("/src/shop/orders.py", 8, ("ruff:S608",))
    assert sql.description == "Possible SQL injection vector through string-based query construction"
    assert intake.findings[0].rule_id == "ruff:invalid-syntax"


def test_ruff_before_it_named_syntax_errors_gave_them_no_code():
    (finding,) = read([ruff(code=None, message="SyntaxError: odd")], "ruff").findings
    assert (finding.rule_id, finding.keys) == ("", ())


def test_bandits_findings_have_its_severity_and_the_weakness():
    intake = read_report((FIXTURES / "bandit.json").read_bytes(), place="-")
    assert intake.refused == []
    assert [finding.severity for finding in intake.findings] == ["low", "low", "medium", "medium", "high", "low"]
    assert {finding.category for finding in intake.findings} == {"security"}
    sql = intake.findings[2]
    assert (sql.file, sql.line, sql.keys) == ("shop/orders.py", 8, ("bandit:B608", "CWE-89"))


@pytest.mark.parametrize("cwe", [None, {}, {"id": 0}, {"id": -1}, {"id": 10**12}, {"id": "89"}, [89]])
def test_a_weakness_that_is_none_is_left_out(cwe: object):
    (finding,) = read({"results": [bandit(issue_cwe=cwe)]}, "bandit").findings
    assert finding.keys == ("bandit:B608",)


def test_a_bad_record_is_refused_with_its_place_and_the_others_are_read():
    records: list[object] = [ruff(message="one"), 7, ruff(message=" "), ruff(filename="a\0"), ruff(message="two")]
    intake = read(records, "ruff")
    assert [finding.description for finding in intake.findings] == ["one", "two"]
    assert intake.refused == [
        Refused("[1]", "is not an object"),
        Refused("[2]", "has no message"),
        Refused("[3]", "file path has a NUL character at position 1; remove it"),
    ]
    intake = read({"errors": [], "results": [bandit(issue_text="one"), None]}, "bandit")
    assert intake.refused == [Refused("results[1]", "is not an object")]
    assert len(intake.findings) == 1


def test_a_record_that_is_too_large_is_refused_alone():
    intake = read([ruff(message="x" * 5_000_000), ruff()], "ruff")
    assert len(intake.findings) == 1
    assert intake.refused == [Refused("[0]", "takes more than 4 MiB")]


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        ({}, "ruff", "has no list at its top; give what `ruff check --output-format json` wrote"),
        ([], "bandit", "has no list of `results`; give what `bandit -f json` wrote"),
        ({"results": {}}, "bandit", "has no list of `results`"),
        ("x", "ruff", "has no list at its top"),
    ],
)
def test_another_file_is_refused_in_one_sentence(content: object, kind: FileKind, problem: str):
    with pytest.raises(InvalidInput, match=r"^scan ") as caught:
        read(content, kind)
    assert problem in str(caught.value)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from(list(ruff())), st.sampled_from([*bandit(), "issue_severity", "issue_cwe"]), ANYTHING)
def test_whatever_a_record_holds_the_others_are_read(of_ruff: str, of_bandit: str, value: object):
    intake = read([ruff(message="one"), ruff(**{of_ruff: value}), value, ruff(message="two")], "ruff")
    assert (intake.findings[0].description, intake.findings[-1].description) == ("one", "two")
    records = [bandit(issue_text="one"), bandit(**{of_bandit: value}), value, bandit(issue_text="two")]
    intake = read({"results": records}, "bandit")
    assert (intake.findings[0].description, intake.findings[-1].description) == ("one", "two")
