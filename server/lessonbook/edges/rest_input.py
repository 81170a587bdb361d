"""What REST reads of a request itself, for better errors and flat memory: parameters, bodies, keys, files."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO, Final, cast

import anyio.to_thread
from fastapi import Header, Request
from fastapi.routing import APIRoute

from lessonbook.domain.errors import InvalidInput, Unavailable
from lessonbook.domain.vocabulary import IdempotencyKey
from lessonbook.edges.nearest_name import unknown

IN_MEMORY_MAX: Final = 1024 * 1024
"""Bytes of a file that are kept in memory; a larger one is written to a nameless temporary file as it comes."""

KeyHeader = Annotated[IdempotencyKey, Header(alias="Idempotency-Key")]
"""The idempotency key as many clients send it; the field or parameter of that name says the same."""


def check_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know: a misspelt run_id would lose the evidence.

    Raises:
        InvalidInput: there is one; the message names the nearest that is known.
    """
    route = request.scope.get("route")
    known = [field.alias for field in route.dependant.query_params] if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(unknown("parameter", name, known))


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object.

    Raises:
        InvalidInput: it is something else, or is not marked as JSON.
    """
    # A web page may send other types to any server without asking it first.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput("The body is not marked as JSON: send it with Content-Type: application/json")
    try:
        values: object = await request.json()
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The body is no JSON: send the tool's arguments as a JSON object") from error
    if not isinstance(values, dict):
        raise InvalidInput("The body is no JSON object: send the tool's arguments by name")
    return cast("dict[str, Any]", values)


@asynccontextmanager
async def received(request: Request) -> AsyncGenerator[BinaryIO]:
    """Give the body as a file that can be rewound; it is gone with the request, and was never to be found by name.

    Raises:
        Unavailable: there is no room for it.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_MAX) as held:
        try:
            async for piece in request.stream():
                await anyio.to_thread.run_sync(held.write, piece)
        except OSError as error:
            raise Unavailable("The server has no room for the file now. Try again later.") from error
        yield cast("BinaryIO", held)


def one_key(told: str, header: str) -> str:
    """Return the idempotency key, wherever it was told; in the header it may be in quotes.

    Raises:
        InvalidInput: it was told twice, and differently.
    """
    key = header.removeprefix('"').removesuffix('"')
    if told and key and told != key:
        raise InvalidInput("idempotency_key and the header Idempotency-Key differ: send one of them")
    return told or key
