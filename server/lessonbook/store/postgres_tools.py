"""PostgreSQL's own programs for backups. They are the person's, and must be of the server's version or newer."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from lessonbook.domain.errors import ConfigError, InvalidInput, Unavailable
from lessonbook.machine.programs import find_program
from lessonbook.store.row_security import EVERY_PROJECT

_VERSION: Final = re.compile(r"alembic_version VALUES\s{1,8}\('(\w{1,64})'\)")
PARTITIONED: Final = "agent_lesson_deliveries"
_ROWS: Final = "--rows-per-insert=500"
"""Row-level security takes no COPY."""


def dump(dsn: str, target: Path, tables: Sequence[str]) -> None:
    """Write the rows of `tables` into an archive, as they are at one moment. The schema comes from migrations.

    Rows of a partition are those of its table: they go into whatever partitions there are when they are loaded.

    Raises:
        ConfigError: `pg_dump` is not there, or older than the server.
        Unavailable: it failed.
    """
    # The option for a table with its partitions is newer than the oldest pg_dump in use.
    chosen = [f"--table={name}{'*' if name == PARTITIONED else ''}" for name in tables]
    options = ["--format=custom", "--data-only", "--enable-row-security", "--strict-names", _ROWS, *chosen]
    options.append("--load-via-partition-root")
    with target.open("wb") as handle:
        _run("pg_dump", options, dsn=dsn, output=handle)


def load(dsn: str, file: Path) -> None:
    """Insert the rows of an archive, all or none.

    Raises:
        ConfigError: `pg_restore` is not there, or older than the archive.
        Unavailable: it failed.
    """
    options = ["--data-only", "--single-transaction", "--exit-on-error", "--no-owner", "--enable-row-security"]
    _run("pg_restore", [*options, str(file.absolute())], dsn=dsn)


def schema_of(file: Path) -> str | None:
    """Return the schema's revision of an archive that is read to its end, None where it names none.

    Raises:
        ConfigError: `pg_restore` is not there, or older than the archive.
        InvalidInput: the archive is damaged.
    """
    try:
        _run("pg_restore", ["--file=/dev/null", str(file.absolute())])
        said = _run("pg_restore", ["--data-only", "--table=alembic_version", "--file=-", str(file.absolute())])
    except Unavailable as error:
        raise InvalidInput(f"{file} is damaged: {error}") from error
    found = _VERSION.search(said)
    return found.group(1) if found else None


def _run(program: str, options: Sequence[str], *, dsn: str = "", output: IO[bytes] | None = None) -> str:
    path = find_program(program)
    if path is None:
        raise ConfigError(
            f"{program} is not on the PATH: install the client programs of your PostgreSQL's version (Debian and "
            "Ubuntu: postgresql-client, Fedora: postgresql, macOS: libpq), or run this where they are"
        )
    environment = {**os.environ, "PGOPTIONS": f"-c lessonbook.project={EVERY_PROJECT}", "LC_ALL": "C"}
    if dsn:
        address, password = without_secret(dsn)
        options = [*options, f"--dbname={address}", "--no-password"]
        if password:
            environment["PGPASSWORD"] = password
    ended: subprocess.CompletedProcess[Any] = subprocess.run(  # noqa: S603  # found on absolute entries of the PATH; all arguments are ours or checked
        [path, *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.PIPE,
        check=False,
    )
    if ended.returncode != 0:
        raise _meaning(program, ended.stderr.decode(errors="replace"))
    return "" if output else ended.stdout.decode(errors="replace")


def without_secret(dsn: str) -> tuple[str, str]:
    """Return an address without its password, and the password: it must not be seen in the list of processes."""
    parts = urlsplit(dsn)
    login, at, place = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    of_query = [value for name, value in query if name == "password"]
    rest = urlencode([one for one in query if one[0] != "password"])
    address = parts._replace(netloc=f"{user}{at}{place}", query=rest).geturl()
    if not parts.netloc:  # `geturl` leaves out the slashes before a path without a host
        address = f"{parts.scheme}://{parts.path}" + (f"?{rest}" if rest else "")
    return address, of_query[-1] if of_query else unquote(password)


def _meaning(program: str, said: str) -> ConfigError | Unavailable:
    """Return the error for what a program has said on its way out; it names no password, as it was given none."""
    if "version mismatch" in said or "unsupported version" in said:
        return ConfigError(
            f"{program} on the PATH is older than the server or the archive: install the client programs of its "
            f"version, and put them first on the PATH ({_first(said, 'version')})"
        )
    return Unavailable(f"{program} failed: {_first(said, 'error')}")


def _first(said: str, word: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if word in line), lines[-1] if lines else "it said nothing")[:300]
