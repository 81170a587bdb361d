"""What the doctor asks a database about its installation: the file and its file system, or the server's settings."""

import os
import shutil
from pathlib import Path
from shlex import quote
from typing import Final

from sqlalchemy import Connection, text

from lessonbook.store import dialect
from lessonbook.store.filesystem import kind_of

SAFE_SQLITE: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first releases, by line, without the WAL-reset fault."""
WAL_MUCH_BYTES: Final = 64_000_000
"""A write-ahead log of this size shows a reader that does not end, since it is cut at a sixteenth of it."""
FREE_BYTES_MIN: Final = 100_000_000
SPARE_CONNECTIONS: Final = 10
_DOUBTFUL: Final = frozenset(
    {"9p", "virtiofs", "vboxsf", "prl_fs", "fuse.gcsfuse", "fuse.s3fs", "fuse.rclone", "fuse.grpcfuse", "fuse.osxfs"}
)
"""File systems of other machines or hosts whose locks may not hold; those known to lose data are refused at once."""
_SETTINGS: Final = text("SELECT name, setting FROM pg_settings WHERE name = ANY(:names)")
_DURABLE: Final = ("fsync", "full_page_writes", "synchronous_commit")
_ROLE: Final = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
_CONNECTIONS: Final = text("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")


def warnings(connection: Connection) -> list[str]:
    """Return what is wrong with the database's installation, a sentence each that says what to do."""
    match dialect.name_of(connection):
        case "sqlite":
            found = [sqlite_warning(connection), _journal_warning(connection), _waiting_warning(connection)]
            place = _place(connection)
            if place is not None:
                found += [readable_warning(connection), _folder_warning(place), _kind_warning(place)]
                found += [_log_warning(place), _space_warning(place)]
            return [*filter(None, found)]
        case "postgresql":
            return _of_server(connection)


def sqlite_warning(connection: Connection) -> str:
    """Return a warning if this SQLite release has the WAL-reset fault, else an empty text."""
    if dialect.name_of(connection) != "sqlite":
        return ""
    version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
    numbers = tuple(int(part) for part in str(version).split("."))
    if numbers >= SAFE_SQLITE[0] or any(numbers[:2] == line[:2] and numbers >= line for line in SAFE_SQLITE):
        return ""
    return (
        f"SQLite {version} has a rare fault when two processes checkpoint at once, so Lessonbook lets one at a time. "
        "A Python built with SQLite 3.51.3 or later does not have it."
    )


def readable_warning(connection: Connection) -> str:
    """Return a warning if other users of the machine may read the database's files, else an empty text."""
    place = _place(connection)
    if place is None or os.name == "nt":
        return ""
    files = [file for file in (place, *place.parent.glob(f"{place.name}*")) if file.is_file()]
    if not any(file.stat().st_mode & 0o077 for file in files):
        return ""
    return f"Others on this machine may read or change the database: `chmod 600 {quote(str(place))}*` ends that."


def _place(connection: Connection) -> Path | None:
    """Return the database's file; None where there is none."""
    if dialect.name_of(connection) != "sqlite":
        return None
    listed = connection.exec_driver_sql("PRAGMA database_list").all()  # number, name, file
    place = Path(str(listed[0][2]))
    return place if place.is_file() else None


def _journal_warning(connection: Connection) -> str:
    mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()).lower()
    if mode in {"wal", "memory"}:
        return ""
    return (
        f"The database's journal is in mode {mode}, not WAL, so readers and writers hold each other up: its file "
        "system lacks what WAL needs. Put it on a local disk of this machine (`database.url`)."
    )


def _waiting_warning(connection: Connection) -> str:
    if int(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()) > 0:
        return ""
    return (
        "SQLite does not wait for locks (busy_timeout is 0), so writes may fail: report this as a fault of Lessonbook."
    )


def _folder_warning(place: Path) -> str:
    if os.name == "nt" or not place.parent.stat().st_mode & 0o022:
        return ""
    return (
        "Others on this machine may put files beside the database, or replace it: "
        f"`chmod go-w {quote(str(place.parent))}` ends that."
    )


def _kind_warning(place: Path) -> str:
    if (kind := kind_of(place)) not in _DOUBTFUL:
        return ""
    return (
        f"The database is on a file system of kind {kind}, whose locks may not hold between machines, so that it may "
        "be damaged: put it on a local disk (`database.url`), or use PostgreSQL."
    )


def _log_warning(place: Path) -> str:
    log = place.with_name(f"{place.name}-wal")
    if not log.is_file() or log.stat().st_size < WAL_MUCH_BYTES:
        return ""
    return (
        f"The write-ahead log beside the database has grown to {log.stat().st_size // 1_000_000} MB: a program keeps a "
        "transaction open that reads. End it (a database browser, a backup that hangs), and the log is cut."
    )


def _space_warning(place: Path) -> str:
    free = shutil.disk_usage(place.parent).free
    if free >= FREE_BYTES_MIN:
        return ""
    return f"The database's disk has only {free // 1_000_000} MB left: free some space, else writes will be refused."


def _of_server(connection: Connection) -> list[str]:
    """Return what is wrong with a PostgreSQL server, or with what is between it and us."""
    from lessonbook.store.postgres_links import time_outs  # noqa: PLC0415  # only the driver that is used

    asked = time_outs()
    names = [*_DURABLE, *asked, "max_connections"]
    settings = {row[0]: str(row[1]) for row in connection.execute(_SETTINGS, {"names": names})}
    found = [
        f"PostgreSQL runs with {name} = off, so what it has acknowledged may be lost in a crash: set it to on."
        for name in _DURABLE
        if settings.get(name) == "off"
    ]
    if lost := [name for name, limit in asked.items() if settings.get(name) != limit]:
        found.append(
            f"The connection's {', '.join(lost)} is not what Lessonbook asked for, so calls may wait longer than they "
            "should: connect without a pooler, or let it pass parameters on and pool by session."
        )
    if connection.execute(_ROLE).scalar():
        found.append(
            "Servers log in as a role that row-level security does not hold, so only our queries keep projects apart: "
            "make a role of its own, and run what `lessonbook db grant ROLE` prints."
        )
    most, used = int(settings["max_connections"]), int(connection.execute(_CONNECTIONS).scalar_one())
    if most - used < SPARE_CONNECTIONS:
        found.append(
            f"PostgreSQL has {used} of {most} connections in use, and a replica of Lessonbook needs up to ten: raise "
            "max_connections, or run fewer replicas."
        )
    return found
