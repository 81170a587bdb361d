"""Fixtures of the contract: databases, and a link of every kind to a server. The same tests run over each."""

import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import DATABASES
from tests.contract.links import HANDSHAKE, KINDS, STATELESS, Link, Transport, add_agents, in_a_task, linked
from tests.contract.processes import afresh, command
from tests.postgres import run_apart

AT_ONCE = 20
"""Agents added at a time: opening a database takes longer than adding them."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Return a function that makes a migrated database and returns its URL; PostgreSQL starts where it is needed."""

    def make(dialect: str) -> str:
        if dialect == "postgresql":
            return request.getfixturevalue("new_postgres_database")()
        path = tmp_path_factory.mktemp("contract") / "lessonbook.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="session")
def new_postgres_database(postgres_url: str, postgres_template: str) -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def make() -> str:
        made.append(f"contract_{uuid.uuid4().hex[:12]}")
        run_apart(_execute(postgres_url, f"CREATE DATABASE {made[-1]} TEMPLATE {postgres_template}"))
        return _renamed(postgres_url, made[-1])

    yield make
    for name in made:
        run_apart(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


def _renamed(url: str, name: str) -> str:
    """Return the URL of database `name` on the server of `url`, which may have a socket for its host."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{name}" + (f"?{parts.query}" if parts.query else "")


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(kind, id="-".join(kind), marks=() if kind[0] == "memory" else pytest.mark.slow) for kind in KINDS
    ],
)
def kind(request: pytest.FixtureRequest) -> tuple[Transport, str, str]:
    return request.param


@pytest.fixture(scope="session")
def link_url(kind: tuple[Transport, str, str], new_database: Callable[[str], str]) -> str:
    return new_database(kind[2])


@pytest.fixture(scope="session")
async def link(anyio_backend: str, kind: tuple[Transport, str, str], link_url: str) -> AsyncIterator[Link]:
    """A link of each kind to a server with both toolsets; those on SQLite are started as a person starts them."""
    transport, protocol, database = kind
    async with in_a_task(linked(transport, protocol, link_url, afresh if database == "sqlite" else command)) as link:
        while (await link.call("get_stats")).is_error:  # on a busy machine its first call may take too long
            pass
        yield link


@pytest.fixture(scope="session")
def spare_agents() -> dict[str, list[str]]:
    """Agents nobody has used yet, by the database they were added to."""
    return {}


@pytest.fixture
async def agent_name(request: pytest.FixtureRequest, spare_agents: dict[str, list[str]]) -> str:
    """An agent nobody has used yet, added to the project of the test's database."""
    for fixture in ("link_url", "review_url", "sqlite_url", "either_url"):
        if fixture in request.fixturenames:
            url = request.getfixturevalue(fixture)
            if not (spare := spare_agents.setdefault(url, [])):
                count = AT_ONCE if fixture in {"link_url", "review_url"} else 1  # the others' databases serve one test
                spare += [f"Agent{uuid.uuid4().hex[:10]}" for _ in range(count)]
                await add_agents(url, *spare)
            return spare.pop()
    raise LookupError("agent_name needs a database to be added to")


@pytest.fixture(params=[HANDSHAKE, STATELESS])
def protocol(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def sqlite_url(new_database: Callable[[str], str]) -> Iterator[str]:
    return new_database("sqlite")


@pytest.fixture(params=DATABASES)
def either_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    """A database of the test's own, of each kind."""
    return new_database(request.param)


@pytest.fixture
def fixtures() -> Path:
    return Path(__file__).parents[1] / "fixtures"
