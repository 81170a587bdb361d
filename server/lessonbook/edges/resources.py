"""Resources: lessons, one lesson, statistics, by address."""

from __future__ import annotations

import json
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity

from lessonbook import services
from lessonbook.domain.errors import InvalidInput, LessonbookError, NotFound
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.loop import LessonQuery, StatsQuery
from lessonbook.domain.operator import LessonChoice, LessonDetail, ListedLesson
from lessonbook.domain.validation import parse
from lessonbook.edges.access.desk import Desk, answer
from lessonbook.edges.text_form import of_lessons

_NAMES = ResourceSecurity(reject_path_traversal=False, reject_absolute_paths=False)
"""What stands in these addresses are names, never file paths."""


def add_resources(server: MCPServer[Any], desk: Desk, *, operators: bool) -> None:
    """Register the resource templates. Evidence is for `operators`: agents never get the words of an issue."""

    @server.resource(
        "lessons://{project}/{agent_name}",
        name="lessons",
        title="Lessons of an agent",
        description="The prompt section of an agent. Reading it logs a run.",
        mime_type="text/markdown",
        security=_NAMES,
    )
    async def lessons(project: str, agent_name: str) -> str:
        async def act() -> str:
            _check(desk, project)
            query = parse(LessonQuery, {"agent_name": agent_name})
            result = await services.serve.get_lessons(await desk.workspace(), desk.caller(), query)
            return of_lessons(result)

        return await _told(act)

    @server.resource(
        "lesson://{id}",
        name="lesson",
        title="One lesson",
        description="A lesson with its history, provenance and evidence.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def lesson(id: str) -> str:  # noqa: A002  # the address's own word
        async def act() -> str:
            lesson_id = parse(LessonChoice, {"lesson_id": id}).lesson_id
            detail = await services.views.get_lesson(await desk.workspace(), desk.caller(), lesson_id)
            return (detail if operators else _served(detail)).model_dump_json(indent=2)

        return await _told(act)

    @server.resource(
        "stats://{project}",
        name="stats",
        title="Statistics of the project",
        description="Counts and effect per agent.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def stats(project: str) -> str:
        async def act() -> str:
            _check(desk, project)
            return json.dumps(await services.views.by_agent(await desk.workspace(), desk.caller()), indent=2)

        return await _told(act)

    @server.resource(
        "stats://{project}/{agent_name}",
        name="agent-stats",
        title="Statistics of an agent",
        description="Counts, effect and most frequent issues of one agent.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def agent_stats(project: str, agent_name: str) -> str:
        async def act() -> str:
            _check(desk, project)
            query = parse(StatsQuery, {"agent_name": agent_name})
            result = await services.views.get_stats(await desk.workspace(), desk.caller(), query)
            return result.model_dump_json(indent=2)

        return await _told(act)


def _served(detail: LessonDetail) -> ListedLesson:
    """Return what an agent may see of a lesson."""
    if detail.lesson.status not in SERVABLE:
        raise NotFound(f"Lesson {detail.lesson.id!r} is not served now: get_lessons gives those that are")
    return detail.lesson


def _check(desk: Desk, project: str) -> None:
    if project != desk.caller().project:
        raise NotFound(f"This server serves project {desk.caller().project!r} only")


async def _told(act: Any) -> str:
    try:
        return await answer(act)
    except (NotFound, InvalidInput) as error:
        raise ResourceNotFoundError(str(error)) from error
    except LessonbookError as error:
        raise ResourceError(str(error)) from error
