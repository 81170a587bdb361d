"""`lessonbook install` and `uninstall`: which file is changed, what is written into it, and what stays as it was."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lessonbook.cli.clients import jsonc, toml
from lessonbook.cli.clients.client_table import CLIENTS, TOKEN_VARIABLE
from lessonbook.cli.clients.machine import Machine
from lessonbook.machine.programs import find_program, own_command
from tests.cli.conftest import Run

SCOPES = [(client.name, scope) for client in CLIENTS.values() for scope in client.scopes]
PROJECT = [name for name, scope in SCOPES if scope == "project"]
THEIRS = {"theirs": {"command": "other", "args": ["--x"]}}
BY_HAND = '// mine\n{\n\t// theirs\n\t"%s": {\n\t\t"theirs": {"command": "other"}, // keep\n\t},\n}\n'


def file_of(name: str, scope: str, machine: Machine | None = None) -> Path:
    return Path.cwd() / CLIENTS[name].candidates(scope, machine or Machine.current())[0]  # type: ignore[arg-type]


def servers_in(file: Path, name: str) -> dict[str, Any]:
    return (toml if file.suffix == ".toml" else jsonc).read(file.read_text())[CLIENTS[name].key]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    for name in ("CODEX_HOME", "COPILOT_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "bin"
    place.mkdir()
    (place / "lessonbook").write_text("#!/bin/sh\n")
    (place / "lessonbook").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(("name", "scope"), SCOPES)
def test_every_client_is_written_is_found_again_and_is_removed(run: Run, on_path, name: str, scope: str) -> None:
    assert run("install", name, "--scope", scope, "--yes").code == 0
    file = file_of(name, scope)
    entry = servers_in(file, name)["lessonbook"]
    words = entry["command"] if CLIENTS[name].joined else [entry["command"], *entry["args"]]
    assert words[-4:][:2] == ["--toolsets", "agent"] if scope == "project" else words[-2:] == ["--toolsets", "agent"]
    assert ("--project" in words) == (scope == "project")
    before = file.read_bytes()
    assert run("install", name, "--scope", scope, "--yes", "--json").json["change"] == ""
    assert file.read_bytes() == before
    listed = run("install", "--list", "--json").json["clients"]
    assert [(row["client"], row["scope"]) for row in listed if row["state"] == "configured"] == [(name, scope)]
    assert run("uninstall", name, "--scope", scope, "--yes").code == 0
    assert "lessonbook" not in file.read_text()
    assert run("uninstall", name, "--scope", scope, "--yes", "--json").json["change"] == ""


@pytest.mark.parametrize(("name", "scope"), [pair for pair in SCOPES if pair[0] != "codex"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_comments_order_and_other_servers_stay_as_they_are(
    run: Run, on_path, name: str, scope: str, line_end: str
) -> None:
    file = file_of(name, scope)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = (BY_HAND % CLIENTS[name].key).replace("\n", line_end).encode()
    file.write_bytes(text)
    assert run("install", name, "--scope", scope, "--yes").code == 0
    assert set(servers_in(file, name)) == {"theirs", "lessonbook"}
    assert all(part in file.read_bytes() for part in (b"// mine", b"// theirs", b"}, // keep"))
    assert (b"\r\n" in file.read_bytes()) == (line_end == "\r\n")
    assert run("uninstall", name, "--scope", scope, "--yes").code == 0
    assert file.read_bytes() == text


def test_a_toml_file_keeps_its_comments_and_other_servers(run: Run) -> None:
    file = file_of("codex", "user")
    file.parent.mkdir()
    text = '# mine\nmodel = "m" # keep\n\n[mcp_servers.theirs]\ncommand = "other" # this, too\n'
    file.write_text(text)
    assert run("install", "codex", "--yes").code == 0
    assert set(servers_in(file, "codex")) == {"theirs", "lessonbook"}
    assert file.read_text().startswith(text)
    assert run("uninstall", "codex", "--yes").code == 0
    assert file.read_text().strip() == text.strip()


@pytest.mark.parametrize(
    ("platform", "home", "variables", "name", "place"),
    [
        ("linux", "/home/a", {}, "claude-desktop", "/home/a/.config/Claude/claude_desktop_config.json"),
        ("linux", "/home/a", {"XDG_CONFIG_HOME": "/x"}, "zed", "/x/zed/settings.json"),
        ("linux", "/home/a", {"XDG_CONFIG_HOME": "x"}, "zed", "/home/a/.config/zed/settings.json"),
        ("linux", "/home/a", {"CODEX_HOME": "/c"}, "codex", "/c/config.toml"),
        ("linux", "/home/a", {}, "copilot-cli", "/home/a/.copilot/mcp-config.json"),
        (
            "darwin",
            "/Users/a",
            {},
            "claude-desktop",
            "/Users/a/Library/Application Support/Claude/claude_desktop_config.json",
        ),
        ("darwin", "/Users/a", {}, "vscode", "/Users/a/Library/Application Support/Code/User/mcp.json"),
        ("darwin", "/Users/a", {}, "zed", "/Users/a/.config/zed/settings.json"),
        ("darwin", "/Users/a", {}, "opencode", "/Users/a/.config/opencode/opencode.json"),
        (
            "win32",
            "C:\\Users\\a",
            {"APPDATA": "C:\\Users\\a\\AppData\\Roaming"},
            "claude-desktop",
            "C:\\Users\\a\\AppData\\Roaming\\Claude\\claude_desktop_config.json",
        ),
        ("win32", "C:\\Users\\a", {}, "zed", "C:\\Users\\a\\AppData\\Roaming\\Zed\\settings.json"),
        ("win32", "C:\\Users\\a", {}, "windsurf", "C:\\Users\\a\\.codeium\\windsurf\\mcp_config.json"),
        (
            "win32",
            "C:\\a",
            {},
            "cline",
            "C:\\a\\AppData\\Roaming\\Code\\User\\globalStorage\\saoudrizwan.claude-dev\\settings\\cline_mcp_settings.json",
        ),
    ],
)
def test_a_persons_file_is_where_the_platform_has_it(
    platform: Any, home: str, variables: dict[str, str], name: str, place: str
) -> None:
    assert CLIENTS[name].candidates("user", Machine(platform, home, variables))[0] == place


@pytest.mark.parametrize("name", PROJECT)
def test_from_a_sub_folder_the_file_at_the_top_of_the_checkout_is_changed(
    run: Run, on_path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(("git", "init", "-q"), check=True)
    file = file_of(name, "project")
    Path("src/deep").mkdir(parents=True)
    monkeypatch.chdir("src/deep")
    assert run("install", name, "--scope", "project", "--yes").code == 0
    assert "lessonbook" in servers_in(file, name)
    assert list(Path().iterdir()) == []


def test_the_file_that_exists_is_changed_where_a_client_reads_several(run: Run, on_path) -> None:
    Path("opencode.jsonc").write_text("{}")
    assert run("install", "opencode", "--yes").code == 0
    assert "lessonbook" in Path("opencode.jsonc").read_text()
    assert not Path("opencode.json").exists()


def test_an_older_entry_is_replaced_and_the_change_is_shown_first(run: Run, on_path) -> None:
    Path(".mcp.json").write_text('{\n  "mcpServers": {\n    "lessonbook": {"command": "old"}\n  }\n}\n')
    dry = run("install", "claude-code", "--dry-run")
    assert "old" in Path(".mcp.json").read_text()
    assert '-    "lessonbook": {"command": "old"}' in dry.out
    assert run("install", "claude-code", "--yes").code == 0
    assert json.loads(Path(".mcp.json").read_text())["mcpServers"]["lessonbook"]["command"] == "lessonbook"


def test_without_the_command_on_the_path_a_shared_file_names_no_place_of_this_machine(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    done = run("install", "claude-code", "--yes")
    assert "uv tool install" in " ".join(done.out.split())
    assert json.loads(Path(".mcp.json").read_text())["mcpServers"]["lessonbook"]["command"] == "lessonbook"
    assert sys.prefix not in Path(".mcp.json").read_text()


def test_a_persons_file_names_the_program_on_the_path_where_it_is_this_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "linked"
    place.mkdir()
    (place / "lessonbook").symlink_to(own_command()[0])
    monkeypatch.setenv("PATH", str(place))
    assert run("install", "windsurf", "--yes").code == 0
    assert servers_in(file_of("windsurf", "user"), "windsurf")["lessonbook"]["command"] == str(place / "lessonbook")


def test_the_toolset_of_agents_is_written_and_that_of_operators_on_request(run: Run, on_path) -> None:
    assert run("install", "cursor", "--yes", "--toolsets", "agent,operator").code == 0
    assert "agent,operator" in Path(".cursor/mcp.json").read_text()
    assert run("install", "cursor", "--yes", "--toolsets", "everything").code == 2


def test_an_agent_is_written_as_the_roster_spells_it_and_an_unknown_one_is_refused(run: Run, on_path) -> None:
    assert run("install", "cursor", "--yes", "--agent", "backend development agent").code == 0
    assert '"BackendDevelopmentAgent"' in Path(".cursor/mcp.json").read_text()
    done = run("install", "cursor", "--yes", "--agent", "BackendDevelopmntAgentX")
    assert (done.code, "BackendDevelopmentAgent" in done.err) == (2, True)
    assert run("agents", "add", "PaymentsAgent").code == 0
    assert run("install", "cursor", "--yes", "--agent", "paymentsagent").code == 0
    assert '"PaymentsAgent"' in Path(".cursor/mcp.json").read_text()


@pytest.mark.parametrize("name", [name for name, scope in SCOPES if scope == "user"])
def test_a_file_for_all_projects_names_none(run: Run, name: str) -> None:
    done = run("install", name, "--scope", "user", "--project", "acme", "--yes")
    assert (done.code, "--project" in done.err) == (2, True)
    assert not file_of(name, "user").exists()


def test_an_unknown_client_or_scope_is_refused_with_what_there_is(run: Run) -> None:
    done = run("install", "cusror")
    assert (done.code, "'cursor'" in done.err, "junie" in done.err) == (2, True, True)
    assert run("install").code == 2
    assert run("install", "claude-desktop", "--scope", "project").code == 2


@pytest.mark.parametrize("name", [client.name for client in CLIENTS.values() if client.remote])
def test_a_server_over_http_is_written_with_a_reference_to_the_token(run: Run, name: str) -> None:
    assert run("install", name, "--yes", "--server", "https://lessons.example/").code == 0
    scope = CLIENTS[name].scopes[0]
    entry = json.dumps(servers_in(file_of(name, scope), name)["lessonbook"])
    assert "https://lessons.example/mcp" in entry
    assert TOKEN_VARIABLE in entry
    assert "command" not in entry


@pytest.mark.parametrize("name", [client.name for client in CLIENTS.values() if not client.remote])
def test_where_a_client_cannot_refer_to_the_token_that_is_said(run: Run, name: str) -> None:
    done = run("install", name, "--yes", "--server", "https://lessons.example")
    assert (done.code, "token" in done.err) == (2, True)


@pytest.mark.parametrize(
    "url", ["https://me:hunter2@x.example", "https://x.example?token=hunter2", "file:///x", "x", "//["]
)
def test_an_address_with_a_secret_or_without_a_host_is_refused(run: Run, url: str) -> None:
    done = run("install", "cursor", "--yes", "--server", url)
    assert (done.code, "hunter2" in done.err) == (2, False)


@pytest.mark.parametrize("name", [client.name for client in CLIENTS.values()])
@pytest.mark.parametrize(
    "address",
    ["postgresql://me:hunter2@db/team", "postgresql://db/team?user=me&password=hunter2", "postgres://:hunter2@db"],
)
def test_a_password_is_refused_and_the_person_is_told_where_to_keep_it(run: Run, name: str, address: str) -> None:
    done = run("install", name, "--yes", "--database", address)
    assert done.code == 2
    for word in ("password", "lessonbook.toml", "[database]", ".pgpass"):
        assert word in done.err
    assert "hunter2" not in done.out + done.err
    assert not any(file_of(name, scope).exists() for scope in CLIENTS[name].scopes)


def test_an_address_without_a_password_is_written(run: Run) -> None:
    assert run("install", "claude-code", "--yes", "--database", "postgresql://me@db/team").code == 0
    assert "postgresql://me@db/team" in Path(".mcp.json").read_text()


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


@pytest.mark.parametrize(("name", "scope"), [("cursor", "project"), ("cursor", "user")])
def test_a_file_keeps_its_mode_and_nothing_else_is_left_in_its_folder(run: Run, name: str, scope: str) -> None:
    file = file_of(name, scope)
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    file.chmod(0o640)
    assert run("install", name, "--scope", scope, "--yes").code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_a_persons_link_to_their_own_file_stays_a_link(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text("{}")
    file = file_of("windsurf", "user")
    file.parent.mkdir(parents=True)
    file.symlink_to(target)
    assert run("install", "windsurf", "--yes").code == 0
    assert file.is_symlink()
    assert "lessonbook" in target.read_text()


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


@pytest.mark.parametrize("name", ["cursor", "codex"])
def test_a_folder_that_cannot_be_made_is_one_sentence(run: Run, tmp_path: Path, name: str) -> None:
    for place in (Path(".cursor"), tmp_path / "home" / ".codex"):
        place.write_text("a file where the folder should be")
    done = run("install", name, "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert "cannot be" in done.err


@pytest.mark.parametrize(("name", "scope"), [("cursor", "project"), ("windsurf", "user"), ("codex", "user")])
def test_a_read_only_file_and_a_folder_in_its_place_are_one_sentence(run: Run, name: str, scope: str) -> None:
    file = file_of(name, scope)
    file.parent.mkdir(parents=True)
    file.write_text("")
    file.chmod(0o444)
    done = run("install", name, "--yes")
    assert (done.code, "read-only" in done.err) == (2, True)
    assert file.read_text() == ""
    file.unlink()
    file.mkdir()
    done = run("install", name, "--yes")
    assert (done.code, "is not a file" in done.err) == (2, True)


def test_without_a_home_folder_a_persons_file_is_refused_in_words(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    done = run("install", "windsurf", "--yes")
    assert (done.code, "home folder" in done.err, "Traceback" in done.err) == (2, True, False)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 150 + b"1" + b"}" * 150,
        b'{"mcpServers": 3}',
        b'{"mcpServers": {}, "mcpServers": {}}',
        b"[]",
        b"{'a': 1}",
        b'{"a": 1});run(({"b": 2}',
        b'{"a": x}',
        b"{...x}",
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence_and_stays_as_it_is(run: Run, content: bytes) -> None:
    Path(".mcp.json").write_bytes(content)
    for command in ("install", "uninstall"):
        done = run(command, "claude-code", "--yes")
        assert (done.code, "Traceback" in done.err) == (2, False)
        assert Path(".mcp.json").read_bytes() == content
    assert run("install", "--list").code == 0


def test_what_to_add_by_hand_is_shown_where_a_file_cannot_be_changed(run: Run) -> None:
    Path(".mcp.json").write_text("[]")
    done = run("install", "claude-code", "--yes")
    assert "by hand" in done.err
    assert '"command": "lessonbook"' in done.err


@pytest.mark.parametrize(
    "content", ["= 1", "mcp_servers = 3", "[mcp_servers]\nlessonbook = 3\n[mcp_servers.lessonbook]"]
)
def test_a_broken_toml_file_stays_as_it_is(run: Run, content: str) -> None:
    file = file_of("codex", "user")
    file.parent.mkdir()
    file.write_text(content)
    done = run("install", "codex", "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert file.read_text() == content


@pytest.mark.slow
def test_a_check_starts_the_server_as_the_client_would_and_names_its_tools(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "linked"
    place.mkdir()
    (place / "lessonbook").symlink_to(own_command()[0])
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    assert run("install", "opencode", "--yes").code == 0
    (row,) = run("install", "opencode", "--check", "--json").json["checked"]
    assert row["works"], row
    assert "get_lessons" in row["tools"]
    assert "list_lessons" not in row["tools"]


@pytest.mark.parametrize(
    ("arguments", "said"), [(["serve", "--toolsets", "nonsense"], "nonsense"), (["--version"], "does not work")]
)
@pytest.mark.slow
def test_a_check_says_what_went_wrong(run: Run, arguments: list[str], said: str) -> None:
    entry = {"command": own_command()[0], "args": arguments}
    file = file_of("windsurf", "user")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"mcpServers": {"lessonbook": entry}}))
    done = run("install", "windsurf", "--check")
    assert done.code == 1
    assert said in " ".join(done.out.split())


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "sh", "args": ["-c", "touch ran", "serve"]},
        {"command": "./lessonbook", "args": ["serve"]},
        {"command": "lessonbook", "args": ["import", "x"]},
        {"command": "lessonbook", "args": ["serve", "--config=theirs.toml"]},
        {"command": "lessonbook", "args": ["serve"], "env": {"LD_PRELOAD": "./theirs.so"}},
        {"command": ["sh"]},
        {"args": []},
        3,
    ],
)
def test_a_check_runs_nothing_that_a_cloned_folder_names(run: Run, on_path, entry: object) -> None:
    Path(".mcp.json").write_text(json.dumps({"mcpServers": {"lessonbook": entry}}))
    done = run("install", "claude-code", "--check")
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert not Path("ran").exists()


def test_a_check_without_any_client_says_what_to_run(run: Run) -> None:
    done = run("install", "--check")
    assert (done.code, "lessonbook install" in done.err) == (2, True)


def test_without_a_console_script_python_is_kept_from_the_working_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python3")
    monkeypatch.setenv("PATH", "/nowhere")
    assert own_command() == ["/nowhere/bin/python3", "-P", "-m", "lessonbook"]


def test_a_command_in_the_working_folder_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lessonbook").write_text("#!/bin/sh\n")
    (tmp_path / "lessonbook").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}")
    assert find_program("lessonbook") is None


CLIENTS_DOCUMENT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()


def test_the_document_has_a_row_for_each_client_and_scope_as_the_records_say() -> None:
    rows = re.findall(
        r"^\| `([\w-]+)` \| (\w+)[^|]*\| (.+?) \| `(\w+)` \| (.+?) \| (yes|no) \|$", CLIENTS_DOCUMENT, re.M
    )
    assert [(name, scope) for name, scope, *_ in rows] == SCOPES
    for name, scope, files, key, comments, remote in rows:
        client = CLIENTS[name]
        assert tuple(re.findall(r"`(.+?)`", files)) == client.files[scope]
        assert (key, comments == "kept", remote == "yes") == (client.key, client.comments, client.remote is not None)


@pytest.mark.parametrize("name", CLIENTS)
def test_the_entry_in_the_document_is_the_one_that_is_written(name: str) -> None:
    client = CLIENTS[name]
    section = CLIENTS_DOCUMENT.split(f"## {client.title}\n")[1].split("\n## ")[0]
    assert client.afterwards in section
    kind, text = re.findall(r"```(json|toml)\n(.*?)```", section, re.DOTALL)[0]
    arguments = ["serve", "--toolsets", "agent"]
    if client.scopes[0] == "project":
        arguments += ["--project", "git.example/acme/shop"]
    shown = (toml if kind == "toml" else jsonc).read(text)
    assert shown == {client.key: {"lessonbook": client.entry("lessonbook", arguments)}}


def test_exported_lessons_are_their_owners_alone(run: Run) -> None:
    before = os.umask(0)
    try:
        run("lessons", "add", "Close files with a `with` block.", "--agent", "BackendDevelopmentAgent")
        for name in ("out.jsonl", "out.md"):
            assert run("export", name).code == 0
            assert Path(name).stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)
