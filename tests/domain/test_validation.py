"""Requests made of outside values: what is wrong is told in one sentence that never repeats a value."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.agent_tools import Application, Flag, LessonQuery, Report, ReportedIssue, StatsQuery
from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.file_results import PortableLesson
from lessonbook.domain.lesson_reviews import LessonChoice, LessonListing, LessonReview
from lessonbook.domain.pending_issues import AuthoredLesson, Authoring, PendingListing
from lessonbook.domain.takeback import Cleanup
from lessonbook.domain.validation import parse

CANARY = "xyzzy-plugh-4711"
ISSUE = {"description": "It broke"}


def refusal(model, values) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(model, values)
    return str(caught.value)


# --- unknown arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "values", "nearest"),
    [
        (LessonQuery, {"agent": "A"}, "agent_name"),
        (LessonQuery, {"runid": "r"}, "run_id"),
        (LessonQuery, {"maxTokens": 100}, "max_tokens"),
        (Report, {"issues": [ISSUE], "runId": "r"}, "run_id"),
        (Report, {"issues": [{**ISSUE, "rule": "B608"}]}, "rule_id"),
        (Report, {"issues": [ISSUE, {**ISSUE, "lessons": "x"}]}, "lesson"),
        (Application, {"run_id": "r", "lesson_ids": ["L1"], "prevented": True}, "prevented_issue"),
        (Authoring, {"lessons": [{"issue_ids": ["I1"], "lesson": "x", "severty": "low"}]}, "severity"),
    ],
)
def test_an_unknown_argument_is_an_error_that_names_the_nearest(model, values, nearest: str) -> None:
    sentence = refusal(model, values)
    assert sentence.startswith("unknown argument")
    assert f"did you mean '{nearest}'?" in sentence


def test_an_unknown_argument_like_none_is_an_error_that_names_all() -> None:
    sentence = refusal(Flag, {"lesson_id": "L1", "reason": "x", "zzzzzz": 1})
    for name in Flag.model_fields:
        assert name in sentence


def test_an_unknown_argument_in_a_list_is_told_with_its_place() -> None:
    assert "'issues.1.descripton'" in refusal(Report, {"issues": [ISSUE, {**ISSUE, "descripton": "x"}]})


def test_a_very_long_unknown_name_is_cut() -> None:
    assert len(refusal(LessonQuery, {"x" * 100_000: 1})) < 400


# --- what is told -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "values", "told"),
    [
        (Report, {}, "issues is missing"),
        (Report, {"issues": [ISSUE] * 101}, "issues: write at most 100 items"),
        (Report, {"issues": [{}]}, "issues.0.description is missing"),
        (Report, {"issues": [{"description": " \n"}]}, "issues.0.description is empty; write at least a word"),
        (Report, {"issues": [{"description": "x" * 20_001}]}, "issues.0.description has more than 20000 characters"),
        (Report, {"issues": [ISSUE], "source": "me"}, "source: write 'qa', 'ci'"),
        (Report, {"issues": [{**ISSUE, "line": -1}]}, "issues.0.line: write a number that is 0 or more"),
        (LessonQuery, {"max_tokens": 49}, "max_tokens: write a number that is 50 or more"),
        (LessonQuery, {"max_tokens": 8_001}, "max_tokens: write a number that is 8000 or less"),
        (LessonQuery, {"max_lessons": "many"}, "max_lessons: write a whole number"),
        (LessonQuery, {"categories": ["fun"]}, "categories.0: write 'security'"),
        (LessonQuery, {"task": 7}, "task: write a text"),
        (LessonQuery, {"agent_name": "x" * 101}, "agent_name has more than 100 characters"),
        (LessonQuery, {"run_id": "r\0"}, "run_id has a NUL character"),
        (Application, {"run_id": "", "lesson_ids": ["L1"]}, "run_id is empty"),
        (Application, {"run_id": "r", "lesson_ids": [""]}, "lesson_ids.0 is empty"),
        (
            Application,
            {"run_id": "r", "lesson_ids": ["L"], "prevented_issue": "perhaps"},
            "prevented_issue: write true or false",
        ),
        (Flag, {"lesson_id": "L1", "reason": " "}, "reason is empty"),
        (StatsQuery, {"days": -1}, "days: write a number that is 0 or more"),
        (StatsQuery, {"lesson_id": "L\0"}, "lesson_id has a NUL character"),
        (AuditQuery, {"subject": "L\0"}, "subject has a NUL character"),
        (AuditQuery, {"subject": "\udfff"}, "subject has half of a surrogate pair"),
        (Cleanup, {"threshold": 1.1}, "threshold: write a number that is 1 or less"),
        (Cleanup, {"threshold": float("nan")}, "threshold: write a"),
        (Cleanup, {"min_applications": 0}, "min_applications: write a number that is 1 or more"),
        (LessonReview, {"lesson_id": "L1", "action": "praise"}, "action: write 'approve'"),
        (LessonListing, {"limit": 201}, "limit: write a number that is 200 or less"),
        (PortableLesson, {"text": ""}, "text is empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(model, values, told: str) -> None:
    assert told in refusal(model, values)


def test_at_most_three_faults_are_told_and_the_others_counted() -> None:
    sentence = refusal(Report, {"issues": [{} for _ in range(10)]})
    assert sentence.count("is missing") == 3
    assert sentence.endswith("and 7 more")


@pytest.mark.parametrize(
    "values",
    [
        {"issues": [{"description": CANARY * 2_000}]},
        {"issues": [{**ISSUE, "severity": CANARY}]},
        {"issues": [{**ISSUE, "line": CANARY}]},
        {"issues": [{**ISSUE, "file": [CANARY]}]},
        {"issues": f'["{CANARY}'},
        {"issues": [ISSUE], "source": CANARY},
        {"issues": [ISSUE], "nonsense": CANARY},
        {"issues": [ISSUE], "run_id": {"a": CANARY}},
    ],
)
def test_no_value_is_ever_repeated(values) -> None:
    sentence = refusal(Report, values)
    assert CANARY not in sentence
    assert "pydantic" not in sentence.lower()
    assert "\n" not in sentence


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["issues", "agent_name", "run_id", "source"]) | st.text(max_size=12), JSON))
def test_any_values_are_taken_or_refused_in_a_short_sentence(values) -> None:
    sentence = ""
    try:
        assert isinstance(parse(Report, values), Report)  # also one without issues, which is a check
    except InvalidInput as refused:
        sentence = str(refused)
    assert len(sentence) < 1_500
    assert CANARY not in sentence


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_lists_may_come_as_json_texts() -> None:
    report = parse(Report, {"issues": json.dumps([ISSUE, ISSUE])})
    assert [issue.description for issue in report.issues] == ["It broke"] * 2
    query = parse(LessonQuery, {"files": '["a.py", "b.py"]', "categories": '["security"]'})
    assert (query.files, query.categories) == (["a.py", "b.py"], ["security"])
    assert parse(Application, {"run_id": "r", "lesson_ids": '["L1"]'}).lesson_ids == ["L1"]


def test_text_that_looks_like_json_stays_text() -> None:
    assert parse(LessonQuery, {"task": '["not", "a", "list"]'}).task == '["not", "a", "list"]'
    assert parse(Flag, {"lesson_id": "L1", "reason": '{"a": 1}'}).reason == '{"a": 1}'


@pytest.mark.parametrize("text", ["[", "[1,", "{]", "[" * 100_000, '["a"'])
def test_broken_json_is_not_taken_for_a_text(text: str) -> None:
    assert refusal(Report, {"issues": text}) == (
        "issues: begins like JSON but is not valid JSON; send a list or an object"
    )


def test_names_and_paths_are_folded_to_one_line_and_texts_to_normal_form() -> None:
    query = parse(LessonQuery, {"agent_name": "  Backend \n Agent ", "files": [" a\tb.py "], "task": "u\u0308"})
    assert (query.agent_name, query.files, query.task) == ("Backend Agent", ["a b.py"], "ü")
    assert parse(Report, {"issues": [{"description": "  It broke \n"}]}).issues[0].description == "It broke"


def test_numbers_and_truths_may_come_as_texts() -> None:
    assert parse(LessonQuery, {"max_tokens": "100"}).max_tokens == 100
    assert parse(Application, {"run_id": "r", "lesson_ids": ["L"], "prevented_issue": "true"}).prevented_issue is True


def test_every_argument_but_the_needed_ones_has_a_default() -> None:
    assert parse(LessonQuery, {}) == LessonQuery()
    assert parse(LessonListing, {}).limit == 50
    assert (parse(Cleanup, {}).threshold, parse(Cleanup, {}).min_applications, parse(Cleanup, {}).dry_run) == (
        0.3,
        5,
        True,
    )


# --- what is left out -------------------------------------------------------------------------------------------------

REQUESTS = [
    (LessonQuery, {}),
    (Report, {"issues": [ISSUE]}),
    (Application, {"run_id": "r", "lesson_ids": ["L1"]}),
    (Flag, {"lesson_id": "L1", "reason": "x"}),
    (StatsQuery, {}),
    (LessonListing, {}),
    (LessonChoice, {"lesson_id": "L1"}),
    (LessonReview, {"lesson_id": "L1", "action": "approve"}),
    (PendingListing, {}),
    (Authoring, {"lessons": [{"issue_ids": ["I1"], "lesson": "x"}]}),
    (Cleanup, {}),
    (AuditQuery, {}),
]


@pytest.mark.parametrize(("model", "values"), REQUESTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_null_counts_as_left_out_at_every_level(model, values) -> None:
    def filled(about, given):
        nulls = dict.fromkeys(about.model_fields)
        for name, value in given.items():
            nested = {"issues": ReportedIssue, "lessons": AuthoredLesson}.get(name)
            nulls[name] = [filled(nested, item) for item in value] if nested else value
        return nulls

    assert parse(model, filled(model, values)) == parse(model, values)
    as_text = {name: json.dumps(value) if isinstance(value, list) else value for name, value in values.items()}
    assert parse(model, {**dict.fromkeys(model.model_fields), **as_text}) == parse(model, values)


def test_a_null_for_what_is_required_is_missing() -> None:
    assert refusal(Flag, {"lesson_id": None, "reason": "x"}) == "lesson_id is missing"
    assert refusal(Report, {"issues": [ISSUE, {"description": None}]}) == "issues.1.description is missing"
    assert "issues.1" in refusal(Report, {"issues": [ISSUE, None]})


def test_a_value_nested_without_end_is_refused_in_words() -> None:
    deep: dict = {}
    for _ in range(900):
        deep = {"a": deep, "b": None}
    assert "c: nested more than 8 levels deep" in refusal(Flag, {"lesson_id": "L1", "reason": "x", "c": deep})
    assert "reason: nested more than 8 levels deep" in refusal(Flag, {"lesson_id": "L1", "reason": [[[[[[[[[]]]]]]]]]})
