"""What somebody sends is gone through on a worker thread, neither on the event loop nor inside a transaction."""

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType

import pytest

from lessonbook.classify.agent_roster import Roster
from lessonbook.domain.lesson import Caller
from lessonbook.search.subjects import subjects_of
from lessonbook.services.report.preparation import prepare
from tests.services.conftest import Loop

pytestmark = pytest.mark.anyio

PATHS = ["/" * 1_000] * 100 + [f"src/api/routes/{number}.py" for number in range(100)]
WATCHED = {function.__code__: function.__name__ for function in (prepare, subjects_of)}


class Watched(Roster):
    """A roster that notes on which thread it is asked, and by which functions."""

    def __init__(self, roster: Roster) -> None:
        super().__init__(roster.agents)
        self.asked: list[tuple[threading.Thread, set[str]]] = []

    def routes(
        self, text: str, files: Sequence[str] = (), words: Sequence[float] | None = None
    ) -> list[tuple[str, float]]:
        frame: FrameType | None = sys._getframe()
        callers: set[str] = set()
        while frame is not None:
            callers.add(frame.f_code.co_name)
            frame = frame.f_back
        self.asked.append((threading.current_thread(), callers))
        return super().routes(text, files, words)


class OnTheLoop:
    """Notes which functions run on the thread of the event loop."""

    def __enter__(self) -> list[str]:
        self.ran: list[str] = []

        def note(frame: FrameType, event: str, _value: object) -> None:
            if event == "call" and frame.f_code in WATCHED:
                self.ran.append(WATCHED[frame.f_code])

        sys.setprofile(note)
        return self.ran

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def watched(loop: Loop) -> tuple[Loop, Watched]:
    roster = Watched(loop.work.roster)
    return Loop(replace(loop.work, roster=roster)), roster


def check(roster: Watched, times: int) -> None:
    assert len(roster.asked) == times
    for thread, callers in roster.asked:
        assert thread is not threading.main_thread()
        assert not thread.name.startswith("lessonbook-")
        assert not callers & {"_transact", "_once", "transaction", "act"}


async def test_a_task_is_routed_on_a_worker_thread_before_the_transaction(loop: Loop, agent: Caller) -> None:
    loop, roster = watched(loop)
    await loop.learn(agent, "Give each outgoing request a timeout.", agent_name="APIDevelopmentAgent")
    roster.asked.clear()
    with OnTheLoop() as ran:
        served = await loop.get(agent, agent_name="", task="add a request to the endpoint " * 100, files=PATHS)
    assert served.agent_name == "APIDevelopmentAgent"
    check(roster, 1)
    assert ran == []


async def test_a_short_task_is_read_where_the_call_is_once_the_models_are_loaded(loop: Loop, agent: Caller) -> None:
    with OnTheLoop() as ran:
        await loop.get(agent, task="add a request to the endpoint")
        assert ran == []
        await loop.get(agent, task="add a request to the endpoint")
        assert ran == ["subjects_of"]


async def test_issues_are_prepared_and_routed_on_a_worker_thread_before_the_transaction(
    loop: Loop, agent: Caller
) -> None:
    loop, roster = watched(loop)
    issues = [
        {"description": f"The REST endpoint {number} answers 200 with an error", "file": "/" * 1_000}
        for number in range(20)
    ]
    with OnTheLoop() as ran:
        refined = await loop.report(agent, *issues, agent_name="", idempotency_key="once")
    assert {issue.agent_name for issue in refined.issues} == {"APIDevelopmentAgent"}
    check(roster, 20)
    assert ran == []


async def test_issues_of_an_agent_that_is_known_are_not_routed(loop: Loop, agent: Caller) -> None:
    loop, roster = watched(loop)
    await loop.report(agent, "It broke", agent_name="backend")
    assert roster.asked == []
