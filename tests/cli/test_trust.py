"""`lessonbook trust`: a person looks at a folder's configuration, and accepts it or not."""

import io
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Run

TEAM = '[learning]\nttl_days = 7\n[database]\nurl = "postgresql://me:hunter2@db/team"\n[server]\ntoolsets = ["agent"]\n'


def write(text: str) -> None:
    Path("lessonbook.toml").write_text(text)


def test_it_shows_what_would_change_asks_and_keeps_the_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write(TEAM)
    shown = run("trust", "--json").json
    assert shown["trusted"] is False
    assert {"setting": "learning.ttl_days", "now": "90", "in_the_file": "7"} in shown["settings"]
    done = run("trust", "--yes")
    assert done.code == 0
    for word in ("learning.ttl_days", "90", "7", "database.url", "Trusted"):
        assert word in done.out
    assert run("trust", "--json").json["trusted"] is True
    assert run("trust", "--revoke", "--json").json == {
        "file": os.path.realpath("lessonbook.toml"),
        "trusted": False,
        "revoked": True,
    }
    assert run("trust", "--json").json["trusted"] is False


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_without_a_yes_nothing_is_trusted(run: Run, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    write(TEAM)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert "Trusted, until" not in run("trust").out
    assert run("trust", "--json").json["trusted"] is False


def test_it_shows_no_password_and_nothing_that_a_terminal_would_hide(run: Run) -> None:
    write(TEAM + '[refiner]\nmodel = "a\\u001b[2K\\u202eb"\n')
    done = run("trust", "--yes")
    assert "hunter2" not in done.out
    assert "\x1b[2K" not in done.out
    assert "\u202e" not in done.out


def test_a_database_in_the_folder_is_pointed_out(run: Run) -> None:
    write('[database]\nurl = "sqlite:///team.db"\n')
    assert "whoever changes the folder" in " ".join(run("trust", "--yes").out.split())


def test_trust_moves_commands_to_what_the_file_says(run: Run) -> None:
    write('project = "team"\n')
    run("lessons", "add", "Close files with a `with` block.", "--agent", "BackendDevelopmentAgent")
    run("trust", "--yes")
    assert run("lessons", "list", "--json").json["lessons"] == []
    write('project = "team" # changed\n')
    listed = run("lessons", "list", "--json")
    assert len(listed.json["lessons"]) == 1
    assert "lessonbook trust" in listed.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "There is no lessonbook.toml"),
        ('projet = "x"\n', "no setting 'projet'"),
        ("x = = 1", "not valid TOML"),
        ('[semantic]\nmodel = "model"\n', "semantic.model lies in the folder"),
        ("database = 3\n", "database = 3 is wrong"),
    ],
)
def test_what_cannot_be_trusted_is_told_with_exit_code_2(run: Run, text: str, words: str) -> None:
    if text:
        write(text)
    done = run("trust", "--yes")
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert words in done.err


def test_the_example_configuration_can_be_trusted(run: Run) -> None:
    write((Path(__file__).parents[2] / "config.example.toml").read_text())
    assert run("trust", "--yes", "--json").json["trusted"] is True
