"""Listening while the database is not there yet."""

import anyio
import pytest
from mcp.client import Client
from mcp.client.subscriptions import ResourceUpdated

from lessonbook.domain.errors import Unavailable
from lessonbook.domain.lesson import Caller
from lessonbook.edges import subscriptions
from lessonbook.edges.access.gateway import Gateway
from lessonbook.edges.mcp_server import build_server
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from tests.patience import PATIENCE_S
from tests.store.scenario import issue, tell

pytestmark = pytest.mark.anyio


async def test_what_changes_before_a_delayed_watch_begins_is_announced(
    work: Workspace, agent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "RETRY_S", 0.0)
    tries, changed = [], anyio.Event()

    async def open_late() -> Workspace:
        tries.append(1)
        if len(tries) == 1:
            raise Unavailable("not yet")
        await changed.wait()
        return await open_workspace(work.settings, now=work.now)

    gateway = Gateway(open_late, agent)
    uri = f"stats://{agent.project}"
    with anyio.fail_after(PATIENCE_S):
        async with (
            Client(build_server(gateway, ["agent"], stays_connected=True)) as client,
            client.listen(resource_subscriptions=[uri]) as subscription,
        ):
            await tell(work, agent, issue(1))
            changed.set()
            assert await anext(aiter(subscription)) == ResourceUpdated(uri=uri)
    await gateway.close()
