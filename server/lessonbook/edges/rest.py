"""REST: the routes of the system before this one, a twin of every MCP tool, and files from scanners and tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from lessonbook import services
from lessonbook.about import VERSION
from lessonbook.domain import agent_tools
from lessonbook.domain.agent_figures import AgentFigures
from lessonbook.domain.errors import Forbidden, LessonbookError, MissingScope, TooMany
from lessonbook.domain.file_results import FileReport
from lessonbook.domain.findings import Finding, ReportKind
from lessonbook.domain.lesson_reviews import LessonListing, LessonPage, ListedLesson
from lessonbook.domain.lesson_status import LISTED, SERVABLE, Status
from lessonbook.domain.takeback import CleanedUp, Cleanup
from lessonbook.domain.validation import parse, sentences_of
from lessonbook.domain.vocabulary import AgentName, Category, Filled, IdempotencyKey, RunId, Severity, Source
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.api_page import SECURITY_POLICY, api_page
from lessonbook.edges.health import READY, Health, HealthDetails
from lessonbook.edges.hook_requests import LastPrompts, answer_request
from lessonbook.edges.rest_input import KeyHeader, check_parameters, json_object, one_key, received
from lessonbook.edges.schema import input_schema
from lessonbook.edges.tool_table import OPERATIONS, Operation, Toolset

STATUS_OF = {
    "invalid_input": 422,
    "not_found": 404,
    "too_many": 429,
    "conflict": 409,
    "unauthorized": 401,
    "forbidden": 403,
    "insufficient_scope": 403,
    "config": 500,
    "unavailable": 503,
    "internal": 500,
    "error": 400,
}
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
UPLOAD_TIMEOUT_S: Final = 600.0
RUNS_MAX: Final = 100
"""Time-out of refining a file; a retry with the same idempotency key continues where it stopped."""
_PREFIX: Final = "/api/agent-learning"
_NO_OPERATORS: Final = (
    "The operators' tools are not served here, so nothing is cleaned up: run `lessonbook cleanup`, or start the server "
    "with --toolsets agent,operator"
)


class Rework(agent_tools.Request):
    """An issue that sends work back."""

    issue: Annotated[Filled, Field(max_length=20_000)]
    severity: Severity | None = None
    idempotency_key: IdempotencyKey = ""


class Problem(BaseModel):
    """What went wrong, and what to do."""

    error: str
    message: str


def build_rest(gateway: Gateway, toolsets: Sequence[Toolset], root_path: str = "") -> FastAPI:
    """Return the application with every REST route and the translation of errors.

    `root_path` is the prefix under which a proxy serves it.
    """
    app = FastAPI(
        title="Lessonbook",
        version=VERSION,
        summary="Lessons that fit an agent's task, and proof of which ones help.",
        servers=[{"url": root_path}] if root_path else None,
        docs_url=None,
        redoc_url=None,
    )
    router = APIRouter(
        responses=_problems(401, 403, 404, 408, 409, 413, 422, 429, 503), dependencies=[Depends(check_parameters)]
    )
    _add_kept_routes(router, gateway, toolsets)
    _add_twins(router, gateway, toolsets)
    _add_files(router, gateway)
    _add_hooks(router, gateway)
    app.include_router(router)
    app.add_exception_handler(LessonbookError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _unexpected)

    if gateway.is_guarded:
        app.openapi = _asking_for_tokens(app.openapi)

    _add_health(app, gateway)

    if (watcher := gateway.watcher) is not None:

        @app.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            gateway.check("metrics")
            return Response(watcher.text(), headers={"Content-Type": METRICS_TYPE})

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi(), root_path), headers={"Content-Security-Policy": SECURITY_POLICY})

    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of answers that say what went wrong."""
    return {status: {"model": Problem} for status in statuses}


