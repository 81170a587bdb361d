"""A server with an embedding model takes in lessons by itself."""

from collections.abc import Iterator

import pytest
from mcp.client import Client
from sqlalchemy import func, select

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.mcp_server import build_server
from lessonbook.services.workspace import Workspace
from lessonbook.store.tables import lesson_vectors
from tests.edges.progress import Progress
from tests.fake_embeddings import embeds, semantic
from tests.fake_provider import KEY, FakeProvider, fake_provider

pytestmark = pytest.mark.anyio

AGENT = "BackendDevelopmentAgent"
RULE = "Give each outgoing request a timeout."


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProvider]:
    monkeypatch.setenv("LESSONBOOK_TEST_KEY", KEY)
    with fake_provider() as provider:
        provider.will(embeds)
        yield provider


async def test_a_server_with_a_model_embeds_lessons_in_the_background_and_serves_by_them(
    settings: Settings, work: Workspace, provider: FakeProvider
) -> None:
    given = {**settings.model_dump(exclude_unset=True), "semantic": semantic(provider, every_s=1)}
    gateway = gateway_for(Settings.model_validate(given), "local")

    async def embedded() -> int:
        query = select(func.count()).select_from(lesson_vectors)
        return await work.store.read(lambda connection: connection.execute(query).scalar_one())

    progress = Progress(gateway)
    async with Client(build_server(gateway, ["agent"], stays_connected=True)) as client:
        told = {"agent_name": AGENT, "issues": [{"description": "It hangs", "lesson": RULE}]}
        assert not (await client.call_tool("report_issues", told)).is_error
        await progress.until(embedded)
        task = {"agent_name": AGENT, "task": "unresponsive upstreams"}
        answer = await client.call_tool("get_lessons", task)
    await gateway.close()
    assert answer.structured_content is not None
    assert [lesson["text"] for lesson in answer.structured_content["lessons"]] == [RULE]
