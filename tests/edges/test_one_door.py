"""Nobody in the edges, the command line or the facade reaches a service but through the gateway."""

import ast
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

import lessonbook
from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.errors import Forbidden, InvalidInput, Unauthorised, Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import AuthoredLesson, Authoring
from lessonbook.edges.access.gateway import Gateway, Unexpected
from lessonbook.edges.access.identity import acting_as
from lessonbook.services.workspace import Workspace

pytestmark = pytest.mark.anyio

ROOT = Path(lessonbook.__file__).parent
DOOR = ROOT / "edges" / "access" / "gateway.py"
OUTSIDE = sorted({*(ROOT / "edges").rglob("*.py"), *(ROOT / "cli").rglob("*.py"), ROOT / "facade.py"} - {DOOR})
SECRET = "ghp_" + "a1B2c3D4" * 5


def workspaces_taken(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield where code takes a workspace, without which no service can be called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"workspace", "_workspace", "open_workspace"}:
            yield node


def services_awaited(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield where code awaits something of the services' own, and not what the gateway says of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if called.startswith("services."):
                yield node


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_desk_holds_a_workspace_or_calls_a_service(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    found = [*workspaces_taken(tree), *services_awaited(tree)]
    assert [(node.lineno, ast.unparse(node)) for node in found if isinstance(node, ast.expr)] == []


@pytest.fixture
async def gateway(settings: Settings):
    gateway = gateway_for(settings, "local")
    yield gateway
    await gateway.close()


async def echo(_work: Workspace, caller: Caller, *_given: object, run_id: str = "") -> tuple[str, str]:
    return caller.principal, run_id


async def test_a_service_learns_who_calls(gateway: Gateway) -> None:
    assert await gateway.call(echo) == ("local", "")
    assert await gateway.call_for(Caller("demo", "ci"), None, echo, run_id="r1") == ("ci", "r1")


async def test_a_run_named_by_a_secret_reaches_no_service(gateway: Gateway) -> None:
    with pytest.raises(InvalidInput, match="run_id holds a secret") as named:
        await gateway.call(echo, run_id=SECRET)
    with pytest.raises(InvalidInput, match="run_id holds a secret"):
        await gateway.call(echo, LessonQuery(run_id=SECRET))
    assert SECRET not in str(named.value)


@pytest.mark.parametrize("field", ["issue_ids", "group_ids"])
async def test_a_secret_in_a_request_within_a_request_reaches_no_service(gateway: Gateway, field: str) -> None:
    lesson = AuthoredLesson.model_validate({field: [SECRET[:40]], "lesson": "Bind parameters."})
    with pytest.raises(InvalidInput, match=f"{field} holds a secret"):
        await gateway.call(echo, Authoring(lessons=[lesson]))


async def test_a_service_that_fails_or_is_late_is_put_in_words(gateway: Gateway) -> None:
    async def fail(_work: Workspace, _caller: Caller) -> None:
        raise KeyError(SECRET)

    async def wait(_work: Workspace, _caller: Caller) -> None:
        await anyio.sleep_forever()

    with pytest.raises(Unexpected, match="its log explains"):
        await gateway.call(fail)
    with pytest.raises(Unavailable, match="too long"):
        await gateway.call_for(gateway.caller(), 0.01, wait)


async def test_a_guarded_gateway_serves_nobody_without_a_token(settings: Settings) -> None:
    gateway = gateway_for(settings, "local", is_guarded=True)
    with pytest.raises(Unauthorised):
        await gateway.call(echo)
    with acting_as(Caller("demo", "ci", scopes=frozenset({"lessons:read"}))), pytest.raises(Forbidden):
        await gateway.call(echo)
    assert await gateway.call_for(gateway.server("upkeep"), None, echo) == ("upkeep", "")
    await gateway.close()
