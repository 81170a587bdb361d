"""Servers in processes of their own."""

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp.client.stdio import StdioServerParameters

from tests.forks import forked
from tests.patience import PATIENCE_S

PROJECT = "github.com/acme/shop"
BOTH = ("--toolsets", "agent,operator")


def environment(database_url: str, project: str = PROJECT, **limits: float) -> dict[str, str]:
    """Return the environment of a server: nothing of the person's own, the given database, project and time limits."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LESSONBOOK_", "XDG_"))}
    kept.pop("DATABASE_URL", None)
    folder = Path("/nonexistent")  # whoever needs a home has not been told which database to use
    return {
        **kept,
        "HOME": str(folder),
        "LESSONBOOK_DATABASE_URL": database_url,
        "LESSONBOOK_PROJECT": project,
        "TEST_LIMITS": json.dumps(limits),
    }


def command(*options: str) -> list[str]:
    """Return what starts a server: forked off one that has imported everything."""
    return forked("-m", "lessonbook", "serve", *options)


def afresh(*options: str) -> list[str]:
    """Return what starts a server as a person does."""
    return [sys.executable, "-W", "error", "-m", "lessonbook", "serve", *options]


def stdio_parameters(
    database_url: str,
    *options: str,
    project: str = PROJECT,
    started: Callable[..., list[str]] = command,
    **limits: float,
) -> StdioServerParameters:
    program, *arguments = started(*options)
    return StdioServerParameters(command=program, args=arguments, env=environment(database_url, project, **limits))


@dataclass(frozen=True)
class HttpServer:
    """A server that listens on `url`."""

    url: str
    process: Process

    @property
    def mcp(self) -> str:
        return f"{self.url}/mcp"


@asynccontextmanager
async def http_server(
    database_url: str,
    *options: str,
    project: str = PROJECT,
    started: Callable[..., list[str]] = command,
    **limits: float,
) -> AsyncIterator[HttpServer]:
    """Start a server on a free port, see that it ends when it is told to, and that its log holds no stack."""
    arguments = started("--http", "--port", "0", *options)
    async with await anyio.open_process(
        arguments, env=environment(database_url, project, **limits), stdin=None
    ) as process:
        assert process.stderr is not None
        log = BufferedByteReceiveStream(process.stderr)
        try:
            with anyio.fail_after(PATIENCE_S):
                url = await url_of(log)
            yield HttpServer(url, process)
            if process.returncode is None:
                process.terminate()
            with anyio.fail_after(PATIENCE_S):
                rest = b"".join([chunk async for chunk in log])
                await process.wait()
            assert b"Traceback" not in rest, rest.decode()
        finally:
            if process.returncode is None:
                process.kill()


async def url_of(log: BufferedByteReceiveStream) -> str:
    """Return the URL that the server writes to its log once it is ready."""
    while True:
        line = (await log.receive_until(b"\n", 99_999)).decode()
        if "serves on http" in line:
            return next(word for word in line.split() if word.startswith("http"))
