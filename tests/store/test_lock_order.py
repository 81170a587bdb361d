"""Writers on PostgreSQL that want the same rows take turns: none of them is ever a deadlock's victim."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from lessonbook.models.lesson import Caller
from lessonbook.services.maintain import diagnose
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres
from tests.store.scenario import issue, tell

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


async def all_at_once(*acts: Callable[[], Awaitable[object]]) -> None:
    await asyncio.gather(*(act() for act in acts))


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
    assert {line.action for answer in refined for line in answer.issues} == {"merged"}
    assert retries == []
    assert (await diagnose(work)).faults == []
    await work.store.close()
    assert await deadlocks(work.settings.database_url) == 0
