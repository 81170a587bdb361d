"""What a command loads before it acts: counted, since a time would depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """
import json, sys
from lessonbook.cli import main
try:
    main()
except SystemExit:
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def _loaded(folder: Path, *arguments: str) -> set[str]:
    """Return the libraries that a command has loaded when it ends, in a fresh process whose output is a pipe."""
    command = [sys.executable, "-P", "-c", LOADED, *arguments]
    done = subprocess.run(command, capture_output=True, check=True, cwd=folder)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [("--help",), ("--version",)])
def test_help_loads_neither_a_database_nor_rich_nor_mcp(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    heavy = {"rich", "sqlalchemy", "alembic", "mcp", "fastapi", "asyncio", "pydantic"}
    assert not _loaded(tmp_path, *arguments) & heavy


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("get", "add a search endpoint"), ("report", "the page is blank")])
def test_serving_and_reporting_load_what_they_need(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    database = ("--database", f"sqlite:///{tmp_path / 'x.db'}")
    _loaded(tmp_path, "stats", *database)  # migrates
    assert not _loaded(tmp_path, *arguments, *database) & {"rich", "alembic", "mcp", "fastapi", "asyncpg", "numpy"}
