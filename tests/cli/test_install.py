"""`lessonbook install`: what may stand in a client's configuration, and which file it is."""

import json
import os
import sys
import tomllib
from pathlib import Path

import pytest

from lessonbook.machine.programs import find_program, own_command, shared_command
from tests.cli.conftest import Run

CLIENTS = ("claude-code", "cursor", "vscode", "codex")
SHARED = {"claude-code": ".mcp.json", "cursor": ".cursor/mcp.json", "vscode": ".vscode/mcp.json"}


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "lessonbook").write_text("#!/bin/sh\n")
    (place / "lessonbook").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "address",
    ["postgresql://me:hunter2@db/team", "postgresql://db/team?user=me&password=hunter2", "postgres://:hunter2@db"],
)
def test_a_password_is_refused_and_the_person_is_told_where_to_keep_it(run: Run, client: str, address: str) -> None:
    done = run("install", client, "--yes", "--database", address)
    assert done.code == 2
    for word in ("password", "lessonbook.toml", "[database]", ".pgpass"):
        assert word in done.err
    assert "hunter2" not in done.out + done.err
    assert not any(Path(file).exists() for file in (*SHARED.values(), Path.home() / ".codex" / "config.toml"))


def test_an_address_without_a_password_is_written(run: Run) -> None:
    assert run("install", "claude-code", "--yes", "--database", "postgresql://me@db/team").code == 0
    assert "postgresql://me@db/team" in Path(".mcp.json").read_text()


@pytest.mark.parametrize(("client", "file"), SHARED.items())
def test_a_shared_file_names_the_command_not_a_place_on_this_machine(run: Run, on_path, client: str, file: str) -> None:
    done = run("install", client, "--yes")
    whole = json.loads(Path(file).read_text())
    entry = whole.get("mcpServers", whole.get("servers"))["lessonbook"]
    assert entry["command"] == "lessonbook"
    assert sys.prefix not in Path(file).read_text()
    assert "note" not in done.out


def test_a_persons_own_file_names_this_very_program_and_is_theirs_alone(run: Run, on_path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert run("install", "codex", "--yes").code == 0
    finally:
        os.umask(before)
    file = tmp_path / "home" / ".codex" / "config.toml"
    command = tomllib.loads(file.read_text())["mcp_servers"]["lessonbook"]["command"]
    assert command == str(Path(sys.executable).with_name("lessonbook"))
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_without_the_command_on_the_path_a_note_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert "on the search path" in " ".join(run("install", "claude-code", "--yes").out.split())


def test_without_a_console_script_python_is_kept_from_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python3")
    monkeypatch.setenv("PATH", "/nowhere")
    assert own_command() == shared_command() == ["/nowhere/bin/python3", "-P", "-m", "lessonbook"]


def test_a_command_in_the_working_folder_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lessonbook").write_text("#!/bin/sh\n")
    (tmp_path / "lessonbook").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}")
    assert find_program("lessonbook") is None


@pytest.mark.parametrize("links_folder", [False, True])
def test_a_link_in_the_folder_changes_no_other_file_of_the_person(run: Run, tmp_path: Path, links_folder: bool) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "mcp.json").write_text('{"mcpServers": {}}')
    if links_folder:
        Path(".cursor").symlink_to(theirs)
    else:
        Path(".cursor").mkdir()
        Path(".cursor/mcp.json").symlink_to(theirs / "mcp.json")
    done = run("install", "cursor", "--yes")
    assert done.code == 2
    assert "link" in done.err
    assert (theirs / "mcp.json").read_text() == '{"mcpServers": {}}'


@pytest.mark.parametrize("client", ["cursor", "codex"])
def test_a_folder_that_cannot_be_made_is_one_sentence(run: Run, tmp_path: Path, client: str) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    for place in (Path(".cursor"), home / ".codex"):
        place.write_text("a file where the folder should be")
    done = run("install", client, "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert "cannot be written" in done.err


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"mcpServers": 3}', b"[]"])
def test_a_file_that_cannot_be_read_is_one_sentence_and_stays_as_it_is(run: Run, content: bytes) -> None:
    Path(".mcp.json").write_bytes(content)
    done = run("install", "claude-code", "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert Path(".mcp.json").read_bytes() == content


def test_exported_lessons_are_their_owners_alone(run: Run) -> None:
    before = os.umask(0)
    try:
        run("lessons", "add", "Close files with a `with` block.", "--agent", "BackendDevelopmentAgent")
        for name in ("out.jsonl", "out.md"):
            assert run("export", name).code == 0
            assert Path(name).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
