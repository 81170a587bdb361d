"""Browsing: lists, pages, search and histories; what another project has is never among them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from lessonbook.domain.audit_trail import AuditQuery
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonListing
from lessonbook.domain.pending_issues import PendingListing
from lessonbook.services.queries import listings
from lessonbook.services.workspace import Workspace

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."
COUNT = 13


@pytest.fixture
async def stocked(loop, agent: Caller, qa: Caller, stranger: Caller):
    """Lessons of every severity, some with equal scores, and some of another project."""
    severities = ["low", "medium", "high", "critical"]
    for number in range(COUNT):
        lesson = f"Mind the zeppelin in case {'abcdefghijklmnop'[number] * 3}."
        lesson_id = await loop.learn(agent, lesson, severity=severities[number % 3])
        if number % 4 == 0:
            await loop.record(qa, (await loop.get(agent)).run_id, lesson_id, prevented_issue=True, source="qa")
    await loop.learn(stranger, "Mind the zeppelin of somebody else.")
    return loop


@pytest.fixture
async def pending(loop, agent: Caller, clock):
    """Issues that wait, some of them reported at one moment."""
    for number in range(COUNT):
        name = AGENT if number % 2 else "RAGAgent"
        await loop.report(agent, f"It wobbles in case {'abcdefghijklmnop'[number] * 3}", agent_name=name)
        if number % 3 == 0:
            clock.go_on(seconds=1)
    return loop


def cursor_of(*position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


# --- lessons ----------------------------------------------------------------------------------------------------------


@given(limit=st.integers(1, COUNT + 2), query=st.sampled_from(["", "zeppelin"]))
@examples(max_examples=12)
async def test_pages_of_any_size_hold_each_lesson_once(stocked, agent, limit: int, query: str) -> None:
    seen, cursor = [], ""
    while True:
        asked = LessonListing(limit=limit, cursor=cursor, query=query)
        page = await listings.list_lessons(stocked.work, agent, asked)
        assert 0 < len(page.lessons) <= limit
        seen += page.lessons
        if not (cursor := page.next_cursor):
            break
    assert len(seen) == len({lesson.id for lesson in seen}) == COUNT
    if not query:
        rank = {"critical": 4, "high": 3, "medium": 2, "low": 1}
        order = [(-rank[lesson.severity], -lesson.effectiveness_score) for lesson in seen]
        assert order == sorted(order)


async def test_every_status_but_rejected_is_listed_unless_one_is_asked_for(loop, agent: Caller, person: Caller) -> None:
    kept, suspended, rejected = [await loop.learn(agent, f"{RULE} In case {name}.") for name in ("aa", "bb", "cc")]
    await loop.review(person, suspended, "suspend")
    await loop.review(person, rejected, "reject")

    async def ids(**listing) -> set[str]:
        return {lesson.id for lesson in await loop.found(person, **listing)}

    assert await ids() == await ids(query="outgoing") == {kept, suspended}
    assert await ids(status=["rejected"]) == await ids(status=["rejected"], query="outgoing") == {rejected}
    assert await ids(status=["probation", "suspended"]) == {kept, suspended}


async def test_lists_can_be_narrowed_with_and_without_a_query(loop, agent: Caller) -> None:
    wanted = await loop.learn(agent, RULE, severity="high", category="reliability")
    await loop.learn(agent, f"{RULE} Really.", severity="low", category="reliability")
    await loop.learn(agent, f"{RULE} Always.", severity="high", category="performance")
    await loop.learn(agent, RULE, severity="high", category="reliability", agent_name="RAGAgent")
    narrowed = {"agent_name": AGENT, "severity": "high", "category": "reliability"}
    for query in ("", "request timeout"):
        assert [lesson.id for lesson in await loop.found(agent, query=query, **narrowed)] == [wanted]


async def test_a_search_finds_lessons_by_their_words_their_issues_and_identifiers(loop, agent: Caller) -> None:
    first = await loop.learn(agent, RULE, "fetchExchangeRate hangs", why="Peers are flaky sometimes.")
    await loop.learn(agent, OTHER_RULE)
    for query in ("timeouts", "requesting", "exchange", "fetchExchangeRate", "flaky peer", "timeout nonsense"):
        assert [lesson.id for lesson in await loop.found(agent, query=query)] == [first], query
    for query in ("the", "!!!", "nonsense", "'; DROP TABLE agent_lessons; --", '"', "NEAR(", "a* OR b:*"):
        found = await loop.found(agent, query=query)
        assert first not in [lesson.id for lesson in found], query


async def test_the_best_match_comes_first(loop, agent: Caller) -> None:
    await loop.learn(agent, "Give uploads a bound in bytes, so that a request cannot fill the disk.")
    best = await loop.learn(agent, RULE, "The outgoing request has no timeout")
    assert (await loop.found(agent, query="outgoing request timeout"))[0].id == best


FOREIGN_CURSORS = [
    "x",
    "!!!",
    "ü",
    "AAAA",
    cursor_of(),
    cursor_of(1, 2),
    cursor_of("a", {}, 3),
    cursor_of(10**30, 0.5, "L1"),
    cursor_of(2, 0.5, "L\0"),
    cursor_of(2, 0.5, "\ud800"),
    cursor_of(True, 0.5, "L1"),
    cursor_of(-5),
    cursor_of("5"),
    cursor_of(10**30),
    cursor_of("yesterday", "I1"),
    cursor_of("0001-01-01T00:00:00+23:00", "I1"),
    cursor_of([[]], 1),
    base64.urlsafe_b64encode(b'{"a": 1}').decode(),
]


async def test_a_cursor_that_is_not_ours_is_an_error(loop, work: Workspace, agent: Caller) -> None:
    await loop.learn(agent, RULE)
    for cursor in FOREIGN_CURSORS:
        for query in ("", "timeout"):
            with pytest.raises(InvalidInput):
                await listings.list_lessons(work, agent, LessonListing(cursor=cursor, query=query))
        with pytest.raises(InvalidInput):
            await listings.list_pending_issues(work, agent, PendingListing(cursor=cursor))


async def test_a_cursor_of_another_list_is_an_error(stocked, pending, work: Workspace, agent: Caller) -> None:
    by_rank = (await listings.list_lessons(work, agent, LessonListing(limit=2))).next_cursor
    by_query = (await listings.list_lessons(work, agent, LessonListing(limit=2, query="zeppelin"))).next_cursor
    by_time = (await listings.list_pending_issues(work, agent, PendingListing(limit=2))).next_cursor
    for cursor in (by_query, by_time):
        with pytest.raises(InvalidInput, match="cursor"):
            await listings.list_lessons(work, agent, LessonListing(cursor=cursor))
    for cursor in (by_rank, by_time):
        with pytest.raises(InvalidInput, match="cursor"):
            await listings.list_lessons(work, agent, LessonListing(cursor=cursor, query="zeppelin"))
    for cursor in (by_rank, by_query):
        with pytest.raises(InvalidInput, match="cursor"):
            await listings.list_pending_issues(work, agent, PendingListing(cursor=cursor))


async def test_one_lesson_is_told_with_its_history_issues_and_flags(
    loop, work: Workspace, agent: Caller, qa: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE, "The call hangs", why="Peers tend to stall.")
    await loop.flag(qa, lesson_id, "Too broad.")
    await loop.review(person, lesson_id, "approve", reason="Seen it twice.")
    detail = await listings.get_lesson(work, person, lesson_id)
    assert (detail.author, detail.approved_by, detail.expires_at) == ("local", "cli", None)
    assert [line.action for line in detail.history] == ["create", "approve"]
    assert [issue.description for issue in detail.issues] == ["The call hangs"]
    assert [(flag.principal, flag.reason) for flag in detail.flags] == [("qa-bot", "Too broad.")]
    assert detail.provenance["reporter"] == "local"
    assert json.loads(detail.model_dump_json())


async def test_a_lesson_of_another_project_is_unknown(loop, work: Workspace, agent: Caller, stranger: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    with pytest.raises(NotFound, match=lesson_id):
        await listings.get_lesson(work, stranger, lesson_id)
    assert await loop.found(stranger) == await loop.found(stranger, query="timeout") == []
    assert await listings.lessons_by_category(work, stranger) == {}


async def test_lessons_are_grouped_by_category_most_severe_first(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    low = await loop.learn(agent, RULE, severity="low", category="reliability")
    high = await loop.learn(agent, OTHER_RULE, severity="high", category="reliability")
    other = await loop.learn(agent, RULE, category="data", agent_name="RAGAgent")
    gone = await loop.learn(agent, f"{RULE} Really.", category="data")
    await loop.review(person, gone, "suspend")

    async def ids(agent_name: str = "") -> dict[str, list[str]]:
        groups = await listings.lessons_by_category(work, agent, agent_name)
        return {category: [lesson.id for lesson in lessons] for category, lessons in groups.items()}

    assert await ids() == {"data": [other], "reliability": [high, low]}
    assert await ids(AGENT) == {"reliability": [high, low]}


# --- pending issues ---------------------------------------------------------------------------------------------------


@given(limit=st.integers(1, COUNT + 2))
@examples(max_examples=10)
async def test_pages_of_any_size_hold_each_pending_issue_once_oldest_first(pending, agent, limit: int) -> None:
    seen, cursor = [], ""
    while True:
        page = await listings.list_pending_issues(pending.work, agent, PendingListing(limit=limit, cursor=cursor))
        assert 0 < len(page.issues) <= limit
        seen += page.issues
        if not (cursor := page.next_cursor):
            break
    assert len(seen) == len({issue.issue_id for issue in seen}) == COUNT
    assert [issue.created_at for issue in seen] == sorted(issue.created_at for issue in seen)


async def test_pending_issues_are_those_of_the_agent_and_the_project(
    pending, work: Workspace, agent: Caller, stranger: Caller
) -> None:
    page = await listings.list_pending_issues(work, agent, PendingListing(agent_name="RAGAgent", limit=200))
    assert {issue.agent_name for issue in page.issues} == {"RAGAgent"}
    assert len(page.issues) == 7
    assert (await listings.list_pending_issues(work, stranger, PendingListing())).issues == []


async def test_an_issue_with_a_lesson_no_longer_waits(loop, work: Workspace, agent: Caller) -> None:
    await loop.report(agent, {"description": "SQL in a string", "rule_id": "bandit:B608"}, "It wobbles")
    (waiting,) = (await listings.list_pending_issues(work, agent, PendingListing())).issues
    assert waiting.description == "It wobbles"


# --- runs, audit, completions -----------------------------------------------------------------------------------------


async def test_a_run_is_told_with_its_issues_and_deliveries(
    loop, work: Workspace, agent: Caller, stranger: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    run_id = (await loop.get(agent)).run_id
    await loop.report(agent, "It wobbles", run_id=run_id)
    issues, deliveries = await listings.issues_of_run(work, agent, run_id)
    assert [issue.description for issue in issues] == ["It wobbles"]
    assert deliveries == {lesson_id: True}
    with pytest.raises(NotFound):
        await listings.issues_of_run(work, stranger, run_id)


async def test_the_audit_trail_is_read_newest_first_page_by_page(loop, work: Workspace, agent: Caller, clock) -> None:
    for name in ("aa", "bb", "cc"):
        await loop.learn(agent, f"{RULE} In case {name}.")
        clock.go_on(minutes=1)
    trail = (await listings.get_audit(work, agent, AuditQuery(limit=2))).entries
    assert [entry.logged_at for entry in trail] == sorted((entry.logged_at for entry in trail), reverse=True)
    older = (await listings.get_audit(work, agent, AuditQuery(before=trail[-1].logged_at))).entries
    assert len(older) == 4
    assert all(entry.logged_at < trail[-1].logged_at for entry in older)
    assert not any("project" in entry.model_dump() for entry in trail)


@pytest.mark.parametrize(
    "before", ["yesterday", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "2026-13-01"]
)
async def test_a_moment_that_cannot_be_read_is_an_error(before: str, work: Workspace, agent: Caller) -> None:
    with pytest.raises(InvalidInput, match="is not a time"):
        await listings.get_audit(work, agent, AuditQuery(before=before))


async def test_another_projects_audit_is_not_told(loop, work: Workspace, agent: Caller, stranger: Caller) -> None:
    lesson_id = await loop.learn(agent, RULE)
    assert (await listings.get_audit(work, stranger, AuditQuery(subject=lesson_id))).entries == []


async def test_arguments_are_completed_from_what_is_there(
    loop, work: Workspace, agent: Caller, stranger: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE, agent_name="Tinker")
    await loop.get(agent, run_id="Feature/login")
    assert "Tinker" in await listings.complete(work, agent, "agent_name", "")
    assert await listings.complete(work, agent, "agent_name", "backend") == [AGENT]
    assert await listings.complete(work, agent, "lesson_id", lesson_id[:3]) == [lesson_id]
    assert await listings.complete(work, agent, "run_id", "Feature") == ["Feature/login"]
    for argument in ("lesson_id", "run_id"):
        assert await listings.complete(work, stranger, argument, "") == []
    for prefix in ("%", "_", "\0", "\ud800", "'"):
        for argument in ("agent_name", "lesson_id", "run_id"):
            assert await listings.complete(work, agent, argument, prefix) == []
