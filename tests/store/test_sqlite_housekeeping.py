"""What a SQLite file asks of its folder, its log and the processes that share it."""

# ruff: noqa: ASYNC240  # a test may look at a small file while its loop waits

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from lessonbook.domain.errors import ConfigError
from lessonbook.services.workspace import Workspace
from lessonbook.store import sqlite
from lessonbook.store.engine import Store, connect
from lessonbook.store.filesystem import network_filesystem, sole_owner
from lessonbook.store.installation import sqlite_warning
from lessonbook.store.sqlite import WAL_BYTES_MAX
from lessonbook.store.urls import parse_address
from tests.store.scenario import scalar

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("dialect", ["sqlite"])]

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
filer:/export /srv/shared nfs4 rw,vers=4.2 0 0
tmpfs /srv/shared/local tmpfs rw 0 0
//box/share /mnt/with\\040blank cifs rw 0 0
me@host:/ /home/me/remote fuse.sshfs rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """A list of mounts as Linux gives it."""
    path = tmp_path / "mounts"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/srv/lessons.db", None),
        ("/srv/shared/lessons.db", "nfs4"),
        ("/srv/shared/deep/er/lessons.db", "nfs4"),
        ("/srv/sharedness/lessons.db", None),
        ("/srv/shared/local/lessons.db", None),
        ("/mnt/with blank/lessons.db", "cifs"),
        ("/home/me/remote/lessons.db", "fuse.sshfs"),
    ],
)
def test_a_network_file_system_is_recognised_by_the_mount_a_file_is_under(
    mounts: Path, place: str, kind: str | None, dialect: str
) -> None:
    assert network_filesystem(Path(place), mounts) == kind


def test_a_link_to_a_network_file_system_is_followed(tmp_path: Path, mounts: Path, dialect: str) -> None:
    (tmp_path / "link").symlink_to("/srv/shared")
    assert network_filesystem(tmp_path / "link" / "lessons.db", mounts) == "nfs4"


def test_a_system_that_does_not_tell_its_mounts_is_trusted(tmp_path: Path, dialect: str) -> None:
    assert network_filesystem(tmp_path / "lessons.db", tmp_path / "no such file") is None


async def test_a_database_on_a_network_file_system_is_refused_and_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nfiler:/export {tmp_path.resolve()}/far nfs rw 0 0\n")
    monkeypatch.setattr(sqlite, "network_filesystem", partial(network_filesystem, mounts=mounts))
    store = connect(parse_address(f"sqlite:///{tmp_path}/far/lessons.db"))
    with pytest.raises(ConfigError, match=r"network file system \(nfs\).*local disk, or use PostgreSQL"):
        await scalar(store, "SELECT 1")
    assert not (tmp_path / "far").exists()
    await store.close()


