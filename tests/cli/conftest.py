"""Runs commands in this process, as the console script would."""

import functools
import json
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lessonbook.cli import main

# Typer makes all commands from their signatures at each call, which takes longer than most of them do.
typer.main.get_command = functools.cache(typer.main.get_command)


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def database(dialect: str, database_url: str) -> str:
    return database_url


Run = Callable[..., Outcome]


@pytest.fixture
def run(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Run:
    """Return a function that runs a command in an empty folder, on SQLite in the home folder unless told otherwise.

    The database is there already, unless the test has the mark `first_use`: making it takes longer than most commands.
    """
    if not request.node.get_closest_marker("first_use"):
        (tmp_path / "home" / "lessonbook").mkdir(parents=True, mode=0o700)
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "home" / "lessonbook" / "lessonbook.db")
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def act(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["lessonbook", *arguments])
        # In a thread of its own: where tests of servers came before, this one has an event loop already.
        with ThreadPoolExecutor(max_workers=1) as thread:
            code = thread.submit(_exit_code_of_main).result()
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return act


def _exit_code_of_main() -> int:
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
