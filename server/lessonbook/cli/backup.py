"""backup, restore: the whole database in one file, and back."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lessonbook.cli.console import command, load, say, shown_as_json, warn
from lessonbook.domain.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "backup")(backup)
    command(app, "restore")(restore)


def backup(file: Annotated[Path, typer.Argument(help="The new file.", dir_okay=False)]) -> None:
    """Copy the whole database, of all projects, into one file while it is in use, and check the copy.

    It holds what the database holds, hashed tokens and the server's secret included: keep it as safe. On PostgreSQL it
    takes `pg_dump` of the server's version.
    """
    import anyio

    from lessonbook.store import backup as backups
    from lessonbook.store.urls import parse_address

    content = anyio.run(partial(backups.back_up, parse_address(load().database_url), file))
    if not shown_as_json({"file": str(file), "schema": content.schema, "rows": content.rows}):
        say(("Backed up", "green"), f" {content} to {file}. Put it back with: lessonbook restore FILE")


def restore(
    file: Annotated[Path, typer.Argument(help="What `lessonbook backup` has made.", dir_okay=False)],
    force: Annotated[
        bool, typer.Option("--force", help="Replace a database that is not empty; what it holds is kept in a file.")
    ] = False,
) -> None:
    """Put a backup in the place of the database, and migrate it to this version. Stop the servers first.

    The backup is checked before anything is changed.
    """
    import anyio

    from lessonbook.store import backup as backups
    from lessonbook.store.urls import parse_address, without_password

    url = load().database_url
    address = parse_address(url)
    held = anyio.run(partial(backups.content_of_backup, address, file))
    present = anyio.run(partial(backups.content_of, address))
    warn(f"{file} ({held}) will replace {without_password(url)} ({present}).")
    if not present.is_empty and not force:
        raise InvalidInput("The database is not empty: --force replaces it, and keeps what it holds in a file")
    done = anyio.run(partial(backups.restore, address, file, replace=force, now=datetime.now().astimezone()))
    kept = str(done.kept) if done.kept else None
    if not shown_as_json({"schema": done.content.schema, "rows": done.content.rows, "kept": kept}):
        say(("Restored", "green"), f" {done.content}. Start the servers again, and check it: lessonbook doctor")
        if kept:
            say(f"What was there before is in {kept}")