@pytest.mark.parametrize(
    "pragma", ["journal_mode wal", "synchronous 1", "foreign_keys 1", "wal_autocheckpoint 0", "cache_size -1000"]
)
async def test_every_connection_is_set_up_alike(work: Workspace, pragma: str) -> None:
    name, value = pragma.split()

    def setting(connection: Connection) -> str:
        return str(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    found = await asyncio.gather(work.store.write(setting), *(work.store.read(setting) for _ in range(6)))
    assert set(found) == {value}
    assert await scalar(work.store, "PRAGMA busy_timeout") == sqlite.BUSY_S * 1000


def log_of(work: Workspace) -> Path:
    return Path(work.settings.database_url.removeprefix("sqlite:///") + "-wal")


def note(connection: Connection) -> None:
    connection.execute(text("UPDATE agent_revisions SET revision = revision + 1"))
    connection.execute(text("INSERT INTO agent_revisions VALUES ('p', 'a' || random(), 1)"))


async def test_the_log_stays_short_over_five_thousand_small_writes(work: Workspace) -> None:
    longest = 0
    small = "INSERT OR REPLACE INTO server_secrets VALUES ('n', :value)"
    for number in range(5_000):
        await work.store.write(
            lambda connection, number=number: connection.execute(text(small), {"value": f"{number}"})
        )
        if number % 100 == 0:
            longest = max(longest, log_of(work).stat().st_size)
    assert 0 < longest <= WAL_BYTES_MAX // 4
    assert await scalar(work.store, "SELECT value FROM server_secrets WHERE name = 'n'") == "4999"


async def test_the_log_stays_short_when_many_processes_write_a_little_each(work: Workspace) -> None:
    put = "INSERT OR REPLACE INTO server_secrets VALUES (:name, :value)"
    blob = "x" * 200_000
    await scalar(work.store, "SELECT 1")  # this store stays open, so that no close empties the log
    longest = 0
    for number in range(60):
        store = connect(parse_address(work.settings.database_url))
        values = {"name": f"n{number % 3}", "value": blob}
        await store.write(lambda connection, values=values: connection.execute(text(put), values))
        await store.close()
        longest = max(longest, log_of(work).stat().st_size)
    assert longest < 2 * WAL_BYTES_MAX


async def test_a_log_that_a_long_reader_kept_long_is_cut_when_the_reader_is_gone(work: Workspace) -> None:
    path = work.settings.database_url.removeprefix("sqlite:///")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM server_secrets").fetchall()
    put = "INSERT OR REPLACE INTO server_secrets VALUES ('n', :value)"

    async def write(times: int, value: str) -> None:
        for _ in range(times):
            await work.store.write(lambda connection: connection.execute(text(put), {"value": value}))

    await write(60, "x" * 200_000)
    assert log_of(work).stat().st_size > 2 * WAL_BYTES_MAX  # what the reader sees may not be overwritten
    reader.execute("COMMIT")
    reader.close()
    await write(130, "short")
    assert log_of(work).stat().st_size <= WAL_BYTES_MAX


async def test_the_log_stays_short_over_brief_writes_and_each_is_there_at_once(work: Workspace) -> None:
    small = "INSERT OR REPLACE INTO server_secrets VALUES ('n', :value)"
    for number in range(1_000):
        await work.store.write_briefly(
            lambda connection, number=number: connection.execute(text(small), {"value": f"{number}"})
        )
        assert (
            number % 100 or await scalar(work.store, "SELECT value FROM server_secrets WHERE name = 'n'") == f"{number}"
        )
    assert 0 < log_of(work).stat().st_size <= WAL_BYTES_MAX // 4


async def test_a_brief_write_waits_without_holding_up_others_while_another_process_writes(work: Workspace) -> None:
    await scalar(work.store, "SELECT 1")
    other = sqlite3.connect(work.settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(work.store.write_briefly(note))
    for _ in range(10):
        await asyncio.sleep(0.01)
        assert await scalar(work.store, "SELECT count(*) FROM agent_revisions") == 0
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    await waiting
    assert await scalar(work.store, "SELECT count(*) FROM agent_revisions") == 1
    assert await scalar(work.store, "PRAGMA busy_timeout") == sqlite.BUSY_S * 1000


def test_one_owner_at_a_time_holds_the_checkpoint_lock(tmp_path: Path, dialect: str) -> None:
    lock = tmp_path / "lessons.db.checkpoint"
    with sole_owner(lock) as first, sole_owner(lock) as second:
        assert first
        assert not second
    with sole_owner(lock) as again:
        assert again


def test_another_process_does_not_get_the_checkpoint_lock(tmp_path: Path, dialect: str) -> None:
    lock = tmp_path / "lessons.db.checkpoint"
    ask = (
        "import pathlib, sys\nfrom lessonbook.store.filesystem import sole_owner\n"
        "with sole_owner(pathlib.Path(sys.argv[1])) as owned: print(owned)"
    )

    def asked() -> str:
        done = subprocess.run([sys.executable, "-c", ask, str(lock)], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with sole_owner(lock):
        assert asked() == "False"
    assert asked() == "True"


async def test_nobody_checkpoints_while_another_process_holds_the_lock(work: Workspace) -> None:
    def begun() -> bytes:
        return log_of(work).read_bytes()[:32]  # the log's header is written anew when it begins again

    await work.store.write(note)
    first = begun()
    with sole_owner(Path(str(log_of(work)).removesuffix("-wal") + ".checkpoint")) as owned:
        assert owned
        for _ in range(3 * sqlite.WAL_CHECK_EVERY):
            await work.store.write(note)
        assert begun() == first
    for _ in range(sqlite.WAL_CHECK_EVERY + 1):
        await work.store.write(note)
    assert begun() != first


async def test_a_checkpoint_that_cannot_be_made_fails_no_write(work: Workspace) -> None:
    Path(str(log_of(work)).removesuffix("-wal") + ".checkpoint").mkdir()  # the lock cannot be opened
    for _ in range(sqlite.WAL_CHECK_EVERY + 1):
        await work.store.write(note)
    assert await scalar(work.store, "SELECT count(*) FROM agent_revisions") == sqlite.WAL_CHECK_EVERY + 1


@pytest.mark.parametrize(
    ("version", "warned"),
    [
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.52.0", False),
        ("4.0.0", False),
    ],
)
async def test_a_release_with_the_checkpoint_fault_is_warned_of(work: Workspace, version: str, warned: bool) -> None:
    def warning(connection: Connection) -> str:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.create_function("sqlite_version", 0, lambda: version)
        return sqlite_warning(connection)

    found = await work.store.read(warning)
    assert bool(found) == warned
    assert not warned or version in found


@pytest.fixture
async def second(work: Workspace) -> AsyncIterator[Store]:
    store = connect(parse_address(work.settings.database_url))
    yield store
    await store.close()


async def test_the_last_to_close_moves_the_log_into_the_file(work: Workspace, second: Store) -> None:
    await second.write(note)
    await work.store.write(note)
    assert log_of(work).stat().st_size > 0
    await work.store.close()
    assert log_of(work).exists()
    await second.close()
    assert not log_of(work).exists()
