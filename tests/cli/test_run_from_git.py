"""`report --run-from-git`: the runs that the commits under test name, in real repositories."""

import subprocess
from pathlib import Path

import pytest

from lessonbook.cli.run_from_git import runs_from_git
from lessonbook.domain.errors import InvalidInput


def git(folder: Path, *arguments: str) -> str:
    identity = (
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "protocol.file.allow=always",
    )
    done = subprocess.run(("git", "-C", str(folder), *identity, *arguments), check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path, message: str) -> None:
    git(folder, "commit", "-q", "--allow-empty", "-m", message)


@pytest.fixture(autouse=True)
def _no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GITHUB_BASE_REF",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
        "CHANGE_TARGET",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A repository with one commit on `main`, which names a run of its own."""
    folder = tmp_path / "main"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "Begin\n\nLessonbook-Run: old")
    return folder


@pytest.fixture
def checkout(main: Path, tmp_path: Path) -> Path:
    """A clone with a branch of its own."""
    git(tmp_path, "clone", "-q", str(main), "clone")
    git(tmp_path / "clone", "checkout", "-q", "-b", "feature")
    return tmp_path / "clone"


def test_all_commits_since_the_main_branch_are_read_the_latest_first(checkout: Path):
    commit(checkout, "One\n\nLessonbook-Run: one")
    commit(checkout, "fixup! One")
    commit(checkout, "Two\n\nWhy it is so.\n\nLessonbook-Run: two\nCo-authored-by: T <t@t>")
    assert runs_from_git(checkout).run_ids == ("two", "one")
    assert runs_from_git(checkout, "HEAD~1").run_ids == ("two",)


def test_a_merge_commit_is_read_with_what_it_merges(main: Path, checkout: Path):
    commit(checkout, "One\n\nLessonbook-Run: one")
    commit(main, "Elsewhere\n\nLessonbook-Run: elsewhere")
    git(checkout, "fetch", "-q")
    git(checkout, "checkout", "-q", "--detach", "origin/main")
    git(checkout, "merge", "-q", "--no-ff", "-m", "Merge feature", "feature")
    assert runs_from_git(checkout).run_ids == ("one",)


def test_a_squashed_commit_names_every_run_that_its_messages_did(checkout: Path):
    commit(checkout, "Log in (#7)\n\n* One\n\nLessonbook-Run: one\n\n* Two\n\n  Lessonbook-Run: two\n\nCloses 7.")
    assert runs_from_git(checkout).run_ids == ("one", "two")


def test_the_base_that_ci_names_is_taken(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    commit(checkout, "One\n\nLessonbook-Run: one")
    git(checkout, "push", "-q", "origin", "feature:release")
    git(checkout, "fetch", "-q")
    commit(checkout, "Two\n\nLessonbook-Run: two")
    monkeypatch.setenv("GITHUB_BASE_REF", "release")
    assert runs_from_git(checkout).run_ids == ("two",)


def test_on_the_main_branch_itself_the_last_commit_is_read(main: Path):
    commit(main, "Next\n\nLessonbook-Run: next")
    assert runs_from_git(main).run_ids == ("next",)


def test_a_shallow_clone_is_told(main: Path, tmp_path: Path):
    commit(main, "Next\n\nLessonbook-Run: next")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{main}", "shallow")
    found = runs_from_git(tmp_path / "shallow")
    assert found.run_ids == ("next",)
    assert "shallow clone" in found.note


def test_a_base_that_is_not_there_is_an_error_that_says_what_to_do(checkout: Path):
    with pytest.raises(InvalidInput, match="does not know 'nowhere' here: fetch it"):
        runs_from_git(checkout, "nowhere")
    with pytest.raises(InvalidInput, match="does not know '--output=x'"):
        runs_from_git(checkout, "--output=x")
