import os
from pathlib import Path

import pytest

from lessonbook.machine.prepared import prepared


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file in which something prepared as "x" is kept."""
    monkeypatch.setattr("lessonbook.machine.prepared.user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "lessonbook" / "x.bin"


def _never() -> object:
    raise AssertionError("it was made again")


def test_what_was_made_of_the_same_sources_is_not_made_again(file: Path) -> None:
    made = {"a": [1, "two", 3.5], "b": [True, None]}
    assert prepared("x", [b"1", b"2"], lambda: made) == made
    assert prepared("x", [b"1", b"2"], _never) == made
    assert prepared("x", [b"1", b"3"], lambda: "other") == "other"
    assert prepared("x", [b"12"], lambda: "joined") == "joined"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(os.name == "nt", reason="modes are those of Unix")
def test_only_a_private_file_counts(file: Path) -> None:
    prepared("x", [b"1"], lambda: "made")
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o660)
    assert prepared("x", [b"1"], lambda: "made again") == "made again"


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_damaged_file_does_not_count(file: Path, damage: bytes | None) -> None:
    prepared("x", [b"1"], lambda: "made")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?" if damage is None else damage)
    assert prepared("x", [b"1"], lambda: "made again") == "made again"


def test_without_a_folder_to_write_to_it_is_made_each_time(file: Path) -> None:
    file.parent.parent.write_text("a file where the folder should be")
    for _ in range(2):
        assert prepared("x", [b"1"], lambda: "made") == "made"


def test_what_cannot_be_kept_is_made_each_time(file: Path) -> None:
    thing = object()
    assert prepared("x", [b"1"], lambda: thing) is thing
    assert not file.exists()
