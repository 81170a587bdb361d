"""Taking back what one origin brought in, undoing that, and erasing words for good."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from lessonbook.config.settings import Settings
from lessonbook.domain.errors import Forbidden, InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.takeback import Forget, Rollback
from lessonbook.services.lessons import forget, roll_back, undo_rollback
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from lessonbook.store import tables
from tests.services.conftest import Loop

pytestmark = pytest.mark.anyio

RULE = "Give each outgoing request a timeout."
OTHER_RULE = "Close every file with a context manager."
WORDS = "zanzibarquokka leaks through the exporter"


@pytest.fixture
def caller() -> Caller:
    return Caller("demo", "local")


def person(caller: Caller) -> Caller:
    return Caller(caller.project, "cli", person=True)


async def statuses(loop: Loop, caller: Caller) -> dict[str, str]:
    found = await loop.found(caller, status=["probation", "quarantined", "active", "rejected", "expired"])
    return {lesson.text: lesson.status for lesson in found}


async def test_a_rollback_by_principal_takes_issues_and_lessons_and_comes_back(loop: Loop, caller: Caller):
    good, bad = Caller(caller.project, "good"), Caller(caller.project, "bad")
    await loop.report(good, {"description": "requests hang for ever", "lesson": RULE})
    await loop.report(bad, {"description": "descriptors run out at night", "lesson": OTHER_RULE}, source="ci")
    await loop.report(bad, {"description": "requests hang for ever", "lesson": RULE}, source="ci")
    before = await statuses(loop, caller)

    plan = await roll_back(loop.work, person(caller), Rollback(by="bad"))
    assert (plan.dry_run, plan.issues, [line.text for line in plan.lessons if line.goes]) == (True, 2, [OTHER_RULE])
    assert await statuses(loop, caller) == before

    done = await roll_back(loop.work, person(caller), Rollback(by="bad", dry_run=False))
    assert await statuses(loop, caller) == {**before, OTHER_RULE: "rejected"}
    await loop.assert_healthy()

    back = await undo_rollback(loop.work, person(caller), done.rollback_id)
    assert (back.issues, await statuses(loop, caller)) == (2, before)
    await loop.assert_healthy()
    with pytest.raises(NotFound):
        await undo_rollback(loop.work, person(caller), done.rollback_id)


async def test_a_rollback_by_run_takes_a_lesson_that_only_that_run_supports(loop: Loop, caller: Caller):
    done = await loop.report(caller, {"description": "requests hang for ever", "lesson": RULE})
    wanted = Rollback(run=done.refinement_run_id, dry_run=False)
    assert (await roll_back(loop.work, person(caller), wanted)).issues == 1
    assert await statuses(loop, caller) == {RULE: "rejected"}


async def test_only_a_person_rolls_back_and_says_what(loop: Loop, caller: Caller):
    with pytest.raises(Forbidden):
        await roll_back(loop.work, Caller(caller.project, "agent"), Rollback(by="bad"))
    with pytest.raises(InvalidInput):
        await roll_back(loop.work, person(caller), Rollback())
    with pytest.raises(InvalidInput):
        await forget(loop.work, person(caller), Forget())


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[Workspace]:
    settings = Settings.model_validate({"database": {"url": f"sqlite:///{tmp_path / 'forget.db'}"}})
    work = await open_workspace(settings)
    yield work
    await work.store.close()


def is_on_disk(folder: Path, word: str) -> list[str]:
    return [file.name for file in folder.glob("forget.db*") if word.encode() in file.read_bytes().lower()]


@pytest.mark.parametrize("what", ["issue", "lesson", "principal", "everything"])
async def test_forgotten_words_are_in_no_byte_of_the_database(on_disk: Workspace, tmp_path: Path, what: str):
    loop, caller = Loop(on_disk), Caller("p", "local")
    issue = {"description": WORDS, "lesson": "Close the exporter when it is done.", "file": "zanzibarquokka.py"}
    done = await loop.report(caller, issue, idempotency_key="k1")
    if what != "issue":
        await loop.flag(caller, done.issues[0].lesson_id, reason="zanzibarquokka again")
    assert is_on_disk(tmp_path, "zanzibarquokka")

    wanted = {
        "issue": {"issue_id": done.issues[0].issue_id},
        "lesson": {"lesson_id": done.issues[0].lesson_id},
        "principal": {"principal": "local"},
        "everything": {"everything": True},
    }[what]
    await forget(on_disk, person(caller), Forget.model_validate(wanted))
    assert is_on_disk(tmp_path, "zanzibarquokka") == []
    await loop.assert_healthy()

    rows = await on_disk.store.read(lambda connection: connection.execute(select(tables.issues.c.id)).all())
    assert len(rows) == (0 if what == "everything" else 1)


async def test_what_is_not_there_cannot_be_forgotten(loop: Loop, caller: Caller):
    for wanted in ({"issue_id": "I-none"}, {"lesson_id": "L-none"}, {"principal": "nobody"}):
        with pytest.raises(NotFound):
            await forget(loop.work, person(caller), Forget.model_validate(wanted))
