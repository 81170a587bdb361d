"""A server under a prefix, behind a real proxy on loopback that passes the prefix on or takes it away."""

import contextlib
from collections.abc import AsyncGenerator

import anyio
import httpx2
import pytest
import uvicorn
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.transport.http import bind, build_app

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def _serving(app) -> AsyncGenerator[str]:
    """Serve an application on a free port of loopback, and yield its address."""
    listener = bind("127.0.0.1", 0)
    started = anyio.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets=None):
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none", lifespan="auto"))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: server.serve(sockets=[listener]))
        await started.wait()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True


def _proxy(target: str, *, takes_away: bool):
    """Return an application that passes requests below /lessonbook on to `target`."""

    async def act(scope, receive, send):
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        path = scope["path"]
        assert path.startswith("/lessonbook/")
        path = path.removeprefix("/lessonbook") if takes_away else path
        kept = [(name, value) for name, value in scope["headers"] if name not in {b"host", b"content-length"}]
        async with httpx2.AsyncClient() as client:
            answer = await client.request(scope["method"], target + path, content=body, headers=kept)
        headers = [(b"content-type", answer.headers.get("content-type", "").encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    return act


@pytest.mark.parametrize("takes_away", [True, False])
async def test_everything_works_below_the_prefix_of_a_proxy(settings: Settings, takes_away):
    server = settings.server.model_copy(update={"root_path": "/lessonbook"})
    settings = settings.model_copy(update={"server": server})
    gateway = gateway_for(settings, "local")
    async with (
        _serving(build_app(gateway, settings)) as behind,
        _serving(_proxy(behind, takes_away=takes_away)) as address,
        httpx2.AsyncClient(base_url=f"{address}/lessonbook") as http,
    ):
        document = (await http.get("/openapi.json")).json()
        assert document["servers"] == [{"url": "/lessonbook"}]
        page = (await http.get("/docs")).text
        assert "/lessonbook/api/get_lessons" in page
        assert 'href="/lessonbook/openapi.json"' in page
        assert "<script" not in page
        assert "http://" not in page
        assert "https://" not in page
        assert (await http.post("/api/get_stats", json={})).status_code == 200
        async with Client(f"{address}/lessonbook/mcp") as client:
            assert len((await client.list_tools()).tools) == 5
    await gateway.close()
