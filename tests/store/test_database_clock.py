"""The database's time: one clock for all replicas, whatever the machines of the servers say."""

from datetime import UTC, datetime, timedelta

import pytest

from lessonbook.config.settings import Settings
from lessonbook.services.opening import open_workspace
from lessonbook.store.database_clock import DatabaseClock
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address
from tests.store.scenario import scalar

pytestmark = pytest.mark.anyio


class Answering:
    """Stands for a connection whose database says that it is this time."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def execute(self, _: object) -> "Answering":
        return self

    def scalar_one(self) -> datetime:
        return self.at


def test_a_server_goes_by_the_databases_time_however_far_its_own_is_off() -> None:
    far = datetime.now(UTC) + timedelta(days=400)
    clock = DatabaseClock()
    assert clock.is_stale
    assert clock.now() < far - timedelta(days=300)
    clock.measure(Answering(far))  # pyright: ignore[reportArgumentType]
    assert not clock.is_stale
    first, second = clock.now(), clock.now()
    assert far <= first <= second < far + timedelta(days=1)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_workspace_on_postgresql_has_the_databases_time(database_url: str) -> None:
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": database_url}}))
    before = await scalar(work.store, "SELECT clock_timestamp()")
    told = work.now()
    after = await scalar(work.store, "SELECT clock_timestamp()")
    await work.store.close()
    slack = timedelta(seconds=5)  # a measurement is off by a round trip at most
    assert before - slack <= told <= after + slack
    assert connect(parse_address(database_url)).now().tzinfo is not None
