"""Requests that come slowly or say too much are refused, and hold no connection for ever."""

import asyncio
from typing import Any

import anyio
import pytest
import uvicorn
from uvicorn.server import ServerState

from lessonbook.domain.errors import TooMany
from lessonbook.edges.access.bodies import BodyRefusedError, BoundedBody
from lessonbook.edges.rest import _problem
from lessonbook.edges.transport.http import Hurried
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio


async def never() -> Any:
    await anyio.sleep_forever()


def pieces(*sizes: int) -> Any:
    left = [{"type": "http.request", "body": b"x" * size, "more_body": True} for size in sizes]
    left[-1]["more_body"] = False

    async def receive() -> Any:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive


async def test_a_body_that_stops_coming_is_refused() -> None:
    for body in (BoundedBody(never, 10, PATIENCE_S, pause_s=0.001), BoundedBody(never, 10, 0.001)):
        with pytest.raises(BodyRefusedError) as refused:
            await body()
        assert (refused.value.status, refused.value.code) == (408, "timeout")


async def test_a_body_of_undeclared_length_is_refused_where_it_passes_the_limit() -> None:
    body = BoundedBody(pieces(6, 4, 1), 10, PATIENCE_S)
    assert len((await body())["body"]) + len((await body())["body"]) == 10
    with pytest.raises(BodyRefusedError) as refused:
        await body()
    assert refused.value.status == 413


async def test_after_the_body_the_clients_end_is_waited_for_without_a_time_limit() -> None:
    body = BoundedBody(pieces(3), 10, PATIENCE_S, pause_s=PATIENCE_S)
    await body()
    body._left_s = body._pause_s = 0.0  # what is left for a body does not count any more
    assert (await body())["type"] == "http.disconnect"


class Impatient(Hurried):
    headers_s = 0.01


async def answer_ok(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: loc"], ids=["nothing", "half a head"])
async def test_a_connection_on_which_no_request_becomes_whole_is_closed(begun: bytes) -> None:
    config = uvicorn.Config(answer_ok, log_config=None, timeout_keep_alive=1)
    config.load()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Impatient(config=config, server_state=ServerState(), app_state={}), "127.0.0.1", 0
    )
    async with server:
        host, port = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(begun)
        with anyio.fail_after(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with anyio.fail_after(PATIENCE_S):
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_a_caller_that_calls_too_often_hears_when_it_may_call_again() -> None:
    answer = await _problem(None, TooMany("wait", retry_after_s=17))  # pyright: ignore[reportArgumentType]
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
