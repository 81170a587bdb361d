"""What a caller reads of a call that took too long: of a key only where the call takes one."""

from contextlib import nullcontext
from types import SimpleNamespace

import anyio
import pytest

from lessonbook.domain.agent_tools import Flag, StatsQuery
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.edges.access.gateway import Gateway

pytestmark = pytest.mark.anyio


async def waits(*_: object) -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("request_", "speaks_of_keys"),
    [(StatsQuery(), False), (Flag(lesson_id="L1", reason="x"), True)],
)
async def test_a_failed_read_never_speaks_of_keys(request_: object, speaks_of_keys: bool):
    caller = Caller("demo", "local")
    gateway = Gateway(_ready, caller)  # pyright: ignore[reportArgumentType]
    with pytest.raises(Unavailable, match="took too long") as caught:
        await gateway.call_for(caller, 0.01, waits, request_)
    assert ("key" in str(caught.value)) == speaks_of_keys


async def _ready() -> SimpleNamespace:
    """Return what stands for the workspace, of which a call here only asks for its project."""

    async def resolve(_: object, caller: object) -> object:
        return caller

    names, store = SimpleNamespace(resolve=resolve), SimpleNamespace(within=lambda _: nullcontext())
    return SimpleNamespace(project_names=names, store=store)
