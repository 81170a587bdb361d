"""The one table of scopes: what a token needs for each service, whichever edge calls it.

A tool, its REST twin, a kept route, a resource, a prompt and a completion that call the same service need the same
scope. A service that is not here is closed to tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from lessonbook.domain.errors import Forbidden, MissingScope
from lessonbook.domain.lesson import Caller
from lessonbook.domain.token_scopes import Scope

Needed = Scope | Literal["any"]
"""The scope that is needed; `any`: a valid token is enough."""

SCOPE_OF: Final[Mapping[str, Needed]] = MappingProxyType(
    {
        # the tools, by their names and their services'
        "get_lessons": "lessons:read",
        "report_issues": "issues:write",
        "record_application": "applications:write",
        "flag_lesson": "applications:write",
        "get_stats": "stats:read",
        "list_lessons": "lessons:read",
        "explain_lessons": "lessons:read",
        "get_lesson": "lessons:propose",  # it shows the words of issues, which agents are not to read
        "list_pending_issues": "lessons:propose",
        "refine_issues": "lessons:propose",
        "review_lesson": "lessons:approve",
        "cleanup_lessons": "lessons:approve",
        "get_audit": "admin",
        # kept routes
        "lessons_by_category": "lessons:read",
        "by_agent": "stats:read",
        "refine": "issues:write",
        "report_file": "issues:write",
        "is_alive": "any",
        "unusual_reports": "stats:read",
        # resources, prompts and completions
        "get_served_lesson": "lessons:read",
        "issues_of_run": "lessons:read",
        "agents_with_lessons": "lessons:read",
        "complete": "lessons:read",
        # what the server says of itself
        "metrics": "stats:read",
        "health_details": "stats:read",
        # subscriptions, by what the resource's address begins with
        "lessons": "lessons:read",
        "lesson": "lessons:read",
        "stats": "stats:read",
    }
)

AS_AGENT: Final = frozenset({"get_lessons", "report_issues", "refine", "report_file"})
"""Services that a token bound to an agent calls as that agent alone."""


def name_of(service: object) -> str:
    """Return the name by which the table has a service, an operation that calls it, or what is named itself."""
    if isinstance(service, str):
        return service
    return str(getattr(service, "name", "") or getattr(service, "__name__", ""))


def check_scope(caller: Caller, service: object) -> None:
    """Check that the caller's token allows a service. Without a token, on stdio and at the terminal, all is allowed.

    Raises:
        MissingScope: it does not.
        Forbidden: no token allows it.
    """
    check_scope_of(caller, name_of(service))


def check_scope_of(caller: Caller, name: str) -> None:
    """Do as `check_scope` for what the table has under a name."""
    if caller.scopes is None:
        return
    needed = SCOPE_OF.get(name)
    if needed is None:
        raise Forbidden(f"{name} is not open to tokens")
    if needed != "any" and needed not in caller.scopes:
        raise MissingScope(needed, name)
