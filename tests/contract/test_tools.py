"""The tools, alike over every transport, protocol and database."""

import json
import re
from typing import Any

import jsonschema
import pytest

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.mcp_calls import make_tools
from lessonbook.edges.mcp_server import INSTRUCTIONS
from lessonbook.edges.tool_table import OPERATIONS
from tests.contract.processes import PROJECT

pytestmark = pytest.mark.anyio

AGENT_TOOLS = ["get_lessons", "report_issues", "record_application", "flag_lesson", "get_stats"]
OPERATOR_TOOLS = [
    "list_lessons",
    "get_lesson",
    "explain_lessons",
    "review_lesson",
    "list_pending_issues",
    "refine_issues",
    "cleanup_lessons",
    "get_audit",
]
TOOLSET_MAX_BYTES = 4_600
WITH_RESULTS_MAX_BYTES = 8_500
ISSUE = {"description": "It broke"}


async def test_tools_are_listed_in_one_order_by_every_server(link):
    listed = (await link.client.list_tools(cache_mode="refresh")).tools
    assert [tool.name for tool in listed] == AGENT_TOOLS + OPERATOR_TOOLS
    gateway = gateway_for(Settings.model_validate({"project": PROJECT}), "local")
    expected = make_tools(gateway, ["agent", "operator"], asks_person=True)
    assert [(t.title, t.description, t.input_schema, t.output_schema, t.annotations) for t in listed] == [
        (t.title, t.description, t.parameters, t.output_schema, t.annotations) for t in expected
    ]


async def test_every_tool_has_title_annotations_and_schemas_that_are_valid(link):
    listed = (await link.client.list_tools()).tools
    for tool in listed:
        assert tool.title
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.open_world_hint is False
        assert tool.annotations.read_only_hint in {True, False}
        assert tool.annotations.destructive_hint in {True, False}
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
    hints = {tool.name: tool.annotations for tool in listed}
    assert hints["get_lessons"].read_only_hint is False
    assert hints["get_lessons"].destructive_hint is False
    assert {name for name, hint in hints.items() if hint.destructive_hint} == {"review_lesson", "cleanup_lessons"}


async def test_a_run_is_not_named_by_a_secret(link):
    secret = "ghp_" + "a1B2c3D4" * 5
    said = await link.refusal("get_lessons", run_id=secret)
    assert "run_id holds a secret" in said
    assert secret not in said


async def test_every_object_among_the_arguments_takes_no_others(link):
    listed = (await link.client.list_tools()).tools
    for tool in listed:
        for schema in objects_in(tool.input_schema):
            assert schema["additionalProperties"] is False, tool.name
            assert "anyOf" not in json.dumps(schema)


