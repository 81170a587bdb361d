"""What the SDK refuses, in words that say what to change: its own errors name no field, and repeat what was sent."""

from __future__ import annotations

import logging
from typing import Any, Final, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS
from pydantic import ValidationError

from lessonbook.domain.validation import explain

log = logging.getLogger(__name__)

_UNKNOWN: Final = "Unknown resource: "
_SHOWN_MAX: Final = 200
"""Characters of an address that are repeated."""


async def explain_refusal(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Pass a request on, as a middleware does, and word the SDK's refusals; what a notification raises is dropped.

    Raises:
        MCPError: the request was refused; the message names the wrong field, or where the known addresses stand.
    """
    try:
        return await call_next(ctx)
    except ValidationError as error:
        raise MCPError(INVALID_PARAMS, f"{ctx.method}: {explain(error)}") from error
    except MCPError as error:
        if ctx.request_id is None:  # a notification: nobody waits, and the SDK would log a stack for each
            log.debug("a notification was refused: %s", error)
            return None
        if not error.message.startswith(_UNKNOWN):
            raise MCPError(error.code, error.message, _shortened(error.data)) from error
        address = error.message.removeprefix(_UNKNOWN)[:_SHOWN_MAX]
        message = f"There is no resource {address!r}: resources/list and resources/templates/list name those there are"
        raise MCPError(error.code, message, _shortened(error.data)) from error


def _shortened(data: object) -> object:
    """Return what accompanies an error without long copies of what was sent."""
    if isinstance(data, str):
        return data[:_SHOWN_MAX]
    if isinstance(data, dict):
        return {key: _shortened(value) for key, value in cast("dict[str, object]", data).items()}
    return data
