"""Everything that may be wrong with a database: one sentence each, that says what to do, and nothing changed."""

# ruff: noqa: ASYNC240  # a test may look at a small file while its loop waits

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from lessonbook.config.settings import Settings
from lessonbook.domain.errors import LessonbookError, Unavailable, Undecided
from lessonbook.domain.lesson import Caller
from lessonbook.services.background.doctor_checks import diagnose
from lessonbook.services.opening import open_workspace
from lessonbook.services.workspace import Workspace
from lessonbook.store import postgres, postgres_links, sqlite
from tests.patience import PATIENCE_S
from tests.store.scenario import checked_out, counted, issue, scalar, tamper, tell

pytestmark = pytest.mark.anyio

on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"])
on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])

SQL = re.compile(
    r"\b(?:SELECT|INSERT|UPDATE|DELETE|BEGIN|PRAGMA|CREATE)\b|\[SQL|sqlalche\.me|Traceback|sqlite3\.|asyncpg"
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "pause_s", lambda attempt: 0.0)


@contextlib.contextmanager
def told(kind: type[LessonbookError], *parts: str) -> Iterator[None]:
    """Expect an error of exactly that kind, whose sentence has all `parts` and no SQL.

    The file's place is told apart from the sentence: it is for the person at the terminal only.
    """
    with pytest.raises(LessonbookError) as caught:
        yield
    sentence = f"{caught.value} ({caught.value.place})"
    assert not caught.value.place or caught.value.place not in str(caught.value)
    assert type(caught.value) is kind, sentence
    for part in parts:
        assert part in sentence
    assert not SQL.search(sentence), sentence
    assert "\n" not in sentence


async def opened(url: str) -> None:
    """Open and close a workspace."""
    work = await open_workspace(Settings.model_validate({"project": "demo", "database": {"url": url}}))
    await work.store.close()