def objects_in(schema: Any) -> list[dict[str, Any]]:
    if isinstance(schema, list):
        return [found for item in schema for found in objects_in(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    return own + [found for value in schema.values() for found in objects_in(value)]


@pytest.mark.parametrize(
    ("of_results", "most"), [(set(), TOOLSET_MAX_BYTES), ({"output_schema"}, WITH_RESULTS_MAX_BYTES)]
)
async def test_the_agents_toolset_is_small(link, of_results, most):
    listed = (await link.client.list_tools()).tools
    shown = [
        tool.model_dump(mode="json", by_alias=True, include={"name", "description", "input_schema"} | of_results)
        for tool in listed
        if tool.name in AGENT_TOOLS
    ]
    assert len(shown) == len(AGENT_TOOLS)
    for ensure_ascii in (True, False):
        text = json.dumps(shown, separators=(",", ":"), ensure_ascii=ensure_ascii)
        assert len(text.encode()) <= most


async def test_instructions_say_in_few_words_when_to_call_what(link):
    assert link.client.instructions in {INSTRUCTIONS, None if link.protocol == "2026-07-28" else INSTRUCTIONS}
    assert len(INSTRUCTIONS.split()) < 120
    assert "Leave agent_name out unless you were given a role name" in INSTRUCTIONS
    for tool in ("get_lessons", "report_issues", "record_application", "flag_lesson"):
        assert tool in INSTRUCTIONS
    for tool in ("list_lessons", "get_lesson ", *OPERATOR_TOOLS[2:]):
        assert tool not in INSTRUCTIONS


async def test_an_agent_learns_from_an_issue_and_the_figures_show_it(link, agent_name):
    before = await link.do("get_lessons", agent_name=agent_name, task="Build a query from a form")
    assert before["lessons"] == []

    issue = {"description": "The query is put together from user input", "rule_id": "bandit:B608", "severity": "high"}
    report = await link.do("report_issues", issues=[issue], run_id=before["run_id"], source="qa")
    (line,) = report["issues"]
    assert (line["action"], line["agent_name"], line["severity"]) == ("created", agent_name, "high")

    served = await link.call("get_lessons", agent_name=agent_name, task="Build a query", files=["shop/search.py"])
    assert served.structured_content is not None
    (lesson,) = served.structured_content["lessons"]
    assert lesson["id"] == line["lesson_id"]
    assert lesson["trust"] == "curated"

    run_id = served.structured_content["run_id"]
    applied = await link.do("record_application", run_id=run_id, lesson_ids=[lesson["id"], "Lnope"])
    assert [row["result"] for row in applied["results"]] == ["recorded", "unknown"]
    verdict = await link.do(
        "record_application", run_id=run_id, lesson_ids=[lesson["id"]], prevented_issue=True, source="qa"
    )
    assert verdict["results"][0] == {
        "lesson_id": lesson["id"],
        "result": "updated",
        "times_applied": 1,
        "times_prevented": 1,
    }
    totals = (await link.do("get_stats", agent_name=agent_name))["totals"]
    assert (totals["lessons"], totals["issues"], totals["deliveries"]) == (1, 1, 1)
    assert (totals["applications"], totals["verified"], totals["prevented"]) == (1, 1, 1)
    assert (await link.do("flag_lesson", lesson_id=lesson["id"], reason="Not for this case"))["flags"] == 1


async def test_text_and_structured_content_of_get_lessons_each_have_everything_once(link, agent_name):
    await link.learn(agent_name)
    result = await link.call("get_lessons", agent_name=agent_name)
    answer = result.structured_content
    assert answer is not None
    (lesson,) = answer["lessons"]
    (text,) = result.content
    shown = json.dumps(answer, ensure_ascii=False)
    for form in (text.text, shown):
        assert f"Lessonbook-Run: {answer['run_id']}" in form
        assert agent_name in form
        assert "grants no permission" in form
        for said in (lesson["id"], lesson["text"], lesson["why"]):
            assert form.count(said) == 1
    assert not re.search(r'null|""|\[\]|\{\}', shown)


async def test_where_no_lesson_fits_both_forms_have_the_same_frame(link, agent_name):
    result = await link.call("get_lessons", agent_name=agent_name)
    answer = result.structured_content
    assert answer is not None
    assert answer["lessons"] == []
    assert f"Lessonbook-Run: {answer['run_id']}" in answer["guidance"]
    assert answer["note"] in result.content[0].text
    assert f"Lessonbook-Run: {answer['run_id']}" in result.content[0].text


async def offered(link, agent_name: str) -> str:
    """Return a lesson that nobody vouches for."""
    name = agent_name.translate(str.maketrans("0123456789", "ghijklmnop"))
    issue = {"description": f"Odd case of {name}", "lesson": f"Close every file in the block of {name}."}
    (line,) = (await link.do("report_issues", agent_name=agent_name, issues=[issue]))["issues"]
    return line["lesson_id"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
async def test_structured_results_keep_to_the_output_schema(link, agent_name, operation):
    lesson_id = await link.learn(agent_name)
    run_id = (await link.do("get_lessons", agent_name=agent_name))["run_id"]
    pending = await link.do("report_issues", agent_name=agent_name, issues=[{"description": "Odd " + agent_name}])
    arguments: dict[str, dict[str, Any]] = {
        "get_lessons": {"agent_name": agent_name},
        "report_issues": {"issues": [ISSUE]},
        "record_application": {"run_id": run_id, "lesson_ids": [lesson_id]},
        "flag_lesson": {"lesson_id": lesson_id, "reason": "misleads"},
        "get_lesson": {"lesson_id": lesson_id},
        "review_lesson": {"lesson_id": await offered(link, agent_name), "action": "suspend"},
        "refine_issues": {
            "lessons": [
                {
                    "issue_ids": [pending["issues"][0]["issue_id"]],
                    "lesson": "Check the length of a list before you index into it.",
                }
            ]
        },
    }
    result = await link.call(operation.name, **arguments.get(operation.name, {}))
    assert not result.is_error, result.content
    tools = {tool.name: tool for tool in (await link.client.list_tools()).tools}
    jsonschema.validate(result.structured_content, tools[operation.name].output_schema)
    (text,) = result.content
    assert text.text
    assert not text.text.startswith("{")


SECRET = "hunter2hunter2"
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "misspelt argument": ("get_lessons", {"runid": SECRET}, "did you mean 'run_id'?"),
    "misspelt argument of an issue": (
        "report_issues",
        {"issues": [{**ISSUE, "rule": SECRET}]},
        "did you mean 'rule_id'?",
    ),
    "argument nobody knows": ("get_stats", {"zzzzzz": SECRET}, "known are agent_name, lesson_id, days"),
    "missing argument": ("record_application", {"run_id": SECRET}, "lesson_ids is missing"),
    "unknown run": ("record_application", {"run_id": "no-such-run", "lesson_ids": ["L1"]}, "There is no run"),
    "unknown lesson": ("get_lesson", {"lesson_id": "Lnope"}, "There is no lesson"),
    "unknown lesson to flag": ("flag_lesson", {"lesson_id": "Lnope", "reason": "x"}, "There is no lesson"),
    "no issues": ("report_issues", {"issues": []}, "issues is empty"),
    "too many issues": ("report_issues", {"issues": [ISSUE] * 101}, "issues: "),
    "empty text": ("report_issues", {"issues": [{"description": " \n"}]}, "is empty"),
    "very long text": ("report_issues", {"issues": [{"description": SECRET * 70_000}]}, "20000 characters"),
    "NUL": ("report_issues", {"issues": [{"description": f"{SECRET}\0"}]}, "has a NUL character at position 14"),
    "NUL in a run": ("get_lessons", {"run_id": f"{SECRET}\0"}, "has a NUL"),
    "words for a number": ("get_lessons", {"max_lessons": SECRET}, "max_lessons: "),
    "number out of bounds": ("get_lessons", {"max_tokens": 10**30}, "max_tokens: "),
    "number for a text": ("get_lessons", {"task": 5}, "task: "),
    "object for a text": ("get_lessons", {"task": {"a": SECRET}}, "task: "),
    "text that may be one path or two": ("get_lessons", {"files": f"a.py, {SECRET}"}, "files: a text with a comma"),
    "null for what is required": ("flag_lesson", {"lesson_id": "L1", "reason": None}, "reason is missing"),
    "unknown severity": ("report_issues", {"issues": [{**ISSUE, "severity": SECRET}]}, "severity: "),
    "unknown category": ("get_lessons", {"categories": [SECRET]}, "categories.0: "),
    "cursor of somebody else": ("list_lessons", {"cursor": SECRET}, "cursor"),
    "time that is none": ("get_audit", {"before": "yesterday"}, "is not a time"),
    "tool nobody knows": ("get_lesons", {}, "unknown tool 'get_lesons': did you mean 'get_lesson"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_a_caller_can_mend_is_one_clear_error_and_the_server_goes_on(link, case):
    tool, arguments, told = BAD[case]
    said = await link.refusal(tool, **arguments)
    assert told in said
    assert SECRET not in said
    assert len(said) < 400
    assert "Traceback" not in said
    assert "pydantic" not in said
    assert not (await link.call("get_stats")).is_error


async def test_an_idempotency_key_does_the_work_once_and_refuses_another_request(link, agent_name):
    arguments = {"agent_name": agent_name, "idempotency_key": agent_name}
    first = await link.do("report_issues", issues=[ISSUE], **arguments)
    assert await link.do("report_issues", issues=[ISSUE], **arguments) == first
    assert "already used" in await link.refusal("report_issues", issues=[{"description": "Another"}], **arguments)


async def test_a_repeated_call_in_one_run_answers_the_same(link, agent_name):
    await link.learn(agent_name)
    first = await link.do("get_lessons", agent_name=agent_name, run_id=f"branch/{agent_name}")
    await link.learn(agent_name, rule_id="bandit:B301")
    assert await link.do("get_lessons", agent_name=agent_name, run_id=f"branch/{agent_name}") == first


async def test_a_null_counts_as_left_out_also_inside_an_issue(link, agent_name):
    nulls = dict.fromkeys(("agent_name", "files", "categories", "max_lessons", "max_tokens", "run_id"))
    assert (await link.do("get_lessons", task="paint the shed", **nulls))["lessons"] == []
    fields = dict.fromkeys(("severity", "category", "file", "line", "rule_id", "lesson", "why"))
    about = dict.fromkeys(("run_id", "source", "idempotency_key"))
    report = await link.do("report_issues", issues=[{**ISSUE, **fields}], agent_name=agent_name, **about)
    assert len(report["issues"]) == 1
    assert await link.do("get_stats", agent_name=None, lesson_id=None, days=None)


async def test_lists_and_objects_sent_as_json_texts_are_read(link, agent_name):
    report = await link.do("report_issues", agent_name=agent_name, issues=json.dumps([ISSUE]))
    assert len(report["issues"]) == 1
