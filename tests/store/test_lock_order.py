"""Writers on PostgreSQL that want the same rows take turns: none of them is ever a deadlock's victim."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import Connection

from lessonbook.domain.agent_tools import Application, Flag, LessonQuery
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import LessonReview
from lessonbook.domain.pending_issues import AuthoredLesson, Authoring
from lessonbook.domain.takeback import Cleanup
from lessonbook.services.background import maintenance
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.feedback import applications
from lessonbook.services.lessons import merge, review
from lessonbook.services.serve import delivery
from lessonbook.services.triage import authoring, rematch
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres
from lessonbook.store import vectors as vector_rows
from tests.conftest import Clock
from tests.store.scenario import AGENT, issue, tell

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["postgresql"])]

LESSONS = 8
WRITERS = 24


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tries that were made again, each by its number."""
    tries: list[int] = []

    def note(attempt: int) -> float:
        tries.append(attempt)
        return 0.0

    monkeypatch.setattr(postgres, "pause_s", note)
    return tries


async def deadlocks(url: str) -> int:
    """Return how many deadlocks PostgreSQL has broken; call it once all writers have closed their connections."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    finally:
        await connection.close()


def alike(number: int, writer: int) -> str:
    """Return a description that is surely like that of issue `number`, though no word for word copy of it."""
    return f"{issue(number).description}, seen by writer{'abcdefghijklmnopqrstuvwxyz'[writer]}"


async def test_reporters_whose_issues_meet_the_same_lessons_in_any_order_never_deadlock(
    work: Workspace, retries: list[int]
) -> None:
    made = await tell(work, Caller("demo", "first"), *(issue(number) for number in range(LESSONS)))
    assert [line.action for line in made.issues] == ["created"] * LESSONS
    order = random.Random(1)
    refined = await asyncio.gather(
        *(
            tell(
                work,
                Caller("demo", f"reporter-{writer}"),
                *(
                    issue(number, description=alike(number, writer), lesson="")
                    for number in order.sample(range(LESSONS), LESSONS)
                ),
            )
            for writer in range(WRITERS)
        )
    )
    lines = [line for answer in refined for line in answer.issues]
    # Whoever comes first compares with little: it may leave an issue pending, but makes no second lesson of it.
    assert {line.action for line in lines} <= {"merged", "pending"}
    assert {line.lesson_id for line in lines if line.action == "merged"} == {line.lesson_id for line in made.issues}
    assert retries == []
    assert (await diagnose(work)).faults == []
    await work.store.close()
    assert await deadlocks(work.settings.database_url) == 0


async def test_every_way_to_write_at_once_on_the_same_lessons_never_deadlocks(
    work: Workspace, clock: Clock, retries: list[int]
) -> None:
    agent, qa, person = Caller("demo", "local"), Caller("demo", "qa"), Caller("demo", "cli", person=True)
    made = await tell(work, agent, *(issue(number) for number in range(LESSONS)))
    ids = [line.lesson_id or "" for line in made.issues]
    waiting = await tell(work, agent, *(issue(number, lesson="") for number in range(100, 108)))
    pending = [line.issue_id for line in waiting.issues]
    await delivery.get_lessons(
        work, agent, LessonQuery(agent_name=AGENT, run_id="run", max_lessons=20, max_tokens=8000)
    )
    clock.go_on(hours=2)
    order = random.Random(2)

    def shuffled(things: list[str]) -> list[str]:
        return order.sample(things, len(things))

    def report_all(writer: int) -> Awaitable[object]:
        numbers = order.sample(range(LESSONS), LESSONS)
        issues = [issue(number, description=alike(number, writer), lesson="") for number in numbers]
        return tell(work, qa, *issues, run_id="run", source="qa")

    def author(writer: int) -> Awaitable[object]:
        lessons = [
            AuthoredLesson(issue_ids=[one], lesson_id=other)
            for one, other in zip(shuffled(pending), shuffled(ids), strict=True)
        ]
        return settled(authoring.refine_issues(work, person, Authoring(lessons=lessons)))

    def review_all(writer: int) -> Awaitable[object]:
        return asyncio.gather(
            *(
                review.review_lesson(work, person, LessonReview(lesson_id=one, action=action, reason="why not"))
                for one, action in zip(shuffled(ids)[:4], ("pin", "approve", "pin", "approve"), strict=True)
            )
        )

    ways: list[Callable[[int], Awaitable[object]]] = [
        report_all,
        author,
        review_all,
        lambda _: applications.record_application(work, agent, Application(run_id="run", lesson_ids=shuffled(ids))),
        lambda writer: applications.flag_lesson(
            work, Caller("demo", f"flagger{writer}"), Flag(lesson_id=order.choice(ids), reason="no")
        ),
        lambda _: rematch.rematch(work, person, shuffled(pending)),
        lambda _: maintenance.keep_up(work, person),
        lambda _: maintenance.cleanup_lessons(work, person, Cleanup(dry_run=False, min_applications=1)),
        lambda _: settled(merge.merge_lessons(work, person, *order.sample(ids, 2), "the same")),
        lambda writer: work.store.write(lambda connection: embed(connection, shuffled(ids), writer)),
        lambda writer: delivery.get_lessons(
            work, agent, LessonQuery(agent_name=AGENT, run_id="run-2", task=f"task {writer}", max_lessons=20)
        ),
    ]
    await asyncio.gather(*(way(writer) for writer in range(5) for way in order.sample(ways, len(ways))))
    assert (await diagnose(work)).faults == []
    await work.store.close()
    assert await deadlocks(work.settings.database_url) == 0


async def settled(act: Awaitable[object]) -> None:
    """Wait for a call that may come too late to find anything left to do."""
    with contextlib.suppress(InvalidInput):
        await act


def embed(connection: Connection, lesson_ids: list[str], writer: int) -> None:
    """Write vectors as the background does where a model is configured."""
    held = vector_rows.hold(connection, "demo", lesson_ids)
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    rows = [
        {"project": "demo", "lesson_id": one, "model": f"m{writer % 2}", "text_hash": "0", "revision": held.get(one, 0)}
        for one in lesson_ids
    ]
    vector_rows.put(connection, [{**row, "vector": b"\0\0\x80?", "embedded_at": moment} for row in rows])
