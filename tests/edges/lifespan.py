"""Runs an application as uvicorn does, from its start to its end, without a network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

from lessonbook.edges.access.host_guard import Guard
from tests.patience import PATIENCE_S


@asynccontextmanager
async def started(app: Guard) -> AsyncIterator[httpx2.AsyncClient]:
    """Start an application, and yield a client of it."""
    has_started, stop, has_stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
    messages = iter(["lifespan.startup"])

    async def receive() -> dict[str, str]:
        if (kind := next(messages, None)) is not None:
            return {"type": kind}
        await stop.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, str]) -> None:
        (has_started if message["type"] == "lifespan.startup.complete" else has_stopped).set()

    task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send))
    async with asyncio.timeout(PATIENCE_S):
        await has_started.wait()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as web:
        yield web
    stop.set()
    async with asyncio.timeout(PATIENCE_S):
        await has_stopped.wait()
        await task
