"""A stream ends once its token is not valid any more."""

import asyncio

import pytest

from lessonbook.domain.errors import Unauthorised, Unavailable
from lessonbook.edges.access.token_expiry import Validity
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio


async def test_work_is_broken_off_when_the_token_ends_and_not_while_nobody_knows() -> None:
    answers = iter([None, Unavailable(), None, Unauthorised()])
    looks: list[Exception | None] = []
    ended = asyncio.Event()

    async def check() -> None:
        looks.append(next(answers))
        if looks[-1] is not None:
            raise looks[-1]

    async def stream() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with asyncio.timeout(PATIENCE_S):
        await Validity(check, 0.0).guard(stream())
    assert ended.is_set()
    assert len(looks) == 4
    await asyncio.sleep(0)  # the task itself goes on


async def test_work_that_ends_by_itself_is_left_alone_and_failures_are_passed_on() -> None:
    async def check() -> None:
        raise Unauthorised

    async def fail() -> None:
        raise KeyError

    async def done() -> None:
        return

    validity = Validity(check, 3_600.0)
    await validity.guard(done())
    with pytest.raises(KeyError):
        await validity.guard(fail())


async def test_a_caller_that_goes_away_cancels_the_work() -> None:
    begun = asyncio.Event()

    async def stream() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def check() -> None:
        return

    task = asyncio.ensure_future(Validity(check, 3_600.0).guard(stream()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
