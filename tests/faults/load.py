"""Callers that report under load and do as refusals say: they send the same again, under the same key."""

import asyncio
from collections.abc import Iterator

from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.services.serve import delivery
from lessonbook.services.workspace import Workspace
from tests.store.scenario import AGENT, issue, tell

WORKER = Caller("demo", "worker")


class Load:
    """A number of callers that report one issue after the other until they are told to stop, or all are done."""

    def __init__(self, work: Workspace) -> None:
        self._work = work
        self.acknowledged: list[str] = []
        self.refusals: list[str] = []
        self._progress, self._refusal = asyncio.Event(), asyncio.Event()

    async def run(self, callers: int, calls: int) -> None:
        """Let callers work on `calls` calls together, every third for lessons."""
        numbers = iter(range(calls))
        await asyncio.gather(*(self._call(numbers) for _ in range(callers)))

    async def _call(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            while True:
                try:
                    await self._once(number)
                    break
                except Unavailable as refusal:
                    self.refusals.append(str(refusal))
                    self._refusal.set()
                    await asyncio.sleep(0.01)  # a client that is refused waits, too; no test waits for this

    async def _once(self, number: int) -> None:
        if number % 3 == 0:
            query = LessonQuery(agent_name=AGENT, task="uploads", run_id=f"r{number}")
            await delivery.get_lessons(self._work, WORKER, query)
            return
        await tell(self._work, WORKER, issue(number), idempotency_key=f"k{number}")
        self.acknowledged.append(f"k{number}")
        self._progress.set()

    async def acknowledges(self, count: int) -> None:
        """Wait until so many reports more than now are acknowledged."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            self._progress.clear()
            await self._progress.wait()

    async def is_refused(self) -> None:
        """Wait until a caller is refused."""
        self._refusal.clear()
        await self._refusal.wait()
