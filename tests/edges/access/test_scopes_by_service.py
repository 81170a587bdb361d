"""Every service that an edge calls for a caller has a scope, and one that has none is closed to tokens."""

import ast
from pathlib import Path

import pytest

from lessonbook.domain.errors import Forbidden, MissingScope
from lessonbook.domain.lesson import Caller
from lessonbook.domain.token_scopes import SCOPES
from lessonbook.edges import tool_table
from lessonbook.edges.access.scopes_by_service import SCOPE_OF, check_scope, check_scope_of

EDGES = Path(tool_table.__file__).parent
FOR_CALLERS = ("rest.py", "mcp_resources.py", "mcp_prompts.py", "elicitation.py")


def services_named(file: str) -> set[str]:
    """Return the names of the services that an edge hands to the gateway."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((EDGES / file).read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("gateway."):
            found |= {
                argument.attr
                for argument in node.args
                if isinstance(argument, ast.Attribute) and ast.unparse(argument).startswith("services.")
            }
    return found


def test_every_operation_and_every_service_of_an_edge_is_in_the_table() -> None:
    names = {operation.name for operation in tool_table.OPERATIONS}
    named = set.union(*map(services_named, FOR_CALLERS))
    assert len(named) > 10
    assert sorted((names | named) - SCOPE_OF.keys()) == []
    assert set(SCOPE_OF.values()) <= {*SCOPES, "any"}


def test_a_service_without_a_scope_is_closed_to_tokens() -> None:
    async def erase_all() -> None: ...

    everything = Caller("demo", "ci", scopes=frozenset(SCOPES))
    with pytest.raises(Forbidden, match="erase_all is not open to tokens"):
        check_scope(everything, erase_all)
    check_scope(Caller("demo", "local"), erase_all)


def test_an_error_names_the_scope() -> None:
    with pytest.raises(MissingScope, match="lessons:approve") as refusal:
        check_scope_of(Caller("demo", "ci", scopes=frozenset({"lessons:read"})), "review_lesson")
    assert refusal.value.scope == "lessons:approve"
