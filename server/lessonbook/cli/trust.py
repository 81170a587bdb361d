"""What `trust` shows of a working folder's file before a person accepts it."""

from __future__ import annotations

import json
from typing import Any, cast

import typer

from lessonbook.cli.console import print_json, print_table, say, wants_json
from lessonbook.config import working_folder
from lessonbook.config.settings import settings_with
from lessonbook.config.working_folder import FolderFile, brief, shown
from lessonbook.machine import git
from lessonbook.store.urls import without_password

Row = tuple[str, str, str]


def changes(file: FolderFile) -> list[Row]:
    """Return each setting of a file, its value without the file and its value there, fit for a terminal.

    Raises:
        ConfigError: a key or value of the file is wrong.
    """
    now, _ = settings_with(file)
    in_force = now.model_dump(mode="json")
    rows: list[Row] = []
    for key, value in file.values.items():
        if isinstance(value, dict):
            table = cast("dict[str, Any]", value)
            rows += [(f"{key}.{name}", _value(in_force[key][name]), _value(set_to)) for name, set_to in table.items()]
        else:
            rows.append((key, _value(in_force[key]), _value(value)))
    return [(shown(name), before, after) for name, before, after in rows]


def _value(value: object) -> str:
    """Return a value as JSON in ASCII, which shows what a terminal would hide, without a password in an address."""
    text = without_password(value) if isinstance(value, str) else value
    return brief(json.dumps(text, default=str))


def show(file: FolderFile, rows: list[Row]) -> None:
    """Print what a file would change, and what a person should know of it."""
    typer.echo(str(file.path))
    print_table("", ["setting", "now", "in the file"], rows)
    top = git.top_of(file.path.parent) or file.path.parent
    database = file.values.get("database")
    url = str(cast("dict[str, Any]", database).get("url", "")) if isinstance(database, dict) else ""
    if url.startswith("sqlite") and f"///{top}/" in url:
        say("[yellow]note[/yellow] The database lies in the folder: whoever changes the folder can change the lessons.")


def revoke(file: FolderFile) -> None:
    """Trust a file no longer, and say so."""
    was_trusted = working_folder.distrust(file.path)
    if wants_json():
        print_json({"file": str(file.path), "trusted": False, "revoked": was_trusted})
    else:
        say("It is trusted no longer." if was_trusted else "It was not trusted.")


def conclude(file: FolderFile, rows: list[Row], *, trusted: bool) -> None:
    """Say whether a file is trusted now."""
    if wants_json():
        settings = [{"setting": name, "now": before, "in_the_file": after} for name, before, after in rows]
        print_json({"file": str(file.path), "settings": settings, "trusted": trusted})
    else:
        say("Trusted, until it changes." if trusted else "Not trusted: it sets the agent and the log level at most.")
