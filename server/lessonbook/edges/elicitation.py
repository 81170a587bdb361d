"""Elicitation: the client asks its person before an agent's call lets a lesson be served, or takes one away.

Over stdio only, where the client is the person's own. Over HTTP the caller itself could answer, which proves nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.resolve import Elicit
from mcp_types.version import is_version_at_least
from pydantic import BaseModel, Field

from lessonbook import services
from lessonbook.domain.counts import count_of
from lessonbook.domain.lesson_status import NEEDS_PERSON, TAKES_AWAY, ReviewAction
from lessonbook.domain.takeback import Cleanup
from lessonbook.domain.vocabulary import VOUCHED
from lessonbook.edges.access.gateway import Gateway

ASKS_IN_ANSWER: Final = "2026-07-28"
"""The first protocol in which a question travels in the answer; before, it needs a connection that stays."""

NAMED_MAX: Final = 5
"""Maximum number of lessons that one question names."""


class Confirmation(BaseModel):
    """The person's answer."""

    confirm: Annotated[bool, Field(description="Do you want this?")]


Ask = Callable[..., Awaitable[Elicit[Confirmation] | Confirmation]]
"""A resolver of the SDK: the question for the person, or the answer where none is needed."""


def question_of(operation: str, gateway: Gateway) -> Ask:
    """Return the resolver that asks the client's person about a request of an operation, where it needs them."""
    return {"review_lesson": _review_question, "cleanup_lessons": _cleanup_question}[operation](gateway)


def _review_question(gateway: Gateway) -> Ask:
    async def ask(
        ctx: Context[Any, Any], lesson_id: str, action: ReviewAction, text: str
    ) -> Elicit[Confirmation] | Confirmation:
        takes_away = action in TAKES_AWAY
        if not (takes_away or action in NEEDS_PERSON) or not can_ask(ctx):
            return Confirmation(confirm=False)
        detail = await gateway.call(services.queries.get_lesson, lesson_id)
        lesson = detail.lesson
        if takes_away and not (lesson.pinned or detail.approved_by or lesson.trust in VOUCHED):
            return Confirmation(confirm=False)  # not vouched for: the service needs no person
        words = f"{lesson.text!r} → {text!r}" if action == "edit" else repr(lesson.text)
        return Elicit(f"{action.capitalize()} lesson {lesson_id} for {lesson.agent_name}? {words}", Confirmation)

    return ask


def _cleanup_question(gateway: Gateway) -> Ask:
    async def ask(
        ctx: Context[Any, Any], threshold: float, min_applications: int, dry_run: bool
    ) -> Elicit[Confirmation] | Confirmation:
        if dry_run or not can_ask(ctx):
            return Confirmation(confirm=False)
        wanted = Cleanup(threshold=threshold, min_applications=min_applications)
        plan = await gateway.call(services.background.cleanup_lessons, wanted)
        useless = [f"{line.lesson_id} {line.text!r}" for line in plan.lessons if line.suspended]
        more = f" and {len(useless) - NAMED_MAX} more" if len(useless) > NAMED_MAX else ""
        return Elicit(
            f"Suspend {count_of(plan.suspended, 'lesson')}? {', '.join(useless[:NAMED_MAX])}{more}", Confirmation
        )

    return ask


def can_ask(ctx: Context[Any, Any]) -> bool:
    """Return whether the client can ask its person: it declares forms, and the question can reach it."""
    capabilities = ctx.client_capabilities
    elicitation = capabilities.elicitation if capabilities else None
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return False
    request = ctx.request_context
    return is_version_at_least(request.protocol_version, ASKS_IN_ANSWER) or request.session.can_send_request
