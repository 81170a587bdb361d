"""Comments of reviewers become findings."""

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


def read(content: object) -> Intake:
    return read_report(json.dumps(content).encode(), kind="review", place="comments")


def comment(body: object = "This leaks.", **more: object) -> dict[str, Any]:
    return {"id": 1, "body": body, "path": "a.py", "line": 3, **more}


class TestRealFiles:
    def test_each_comment_that_opens_a_thread_is_a_finding(self):
        intake = read_report((FIXTURES / "review_comments.json").read_bytes(), place="-")
        assert [(finding.file, finding.line, finding.fingerprint) for finding in intake.findings] == [
            ("shop/orders.py", 12, "github-comment=1801"),
            ("shop/orders.py", 30, "github-comment=1803"),
            ("tests/test_orders.py", None, "github-comment=1805"),
        ]
        assert {(finding.severity, finding.category, finding.rule_id) for finding in intake.findings} == {
            (None, None, "")
        }
        assert intake.refused == [Refused("[3]", "has no words of its own")]

    def test_quotations_and_hidden_marks_are_left_out(self):
        findings = read_report((FIXTURES / "review_comments.json").read_bytes(), place="-").findings
        assert findings[1].description == "A bare except hides that the disk is full."

    def test_nobody_is_named(self):
        for name in ("review_comments.json", "review_webhook.json"):
            assert "reviewer" not in repr(read_report((FIXTURES / name).read_bytes(), place="-").findings)

    def test_a_webhook_tells_of_one_comment(self):
        (finding,) = read_report((FIXTURES / "review_webhook.json").read_bytes(), place="-").findings
        assert (finding.description, finding.file, finding.line) == (
            "The connection is never closed.",
            "shop/orders.py",
            8,
        )


def test_one_comment_alone_is_read():
    assert len(read(comment()).findings) == 1


def test_a_comment_that_was_deleted_is_left_out():
    assert read({"action": "deleted", "comment": comment()}) == Intake()
    assert len(read({"action": "edited", "comment": comment()}).findings) == 1


def test_a_bad_comment_is_refused_and_the_others_are_read():
    intake = read([comment("one"), comment(None), 7, comment("a\0"), comment("two", id=None)])
    assert [finding.description for finding in intake.findings] == ["one", "two"]
    assert intake.findings[1].fingerprint == ""
    assert [refused.place for refused in intake.refused] == ["[1]", "[2]", "[3]"]
    assert read({"comment": 3}).refused == [Refused("comment", "is not an object")]


@pytest.mark.parametrize("praise", ["LGTM", "Looks good to me, thanks!", ":+1:", "Nice work :tada:", "+1", "👍"])
def test_a_comment_that_only_praises_names_no_problem(praise: str):
    assert read([comment(praise)]).refused == [Refused("[0]", "names no problem")]


@pytest.mark.parametrize("told", ["Looks good, but the timeout is missing", "Fixed timeout leaks", "Good catch: null"])
def test_a_comment_that_praises_and_names_a_problem_is_read(told: str):
    assert len(read([comment(told)]).findings) == 1


@pytest.mark.parametrize("content", [{}, {"action": "created"}, 7, "x", None])
def test_another_file_is_refused_in_one_sentence(content: object):
    with pytest.raises(InvalidInput, match=r"^comments has no `comment`; give the list that GitHub answers"):
        read(content)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.sampled_from([*comment(), "original_line", "in_reply_to_id"]), ANYTHING)
def test_whatever_a_comment_holds_the_others_are_read(member: str, value: object):
    intake = read([comment("one"), comment(**{member: value}), value, comment("two")])
    assert all(isinstance(finding, Finding) for finding in intake.findings)
    assert (intake.findings[0].description, intake.findings[-1].description) == ("one", "two")
