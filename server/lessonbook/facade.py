"""The Python API for agents in the same process: plain functions, with or without a running event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from lessonbook.app import gateway_for
from lessonbook.config.settings import load_settings
from lessonbook.domain.agent_tools import LessonQuery, Report
from lessonbook.domain.errors import Unavailable
from lessonbook.domain.principals import LOCAL
from lessonbook.domain.validation import parse
from lessonbook.edges.background import Housekeeper

T = TypeVar("T")


class AgentRefiner:
    """Gets lessons and reports issues, for code in the same process.

    It runs its own event loop in a daemon thread, so it may be called from any thread. The thread also does the upkeep
    of the project, as a server does, unless another process does it: agents in the same process may have no server.
    """

    def __init__(self, **settings: Any) -> None:
        self._gateway = gateway_for(load_settings(settings or None), LOCAL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lessonbook-refiner", daemon=True)
        self._thread.start()
        self._upkeep = asyncio.run_coroutine_threadsafe(Housekeeper(self._gateway).run(), self._loop)
        self._closing = threading.Lock()

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._loop.is_closed()

    def load_lessons_for_agent(self, agent_name: str, task: str = "") -> list[str]:
        """Return the texts of the lessons that fit, best first: at most 50, of at most 8,000 tokens together.

        The list is empty where no lesson fits. The call is logged as a run of its own.

        Raises:
            InvalidInput: an argument is out of bounds.
            Unavailable: the database does not answer, or the refiner is closed.
        """
        from lessonbook import services  # noqa: PLC0415  # loads the store, which importing the package must not

        query = parse(LessonQuery, {"agent_name": agent_name, "task": task, "max_lessons": 50, "max_tokens": 8_000})

        answer = self._call(self._gateway.call(services.serve.get_lessons, query))
        return [lesson.text for lesson in answer.lessons]

    def analyze_and_refine(
        self, agent_name: str | None, issues: list[dict[str, Any] | str], run_id: str | None = None
    ) -> dict[str, Any]:
        """Report issues, each a text or the fields of `report_issues`, and return what became of them.

        Raises:
            InvalidInput: an issue is empty or out of bounds.
            NotFound: the run does not exist.
            Unavailable: the database does not answer, or the refiner is closed.
        """
        from lessonbook import services  # noqa: PLC0415  # as above

        fields = [{"description": issue} if isinstance(issue, str) else issue for issue in issues]
        report = parse(Report, {"agent_name": agent_name or "", "issues": fields, "run_id": run_id or ""})

        return self._call(self._gateway.call(services.report.report_issues, report)).model_dump(mode="json")

    def close(self) -> None:
        """Close the database and end the thread. A second call does nothing."""
        with self._closing:
            if self.closed:
                return
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        self._upkeep.cancel()
        running = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*running, return_exceptions=True)
        await self._gateway.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` on the refiner's event loop, and return its result."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # the loop is closed
            work.close()
            raise Unavailable("This refiner is closed: get_agent_refiner() gives a new one.") from error
        return future.result()


_refiner: AgentRefiner | None = None
_making = threading.Lock()


def get_agent_refiner() -> AgentRefiner:
    """Return this process's refiner, with the settings of the environment and the configuration file.

    Raises:
        ConfigError: a setting is wrong.
    """
    global _refiner  # noqa: PLW0603  # one per process is what the name promises
    with _making:
        if _refiner is None or _refiner.closed:
            _refiner = AgentRefiner()
        return _refiner


def _forget() -> None:
    """Let a forked process make a refiner of its own: threads and connections stay with the parent."""
    global _refiner, _making
    _refiner, _making = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
