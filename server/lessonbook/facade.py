"""For agents in the same process: plain functions, callable with or without a running event loop."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import anyio.from_thread

from lessonbook.app import desk_for
from lessonbook.config import load_settings
from lessonbook.models.loop import LessonQuery, Report
from lessonbook.models.validation import parse

T = TypeVar("T")


class AgentRefiner:
    """Lessons in, issues out, for code that runs in the same process.

    Its work happens on an event loop of its own in another thread, so it may be called from anywhere.
    """

    def __init__(self, **settings: Any) -> None:
        self._desk = desk_for(load_settings(settings or None), "local")
        self._portal_context = anyio.from_thread.start_blocking_portal("asyncio")
        self._portal = self._portal_context.__enter__()

    def load_lessons_for_agent(self, agent_name: str, task: str = "") -> list[str]:
        """Return the texts of the lessons that fit, best first; `[]` where nothing is known.

        Raises:
            InvalidInput: an argument is out of bounds.
            Unavailable: the database does not answer.
        """
        from lessonbook import services  # noqa: PLC0415  # loads the store, which importing the package must not

        query = parse(LessonQuery, {"agent_name": agent_name, "task": task, "max_lessons": 50, "max_tokens": 8_000})

        async def act() -> list[str]:
            answer = await services.serve.get_lessons(await self._desk.workspace(), self._desk.caller(), query)
            return [lesson.text for lesson in answer.lessons]

        return self._portal.call(act)

    def analyze_and_refine(
        self, agent_name: str | None, issues: list[dict[str, Any] | str], run_id: str | None = None
    ) -> dict[str, Any]:
        """Report issues, each a text or the fields of `report_issues`, and return what became of them.

        Raises:
            InvalidInput: an issue is empty or out of bounds.
            NotFound: the run does not exist.
            Unavailable: the database does not answer.
        """
        from lessonbook import services  # noqa: PLC0415  # as above

        fields = [{"description": issue} if isinstance(issue, str) else issue for issue in issues]
        report = parse(Report, {"agent_name": agent_name or "", "issues": fields, "run_id": run_id or ""})

        async def act() -> dict[str, Any]:
            result = await services.report.report_issues(await self._desk.workspace(), self._desk.caller(), report)
            return result.model_dump(mode="json")

        return self._portal.call(act)

    def close(self) -> None:
        """Close the database and end the thread."""
        self._portal.call(self._desk.close)
        self._portal_context.__exit__(None, None, None)


_refiner: AgentRefiner | None = None
_making = threading.Lock()


def get_agent_refiner() -> AgentRefiner:
    """Return this process's refiner, with the settings of the environment and the configuration file."""
    global _refiner  # noqa: PLW0603  # one per process is what the name promises
    with _making:
        if _refiner is None:
            _refiner = AgentRefiner()
        return _refiner