def _asking_for_tokens(describe: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Return a function that describes the API as `describe` does, with the tokens that every route asks for."""

    def described() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return {**document, "security": [{"token": []}]}

    return described


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    code = getattr(error, "code", "error")
    problem = _answer(STATUS_OF.get(code, 400), code, str(error))
    if isinstance(error, MissingScope):  # RFC 6750
        problem.headers["WWW-Authenticate"] = f'Bearer error="{error.code}", scope="{error.scope}"'
    if isinstance(error, TooMany):
        problem.headers["Retry-After"] = str(error.retry_after_s)
    return problem


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    faults = cast("list[ErrorDetails]", error.errors()) if isinstance(error, RequestValidationError) else []
    named = [
        cast("ErrorDetails", {**fault, "loc": fault["loc"][1:]}) for fault in faults
    ]  # without "query" and the like
    return _answer(422, "invalid_input", sentences_of(named, whole="the body"))


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that the framework refuses."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    match status:
        case 404:
            return _answer(404, "not_found", "There is nothing at this address: /openapi.json lists all.")
        case 405:
            return _answer(405, "wrong_method", f"This address does not take {request.method}: see /openapi.json.")
        case _:
            return _answer(status, "error", "The request was not understood: see /openapi.json.")


async def _unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return _answer(500, "internal", "Something went wrong inside the server; its log explains it.")


def _answer(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": code, "message": message}, status)


def _add_kept_routes(router: APIRouter, gateway: Gateway, toolsets: Sequence[Toolset]) -> None:
    # Words that wait for a person are for operators: agents must not read them.
    listed: list[Status] = [status for status in LISTED if status != "quarantined" or "operator" in toolsets]

    @router.get(f"{_PREFIX}/lessons")
    async def lessons(
        agent_name: AgentName = "",
        severity: Severity | None = None,
        category: Category | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str, Query(max_length=500)] = "",
        *,
        active_only: bool = True,
    ) -> LessonPage:
        listing = LessonListing(
            agent_name=agent_name,
            status=[*SERVABLE] if active_only else listed,
            severity=severity,
            category=category,
            limit=limit,
            cursor=cursor,
        )
        return await gateway.call(services.queries.list_lessons, listing)

    @router.get(f"{_PREFIX}/lessons/by-category")
    async def lessons_by_category(agent_name: AgentName = "") -> dict[str, list[ListedLesson]]:
        return await gateway.call(services.queries.lessons_by_category, agent_name)

    @router.get(f"{_PREFIX}/stats")
    async def stats() -> dict[str, list[AgentFigures]]:
        return {"agents": await gateway.call(services.queries.by_agent)}

    @router.get(f"{_PREFIX}/stats/{{agent_name}}")
    async def agent_stats(agent_name: AgentName) -> agent_tools.Stats:
        query = agent_tools.StatsQuery(agent_name=agent_name)
        return await gateway.call(services.queries.get_stats, query)

    @router.post(f"{_PREFIX}/maintenance/cleanup-low-effectiveness")
    async def cleanup(
        threshold: Annotated[float, Query(ge=0, le=1)] = 0.3,
        min_applications: Annotated[int, Query(ge=1, le=1_000_000)] = 5,
        idempotency_key: IdempotencyKey = "",
        key_header: KeyHeader = "",
        *,
        dry_run: bool = False,
    ) -> CleanedUp:
        if "operator" not in toolsets:
            raise Forbidden(_NO_OPERATORS)
        key = one_key(idempotency_key, key_header)
        wanted = Cleanup(threshold=threshold, min_applications=min_applications, dry_run=dry_run, idempotency_key=key)
        return await gateway.call(services.background.cleanup_lessons, wanted)

    @router.post("/api/rework", openapi_extra=_json_body(Rework))
    async def rework(request: Request, key_header: KeyHeader = "") -> agent_tools.Refinement:
        with gateway.watched(services.report.refine):
            gateway.check(services.report.refine)
            body = parse(Rework, await json_object(request))
            key = one_key(body.idempotency_key, key_header)
            finding = Finding(description=body.issue, severity=body.severity)
            batch = services.report.Batch([finding], source="user", idempotency_key=key, tool="rework")
            return await gateway.call(services.report.refine, batch)


def _add_health(app: FastAPI, gateway: Gateway) -> None:
    """Register what probes ask, which needs no token, and what operators ask."""
    health = Health(gateway)

    ill: dict[int | str, dict[str, Any]] = {503: {"description": "The same, of a server that is not well."}}

    @app.get("/healthz", tags=["health"], openapi_extra={"security": []}, responses=_problems(403) | ill)
    async def healthz() -> JSONResponse:
        alive = await health.is_alive()
        return JSONResponse({"ok": alive}, 200 if alive else 503)

    @app.get("/readyz", tags=["health"], openapi_extra={"security": []}, responses=_problems(403) | ill)
    async def readyz() -> JSONResponse:
        reason = await health.readiness()
        return JSONResponse({"ready": reason == READY, "reason": reason}, 200 if reason == READY else 503)

    @app.get(f"{_PREFIX}/health", responses=_problems(401, 403) | ill)
    async def kept_health() -> JSONResponse:
        gateway.check(services.background.is_alive)
        connected = await health.is_alive()
        body = {
            "status": "healthy" if connected else "unhealthy",
            "database": "connected" if connected else "disconnected",
            "service": "AgentRefiner",
            "version": VERSION,
        }
        return JSONResponse(body, 200 if connected else 503)

    @app.get(f"{_PREFIX}/health/details", responses=_problems(401, 403, 503))
    async def details() -> HealthDetails:
        gateway.check("health_details")
        return await health.details()


def _add_twins(router: APIRouter, gateway: Gateway, toolsets: Sequence[Toolset]) -> None:
    """Register `POST /api/{tool}` for every tool served: the body has its arguments, the answer its result."""
    for operation in (operation for operation in OPERATIONS if operation.toolset in toolsets):
        router.add_api_route(
            f"/api/{operation.name}",
            _twin(gateway, operation),
            methods=["POST"],
            response_model=operation.result,
            summary=operation.title,
            description=operation.description,
            tags=[operation.toolset],
            openapi_extra=_json_body(operation.request),
        )


def _json_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that `json_object` reads."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": input_schema(model)}}}}


def _twin(gateway: Gateway, operation: Operation) -> Callable[..., Awaitable[agent_tools.Result]]:
    async def twin(request: Request) -> agent_tools.Result:
        with gateway.watched(operation):
            gateway.check(operation)
            return await gateway.call(operation, parse(operation.request, await json_object(request)))

    return twin


def _add_files(router: APIRouter, gateway: Gateway) -> None:
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
        kind: ReportKind,
        request: Request,
        agent_name: AgentName = "",
        run_id: Annotated[list[RunId], Query(max_length=RUNS_MAX)] = [],  # noqa: B006  # FastAPI copies it
        source: Source | None = None,
        idempotency_key: IdempotencyKey = "",
        key_header: KeyHeader = "",
    ) -> FileReport:
        gateway.check(services.report.report_file)  # before the file is read
        key = one_key(idempotency_key, key_header)
        async with received(request) as data:
            return await gateway.call_for(
                gateway.caller(),
                UPLOAD_TIMEOUT_S,
                services.report.report_file,
                data,
                kind=kind,
                agent_name=agent_name,
                run_ids=[one for one in run_id if one],
                source=source,
                idempotency_key=key,
            )


def _add_hooks(router: APIRouter, gateway: Gateway) -> None:
    prompts = LastPrompts()

    @router.post("/api/hooks", tags=["hooks"], openapi_extra=_HOOK_BODY)
    async def ask(request: Request) -> dict[str, Any]:
        """Answer what `lessonbook hook` asks at an event of a client."""
        gateway.check(services.serve.get_lessons)
        return await answer_request(gateway, await json_object(request), prompts)


_HOOK_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"ask": {"enum": ["lessons", "report", "record"]}, "run_id": {"type": "string"}},
                    "required": ["ask"],
                }
            }
        },
    }
}
