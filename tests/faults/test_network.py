"""A network between server and PostgreSQL that delays, cuts and truncates, around COMMIT as well."""

import asyncio
import random

import pytest

from lessonbook.config.settings import Settings
from lessonbook.services.opening import open_workspace
from tests.faults.load import Load
from tests.faults.soundness import afterwards, assert_sound
from tests.store.obstacles import Proxy
from tests.store.scenario import checked_out

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.parametrize("dialect", ["postgresql"])]


class BadNetwork(Proxy):
    """A way to PostgreSQL on which each message may go wrong, by a seed; after some harm it is a good one."""

    def __init__(self, url: str, seed: int) -> None:
        super().__init__(url)
        self._dice = random.Random(seed)
        self._left = self._commits = 0
        self.done: list[str] = []

    def begin(self, harms: int) -> None:
        """Do harm from now on, so many times; delays do not count."""
        self._left, self._commits = harms, 0

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_client: bool) -> None:
        try:
            while content := await source.read(65_536):
                if (harm := self._harm(content, is_client=is_client)) == "delay":
                    await asyncio.sleep(self._dice.uniform(0, 0.02))
                elif harm == "lose":  # the other side never gets it
                    break
                elif harm == "truncate":
                    content = content[: len(content) // 2]
                target.write(content)
                await target.drain()
                if harm in {"cut", "truncate"}:
                    break
        except OSError:
            pass
        finally:
            target.close()

    def _harm(self, content: bytes, *, is_client: bool) -> str:
        if not self._left:
            return ""
        if is_client and b"COMMIT;" in content:  # before the server has it, or when it has and cannot answer
            self._commits += 1
            chosen = {2: "lose", 4: "cut"}.get(self._commits % 8, "")
        else:
            chosen = self._dice.choices(["", "delay", "lose", "truncate", "cut"], [500, 20, 2, 2, 2])[0]
        if chosen not in {"", "delay"}:
            self._left -= 1
            self.done.append(f"{chosen} COMMIT" if b"COMMIT;" in content else chosen)
        return chosen


@pytest.mark.parametrize(
    ("calls", "harms", "seed"),
    [(60, 16, 1), *(pytest.param(2_000, 400, seed, marks=pytest.mark.long) for seed in (2, 3))],
)
async def test_calls_over_a_bad_network_are_done_once_each(
    database_url: str, calls: int, harms: int, seed: int
) -> None:
    network = BadNetwork(database_url, seed)
    async with network.open() as url:
        work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": url}}))
        network.begin(harms)
        load = Load(work)
        await load.run(8, calls)
        assert len(network.done) == harms
        assert {"lose COMMIT", "cut COMMIT"} <= set(network.done)
        assert checked_out(work.store) == 0
        await work.store.close()
    assert len(load.acknowledged) == calls - len(range(0, calls, 3))
    assert [
        words for words in load.refusals if "nothing was changed" not in words and "same idempotency_key" not in words
    ] == []
    async with afterwards(database_url) as seen:
        await assert_sound(seen, load.acknowledged)
