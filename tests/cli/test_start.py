"""What a command loads before it acts: counted, since a time would depend on the machine."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from lessonbook import cli

LOADED = """
import json, sys
from lessonbook.cli import main
try:
    main()
except SystemExit:
    names = {name if name.startswith("lessonbook.") else name.partition(".")[0] for name in sys.modules}
    print(json.dumps(sorted(names)), file=sys.stderr)
"""

COLLECTED = """
import gc, json, sys
import lessonbook.__main__
begun = []
gc.callbacks.append(lambda phase, about: begun.append(about["generation"]))
try:
    lessonbook.__main__.main()
except SystemExit:
    print(json.dumps([len(begun), gc.get_freeze_count()]), file=sys.stderr)
"""


def _loaded(folder: Path, *arguments: str) -> set[str]:
    """Return the libraries and our modules that a command has loaded when it ends, its output being a pipe."""
    command = [sys.executable, "-P", "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, check=True, cwd=folder)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_loads_neither_a_database_nor_rich_nor_mcp(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    heavy = {"rich", "sqlalchemy", "alembic", "mcp", "fastapi", "asyncio", "pydantic"}
    assert not _loaded(tmp_path, *arguments) & heavy


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("get", "add a search endpoint"), ("report", "the page is blank")])
def test_serving_and_reporting_load_what_they_need(
    tmp_path: Path, sqlite_template: Path, arguments: tuple[str, ...]
) -> None:
    shutil.copy(sqlite_template, tmp_path / "x.db")
    database = ("--database", f"sqlite:///{tmp_path / 'x.db'}")
    loaded = _loaded(tmp_path, *arguments, *database)
    assert not loaded & {"rich", "alembic", "mcp", "fastapi", "asyncpg", "numpy", "lessonbook.cli.install"}
    assert ("lessonbook.screening.lint" in loaded) == (arguments[0] == "report")


@pytest.mark.slow
def test_a_command_never_looks_for_unreachable_cycles(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "x.db")
    arguments = ("get", "add a search endpoint", "--database", f"sqlite:///{tmp_path / 'x.db'}")
    command = [sys.executable, "-P", "-c", COLLECTED, *arguments]
    done = subprocess.run(command, capture_output=True, check=True, cwd=tmp_path)
    collections, left_to_the_end = json.loads(done.stderr.splitlines()[-1])
    assert collections == 0
    assert left_to_the_end > 0  # Python does not look at these when the process ends


def test_each_module_adds_the_commands_that_it_is_found_by() -> None:
    for module, names in cli.COMMANDS.items():
        for name in names:
            commands = typer.main.get_command(cli.app_for([name])).commands
            assert set(commands) == set(names), module
    everything = typer.main.get_command(cli.app_for(["--project", "get"])).commands
    assert set(everything) == {name for names in cli.COMMANDS.values() for name in names}
