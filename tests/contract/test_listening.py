"""Whoever listens hears of changes: this server's own, another process's, another replica's."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated, SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import ResourceUpdatedNotification

from tests.contract.links import HANDSHAKE, STATELESS, Link, connected, linked
from tests.contract.processes import PROJECT, http_server, stdio_parameters
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLACE = quote(PROJECT, safe="")
older = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")


Change = Callable[[], Awaitable[object]]


class Heard:
    """The addresses that were announced so far."""

    def __init__(self) -> None:
        self.uris: set[str] = set()
        self._more = anyio.Event()

    def add(self, uri: str) -> None:
        self.uris.add(uri)
        self._more.set()

    async def all_of(self, wanted: set[str]) -> None:
        with anyio.fail_after(PATIENCE_S):
            while not wanted <= self.uris:
                self._more = anyio.Event()
                await self._more.wait()


async def hear(listener: Link, uris: list[str], wanted: set[str], change: Change) -> set[str]:
    """Listen, make one change, and return what was heard by the time all of `wanted` was."""
    heard = Heard()
    async with listener.client.listen(resource_subscriptions=uris) as subscription, anyio.create_task_group() as tasks:

        async def collect() -> None:
            async for event in subscription:
                assert isinstance(event, ResourceUpdated)
                heard.add(event.uri)

        tasks.start_soon(collect)
        await change()
        await heard.all_of(wanted)
        tasks.cancel_scope.cancel()
    return heard.uris


def places(agent_name: str, lesson_id: str) -> list[str]:
    return [
        f"lessons://{PLACE}/{agent_name}",
        f"lesson://{lesson_id}",
        f"stats://{PLACE}",
        f"stats://{PLACE}/{agent_name}",
    ]


@pytest.mark.parametrize(
    ("transport", "either_url"),
    [("memory", "postgresql"), ("stdio", "sqlite"), ("http", "postgresql")],
    indirect=["either_url"],
)
async def test_a_listener_hears_what_its_own_server_changed(transport, either_url, agent_name):
    async with linked(transport, STATELESS, either_url) as link:
        lesson_id = await link.learn(agent_name)
        uris = places(agent_name, lesson_id)
        others = [f"lessons://{PLACE}/Nobody", "lesson://Lother", "stats://other"]
        heard = await hear(link, uris + others, set(uris), lambda: link.learn(agent_name))
        assert heard == set(uris)
        with anyio.fail_after(PATIENCE_S):
            assert not (await link.call("get_stats")).is_error


@pytest.mark.parametrize(
    ("transport", "either_url"), [("stdio", "sqlite"), ("http", "postgresql")], indirect=["either_url"]
)
async def test_a_listener_hears_what_another_process_changed(transport, either_url, agent_name):
    async with (
        linked(transport, STATELESS, either_url) as listener,
        connected(stdio_parameters(either_url), STATELESS) as client,
    ):
        other = Link(client, "stdio", STATELESS, either_url)
        lesson_id = await other.learn(agent_name)
        uris = places(agent_name, lesson_id)
        assert await hear(listener, uris, set(uris), lambda: other.learn(agent_name)) == set(uris)


async def test_a_change_of_a_lesson_for_all_agents_is_a_change_for_each(sqlite_url, agent_name):
    async with linked("memory", STATELESS, sqlite_url) as link:
        await link.learn(agent_name)
        uri = f"lessons://{PLACE}/{agent_name}"
        assert await hear(link, [uri], {uri}, lambda: link.learn("*")) == {uri}


async def test_a_listener_hears_that_another_agent_has_lessons_now(sqlite_url, agent_name):
    async with (
        linked("memory", STATELESS, sqlite_url) as link,
        link.client.listen(resources_list_changed=True) as subscription,
    ):
        await link.learn(agent_name)
        with anyio.fail_after(PATIENCE_S):
            assert isinstance(await anext(subscription), ResourcesListChanged)


async def test_a_listener_hears_nothing_of_other_projects(sqlite_url, agent_name):
    async with (
        linked("memory", STATELESS, sqlite_url) as listener,
        connected(stdio_parameters(sqlite_url, project="elsewhere"), STATELESS) as client,
    ):
        other = Link(client, "stdio", STATELESS, sqlite_url)
        foreign = await other.learn(agent_name)
        ours = f"lessons://{PLACE}/{agent_name}"
        uris = [f"lesson://{foreign}", "stats://elsewhere", f"lessons://elsewhere/{agent_name}", ours]

        async def change_both() -> None:
            await other.learn(agent_name)
            await listener.learn(agent_name)

        assert await hear(listener, uris, {ours}, change_both) == {ours}


async def test_two_listeners_both_hear_and_one_that_leaves_takes_nothing_from_the_other(sqlite_url, agent_name):
    async with http_server(sqlite_url) as server, connected(server.mcp, STATELESS) as one:
        link = Link(one, "http", STATELESS, sqlite_url)
        uri = f"lesson://{await link.learn(agent_name)}"
        async with connected(server.mcp, STATELESS) as leaving:
            other = Link(leaving, "http", STATELESS, sqlite_url)
            assert await hear(other, [uri], {uri}, lambda: link.learn(agent_name)) == {uri}
        assert await hear(link, [uri], {uri}, lambda: link.learn(agent_name)) == {uri}


async def test_a_server_that_is_told_to_stop_ends_its_streams_in_good_order(sqlite_url):
    with anyio.fail_after(PATIENCE_S):
        async with http_server(sqlite_url) as server, connected(server.mcp, STATELESS) as client:
            async with client.listen(resource_subscriptions=[f"stats://{PLACE}"]) as subscription:
                server.process.terminate()
                assert [event async for event in subscription] == []
            await server.process.wait()


async def test_a_listener_whose_server_is_killed_is_told(sqlite_url):
    async with http_server(sqlite_url) as server, connected(server.mcp, STATELESS) as client:
        async with client.listen(resource_subscriptions=[f"stats://{PLACE}"]) as subscription:
            server.process.kill()
            with anyio.fail_after(PATIENCE_S), pytest.raises(SubscriptionLost):
                await anext(subscription)
        await server.process.wait()


@older
@pytest.mark.parametrize(
    ("transport", "either_url"), [("memory", "sqlite"), ("stdio", "postgresql")], indirect=["either_url"]
)
async def test_in_the_older_protocol_a_subscriber_hears_until_it_unsubscribes(transport, either_url, agent_name):
    heard = Heard()

    async def handle(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.add(str(message.params.uri))

    async with linked(transport, HANDSHAKE, either_url, message_handler=handle) as link:
        assert link.client.server_capabilities.resources is not None
        assert link.client.server_capabilities.resources.subscribe is True
        lesson_id = await link.learn(agent_name)
        uris = places(agent_name, lesson_id)
        for uri in uris:
            await link.client.subscribe_resource(uri)
        await link.learn(agent_name)
        await heard.all_of(set(uris))
        await link.client.unsubscribe_resource(uris[0])
        heard.uris.clear()
        await link.learn(agent_name)
        await heard.all_of(set(uris[1:]))
        assert uris[0] not in heard.uris


@older
async def test_over_http_the_older_protocol_has_no_subscriptions(sqlite_url):
    async with linked("http", HANDSHAKE, sqlite_url) as link:
        with pytest.raises(MCPError):
            await link.client.subscribe_resource(f"stats://{PLACE}")
        assert not (await link.call("get_stats")).is_error
