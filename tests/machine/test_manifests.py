"""Manifests are read with bounds, and nothing outside the folder is."""

from pathlib import Path

import pytest

from lessonbook.machine import manifests
from lessonbook.machine.manifests import BYTES_MAX, read_manifests


def put(folder: Path, path: str, text: str = "x") -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def test_the_folder_and_two_below_are_read(tmp_path: Path) -> None:
    for path in ("a.toml", "one/a.toml", "one/two/a.toml", "one/two/three/a.toml", ".github/workflows/a.toml"):
        put(tmp_path, path)
    assert set(read_manifests(tmp_path, lambda path: path.endswith("a.toml"))) == {
        "a.toml",
        "one/a.toml",
        "one/two/a.toml",
        ".github/workflows/a.toml",
    }


@pytest.mark.parametrize("folder", ["node_modules", ".venv", "vendor", "target", ".git"])
def test_what_others_wrote_is_passed_over(tmp_path: Path, folder: str) -> None:
    put(tmp_path, f"{folder}/a.toml")
    assert read_manifests(tmp_path, lambda _: True) == {}


def test_no_symbolic_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path, "outside/a.toml", "secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.toml").symlink_to(tmp_path / "outside" / "a.toml")
    (inside / "more").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert read_manifests(inside, lambda _: True) == {}


def test_size_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.toml", "x" * (BYTES_MAX + 5))
    put(tmp_path, "b.toml")
    assert len(read_manifests(tmp_path, lambda _: True)["a.toml"]) == BYTES_MAX
    monkeypatch.setattr(manifests, "FILES_MAX", 1)
    assert list(read_manifests(tmp_path, lambda _: True)) == ["a.toml"]
    monkeypatch.setattr(manifests, "ENTRIES_MAX", 0)
    assert read_manifests(tmp_path, lambda _: True) == {}


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert read_manifests(tmp_path / "missing", lambda _: True) == {}
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    assert set(read_manifests(tmp_path, lambda _: True)) == {"a.toml"}
