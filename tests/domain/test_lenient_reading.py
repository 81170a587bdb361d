"""What only looks wrong is read; what may mean two things is an error that says what to send."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.agent_tools import Application, LessonQuery, Report, StatsQuery
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson_reviews import LessonListing, LessonReview
from lessonbook.domain.pending_issues import Authoring
from lessonbook.domain.takeback import Cleanup
from lessonbook.domain.validation import parse

ISSUE = {"description": "It broke"}
RUN = {"run_id": "r", "lesson_ids": ["L1"]}

SAME = [
    (Report, {"issues": "It broke"}, {"issues": [ISSUE]}),
    (Report, {"issues": ["It broke", ISSUE]}, {"issues": [ISSUE, ISSUE]}),
    (Report, {"issues": ISSUE}, {"issues": [ISSUE]}),
    (Report, {"issues": json.dumps([ISSUE])}, {"issues": [ISSUE]}),
    (Report, {"issues": json.dumps(ISSUE)}, {"issues": [ISSUE]}),
    (Report, {"issues": json.dumps(json.dumps([ISSUE]))}, {"issues": [ISSUE]}),
    (Report, {"issues": [json.dumps(ISSUE)]}, {"issues": [ISSUE]}),
    (Report, {"issues": "[B608] SQL by hand"}, {"issues": [{"description": "[B608] SQL by hand"}]}),
    (
        Report,
        {"issues": [{**ISSUE, "severity": " High", "category": "API design", "line": "12"}], "source": "CI"},
        {"issues": [{**ISSUE, "severity": "high", "category": "api-design", "line": 12}], "source": "ci"},
    ),
    (
        Report,
        {"issues": [{**ISSUE, **dict.fromkeys(("severity", "category", "line", "file", "lesson"), "")}], "source": ""},
        {"issues": [ISSUE]},
    ),
    (
        Report,
        {"issues": [{**ISSUE, "severity": "unknown", "category": "Unknown", "line": None}], "run_id": None},
        {"issues": [ISSUE]},
    ),
    (LessonQuery, {"files": "src/a b.py"}, {"files": ["src/a b.py"]}),
    (LessonQuery, {"files": "a.py\n b.py\n"}, {"files": ["a.py", "b.py"]}),
    (LessonQuery, {"files": '["a.py"]'}, {"files": ["a.py"]}),
    (LessonQuery, {"files": "", "categories": "", "max_tokens": ""}, {}),
    (LessonQuery, {"categories": "Security, API_design"}, {"categories": ["security", "api-design"]}),
    (LessonQuery, {"max_lessons": "5", "max_tokens": " 300 "}, {"max_lessons": 5, "max_tokens": 300}),
    (LessonQuery, {"task": '["x"]'}, {"task": '["x"]'}),
    (Application, {"run_id": "r", "lesson_ids": "L1, L2"}, {"run_id": "r", "lesson_ids": ["L1", "L2"]}),
    (Application, {**RUN, "prevented_issue": ""}, RUN),
    (Application, {**RUN, "prevented_issue": "null"}, RUN),
    (Application, {**RUN, "prevented_issue": "False"}, {**RUN, "prevented_issue": False}),
    (StatsQuery, {"days": "30"}, {"days": 30}),
    (LessonListing, {"status": "Active", "severity": "none"}, {"status": ["active"]}),
    (LessonReview, {"lesson_id": "L1", "action": "Approve"}, {"lesson_id": "L1", "action": "approve"}),
    (Cleanup, {"threshold": "0.3", "dry_run": "TRUE"}, {"threshold": 0.3, "dry_run": True}),
    (
        Authoring,
        {"lessons": '{"issue_ids": "I1", "lesson": "x", "severity": ""}'},
        {"lessons": [{"issue_ids": ["I1"], "lesson": "x"}]},
    ),
]


@pytest.mark.parametrize(("model", "sent", "meant"), SAME)
def test_what_only_looks_wrong_is_read(model, sent, meant) -> None:
    assert parse(model, sent) == model.model_validate(meant)


@pytest.mark.parametrize(
    ("model", "sent", "told"),
    [
        (LessonQuery, {"files": "a.py, b.py"}, "files: a text with a comma may be one item or several; send a list"),
        (LessonQuery, {"max_lessons": "a few"}, "max_lessons: write a whole number"),
        (LessonQuery, {"categories": "Security and data"}, "categories.0: write 'security'"),
        (Report, {"issues": 5}, "issues: write a list"),
        (Report, {"issues": [{**ISSUE, "severity": "grave"}]}, "issues.0.severity: write 'critical'"),
        (Application, {**RUN, "prevented_issue": "partly"}, "prevented_issue: write true or false"),
        (Application, {"run_id": "", "lesson_ids": "L1"}, "run_id is empty"),
        (LessonReview, {"lesson_id": "L1", "action": ""}, "action: write 'approve'"),
    ],
)
def test_what_may_mean_two_things_or_nothing_is_an_error_in_words(model, sent, told: str) -> None:
    with pytest.raises(InvalidInput, match=r".") as caught:
        parse(model, sent)
    assert told in str(caught.value)


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800"])
def test_an_issue_that_cannot_be_stored_is_refused_alone(bad: str) -> None:
    first, second, third = parse(Report, {"issues": [ISSUE, {**ISSUE, "file": bad}, ISSUE]}).issues
    assert (first.refusal, third.refusal) == ("", "")
    assert second.refusal.startswith("file has ")
    assert second.description == ""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["description", "line", "x"]), inner),
    max_leaves=8,
)


@given(sent=st.dictionaries(st.sampled_from([*Report.model_fields, *LessonQuery.model_fields]), values))
def test_nothing_that_is_sent_breaks_the_reading(sent) -> None:
    for model in (Report, LessonQuery):
        with contextlib.suppress(InvalidInput):
            assert isinstance(parse(model, sent), model)