# SQLite


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("Dear diary, today I learned nothing new about databases. " * 40)
    before = path.read_bytes()
    with told(Unavailable, "is not a SQLite database", "name another file", str(path)):
        await opened(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_a_damaged_file_is_named(sqlite_template: Path, tmp_path: Path) -> None:
    path = tmp_path / "lessonbook.db"
    content = bytearray(sqlite_template.read_bytes())
    content[4096 : len(content) - 4096] = os.urandom(1) * (len(content) - 8192)
    path.write_bytes(content)
    with told(Unavailable, "is damaged", "backup", str(path)):
        await opened(f"sqlite:///{path}")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with told(Unavailable, "folder cannot be made", "name another place", str(tmp_path / "file" / "folder")):
        await opened(f"sqlite:///{tmp_path}/file/folder/lessonbook.db")


async def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with told(Unavailable, "cannot be opened", str(tmp_path)):
        await opened(f"sqlite:///{tmp_path}")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="lessonbook-"))
    path.chmod(0o777)
    yield path
    path.chmod(0o777)
    shutil.rmtree(path)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's rights for a while, since to root no file is read-only.

    What reads files of the package is imported before: nobody else may be able to read Python's own.
    """
    import_module("importlib.readers")
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(mine)


@pytest.fixture
def read_only(folder: Path, sqlite_template: Path) -> Path:
    path = folder / "lessonbook.db"
    shutil.copy(sqlite_template, path)
    path.chmod(0o444)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o555])
async def test_a_read_only_file_is_named_whether_or_not_its_folder_is_too(
    read_only: Path, folder: Path, mode: int
) -> None:
    before = read_only.read_bytes()
    folder.chmod(mode)
    with as_nobody(), told(Unavailable, "writable", str(read_only)):
        await opened(f"sqlite:///{read_only}")
    assert read_only.read_bytes() == before


@on_sqlite
async def test_a_database_that_became_read_only_is_named_and_still_read(work: Workspace, agent: Caller) -> None:
    refuse(work.store, "query_only = ON")
    with told(Unavailable, "is read-only", "writable", "lessonbook.db", "Nothing was changed"):
        await tell(work, agent, issue(1))
    assert (await counted(work.store))["agent_issues"] == 0
    assert (await diagnose(work)).healthy


def refuse(store: Any, pragma: str) -> None:
    """Let all connections of the store from now on be made with a pragma."""
    engine = store.engine()
    engine.dispose()
    event.listen(engine, "connect", lambda raw, record: raw.execute(f"PRAGMA {pragma}"))


@on_sqlite
async def test_a_full_disk_is_named_loses_nothing_acknowledged_and_is_got_over(work: Workspace, agent: Caller) -> None:
    pages = await scalar(work.store, "PRAGMA page_count")
    refuse(work.store, f"max_page_count = {pages + 12}")
    done = 0
    with told(Unavailable, "disk is full", "free some space", "lessonbook.db"):
        for number in range(200):
            await tell(work, agent, issue(number))
            done += 1
    assert 0 < done < 200
    rows = await counted(work.store)
    assert rows["agent_issues"] == rows["agent_lessons"] == done
    assert (await diagnose(work)).faults == []
    assert checked_out(work.store) == 0
    roomier = await open_workspace(work.settings)
    await tell(roomier, agent, issue(1000))
    assert (await counted(work.store))["agent_issues"] == done + 1
    await roomier.store.close()


@on_sqlite
async def test_a_database_held_by_another_process_is_busy_not_broken(
    work: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_S", 0.01)
    monkeypatch.setattr(sqlite, "TRANSACTION_TIMEOUT_S", 0.05)
    monkeypatch.setattr(sqlite, "GRACE_S", PATIENCE_S)
    impatient = await open_workspace(work.settings)
    holder = sqlite3.connect(work.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with told(Unavailable, "busy", "nothing was changed", "Try again"):
        await impatient.store.write(lambda connection: None)
    assert await scalar(impatient.store, "SELECT count(*) FROM agent_lessons") == 0  # readers do not mind
    holder.execute("ROLLBACK")
    holder.close()
    await work.store.write(lambda connection: None)
    await impatient.store.close()


# PostgreSQL


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_a_server_that_is_down_is_named_without_the_password() -> None:
    port = free_port()
    with told(Unavailable, f"postgresql://me:***@127.0.0.1:{port}/db", "does not answer", "Is it running?"):
        await opened(f"postgresql://me:hunter2@127.0.0.1:{port}/db")


async def test_a_socket_that_is_not_there_is_named(tmp_path: Path) -> None:
    with told(Unavailable, str(tmp_path), "does not answer", "Is it running?"):
        await opened(f"postgresql://me@/db?host={tmp_path}")


async def test_a_database_that_does_not_exist_is_named(postgres_url: str) -> None:
    url = re.sub(r"/\w+(\?|$)", r"/no_such_database\1", postgres_url, count=1)
    with told(Unavailable, "There is no such database", "/no_such_database", "Make it, or check `database.url`"):
        await opened(url)


async def test_a_role_that_does_not_exist_is_a_refused_login(postgres_url: str) -> None:
    mark = "&" if "?" in postgres_url else "?"
    url = f"{re.sub(r'//[^/@]*@', '//', postgres_url)}{mark}user=no_such_role"
    with told(Unavailable, "refuses the login", "Check `database.url`"):
        await opened(url)


@contextlib.asynccontextmanager
async def answering(code: str, message: str) -> AsyncIterator[int]:
    """Serve every PostgreSQL client the same fatal error; yields the port."""

    async def refuse_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(4), "big")
        await reader.readexactly(size - 4)
        fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(refuse_client, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("code", "message", "parts"),
    [
        ("28P01", "password authentication failed", ("refuses the login", "Check `database.url`")),
        ("53300", "sorry, too many clients already", ("does not answer",)),
        ("57P03", "the database system is starting up", ("does not answer", "nothing was changed")),
    ],
)
async def test_a_server_that_turns_the_client_away_is_understood(
    code: str, message: str, parts: tuple[str, ...]
) -> None:
    async with answering(code, message) as port:
        with told(Unavailable, *parts, "me:***@"):
            await opened(f"postgresql://me:hunter2@127.0.0.1:{port}/db?sslmode=disable")


def failing(code: str) -> str:
    """Return SQL that lets the server fail every new issue with an error of that code."""
    return f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'INSERT failed on purpose' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON agent_issues FOR EACH ROW EXECUTE FUNCTION fail()"""


async def run(work: Workspace, sql: str) -> None:
    for statement in sql.split(";\n"):
        await tamper(work.store, statement)


@on_postgresql
@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("53100", ("disk is full", "nothing was changed", "Free some space")),
        ("57014", ("took too long", "nothing was changed", "Try again")),
        ("55P03", ("took too long", "nothing was changed", "Try again")),
        ("40001", ("busy", "nothing was changed", "Try again")),
        ("40P01", ("busy", "nothing was changed", "Try again")),
    ],
)
async def test_what_the_server_reports_is_told_in_words(
    work: Workspace, agent: Caller, code: str, parts: tuple[str, ...]
) -> None:
    await run(work, failing(code))
    before = await counted(work.store)
    with told(Unavailable, *parts):
        await tell(work, agent, issue(1))
    assert await counted(work.store) == before
    assert checked_out(work.store) == 0


