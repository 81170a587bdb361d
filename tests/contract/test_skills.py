"""The skills extension: what is listed is what is read, alike over every transport, protocol and database."""

import hashlib
import re
from typing import Any

import pytest
import yaml
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, PaginatedRequestParams, Request, RequestParams, Result
from pydantic import ConfigDict

from lessonbook.app import gateway_for
from lessonbook.edges.mcp_server import build_server
from lessonbook.edges.skills import Skills, load_skills
from lessonbook.edges.tool_table import OPERATIONS
from tests.contract.links import STATELESS, settings_for

pytestmark = pytest.mark.anyio

NAMES = ["refine-backlog", "work-with-lessons", "write-post-mortem"]
SIZE_MAX = 5_000
"""A skill is read whole: about 1,200 tokens."""


class Choice(RequestParams):
    uri: str


class Answer(Result):
    model_config = ConfigDict(extra="allow")


async def ask(client: Client, method: str, params: Any) -> dict[str, Any]:
    request: Request[Any, Any] = Request(method=method, params=params)
    answer = await client.session.send_request(request, Answer)
    return answer.model_dump(by_alias=True, exclude_none=True)


async def test_the_extension_is_declared_and_lists_what_can_be_read_and_verified(link):
    if link.protocol == STATELESS:  # the older one has no place for it; its methods answer all the same
        about = await ask(link.client, "server/discover", RequestParams())
        assert about["capabilities"]["extensions"] == {Skills.identifier: {}}
    listing = await ask(link.client, "skills/list", PaginatedRequestParams())
    assert ("ttlMs" in listing, "cacheScope" in listing) == ((link.protocol == STATELESS),) * 2
    assert [entry["frontmatter"]["name"] for entry in listing["skills"]] == NAMES
    for entry in listing["skills"]:
        (content,) = (await link.client.read_resource(entry["uri"])).contents
        assert content.mime_type == "text/markdown"
        raw = content.text.encode()
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        assert entry["resources"] == [{"uri": entry["uri"], "digest": digest, "size": len(raw)}]
        _, head, body = content.text.split("---\n", 2)
        assert entry["frontmatter"] == yaml.safe_load(head)
        assert entry["uri"].split("/")[-2] == entry["frontmatter"]["name"]
        assert body.strip()
        assert (await ask(link.client, "skills/get", Choice(uri=entry["uri"])))["skill"] == entry
    resources = {resource.uri: resource for resource in (await link.client.list_resources()).resources}
    for entry in listing["skills"]:
        resource = resources[entry["uri"]]
        assert (resource.name, resource.description) == tuple(
            entry["frontmatter"][key] for key in ("name", "description")
        )


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("skills/get", Choice(uri="skill://lessonbook/no-such/SKILL.md")),
        ("skills/get", Choice(uri="skill://lessonbook/../../etc/passwd")),
        ("skills/get", PaginatedRequestParams()),
        ("skills/list", PaginatedRequestParams(cursor="2")),
    ],
)
async def test_a_skill_that_is_not_there_is_an_error_in_words(link, method, params):
    with pytest.raises(MCPError) as caught:
        await ask(link.client, method, params)
    assert caught.value.code == INVALID_PARAMS


async def test_where_the_operators_tools_are_not_served_their_skill_is_not_either(sqlite_url):
    gateway = gateway_for(settings_for(sqlite_url), "local")
    server = build_server(gateway, ["agent"], stays_connected=False)
    async with Client(server) as client:
        listing = await ask(client, "skills/list", PaginatedRequestParams())
        assert [entry["frontmatter"]["name"] for entry in listing["skills"]] == NAMES[1:]
    await gateway.close()


@pytest.mark.parametrize("skill", load_skills(operators=True), ids=lambda skill: skill.frontmatter["name"])
def test_a_skill_is_short_and_names_only_tools_and_arguments_that_exist(skill):
    assert len(skill.text.encode()) <= SIZE_MAX
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", skill.frontmatter["name"])
    assert len(skill.frontmatter["description"]) <= 1_024
    known = {operation.name for operation in OPERATIONS}
    for operation in OPERATIONS:
        for model in (operation.request, operation.result):
            known |= set(re.findall(r"'(\w+)'", repr(model.model_json_schema())))
    named = set(re.findall(r"`(\w+_\w+)`", skill.text))
    assert named
    assert named - known == set()
