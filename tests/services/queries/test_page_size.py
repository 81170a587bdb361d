"""One answer of an operator's tool stays below its bound, whatever lessons and issues say, and the rest follows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview, NewLesson
from lessonbook.domain.takeback import CleanupLine
from lessonbook.domain.token_estimate import estimate_tokens
from lessonbook.domain.validation import parse
from lessonbook.edges.tool_table import ROOM, operation_named
from lessonbook.services.lessons import add_lesson, review_lesson
from lessonbook.services.queries.page_size import cut, fitting, tokens_of

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
LONG = 'Größe "prüfen" \\ ' * 100
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]


async def pages(loop, caller: Caller, tool: str, cursors: tuple[str, ...] = ("next_cursor",), **asked: Any):
    """Yield the pages of a listing to its end, each checked to be within the bound in both forms."""
    operation = operation_named(tool)
    waiting = [""]
    while waiting:
        request = parse(operation.request, {**asked, "cursor": waiting.pop()})
        result = await operation.act(loop.work, caller, request)
        structured = operation.structured(result)
        shown = json.dumps(structured, ensure_ascii=False, separators=(",", ":"))
        assert max(estimate_tokens(shown), estimate_tokens(operation.wording(result))) <= ROOM
        waiting += [structured[name] for name in cursors if name in structured]
        yield structured


@pytest.fixture
async def stocked(loop, agent: Caller, person: Caller):
    for word in NUMBERS:
        lesson = NewLesson(text=f"Check {word} {LONG[:1_900]}", why=LONG[:1_900], agent_name=AGENT)
        await add_lesson(loop.work, person, lesson)
        await loop.report(agent, {"description": f"odd {word} " + "☃ " * 9_000}, agent_name=AGENT)
    return loop


@pytest.mark.parametrize("query", ["", "Größe prüfen"])
async def test_lessons_are_paged_by_size(stocked, person: Caller, query: str) -> None:
    found = [page["lessons"] async for page in pages(stocked, person, "list_lessons", query=query, limit=200)]
    ids = [lesson["id"] for lessons in found for lesson in lessons]
    assert len(found) > 1
    assert len(ids) == len(set(ids)) == len(NUMBERS)


async def test_pending_issues_and_their_groups_are_paged_by_size(stocked, person: Caller) -> None:
    cursors = ("next_cursor", "next_group_cursor")
    found = [page async for page in pages(stocked, person, "list_pending_issues", cursors, limit=200)]
    issues = [issue["issue_id"] for page in found for issue in page["issues"]]
    groups = [group["group_id"] for page in found for group in page.get("groups", [])]
    assert len(issues) == len(set(issues)) == len(NUMBERS)
    assert len(groups) == len(set(groups)) > 0
    assert any(issue["description"].endswith("…") for page in found for issue in page["issues"])


async def test_a_lesson_with_a_long_history_is_paged_by_size(stocked, person: Caller) -> None:
    found = [page async for page in pages(stocked, person, "list_lessons", limit=1)]
    (first,) = found[0]["lessons"]
    for word in NUMBERS:
        review = LessonReview(
            lesson_id=first["id"], action="edit", text=f"Check {word} {LONG[:900]}", reason=LONG[:900]
        )
        await review_lesson(stocked.work, person, review)
    found = [page async for page in pages(stocked, person, "get_lesson", lesson_id=first["id"])]
    assert len(found) > 1
    assert sum(len(page.get("history", [])) for page in found) == len(NUMBERS) + 1


async def test_audit_entries_and_explanations_are_paged_by_size(stocked, person: Caller) -> None:
    whole = await operation_named("get_audit").act(
        stocked.work, person, parse(operation_named("get_audit").request, {})
    )
    found = [page["entries"] async for page in pages(stocked, person, "get_audit", limit=5)]
    entries = [(entry["writer"], entry["seq"]) for page in found for entry in page]
    assert len(entries) == len(set(entries)) >= len(whole.entries)
    explained = [page async for page in pages(stocked, person, "explain_lessons", agent_name=AGENT, limit=100)]
    ids = [line["id"] for page in explained for line in page["lessons"]]
    assert len(ids) == len(set(ids))


@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=400), max_size=6), room=st.integers(120, 600))
def test_a_page_fits_its_room_and_goes_on(texts: list[str], room: int) -> None:
    fields = {"lesson_id": "L1", "agent_name": AGENT, "times_applied": 1, "times_verified": 1, "times_prevented": 0}
    items = [CleanupLine(text=text, reason=text, **fields) for text in texts]
    shown = fitting(items, room)
    assert bool(shown) == bool(items)
    assert tokens_of(*shown) <= room
    assert fitting(items, None) == items
    for item in items:
        assert tokens_of(cut(item, room)) <= room
