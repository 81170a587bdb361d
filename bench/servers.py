"""Servers under test: started over stdio or streamable HTTP, with a real client connected and the process known."""

import os
import socket
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

import anyio
import httpx2
from anyio.abc import Process
from mcp import Client, StdioServerParameters
from mcp.client.stdio import get_default_environment, stdio_client
from mcp.client.streamable_http import streamable_http_client

from bench.faults import BenchError

Transport = Literal["stdio", "http"]
HOST = "127.0.0.1"
CHECKOUT = Path(__file__).parent.parent
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 60.0
POLL_S = 0.002


@dataclass(frozen=True)
class Program:
    """One server program: its Python arguments for stdio, those for HTTP (`{port}` is filled in), and environment."""

    name: str
    stdio: tuple[str, ...]
    http: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Served:
    """A running server: the connected client, and its process id (0 when the system does not tell)."""

    client: Client
    pid: int


def environment_of(program: Program, workdir: Path) -> dict[str, str]:
    """Return the environment a server runs in: none of the caller's own settings, this checkout's package first."""
    return {
        **get_default_environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CHECKOUT / "server"), os.environ.get("PYTHONPATH")])),
        "XDG_CONFIG_HOME": str(workdir),
        **program.environment,
    }


@asynccontextmanager
async def serving(program: Program, transport: Transport, workdir: Path) -> AsyncGenerator[Served]:
    """Start `program` in `workdir` and connect a client; the process ends with the block.

    Raises:
        BenchError: the server ended, or did not answer within `START_TIMEOUT_S`; tells the end of its log.
    """
    log_path = workdir / f"{program.name}.log"
    start = _over_stdio if transport == "stdio" else _over_http
    with log_path.open("a", encoding="utf-8") as log:
        async with start(program, workdir, log) as served:
            yield served


async def seconds_to_ready(program: Program, transport: Transport, workdir: Path) -> float:
    """Return the seconds from spawning `program` to the client's first answered `tools/list`."""
    started_at = time.perf_counter()
    async with serving(program, transport, workdir) as served:
        await served.client.list_tools()
        return time.perf_counter() - started_at


@asynccontextmanager
async def _over_stdio(program: Program, workdir: Path, log: TextIO) -> AsyncGenerator[Served]:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=list(program.stdio),
        env=environment_of(program, workdir),
        cwd=workdir,
    )
    before = _children()
    connecting = Client(stdio_client(parameters, errlog=log), read_timeout_seconds=CALL_TIMEOUT_S)
    try:
        client = await connecting.__aenter__()
    except Exception as error:
        raise _not_started(program, log) from error
    try:
        yield Served(client, next(iter(_children() - before), 0))
    finally:
        await connecting.__aexit__(None, None, None)


@asynccontextmanager
async def _over_http(program: Program, workdir: Path, log: TextIO) -> AsyncGenerator[Served]:
    port = free_port()
    command = [sys.executable, *(part.format(port=port) for part in program.http)]
    process = await anyio.open_process(
        command, stdin=None, stdout=log, stderr=log, cwd=workdir, env=environment_of(program, workdir)
    )
    try:
        async with httpx2.AsyncClient(timeout=CALL_TIMEOUT_S) as http_client:
            await _listening(process, port, program, log)
            transport = streamable_http_client(f"http://{HOST}:{port}/mcp", http_client=http_client)
            async with Client(transport, read_timeout_seconds=CALL_TIMEOUT_S) as client:
                yield Served(client, process.pid)
    finally:
        await _stop(process)


async def _listening(process: Process, port: int, program: Program, log: TextIO) -> None:
    deadline = anyio.current_time() + START_TIMEOUT_S
    while process.returncode is None and anyio.current_time() < deadline:
        try:
            stream = await anyio.connect_tcp(HOST, port)
        except OSError:
            await anyio.sleep(POLL_S)
        else:
            await stream.aclose()
            return
    raise _not_started(program, log)


async def _stop(process: Process) -> None:
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
            with anyio.move_on_after(5):
                await process.wait()
        if process.returncode is None:
            process.kill()
        await process.aclose()


def _not_started(program: Program, log: TextIO) -> BenchError:
    log.flush()
    tail = Path(log.name).read_text(encoding="utf-8", errors="replace").strip().splitlines()[-12:]
    return BenchError("\n".join([f"{program.name} did not start. The end of its log:", *tail]))


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def _children() -> set[int]:
    listings = Path("/proc/self/task").glob("*/children")
    return {int(pid) for listing in listings for pid in listing.read_text(encoding="ascii").split()}
