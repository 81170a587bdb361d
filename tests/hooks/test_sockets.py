"""Whom a hook asks: a server of the same user, in the same checkout, with the same settings."""

import os
import socket
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessonbook.app import gateway_for
from lessonbook.config.settings import Settings
from lessonbook.edges.transport.local_listener import answer_hooks
from lessonbook.hooks.exchange import Reach, ask
from lessonbook.machine import local_sockets
from lessonbook.machine.local_sockets import find_sockets, name_for

ASKED = {"ask": "something"}


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of sockets, with a short path."""
    place = Path(f"/tmp/lessonbook-test-{uuid.uuid4().hex[:8]}")
    for module in ("lessonbook.machine.local_sockets", "lessonbook.edges.transport.local_listener"):
        monkeypatch.setattr(f"{module}.socket_folder", lambda: str(place))
    yield place
    for file in place.glob("*"):
        file.unlink()
    place.rmdir()


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def bound(path: Path, mode: int = 0o600) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(mode)
    listener.listen()
    return listener


@pytest.mark.anyio
async def test_a_server_listens_in_private_and_takes_its_socket_away(sockets: Path, settings: Settings) -> None:
    gateway = gateway_for(settings, "local")
    async with answer_hooks(gateway, ["a" * 32]):
        (place,) = find_sockets("a" * 32)
        assert mode_of(place) == 0o600
        assert mode_of(sockets) == 0o700
    assert list(find_sockets("a" * 32)) == []
    await gateway.close()


@pytest.mark.anyio
async def test_a_server_serves_without_hooks_where_the_folder_is_not_its_own(
    sockets: Path, settings: Settings, tmp_path: Path
) -> None:
    open_to_all(sockets)
    async with answer_hooks(gateway_for(settings, "local"), ["a" * 32]):
        assert os.listdir(sockets) == []  # noqa: PTH208  # asynchronous


def test_a_socket_of_a_server_that_was_killed_is_removed(sockets: Path, tmp_path: Path) -> None:
    sockets.mkdir(mode=0o700)
    place = sockets / f"{name_for(str(tmp_path), {})}.dead.sock"
    bound(place).close()
    assert ask(ASKED, str(tmp_path), {}, Reach(5.0)) == {}
    assert not place.exists()


@pytest.mark.parametrize("kind", ["link", "open to others", "file", "of another user", "folder open", "folder a link"])
def test_a_socket_that_is_not_surely_ours_is_not_asked(
    sockets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    sockets.mkdir(mode=0o700)
    place = sockets / f"{name_for(str(tmp_path), {})}.x.sock"
    elsewhere = Path(f"{sockets}-other")
    with bound(elsewhere) as other, bound(place, 0o666 if kind == "open to others" else 0o600) as listener:
        for one in (other, listener):
            one.settimeout(0)
        match kind:
            case "link":
                place.unlink()
                place.symlink_to(elsewhere)
            case "file":
                place.unlink()
                place.write_text("")
                place.chmod(0o600)
            case "of another user":
                monkeypatch.setattr(local_sockets, "_user", lambda: os.getuid() + 1)
            case "folder open":
                sockets.chmod(0o755)
            case "folder a link":
                link = tmp_path / "link"
                link.symlink_to(sockets)
                monkeypatch.setattr(local_sockets, "socket_folder", lambda: str(link))
            case _:
                pass
        try:
            assert ask(ASKED, str(tmp_path), {}, Reach(1.0)) == {}
            for one in (other, listener):
                with pytest.raises(BlockingIOError):
                    one.accept()
        finally:
            elsewhere.unlink()


def test_the_name_is_that_of_the_checkout_its_options_and_the_environment_not_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    inside = tmp_path / "app" / "api"
    inside.mkdir(parents=True)
    name = name_for(str(tmp_path), {})
    assert name_for(str(inside), {}) == name
    (tmp_path / "lessonbook.toml").write_text('[database]\nurl = "postgresql://evil/"\n')
    assert name_for(str(tmp_path), {}) == name
    assert name_for(str(tmp_path), {"project": "other"}) != name
    assert name_for(str(tmp_path.parent), {}) != name
    monkeypatch.setenv("LESSONBOOK_DATABASE_URL", "sqlite:////elsewhere.db")
    assert name_for(str(tmp_path), {}) != name
