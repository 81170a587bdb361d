"""REST: the routes of the system before this one, a twin of every MCP tool, and files from scanners and tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from lessonbook import __version__, services
from lessonbook.edges.desk import Desk, answer
from lessonbook.edges.operations import OPERATIONS, Operation
from lessonbook.errors import InvalidInput, LessonbookError
from lessonbook.models import loop
from lessonbook.models.operator import Cleanup, FileReport, LessonListing, ListedLesson
from lessonbook.models.validation import parse
from lessonbook.models.vocabulary import AgentName, Category, Filled, Severity, Source

T = TypeVar("T")

STATUS_OF = {
    "invalid_input": 422,
    "not_found": 404,
    "conflict": 409,
    "forbidden": 403,
    "config": 500,
    "unavailable": 503,
    "internal": 500,
    "error": 400,
}
_PREFIX = "/api/agent-learning"


class Rework(BaseModel):
    """An issue that sends work back."""

    issue: Annotated[Filled, Field(max_length=20_000)]
    severity: Severity | None = None


class Problem(BaseModel):
    """What went wrong, and what to do."""

    error: str
    message: str


def add_rest(app: FastAPI, desk: Desk) -> None:
    """Register every REST route and the translation of errors."""
    responses: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (403, 404, 409, 422, 503)}
    router = APIRouter(responses=responses)
    _add_kept_routes(router, desk)
    _add_twins(router, desk)
    _add_files(router, desk)
    app.include_router(router)
    app.add_exception_handler(LessonbookError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    code = getattr(error, "code", "error")
    return JSONResponse({"error": code, "message": str(error)}, STATUS_OF.get(code, 400))


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults[:3])
    return JSONResponse({"error": "invalid_input", "message": told}, 422)


def _add_kept_routes(router: APIRouter, desk: Desk) -> None:
    @router.get(f"{_PREFIX}/lessons")
    async def lessons(
        agent_name: AgentName = "",
        severity: Severity | None = None,
        category: Category | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str, Query(max_length=500)] = "",
        *,
        active_only: bool = True,
    ) -> dict[str, Any]:
        listing = LessonListing(
            agent_name=agent_name,
            status=["probation", "active"] if active_only else [],
            severity=severity,
            category=category,
            limit=limit,
            cursor=cursor,
        )
        return (await _do(desk, lambda work: services.browse.list_lessons(work, desk.caller(), listing))).model_dump()

    @router.get(f"{_PREFIX}/lessons/by-category")
    async def lessons_by_category(agent_name: AgentName = "") -> dict[str, list[ListedLesson]]:
        return await _do(desk, lambda work: services.browse.lessons_by_category(work, desk.caller(), agent_name))

    @router.get(f"{_PREFIX}/stats")
    async def stats() -> dict[str, Any]:
        rows = await _do(desk, lambda work: services.stats.by_agent(work, desk.caller()))
        return {"agents": rows}

    @router.get(f"{_PREFIX}/stats/{{agent_name}}")
    async def agent_stats(agent_name: AgentName) -> loop.Stats:
        query = loop.StatsQuery(agent_name=agent_name)
        return await _do(desk, lambda work: services.stats.get_stats(work, desk.caller(), query))

    @router.post(f"{_PREFIX}/maintenance/cleanup-low-effectiveness")
    async def cleanup(
        threshold: Annotated[float, Query(ge=0, le=1)] = 0.3,
        min_applications: Annotated[int, Query(ge=1, le=1_000_000)] = 5,
        *,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        asked = Cleanup(threshold=threshold, min_applications=min_applications, dry_run=dry_run)
        return (
            await _do(desk, lambda work: services.maintain.cleanup_lessons(work, desk.caller(), asked))
        ).model_dump()

    @router.get(f"{_PREFIX}/health")
    async def health() -> JSONResponse:
        connected = await is_alive(desk)
        body = {
            "status": "healthy" if connected else "unhealthy",
            "database": "connected" if connected else "disconnected",
            "service": "AgentRefiner",
            "version": __version__,
        }
        return JSONResponse(body, 200 if connected else 503)

    @router.post("/api/rework")
    async def rework(body: Rework) -> loop.Refinement:
        issue = loop.ReportedIssue(description=body.issue, severity=body.severity)
        report = loop.Report(issues=[issue], source="user")
        return await _do(desk, lambda work: services.report.report_issues(work, desk.caller(), report))


def _add_twins(router: APIRouter, desk: Desk) -> None:
    """Register `POST /api/{tool}` for every MCP tool: the tool's arguments as body, its structured result as answer."""
    for operation in OPERATIONS:
        router.add_api_route(
            f"/api/{operation.name}",
            _twin(desk, operation),
            methods=["POST"],
            response_model=operation.result,
            summary=operation.title,
            description=operation.description,
            tags=[operation.toolset],
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": operation.request.model_json_schema()}},
                }
            },
        )


def _twin(desk: Desk, operation: Operation) -> Callable[..., Awaitable[loop.Result]]:
    async def twin(request: Request) -> loop.Result:
        values = await _json_object(request)
        asked = parse(operation.request, values)
        return await answer(lambda: desk.act(operation, desk.caller(), asked))

    return twin


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        values = await request.json()
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is no JSON: send the tool's arguments as a JSON object") from error
    if not isinstance(values, dict):
        raise InvalidInput("The body is no JSON object: send the tool's arguments by name")
    return values


def _add_files(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/api/reports/{kind}",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def post_file(
        kind: Literal["sarif", "junit", "text", "auto"],
        request: Request,
        agent_name: AgentName = "",
        run_id: Annotated[str, Query(max_length=200)] = "",
        source: Source = "ci",
        idempotency_key: Annotated[str, Query(max_length=200)] = "",
    ) -> FileReport:
        data = await request.body()
        return await _do(
            desk,
            lambda work: services.files.report_file(
                work,
                desk.caller(),
                data,
                kind=kind,
                agent_name=agent_name,
                run_id=run_id,
                source=source,
                idempotency_key=idempotency_key,
            ),
        )


async def is_alive(desk: Desk) -> bool:
    """Return whether the database answers."""
    try:
        workspace = await desk.workspace()
        return await answer(lambda: services.maintain.is_alive(workspace))
    except LessonbookError:
        return False


async def _do(desk: Desk, act: Callable[[Any], Awaitable[T]]) -> T:
    workspace = await desk.workspace()
    return await answer(lambda: act(workspace))
