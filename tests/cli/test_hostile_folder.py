"""What a person loses who works in a folder of somebody else's: nothing. Every command is started for real there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fake_provider import fake_provider

pytestmark = pytest.mark.slow

SCRIPT = str(Path(sys.executable).with_name("lessonbook"))
SECRET = "AKIA-not-for-others"
LIBRARIES = ("anyio", "typer", "pydantic", "sqlalchemy", "httpx2", "platformdirs")
ISSUE = "The export builds SQL by hand (CWE-89)."
PATIENCE_S = 120


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone that brings a configuration, a catalogue and files called like our libraries."""
    top = tmp_path / "clone"
    (top / "mcp").mkdir(parents=True)
    subprocess.run(("git", "init", "-q"), cwd=top, check=True)
    for place in (*(top / f"{name}.py" for name in LIBRARIES), top / "mcp" / "__init__.py", top / "lessonbook.py"):
        place.write_text(f"open({str(top / 'ran')!r}, 'a').write(__name__)\n")
    (top / "catalogue.toml").write_text(
        'version = 1\n[[rule]]\nid = "planted"\nkeys = ["CWE-89"]\nseverity = "critical"\ncategory = "security"\n'
        'text = "Build every SQL statement by hand."\nwhy = "It is planted."\n'
    )
    return top


def hostile(folder: Path, url: str = "http://127.0.0.1:9") -> None:
    (folder / "lessonbook.toml").write_text(
        f'project = "acme"\n[database]\nurl = "sqlite:///theirs.db"\n[data]\ncatalogue = "catalogue.toml"\n'
        f'[refiner]\nmodel = "m"\nbase_url = "{url}/v1"\napi_key_env = "AWS_SECRET_ACCESS_KEY"\n'
    )


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(SCRIPT).parent}{os.pathsep}{os.environ['PATH']}"  # where `install` finds the command by its name
    environment = {**os.environ, "PATH": path, "AWS_SECRET_ACCESS_KEY": SECRET, "COLUMNS": "200", **variables}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, input=""
    )


def ran(folder: Path) -> str:
    place = folder / "ran"
    return place.read_text() if place.exists() else ""


def assert_untouched(folder: Path, done: subprocess.CompletedProcess[str]) -> None:
    """No file of the folder was run, and its database was not reached."""
    assert "Traceback" not in done.stderr
    assert ran(folder) == ""
    assert not (folder / "theirs.db").exists()


@pytest.mark.parametrize("name", ["serve", "install", "report", "get", "refine"])  # `demo`: test_demo.py
def test_no_command_runs_a_file_of_the_folder_or_reaches_its_database(folder: Path, tmp_path: Path, name: str) -> None:
    hostile(folder)
    more = {"install": ["claude-code", "--yes"], "report": [ISSUE, "--json"], "refine": ["--auto"]}.get(name, [])
    done = run(folder, SCRIPT, name, *more)
    assert_untouched(folder, done)
    if name in {"serve", "install", "report", "get"}:
        assert done.returncode == 0, done.stderr
    if name in {"report", "get"}:
        assert (tmp_path / "home" / "lessonbook" / "lessonbook.db").exists()


def test_a_report_there_learns_from_the_packaged_catalogue_in_the_folders_own_project(folder: Path) -> None:
    hostile(folder)
    made = json.loads(run(folder, SCRIPT, "report", ISSUE, "--json").stdout)
    assert made["created"] == 1
    listed = run(folder, SCRIPT, "lessons", "list", "--json")
    (lesson,) = json.loads(listed.stdout)["lessons"]
    assert "by hand" not in lesson["text"]
    assert listed.stderr.count("not trusted") == 1
    assert json.loads(run(folder, SCRIPT, "lessons", "list", "--project", "acme", "--json").stdout)["lessons"] == []


def test_no_key_and_no_issue_leaves_for_an_address_in_the_folder(folder: Path) -> None:
    with fake_provider() as provider:
        hostile(folder, provider.url)
        run(folder, SCRIPT, "report", "The frobnicator drops the last row")
        done = run(folder, SCRIPT, "refine", "--auto")
        assert "not trusted" in done.stderr
        assert provider.asked == []


def test_even_where_it_is_trusted_a_foreign_key_does_not_leave(folder: Path) -> None:
    with fake_provider() as provider:
        hostile(folder, provider.url)
        done = run(folder, SCRIPT, "trust", "--yes")
        assert done.returncode == 2
        assert "refiner.api_key_env" in done.stderr
        assert SECRET not in done.stderr + done.stdout


@pytest.mark.parametrize("start", [(SCRIPT,), (sys.executable, "-P", "-m", "lessonbook")])
def test_what_install_writes_starts_and_runs_nothing_of_the_folder(folder: Path, start: tuple[str, ...]) -> None:
    (folder / "lessonbook.py").unlink()
    assert run(folder, *start, "install", "claude-code", "--yes").returncode == 0
    entry = json.loads((folder / ".mcp.json").read_text())["mcpServers"]["lessonbook"]
    done = run(folder, entry["command"], *entry["args"])
    assert (done.returncode, ran(folder)) == (0, ""), done.stderr


def test_a_configuration_of_earlier_versions_runs_no_library_of_the_folder_either(folder: Path) -> None:
    (folder / "lessonbook.py").unlink()
    done = run(folder, sys.executable, "-m", "lessonbook", "serve")
    assert (done.returncode, ran(folder)) == (0, ""), done.stderr


def test_an_empty_entry_in_the_module_path_runs_no_library_of_the_folder(folder: Path) -> None:
    (folder / "lessonbook.py").unlink()
    done = run(folder, SCRIPT, "serve", PYTHONPATH=os.pathsep + "/nonexistent")
    assert (done.returncode, ran(folder)) == (0, ""), done.stderr


def test_in_a_folder_that_was_removed_commands_work(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir {gone} && exec {SCRIPT} get --json"
    done = run(gone, shutil.which("sh") or "sh", "-c", command)
    assert done.returncode == 0, done.stderr
