"""Asking the client's person, before a lesson may be served on an agent's word."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field

from lessonbook import services
from lessonbook.edges.desk import Desk
from lessonbook.models.operator import ReviewAction

ASKS_IN_ANSWER: Final = "2026-07-28"
"""From this protocol on a question travels in the answer; before, it needs a connection that stays."""


class Confirmation(BaseModel):
    """The person's answer."""

    confirm: Annotated[bool, Field(description="Do you want this?")]


def person_question(desk: Desk) -> Callable[..., Awaitable[Elicit[Confirmation] | Confirmation]]:
    """Return the resolver that puts a review before the client's person, where the review needs one."""

    async def ask(
        ctx: Context[Any, Any], lesson_id: str, action: ReviewAction, text: str
    ) -> Elicit[Confirmation] | Confirmation:
        if action not in services.review.NEEDS_PERSON or not can_ask(ctx):
            return Confirmation(confirm=False)
        detail = await services.browse.get_lesson(await desk.workspace(), desk.caller(), lesson_id)
        words = f"{detail.lesson.text!r} → {text!r}" if action == "edit" else repr(detail.lesson.text)
        return Elicit(f"{action.capitalize()} lesson {lesson_id} for {detail.lesson.agent_name}? {words}", Confirmation)

    return ask


def can_ask(ctx: Context[Any, Any]) -> bool:
    """Return whether the client can put a form before its person: it says so, and there is a way back to it."""
    capabilities = ctx.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    request = ctx.request_context
    return is_version_at_least(request.protocol_version, ASKS_IN_ANSWER) or request.session.can_send_request
