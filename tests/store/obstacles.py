"""What keeps a database from answering: a lock that another process holds, a network that falls silent."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import asyncpg


@contextlib.asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Hold a lock that every report has to wait for, as somebody at work in the database may for minutes."""
    if url.startswith("sqlite"):
        holder = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            holder.close()
        return
    holder = await asyncpg.connect(url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE agent_lessons, agent_issues IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await holder.close()


class Proxy:
    """A way over TCP to the test's PostgreSQL that can fall silent: it then takes everything and passes nothing on."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loud = asyncio.Event()
        self._loud.set()
        self.silent_after: bytes | None = None
        """What of a client's words is still passed on; the server's answer to it is not."""
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        self._loud.clear()

    def speak(self) -> None:
        self.silent_after = None
        self._loud.set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Yield the database's URL by way of this proxy."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        path = urlsplit(self._url).path
        yield f"postgresql://{urlsplit(self._url).username or 'postgres'}@127.0.0.1:{port}{path}?sslmode=disable"
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await self._dial()
        for source, target, is_client in ((reader, there[1], True), (there[0], writer, False)):
            self._tasks.add(asyncio.create_task(self._pass_on(source, target, is_client=is_client)))

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = urlsplit(self._url)
        if hosts := parse_qs(place.query).get("host"):
            return await asyncio.open_unix_connection(f"{hosts[0]}/.s.PGSQL.{place.port or 5432}")
        return await asyncio.open_connection(place.hostname, place.port or 5432)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_client: bool) -> None:
        try:
            while content := await source.read(65_536):
                await self._loud.wait()
                if is_client and self.silent_after is not None and self.silent_after in content:
                    self._loud.clear()
                target.write(content)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()
