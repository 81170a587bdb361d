"""A database's files and folders are their owner's alone."""

# ruff: noqa: ASYNC240  # a test may look at a small file while its loop waits

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from lessonbook.machine import private_files
from lessonbook.store import migrate
from lessonbook.store.engine import Store, connect
from lessonbook.store.filesystem import sole_owner
from lessonbook.store.installation import readable_warning
from lessonbook.store.urls import parse_address

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _open_handed() -> Iterator[None]:
    """Let everything be made for all, unless the code says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def write(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE IF NOT EXISTS things (name TEXT)"))
    connection.execute(text("INSERT INTO things VALUES ('x')"))


async def opened(path: Path) -> Store:
    store = connect(parse_address(f"sqlite:///{path}"))
    await store.write(write)
    return store


async def test_a_new_database_its_log_and_its_folders_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "lessonbook.db"
    store = await opened(path)
    found = {file.name: mode(file) for file in path.parent.iterdir()}
    await store.close()
    assert found == {"lessonbook.db": 0o600, "lessonbook.db-wal": 0o600, "lessonbook.db-shm": 0o600}
    assert [mode(folder) for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]


async def test_a_watcher_that_is_first_makes_the_file_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "lessonbook.db"
    store = connect(parse_address(f"sqlite:///{path}"))
    async for _ in store.changes():
        break
    await store.close()
    assert mode(path) == 0o600


async def test_a_migrated_database_leaves_no_file_that_others_may_read(tmp_path: Path) -> None:
    store = connect(parse_address(f"sqlite:///{tmp_path / 'lessonbook.db'}"))
    await migrate.upgrade(store)
    found = {file.name: mode(file) for file in tmp_path.iterdir() if file.is_file()}
    await store.close()
    assert set(found.values()) == {0o600}, found


async def test_a_file_that_is_there_keeps_its_mode_and_the_doctor_tells_where_others_may_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lessonbook.db"
    path.touch(0o640)
    store = await opened(path)
    assert mode(path) == 0o640
    assert "chmod 600" in await store.read(readable_warning)
    path.chmod(0o600)
    assert "chmod 600" in await store.read(readable_warning)  # the log beside it
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    assert await store.read(readable_warning) == ""
    await store.close()


async def test_the_doctor_has_nothing_to_say_of_files_where_there_are_none(empty_url: str, dialect: str) -> None:
    store = connect(parse_address(empty_url if dialect == "postgresql" else "sqlite:///:memory:"))
    assert await store.read(readable_warning) == ""
    await store.close()


def test_lock_files_are_the_owners_alone(tmp_path: Path) -> None:
    with sole_owner(tmp_path / "x.checkpoint") as owned:
        assert owned
    assert mode(tmp_path / "x.checkpoint") == 0o600


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(0o755)
    private_files.make_folder(tmp_path / "there" / "new")
    assert (mode(tmp_path / "there"), mode(tmp_path / "there" / "new")) == (0o755, 0o700)


def test_a_file_that_is_made_twice_is_made_once_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    private_files.make_file(path)
    path.write_text("kept")
    private_files.make_file(path)
    assert path.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]
