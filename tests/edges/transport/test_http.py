"""MCP over HTTP where the transport itself answers."""

import pytest

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.transport.http import build_app
from tests.edges.lifespan import started

pytestmark = pytest.mark.anyio


async def test_a_client_that_would_listen_on_a_stream_of_its_session_is_told_that_there_is_none(settings: Settings):
    async with started(build_app(gateway_for(settings, "local"), settings)) as web:
        answer = await web.get("/mcp", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
