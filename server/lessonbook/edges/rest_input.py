"""How REST reads requests, for better errors and constant memory: parameters, bodies, keys, files."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, BinaryIO, Final, cast

import anyio.to_thread
from fastapi import Header, Request
from fastapi.routing import APIRoute

from lessonbook.domain.errors import InvalidInput, Unavailable
from lessonbook.domain.lenient_reading import TOO_DEEP
from lessonbook.domain.vocabulary import IdempotencyKey
from lessonbook.edges.nearest_name import unknown

IN_MEMORY_MAX: Final = 1024 * 1024
"""Bytes of a file that are kept in memory; a larger one is written to a nameless temporary file."""

KeyHeader = Annotated[IdempotencyKey, Header(alias="Idempotency-Key")]
"""The idempotency key as a header; the field or parameter `idempotency_key` means the same."""


def check_parameters(request: Request) -> None:
    """Refuse query parameters that the route does not know: a misspelt run_id would lose the evidence.

    Raises:
        InvalidInput: there is one; the message names the nearest known parameter.
    """
    route = request.scope.get("route")
    known = [field.alias for field in route.dependant.query_params] if isinstance(route, APIRoute) else []
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(unknown("parameter", name, known))


async def json_object(request: Request) -> dict[str, Any]:
    """Return the body, a JSON object.

    Raises:
        InvalidInput: it is something else, or its Content-Type is not JSON.
    """
    # A browser sends other types to any server without a CORS preflight.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise InvalidInput("The body is not marked as JSON: send it with Content-Type: application/json")
    try:
        values: object = await request.json()
    except RecursionError as error:
        raise InvalidInput(f"The JSON of the body is {TOO_DEEP}") from error
    except ValueError as error:
        raise InvalidInput("The body is not valid JSON: send the tool's arguments as a JSON object") from error
    if not isinstance(values, dict):
        raise InvalidInput("The body is not a JSON object: send the tool's arguments by name")
    return cast("dict[str, Any]", values)


@asynccontextmanager
async def received(request: Request) -> AsyncGenerator[BinaryIO]:
    """Yield the body as a nameless file that can be rewound; it is deleted with the request.

    Raises:
        Unavailable: the disk is full.
    """
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_MAX) as held:
        try:
            async for piece in request.stream():
                await anyio.to_thread.run_sync(held.write, piece)
        except OSError as error:
            raise Unavailable("The server has no room for the file now. Try again later.") from error
        yield cast("BinaryIO", held)


def one_key(parameter: str, header: str) -> str:
    """Return the idempotency key of the parameter or of the header, where it may be in quotes.

    Raises:
        InvalidInput: both are there and differ.
    """
    key = header.removeprefix('"').removesuffix('"')
    if parameter and key and parameter != key:
        raise InvalidInput("idempotency_key and the header Idempotency-Key differ: send one of them")
    return parameter or key
