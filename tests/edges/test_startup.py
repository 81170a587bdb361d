"""How a server starts: at once, without what it does not need yet, and without a database if it must."""

import asyncio
import json
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from mcp.client import Client

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import Unavailable
from lessonbook.edges.access.gateway import Gateway, Unexpected, answer
from lessonbook.edges.mcp_server import build_server
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.anyio

HEAVY = [
    "sqlalchemy",
    "alembic",
    "asyncpg",
    "sqlite3",
    "fastapi",
    "lessonbook.store",
    "lessonbook.classify",
    "lessonbook.search",
    "lessonbook.intake.readers",
]
LOADED = """
import json, sys
import anyio
from mcp.client import Client
from lessonbook.app import gateway_for
from lessonbook.config.settings import load_settings
from lessonbook.edges.mcp_server import build_server

url, modes, heavy = sys.argv[1], ["legacy", "2026-07-28"], json.loads(sys.argv[2])

async def main():
    gateway = gateway_for(load_settings({"project": "demo", "database": {"url": url}}), "local")
    server = build_server(gateway, ["agent", "operator"], stays_connected=True)
    counts, loaded = [], []
    for mode in modes:
        async with Client(server, mode=mode) as client:
            counts.append(len((await client.list_tools()).tools))
            await client.list_prompts()
            await client.list_resource_templates()
        loaded += [name for name in heavy if name in sys.modules]
    async with Client(server, mode=modes[-1]) as client:
        await client.call_tool("get_stats", {})
        reported = await client.call_tool("report_issues", {"issues": ["The order export has no time-out"]})
        assert not reported.is_error, reported.content
    await gateway.close()
    print(json.dumps([counts, loaded, [name for name in heavy if name in sys.modules]]))

anyio.run(main)
"""


@pytest.mark.slow
def test_tools_are_listed_before_the_store_is_loaded_and_words_reported_without_readers_of_files(
    tmp_path, sqlite_template
):
    shutil.copy(sqlite_template, tmp_path / "x.db")
    url = f"sqlite:///{tmp_path / 'x.db'}"
    arguments = [sys.executable, "-W", "error", "-c", LOADED, url, json.dumps(HEAVY)]
    done = subprocess.run(arguments, capture_output=True, check=True, timeout=PATIENCE_S)
    counts, loaded, later = json.loads(done.stdout)
    assert counts == [13, 13]
    assert loaded == []
    assert "lessonbook.store" in later
    assert not {"fastapi", "lessonbook.intake.readers"}.intersection(later)


async def test_a_server_without_its_database_lists_tools_and_works_once_the_database_is_there(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
):
    place = tmp_path / "folder"
    if dialect == "sqlite":
        place.write_text("a file where the folder should be")
        url = f"sqlite:///{place / 'lessonbook.db'}"
    else:
        server_url: str = request.getfixturevalue("postgres_url")
        name = f"late_{uuid.uuid4().hex[:12]}"
        parts = urlsplit(server_url)
        url = f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"
    gateway = gateway_for(Settings.model_validate({"project": "demo", "database": {"url": url}}), "local")
    async with Client(
        build_server(gateway, ["agent"], stays_connected=True), read_timeout_seconds=PATIENCE_S
    ) as client:
        assert len((await client.list_tools()).tools) == 5
        for _ in range(2):
            refused = await client.call_tool("get_lessons", {})
            assert refused.is_error
            assert "database" in refused.content[0].text or "folder" in refused.content[0].text
            assert "Traceback" not in refused.content[0].text
        if dialect == "sqlite":
            place.unlink()
        else:
            await _execute(server_url, f"CREATE DATABASE {name}")
        served = await client.call_tool("get_lessons", {})
        assert not served.is_error, served.content
    await gateway.close()
    if dialect == "postgresql":
        await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    import asyncpg  # noqa: PLC0415

    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_calls_that_come_at_once_open_the_database_once(settings: Settings):
    opened = 0
    real = gateway_for(settings, "local")

    async def open_workspace():
        nonlocal opened
        opened += 1
        await anyio.lowlevel.checkpoint()
        return await real.workspace()

    gateway = Gateway(open_workspace, real.caller())
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(gateway.workspace)
    assert opened == 1
    await gateway.close()


async def test_what_nobody_foresaw_is_a_code_that_the_log_explains(caplog):
    async def fail() -> None:
        raise KeyError("secret")

    with pytest.raises(Unexpected) as caught:
        await answer(fail)
    (record,) = caplog.records
    assert "secret" not in str(caught.value)
    code = record.getMessage().removeprefix("unexpected error ").split()[0]  # it may go on: "(and 3 like it before)"
    assert f"its log explains code {code}." in str(caught.value)
    assert record.exc_info is not None


async def test_what_takes_too_long_is_given_up():
    with pytest.raises(Unavailable, match="too long"):
        await answer(asyncio.Event().wait, timeout_s=0.01)
