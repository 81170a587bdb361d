"""Both arms of the experiment get the same answer but for the lessons, whichever way they ask."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.rest import build_rest
from tests.contract.links import PROJECT, STATELESS, connected, settings_for

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."
NONE = "There is no lesson for this run."
RUN = re.compile(r"(?<=Lessonbook-Run: )[a-z0-9]{26}")
MARK = re.compile(r'(?<=lessons id=")[0-9a-f]{12}')
LESSON = re.compile(r"^- \[L.*\n(?:  Why: .*\n)?", re.M)


@pytest.fixture
async def gateway(sqlite_url: str) -> AsyncIterator[Gateway]:
    gateway = gateway_for(settings_for(sqlite_url, learning={"mode": "measured"}), "local")
    yield gateway
    await gateway.close()


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    async with connected(build_server(gateway, ["agent"], stays_connected=True), STATELESS) as client:
        yield client


@pytest.fixture
async def web(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(build_rest(gateway, ["agent"]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as web:
        yield web


def without_lessons(section: str) -> str:
    """Return a prompt section without its lessons and what names its run."""
    return LESSON.sub("", MARK.sub("mark", RUN.sub("run", section))).replace(f"{NONE}\n", "")


def frame_of(answer: Mapping[str, Any]) -> str:
    """Return structured content without its lessons, its length and what names its run."""
    assert answer.get("note", "") in {"", NONE}
    told = {"lessons", "tokens", "run_id", "note", "prompt_section"}
    return RUN.sub(
        "run", json.dumps({name: value for name, value in answer.items() if name not in told}, sort_keys=True)
    )


async def by_tool(client: Client, _: httpx2.AsyncClient) -> tuple[bool, str]:
    answer = await client.call_tool("get_lessons", {"agent_name": AGENT})
    assert answer.structured_content is not None
    (block,) = answer.content
    told = without_lessons(block.text)  # pyright: ignore[reportAttributeAccessIssue]  # it is text
    return bool(answer.structured_content["lessons"]), told + frame_of(answer.structured_content)


async def by_prompt(client: Client, _: httpx2.AsyncClient) -> tuple[bool, str]:
    prompt = await client.get_prompt("learned-lessons", {"agent_name": AGENT})
    text: str = prompt.messages[0].content.text  # pyright: ignore[reportAttributeAccessIssue]  # it is text
    return RULE in text, without_lessons(text)


async def by_resource(client: Client, _: httpx2.AsyncClient) -> tuple[bool, str]:
    found = (await client.read_resource(f"lessons://{quote(PROJECT, safe='')}/{AGENT}")).contents[0]
    text: str = found.text  # pyright: ignore[reportAttributeAccessIssue]  # it is text
    return RULE in text, without_lessons(text)


async def by_rest(_: Client, web: httpx2.AsyncClient) -> tuple[bool, str]:
    answer = (await web.post("/api/get_lessons", json={"agent_name": AGENT})).json()
    return bool(answer["lessons"]), without_lessons(answer["prompt_section"]) + frame_of(answer)


Channel = Callable[[Client, httpx2.AsyncClient], Awaitable[tuple[bool, str]]]


@pytest.mark.parametrize("ask", [by_tool, by_prompt, by_resource, by_rest])
async def test_an_answer_does_not_tell_whether_a_lesson_was_withheld(
    ask: Channel, client: Client, web: httpx2.AsyncClient
) -> None:
    issue = {"description": "The call hangs when the peer is slow", "lesson": RULE}
    await client.call_tool("report_issues", {"agent_name": AGENT, "issues": [issue]})
    frames: dict[bool, set[str]] = {True: set(), False: set()}
    for _ in range(400):
        shown, frame = await ask(client, web)
        frames[shown].add(frame)
        if frames[True] and frames[False]:
            break
    assert len(frames[True]) == 1
    assert frames[True] == frames[False]
