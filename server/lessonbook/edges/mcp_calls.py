"""MCP tools from operations: arguments checked strictly, errors in words, results as text and as structured content."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from mcp.server.elicitation import AcceptedElicitation
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Resolve, build_resolver_plans, resolve_arguments
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import ArgModelBase, FuncMetadata
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputRequiredResult, TextContent, ToolAnnotations
from pydantic import Field

from lessonbook.domain.agent_tools import Request
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.validation import parse
from lessonbook.edges.access.gateway import TOOL_TIMEOUT_S, Gateway, answer
from lessonbook.edges.elicitation import Confirmation, question_of
from lessonbook.edges.schema import input_schema, output_schema
from lessonbook.edges.tool_table import OPERATIONS, Operation, Toolset

log = logging.getLogger(__name__)


def make_tools(gateway: Gateway, toolsets: Sequence[Toolset], *, asks_person: bool) -> list[Tool]:
    """Return the tools of the chosen sets, in a fixed order.

    `asks_person`: the client is a person's own, and asks them where a request needs a person's answer.
    """
    wanted = (operation for operation in OPERATIONS if operation.toolset in toolsets)
    return [_tool(gateway, operation, asks_person=asks_person and operation.asks_person) for operation in wanted]


class OperationTool(Tool):
    """A tool that carries out one operation.

    The SDK's own tool drops unknown arguments, echoes inputs in its errors and prefixes every message. This one refuses
    unknown arguments, names the nearest known one, and never repeats a value.
    """

    gateway: Any = Field(exclude=True)
    operation: Any = Field(exclude=True)

    async def run(
        self,
        arguments: dict[str, Any],
        context: Context[Any, Any],
        convert_result: bool = False,  # noqa: ARG002  # the SDK's signature
    ) -> Any:
        """Check the arguments, ask the client's person where that is needed, and call the service."""
        operation: Operation = self.operation
        gateway: Gateway = self.gateway
        try:
            with gateway.watched(operation):
                caller = gateway.caller()
                gateway.check(operation, caller)
                request = parse(operation.request, arguments)
                confirmed: bool | InputRequiredResult = False
                if self.resolved_params:
                    confirmed = await answer(lambda: self._ask(request, context), timeout_s=None)
                if isinstance(confirmed, InputRequiredResult):
                    return confirmed
                if confirmed:
                    caller = gateway.caller(person=True)
                result = await gateway.call_for(caller, TOOL_TIMEOUT_S, operation, request)
        except LessonbookError as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        return CallToolResult(
            content=[TextContent(type="text", text=operation.wording(result))],
            structured_content=operation.structured(result),
        )

    async def _ask(self, request: Request, context: Context[Any, Any]) -> bool | InputRequiredResult:
        """Return whether the person confirmed, or the question for the client to ask them."""
        arguments = {name: getattr(request, name) for name in type(request).model_fields}
        try:
            resolved = await resolve_arguments(self.resolved_params, self.resolver_plans, arguments, context)
        except (ToolError, MCPError) as error:
            log.info("the client did not ask its person: %s", error)
            return False
        if isinstance(resolved, InputRequiredResult):
            return resolved
        match resolved["answer"]:
            case AcceptedElicitation(data=Confirmation(confirm=True)):
                return True
            case _:
                return False


def _tool(gateway: Gateway, operation: Operation, *, asks_person: bool) -> OperationTool:
    resolved = {"answer": (Resolve(question_of(operation.name, gateway)), True)} if asks_person else {}
    return OperationTool(
        fn=operation.act,
        context_kwarg=None,
        name=operation.name,
        title=operation.title,
        description=operation.description,
        parameters=input_schema(operation.request),
        fn_metadata=FuncMetadata(
            arg_model=ArgModelBase, output_schema=output_schema(operation.result, operation.left_out)
        ),
        is_async=True,
        resolved_params=resolved,
        resolver_plans=build_resolver_plans(resolved, set(operation.request.model_fields)),
        annotations=ToolAnnotations(
            read_only_hint=operation.read_only,
            destructive_hint=operation.destructive,
            idempotent_hint=operation.idempotent or operation.read_only,
            open_world_hint=False,
        ),
        gateway=gateway,
        operation=operation,
    )
