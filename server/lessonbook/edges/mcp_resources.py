"""The MCP resources: lessons, one lesson, statistics, by address."""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import ResourceSecurity
from mcp_types import Resource

from lessonbook import services
from lessonbook.domain.agent_tools import LessonQuery, StatsQuery
from lessonbook.domain.errors import InvalidInput, LessonbookError, NotFound
from lessonbook.domain.lesson_reviews import LessonChoice
from lessonbook.domain.validation import parse
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.result_text import of_lessons
from lessonbook.edges.tool_table import operation_named

log = logging.getLogger(__name__)

_NAMES = ResourceSecurity(reject_path_traversal=False, reject_absolute_paths=False)
"""The parts of these addresses are names, not file paths."""


def add_resources(server: MCPServer[Any], gateway: Gateway, *, operators: bool) -> None:
    """Register the resource templates. Only `operators` get the words of issues."""

    @server.resource(
        "lessons://{project}/{agent_name}",
        name="lessons",
        title="Lessons of an agent",
        description="The prompt section of an agent. Reading it logs a run.",
        mime_type="text/markdown",
        security=_NAMES,
    )
    async def lessons(project: str, agent_name: str) -> str:
        with _translated():
            _check(gateway, project)
            query = parse(LessonQuery, {"agent_name": agent_name})
            return of_lessons(await gateway.call(services.serve.get_lessons, query))

    @server.resource(
        "lesson://{id}",
        name="lesson",
        title="One lesson",
        description="A lesson with its history, provenance and evidence.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def lesson(id: str) -> str:  # noqa: A002  # the address's own word
        with _translated():
            lesson_id = parse(LessonChoice, {"lesson_id": id}).lesson_id
            if operators and gateway.allows(services.queries.get_lesson):
                return (await gateway.call(services.queries.get_lesson, lesson_id)).model_dump_json(indent=2)
            return (await gateway.call(services.queries.get_served_lesson, lesson_id)).model_dump_json(indent=2)

    @server.resource(
        "stats://{project}",
        name="stats",
        title="Statistics of the project",
        description="Counts and effect per agent.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def stats(project: str) -> str:
        with _translated():
            _check(gateway, project)
            figures = await gateway.call(services.queries.by_agent)
            return json.dumps([row.model_dump(mode="json") for row in figures], indent=2)

    @server.resource(
        "stats://{project}/{agent_name}",
        name="agent-stats",
        title="Statistics of an agent",
        description="Counts, effect and most frequent issues of one agent.",
        mime_type="application/json",
        security=_NAMES,
    )
    async def agent_stats(project: str, agent_name: str) -> str:
        with _translated():
            _check(gateway, project)
            query = parse(StatsQuery, {"agent_name": agent_name})
            figures = await gateway.call(services.queries.get_stats, query)
            return json.dumps(operation_named("get_stats").structured(figures), indent=2)


async def list_concrete(gateway: Gateway) -> list[Resource]:
    """Return the resources that exist now: the project's statistics, and the lessons of each agent that has some.

    Where the database does not answer, the statistics alone: a client that only looks round gets no error.
    """
    project = gateway.caller().project
    place = quote(project, safe="")
    agents: list[str] = []
    try:
        if gateway.allows(services.queries.agents_with_lessons):
            agents = await gateway.call(services.queries.agents_with_lessons)
    except LessonbookError as error:
        log.warning("agents could not be listed as resources: %s", error)
    stats = Resource(
        uri=f"stats://{place}",
        name="stats",
        title=f"Statistics of {project}",
        description="Counts and effect per agent.",
        mime_type="application/json",
    )
    return [stats, *(_lessons_of(place, agent_name) for agent_name in agents)]


def _lessons_of(place: str, agent_name: str) -> Resource:
    return Resource(
        uri=f"lessons://{place}/{quote(agent_name, safe='')}",
        name=f"lessons of {agent_name}",
        title="Lessons for all agents" if agent_name == SHARED_AGENT else f"Lessons of {agent_name}",
        description="A section for your prompt. Reading it logs a run.",
        mime_type="text/markdown",
    )


def _check(gateway: Gateway, project: str) -> None:
    if project != gateway.caller().project:
        raise NotFound(f"This server serves project {gateway.caller().project!r} only")


@contextmanager
def _translated() -> Generator[None]:
    """Raise our errors as the SDK's."""
    try:
        yield
    except (NotFound, InvalidInput) as error:
        raise ResourceNotFoundError(str(error)) from error
    except LessonbookError as error:
        raise ResourceError(str(error)) from error
