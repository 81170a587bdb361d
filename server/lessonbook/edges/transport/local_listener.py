"""The Unix socket on which a stdio server answers hooks of the same user: its store is open, theirs would not be."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from lessonbook.domain.documents import object_of
from lessonbook.domain.errors import LessonbookError
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.background import WARM_AFTER_S
from lessonbook.edges.hook_requests import LastPrompts, answer_request, warm
from lessonbook.logs import request_id_of, set_context
from lessonbook.machine import private_files
from lessonbook.machine.local_sockets import LINE_BYTES_MAX, SUFFIX, is_private_folder, socket_folder

CALLS_MAX: Final = 8
"""Requests that are answered at the same time; others wait."""
READ_S: Final = 5.0
"""How long a caller may take to send its request."""
log = logging.getLogger(__name__)


@asynccontextmanager
async def answer_hooks(gateway: Gateway, names: Iterable[str], *, expected: bool = False) -> AsyncGenerator[None]:
    """Answer hooks on a socket for each name while the block runs. Where that cannot be, serve without.

    The folder has mode 0700 and the sockets 0600, and a folder of somebody else is not used. Where hooks are
    `expected`, what the first of them would wait for is loaded in the background.
    """
    listener = _Listener(gateway)
    if expected:
        listener.warm_up(WARM_AFTER_S)
    servers: list[asyncio.Server] = []
    places: list[str] = []
    try:
        for name in names if hasattr(socket, "AF_UNIX") else ():
            try:
                place, bound = _bind(name)
                places.append(place)
                servers.append(await asyncio.start_unix_server(listener.answer, sock=bound, limit=LINE_BYTES_MAX))
            except OSError as error:
                log.info("hooks cannot ask this server: %s", error)
        yield
    finally:
        for server in servers:
            server.close()
        for place in places:
            with suppress(OSError):
                os.unlink(place)  # noqa: PTH108  # a string
        listener.stop()


def _bind(name: str) -> tuple[str, socket.socket]:
    """Return a new socket's path and the socket, bound.

    Raises:
        OSError: the folder is not this user's own, or the path is too long.
    """
    folder = socket_folder()
    with suppress(FileExistsError):
        os.mkdir(folder, mode=private_files.FOLDER_MODE)  # noqa: PTH102  # a string
    if not is_private_folder(folder):
        raise PermissionError(f"{folder} is not a private folder of this user")
    place = f"{folder}/{name}.{secrets.token_hex(4)}{SUFFIX}"
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(place)
        os.chmod(place, private_files.FILE_MODE)  # noqa: PTH101  # a string; nobody else can enter the folder meanwhile
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return place, bound


class _Listener:
    """Answers one request per connection."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._prompts = LastPrompts()
        self._places = asyncio.Semaphore(CALLS_MAX)
        self._calls: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read a line of JSON, and write the answer as another; any failure is an empty answer."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a handler runs as a task
        self._calls.add(task)
        try:
            async with self._places:
                line = await asyncio.wait_for(reader.readline(), READ_S)
                told = await self._answer(line)
                writer.write(json.dumps(told).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), READ_S)
        except (OSError, TimeoutError, ValueError, asyncio.CancelledError):
            pass  # the hook has gone, is not one, or the server ends
        finally:
            self._calls.discard(task)
            writer.close()

    def warm_up(self, after_s: float) -> None:
        """Begin to load what the first request would wait for, after a pause in which a client is answered."""

        async def act() -> None:
            await asyncio.sleep(after_s)
            with suppress(asyncio.CancelledError, LessonbookError):
                await warm(self._gateway)

        task = asyncio.create_task(act())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def stop(self) -> None:
        """Cancel what is at work."""
        for call in list(self._calls):
            call.cancel()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = object_of(json.loads(line))
            if request.get("ask") == "warm":
                self.warm_up(0.0)
                return {}
            with set_context(request_id=request_id_of("")):
                return await answer_request(self._gateway, request, self._prompts)
        except LessonbookError as error:
            log.info("a hook's request was refused: %s", error)
        except (ValueError, RecursionError):
            log.info("a hook's request is not JSON")
        return {}