@on_postgresql
async def test_a_read_only_server_is_named_and_still_read(work: Workspace, agent: Caller) -> None:
    name = await scalar(work.store, "SELECT current_database()")
    await tamper(work.store, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    replica = await open_workspace(work.settings)
    with told(Unavailable, "is read-only", "nothing was changed", "Point `database.url` at the primary"):
        await tell(replica, agent, issue(1))
    assert (await counted(replica.store))["agent_issues"] == 0
    assert (await diagnose(replica)).healthy
    await replica.store.close()


@on_postgresql
async def test_a_statement_that_takes_too_long_is_stopped(
    work: Workspace, agent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = await open_workspace(work.settings)
    await impatient.store.engine().dispose()
    with monkeypatch.context() as patch:
        patch.setattr(postgres_links, "STATEMENT_TIMEOUT_S", 0.05)
        with told(Unavailable, "took too long", "nothing was changed"):
            await scalar(impatient.store, "SELECT pg_sleep(60)")
        # A migration may take as long as it takes, in the driver as well.
        await impatient.store.migrate(lambda connection: connection.execute(text("SELECT pg_sleep(1.2)")).all())
    await impatient.store.engine().dispose()
    await tell(impatient, agent, issue(1))
    await impatient.store.close()


@on_postgresql
async def test_a_lock_that_is_not_let_go_is_not_waited_for_for_ever(
    work: Workspace, agent: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await tell(work, agent, issue(1))
    monkeypatch.setattr(postgres_links, "LOCK_TIMEOUT_S", 0.05)
    impatient = await open_workspace(work.settings)

    def hold(connection: Connection) -> None:
        connection.execute(text("SELECT 1 FROM agent_lessons FOR UPDATE"))
        with told(Unavailable, "took too long", "nothing was changed"):
            await_only(tell(impatient, agent, issue(1)))

    await work.store.write(hold)
    again = await tell(impatient, agent, issue(1))
    assert again.issues[0].lesson_id == made.issues[0].lesson_id
    await impatient.store.close()


@on_postgresql
async def test_connections_that_died_while_idle_are_made_anew(work: Workspace, agent: Caller) -> None:
    await asyncio.gather(*(tell(work, agent, issue(number)) for number in range(8)))
    other = await open_workspace(work.settings)
    killed = await scalar(
        other.store,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'",
    )
    assert killed > 1
    await tell(work, agent, issue(8))
    assert (await counted(work.store))["agent_issues"] == 9
    await other.store.close()


@on_postgresql
async def test_a_connection_that_breaks_in_mid_work_is_made_anew_and_the_work_done_once(work: Workspace) -> None:
    tries: list[int] = []

    def break_once(connection: Connection) -> None:
        connection.execute(text("INSERT INTO server_secrets VALUES ('n', 'v')"))
        tries.append(1)
        if len(tries) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    await work.store.write(break_once)
    assert len(tries) == 2
    assert await scalar(work.store, "SELECT count(*) FROM server_secrets WHERE name = 'n'") == 1


@on_postgresql
async def test_a_connection_that_breaks_at_the_commit_leaves_it_open_and_says_so(
    work: Workspace, agent: Caller
) -> None:
    await run(
        work,
        """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER die AFTER INSERT ON agent_issues DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION die()""",
    )
    with told(Undecided, "may or may not be done", "the same idempotency_key"):
        await tell(work, agent, issue(1), idempotency_key="k")
    assert (await counted(work.store))["agent_issues"] == 0
    await tamper(work.store, "DROP TRIGGER die ON agent_issues")
    await tell(work, agent, issue(1), idempotency_key="k")
    assert (await counted(work.store))["agent_issues"] == 1
    assert checked_out(work.store) == 0


@on_postgresql
async def test_a_pool_that_is_used_up_is_told_after_its_time(work: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "POOL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(postgres, "POOL_SIZE", 1)
    small = await open_workspace(work.settings)

    def hold(_: Connection) -> None:
        with told(Unavailable, "connections are busy", "Try again"):
            await_only(scalar(small.store, "SELECT 1"))

    await small.store.read(hold)
    assert await scalar(small.store, "SELECT 1") == 1
    await small.store.close()


async def test_a_mistake_in_our_own_query_is_not_dressed_up_as_an_outage(work: Workspace) -> None:
    with pytest.raises(DBAPIError):
        await scalar(work.store, "SELECT no_such_column FROM agent_lessons")
    with pytest.raises(DBAPIError):
        await tamper(work.store, "UPDATE agent_lessons SET nonsense = 1")
    assert checked_out(work.store) == 0


@on_postgresql
async def test_a_value_the_driver_cannot_send_is_not_dressed_up_as_an_outage(work: Workspace) -> None:
    with pytest.raises(DBAPIError):
        await tamper(work.store, "UPDATE agent_lessons SET version = :value", value="seven")
