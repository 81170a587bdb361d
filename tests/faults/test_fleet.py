"""Three replicas behind nginx, on one PostgreSQL behind pgbouncer: one may die, and all know the same lessons."""

import contextlib
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import anyio
import httpx2
import pytest

from lessonbook.config.settings import Settings
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace
from tests.contract.links import STATELESS, connected
from tests.contract.processes import PROJECT, HttpServer, http_server
from tests.patience import PATIENCE_S
from tests.postgres import Databases, database_of
from tests.proxies import nginx, pgbouncer
from tests.store.scenario import AGENT, ask, issue

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CALLERS = 6
ROUNDS = 5
"""How often each caller reports, is served, and applies."""


@pytest.fixture
def direct_url(postgres_databases: Databases) -> Iterator[str]:
    with postgres_databases.one() as url:
        yield url


@pytest.fixture
async def replicas(postgres_url: str, direct_url: str) -> AsyncIterator[list[HttpServer]]:
    name = re.split(r"[/?]", direct_url.partition("://")[2])[1]
    async with AsyncExitStack() as stack:
        pooled = database_of(stack.enter_context(pgbouncer(postgres_url, default_pool_size=6)), name)
        yield [await stack.enter_async_context(http_server(pooled)) for _ in range(3)]


async def do(client: httpx2.AsyncClient, tool: str, **arguments: object) -> dict[str, object]:
    """Call a tool until it is answered, under the same key each time, as the errors ask for."""
    while True:
        with contextlib.suppress(httpx2.TransportError):
            answer = await client.post(f"/api/{tool}", json=arguments)
            if answer.status_code == 200:
                return answer.json()
            assert answer.status_code >= 500, answer.text
        await anyio.lowlevel.checkpoint()


async def test_nothing_acknowledged_is_lost_when_a_replica_dies_under_load(
    replicas: list[HttpServer], direct_url: str
) -> None:
    numbers = itertools.count(1)
    acknowledged: dict[str, set[str]] = {tool: set() for tool in ("report_issues", "get_lessons", "record_application")}
    with nginx([server.url.removeprefix("http://") for server in replicas]) as front:
        async with httpx2.AsyncClient(base_url=front, timeout=PATIENCE_S) as client:

            async def work() -> None:
                for _ in range(ROUNDS):
                    number = next(numbers)
                    key, problem = f"call-{number}", issue(number).model_dump(include={"description", "lesson"})
                    made = await do(client, "report_issues", agent_name=AGENT, issues=[problem], idempotency_key=key)
                    acknowledged["report_issues"].add(key)
                    lesson_id = made["issues"][0]["lesson_id"]  # pyright: ignore[reportIndexIssue, reportUnknownVariableType]
                    await do(client, "get_lessons", agent_name=AGENT, run_id=key, task=problem["lesson"])
                    acknowledged["get_lessons"].add(key)
                    given = {"run_id": key, "lesson_ids": [lesson_id], "idempotency_key": key}
                    await do(client, "record_application", **given)
                    acknowledged["record_application"].add(key)
                    if number == CALLERS * ROUNDS // 3:
                        replicas[0].process.kill()

            async with anyio.create_task_group() as tasks:
                for _ in range(CALLERS):
                    tasks.start_soon(work)
    work_on = await open_workspace(Settings.model_validate({"project": PROJECT, "database": {"url": direct_url}}))
    for tool, keys in acknowledged.items():
        assert len(keys) == CALLERS * ROUNDS
        rows = await ask(work_on.store, "SELECT key FROM idempotency_keys WHERE tool = :tool", tool=tool)
        assert sorted(row[0].partition("#")[0] for row in rows) == sorted(keys)
    issues = await ask(work_on.store, "SELECT count(*), count(DISTINCT description) FROM agent_issues")
    assert issues == [(CALLERS * ROUNDS, CALLERS * ROUNDS)]
    assert (await diagnose(work_on)).faults == []
    await work_on.store.close()


async def test_a_lesson_made_through_one_replica_is_served_and_announced_by_another(
    replicas: list[HttpServer],
) -> None:
    first, second, _ = replicas
    uri = f"lessons://{PROJECT.replace('/', '%2F')}/{AGENT}"
    async with (
        httpx2.AsyncClient(base_url=first.url, timeout=PATIENCE_S) as one,
        httpx2.AsyncClient(base_url=second.url, timeout=PATIENCE_S) as other,
        connected(second.mcp, STATELESS) as listener,
        listener.listen(resource_subscriptions=[uri]) as subscription,
    ):
        await do(other, "get_lessons", agent_name=AGENT)
        problem = {"description": "Found by a scanner in the last build", "rule_id": "bandit:B608"}
        made = await do(one, "report_issues", agent_name=AGENT, issues=[problem], source="ci")
        acknowledged_s = time.monotonic()
        lesson_id = json.dumps(made["issues"][0]["lesson_id"])  # pyright: ignore[reportIndexIssue]
        with anyio.fail_after(PATIENCE_S):
            while lesson_id not in json.dumps(await do(other, "get_lessons", agent_name=AGENT)):
                await anyio.lowlevel.checkpoint()
            served_s = time.monotonic() - acknowledged_s
            await anext(subscription)
            announced_s = time.monotonic() - acknowledged_s
    print(f"served by another replica after {served_s:.3f} s, announced after {announced_s:.3f} s")  # noqa: T201  # to be read
