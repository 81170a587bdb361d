"""The ledger: a lesson's status changes as the table of statuses says, and not otherwise."""

from itertools import product
from typing import get_args

import pytest
from sqlalchemy import Connection, update

from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import STATUSES, Action, targets
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import tables

pytestmark = pytest.mark.anyio

RULE = "Give each outgoing request a timeout."


async def test_every_move_of_the_table_is_written_and_every_other_refused(
    loop, work: Workspace, agent: Caller, person: Caller
) -> None:
    lesson_id = await loop.learn(agent, RULE)
    seen: set[str] = set()

    def walk(connection: Connection) -> None:
        for action, before in product(get_args(Action), STATUSES):
            allowed = targets(action, before)
            for after in allowed:
                ledger = Ledger(work, person, connection, work.now())
                ledger.move(put_into(connection, ledger, before), action, "a test", {"status": after})
                moved = lesson_rows.find(connection, person.project, [lesson_id])[lesson_id]
                assert (moved.status, moved.is_active) == (after, after in {"probation", "active"})
                seen.add(after)
            ledger = Ledger(work, person, connection, work.now())
            lesson = put_into(connection, ledger, before)
            other = next(status for status in STATUSES if status not in allowed)
            with pytest.raises(RuntimeError if allowed else InvalidInput):
                ledger.move(lesson, action, "a test", {"status": other})
            assert lesson_rows.find(connection, person.project, [lesson_id])[lesson_id] == lesson

    def put_into(connection: Connection, ledger: Ledger, status: str) -> Lesson:
        values = {"status": status, "is_active": status in {"probation", "active"}}
        connection.execute(update(tables.lessons).where(tables.lessons.c.id == lesson_id).values(**values))
        return ledger.lessons([lesson_id])[lesson_id]

    await work.store.write(walk)
    assert seen == set(STATUSES)
