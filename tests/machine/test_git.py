"""What git says of a folder, and that nothing in the folder is run for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lessonbook.cli.run_from_git import runs_from_git
from lessonbook.machine import git
from lessonbook.machine.git import project_of


def run_git(folder: Path, *arguments: str, given: str | None = None) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    command = ("git", *identity, *arguments)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, input=given)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    top = tmp_path / "shop"
    (top / "deep").mkdir(parents=True)
    run_git(top, "init", "-q")
    return top


@pytest.mark.parametrize(
    "remote",
    [
        "git@github.com:acme/shop.git",
        "git@GitHub.com:Acme/Shop.git",
        "https://github.com/acme/shop.git",
        "https://github.com/acme/shop/",
        "https://user:token@github.com/acme/shop",
        "ssh://git@github.com:22/acme/shop.git",
    ],
)
def test_a_project_is_its_remote_in_any_spelling_and_without_credentials(checkout: Path, remote: str) -> None:
    run_git(checkout, "remote", "add", "origin", remote)
    assert project_of(checkout / "deep") == "github.com/acme/shop"


def test_without_origin_any_remote_names_the_project(checkout: Path) -> None:
    run_git(checkout, "remote", "add", "upstream", "https://github.com/acme/shop")
    assert project_of(checkout) == "github.com/acme/shop"
    run_git(checkout, "remote", "add", "origin", "https://github.com/me/shop")
    assert project_of(checkout) == "github.com/me/shop"


def test_checkouts_without_a_remote_are_told_apart_by_their_place(tmp_path: Path, checkout: Path) -> None:
    other = tmp_path / "other" / "shop"
    other.mkdir(parents=True)
    run_git(other, "init", "-q")
    assert project_of(checkout / "deep") == project_of(checkout)
    assert project_of(checkout).startswith("shop-")
    assert project_of(other).startswith("shop-")
    assert project_of(other) != project_of(checkout)


def test_a_folder_in_no_checkout_is_the_default_project(tmp_path: Path) -> None:
    assert project_of(tmp_path) == "default"


@pytest.mark.parametrize(
    "remote", ["/github.com/acme/shop", "file:///github.com/acme/shop", "https://[github.com/acme/shop", "../shop"]
)
def test_a_remote_that_is_no_host_names_no_hosts_project(checkout: Path, remote: str) -> None:
    run_git(checkout, "config", "remote.origin.url", remote)
    assert project_of(checkout).startswith("shop-")


def make_bare(folder: Path, remote: str) -> None:
    """Make what git takes for a repository, of files that a clone may bring."""
    for name in ("objects", "refs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "keep").touch()
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    (folder / "config").write_text(f'[core]\n\trepositoryformatversion = 0\n[remote "origin"]\n\turl = {remote}\n')


def test_a_folder_that_only_looks_like_a_repository_names_no_project(checkout: Path) -> None:
    run_git(checkout, "remote", "add", "origin", "https://github.com/evil/clone")
    make_bare(checkout / "deep", "https://github.com/acme/private")
    assert project_of(checkout / "deep") == "github.com/evil/clone"


def test_reading_the_last_commit_runs_no_program_that_the_folder_names(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(checkout, "commit", "-q", "--allow-empty", "-m", "work\n\nLessonbook-Run: r1\n")
    plain = run_git(checkout, "cat-file", "commit", "HEAD")
    head, _, message = plain.partition("\n\n")
    signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n{message}\n"
    commit = run_git(checkout, "hash-object", "-t", "commit", "-w", "--stdin", given=signed)
    run_git(checkout, "update-ref", "HEAD", commit)
    evil = checkout / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {checkout}/ran\n")
    evil.chmod(0o755)
    for key, value in (("log.showSignature", "true"), ("gpg.program", str(evil)), ("core.pager", str(evil))):
        run_git(checkout, "config", key, value)
    monkeypatch.chdir(checkout)
    assert runs_from_git(checkout).run_ids == ("r1",)
    assert not (checkout / "ran").exists()


def test_a_program_called_git_in_the_working_folder_is_not_run(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_git(checkout, "remote", "add", "origin", "https://github.com/acme/shop")
    evil = checkout / "git"
    evil.write_text(f"#!/bin/sh\ntouch {checkout}/ran\n")
    evil.chmod(0o755)
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    assert project_of(checkout) == "github.com/acme/shop"
    assert not (checkout / "ran").exists()


def test_where_git_fails_the_place_names_the_project_and_the_reason_is_kept_without_its_path(
    checkout: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_git(checkout, "remote", "add", "origin", "https://github.com/acme/shop")
    config = (checkout / ".git" / "config").read_text()
    (checkout / ".git" / "config").write_text("[core\n")
    troubles = [git.identify(checkout).trouble]
    assert "bad config" in troubles[0]
    (checkout / ".git" / "config").write_text(config)
    (checkout / ".git" / "HEAD").unlink()
    troubles.append(git.identify(checkout).trouble)
    assert "is not a repository" in troubles[1]
    (checkout / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    troubles.append(git.identify(checkout).trouble)
    assert "safe.directory" in troubles[2]
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent / "nowhere"))
    troubles.append(git.identify(checkout).trouble)
    assert "not on the search path" in troubles[3]
    assert git.remotes_of(checkout) == {}
    assert git._reason(f"fatal: cannot open '{checkout}/.git/x'\nmore", checkout) == "cannot open 'the checkout/.git/x'"
    for trouble in troubles:
        assert str(checkout) not in trouble
        assert "--project" in trouble
        assert trouble in caplog.text
    assert project_of(checkout).startswith("shop-")


def test_a_git_that_does_not_answer_is_given_up(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "does not answer within 5 s" in git.identify(checkout).trouble
