"""What a call of `get_lessons` writes: the same on both databases, and nothing where another call was first."""

from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, select

from lessonbook.services.workspace import Workspace
from lessonbook.store import dialect, idempotency, serving, tables
from lessonbook.store.engine import ATTEMPTS, Retry
from lessonbook.store.types import Row
from tests.store.scenario import counted

pytestmark = pytest.mark.anyio

PROJECT, RUN, KEY = "demo", "branch-1", "branch-1#f"


def run_at(moment: datetime) -> Row:
    return {
        "project": PROJECT,
        "run_id": RUN,
        "agent_name": "RAGAgent",
        "principal": "agent",
        "holdout": False,
        "p_holdout": 0.01,
        "task_hash": "0a",
        "started_at": moment,
        "label": "Claude Code",
        "change": "branch feature/login 1",
        "routed": True,
    }


def delivery_at(moment: datetime, lesson_id: str, position: int) -> Row:
    return {
        "project": PROJECT,
        "run_id": RUN,
        "lesson_id": lesson_id,
        "agent_name": "RAGAgent",
        "eligible": True,
        "shown": position == 0,
        "p_show": 0.95,
        "exempt": False,
        "policy_version": "measured/1",
        "position": position,
        "lesson_version": 3,
        "tokens": 21,
        "delivered_at": moment,
    }


def answered_at(moment: datetime) -> Row:
    document: dict[str, Any] = {"lesson_ids": ["L1"], "withheld": 1, "hidden": {"no_room": 2}, "held_out": False}
    return idempotency.kept(PROJECT, "agent", "get_lessons", KEY, "f", document, moment)


async def test_what_is_written_is_read_back_as_it_was(work: Workspace) -> None:
    moment = work.now()
    deliveries = [delivery_at(moment, f"L{number}", number) for number in range(3)]

    def write(connection: Connection) -> None:
        serving.log(connection, run_at(moment), deliveries, answered_at(moment), is_new=True, began_at=moment)

    await work.store.write_briefly(write)

    def read(connection: Connection) -> tuple[list[Row], list[Row], dict[str, Any] | None]:
        given = idempotency.answer(connection, PROJECT, "agent", "get_lessons", KEY, "f", moment)
        whole = select(tables.runs), select(tables.deliveries).order_by(tables.deliveries.c.lesson_id)
        run, delivered = ([dict(row) for row in connection.execute(query).mappings()] for query in whole)
        return run, delivered, given

    run, delivered, given = await work.store.read(read)
    assert run == [{**run_at(moment), "issues": 0, "checked_at": None}]
    began_at = moment if work.store.dialect == "postgresql" else None  # where it decides on the partition
    assert delivered == [{**row, "run_started_at": began_at} for row in deliveries]
    assert given == answered_at(moment)["answer"]


@pytest.mark.parametrize("first", ["run", "delivery", "answer"])
async def test_nothing_is_written_where_another_call_was_first(work: Workspace, first: str) -> None:
    moment = work.now()
    tries: list[int] = []

    def another(connection: Connection) -> None:
        dialect.insert_new(connection, tables.runs, [run_at(moment)])
        if first == "delivery":
            dialect.insert_new(connection, tables.deliveries, [delivery_at(moment, "L1", 1)])
        if first == "answer":
            idempotency.remember(connection, PROJECT, "agent", "get_lessons", KEY, "f", {}, moment)

    def lose(connection: Connection) -> None:
        tries.append(1)
        rows = [delivery_at(moment, f"L{number}", number) for number in range(3)]
        try:
            serving.log(connection, run_at(moment), rows, answered_at(moment), is_new=first == "run", began_at=moment)
        except Retry:
            if len(tries) == ATTEMPTS:
                raise RuntimeError from None
            raise

    await work.store.write(another)
    before = await counted(work.store)
    with pytest.raises(RuntimeError):
        await work.store.write(lose)
    assert await counted(work.store) == before
