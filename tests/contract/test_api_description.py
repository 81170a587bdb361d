"""What `/openapi.json` describes holds against made-up requests: no failure of the server, no way around a token."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from lessonbook.edges.tool_table import OPERATIONS
from tests.contract.links import in_a_task
from tests.contract.processes import BOTH, HttpServer, http_server
from tests.contract.test_authorisation import bearer, make_token

EXAMPLES = int(os.environ.get("API_EXAMPLES", "2"))
"""Requests per operation and kind, valid and not; 150 make some 6,600 in all and take a quarter of an hour."""
CHECKS = [
    not_a_server_error,
    ignored_auth,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
UNHURRIED = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


@pytest.fixture(scope="module")
def url(new_database: Callable[[str], str]) -> str:
    return new_database("sqlite")


@pytest.fixture(scope="module")
async def server(anyio_backend: str, url: str) -> AsyncIterator[HttpServer]:
    async with in_a_task(http_server(url, *BOTH, "--auth", "tokens")) as server:
        yield server


@pytest.fixture(scope="module")
async def headers(anyio_backend: str, url: str) -> dict[str, str]:
    return bearer(await make_token(url, "made-up-requests"))


@pytest.fixture
def api(server: HttpServer, headers: dict[str, str]) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json", headers=headers)


def try_all(api: schemathesis.BaseSchema, headers: dict[str, str], examples: int) -> int:
    """Send made-up requests to every operation, valid and not, and return how many operations there are."""
    operations = [found.ok() for found in api.get_all_operations()]
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=examples, suppress_health_check=UNHURRIED, deadline=None)
            def holds(case: schemathesis.Case) -> None:
                case.call_and_validate(headers=headers, checks=CHECKS)

            with suppress(Unsatisfiable):  # a route without parameters has no invalid request
                holds()
    return len(operations)


@pytest.mark.slow
def test_no_request_makes_the_server_fail_passes_without_its_token_or_is_answered_as_nobody_described(
    api: schemathesis.BaseSchema, headers: dict[str, str]
) -> None:
    assert try_all(api, headers, EXAMPLES) > len(OPERATIONS)
