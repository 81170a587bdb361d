from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from lessonbook.services.workspace import Workspace
from lessonbook.store.tables import delivery_marks, lessons

pytestmark = pytest.mark.anyio

MOMENT = datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)


def insert_of(moment: object, project: str = "demo") -> object:
    return delivery_marks.insert().values(project=project, folded_before=moment)


async def test_a_naive_time_is_refused_before_it_is_stored(work: Workspace) -> None:
    naive = MOMENT.replace(tzinfo=None)
    with pytest.raises(StatementError, match="naive datetime"):
        await work.store.write(lambda connection: connection.execute(insert_of(naive)))
    assert await work.store.read(lambda connection: connection.execute(select(delivery_marks)).all()) == []


async def test_a_naive_time_is_refused_in_a_comparison_too(work: Workspace) -> None:
    query = select(delivery_marks).where(delivery_marks.c.folded_before < MOMENT.replace(tzinfo=None))
    with pytest.raises(StatementError, match="naive datetime"):
        await work.store.read(lambda connection: connection.execute(query).all())


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])
async def test_an_aware_time_comes_back_as_the_same_moment_in_utc(work: Workspace, zone: timezone) -> None:
    await work.store.write(lambda connection: connection.execute(insert_of(MOMENT.astimezone(zone))))
    query = select(delivery_marks.c.folded_before)
    (found,) = await work.store.read(lambda connection: connection.execute(query).scalars().all())
    assert found == MOMENT
    assert found.tzinfo is UTC
    assert found.microsecond == MOMENT.microsecond


async def test_times_of_different_zones_are_compared_and_ordered_as_moments(work: Workspace) -> None:
    east, west = timezone(timedelta(hours=9)), timezone(timedelta(hours=-9))

    def fill(connection: object) -> None:
        for project, moment in (("b", MOMENT.astimezone(east)), ("a", (MOMENT + timedelta(hours=1)).astimezone(west))):
            connection.execute(insert_of(moment, project))

    await work.store.write(fill)
    query = select(delivery_marks.c.project).order_by(delivery_marks.c.folded_before)
    assert await work.store.read(lambda connection: connection.execute(query).scalars().all()) == ["b", "a"]
    later = query.where(delivery_marks.c.folded_before > MOMENT.astimezone(west))
    assert await work.store.read(lambda connection: connection.execute(later).scalars().all()) == ["a"]


async def test_no_time_stays_no_time(work: Workspace) -> None:
    query = select(lessons.c.last_seen_at).union_all(select(text("NULL")))
    assert await work.store.read(lambda connection: connection.execute(query).scalars().all()) == [None]
