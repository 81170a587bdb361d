"""What `trust` shows of a working folder's file before a person accepts it."""

from __future__ import annotations

import json

from lessonbook.cli.console import print_table, say, shown_as_json, write
from lessonbook.config import working_folder
from lessonbook.config.settings import settings_with
from lessonbook.config.working_folder import FolderFile, brief, shown
from lessonbook.domain.documents import is_object, object_of, text_of
from lessonbook.machine import git
from lessonbook.store.urls import without_password

Row = tuple[str, str, str]


def changes(file: FolderFile) -> list[Row]:
    """Return each setting of a file with its value without the file and its value in the file, as JSON in ASCII.

    Raises:
        ConfigError: a key or value of the file is wrong.
    """
    now, _ = settings_with(file)
    in_force = now.model_dump(mode="json")
    rows: list[Row] = []
    for key, value in file.values.items():
        if is_object(value):
            rows += [(f"{key}.{name}", _value(in_force[key][name]), _value(set_to)) for name, set_to in value.items()]
        else:
            rows.append((key, _value(in_force[key]), _value(value)))
    return [(shown(name), before, after) for name, before, after in rows]


def _value(value: object) -> str:
    """Return a value as JSON in ASCII, which shows what a terminal would hide; a password in an address is left out."""
    text = without_password(value) if isinstance(value, str) else value
    return brief(json.dumps(text, default=str))


def show(file: FolderFile, rows: list[Row]) -> None:
    """Print what a file would change, and warn of a database in the folder."""
    write(str(file.path))
    print_table("", ["setting", "now", "in the file"], rows)
    top = git.top_of(file.path.parent) or file.path.parent
    url = text_of(object_of(file.values.get("database")).get("url"))
    if url.startswith("sqlite") and f"///{top}/" in url:
        say(("note", "yellow"), " The database lies in the folder: whoever changes the folder can change the lessons.")


def revoke(file: FolderFile) -> None:
    """Revoke the trust in a file, and print whether it was trusted."""
    was_trusted = working_folder.distrust(file.path)
    if not shown_as_json({"file": str(file.path), "trusted": False, "revoked": was_trusted}):
        say("It is no longer trusted." if was_trusted else "It was not trusted.")


def conclude(file: FolderFile, rows: list[Row], *, trusted: bool) -> None:
    """Print whether a file is trusted now."""
    settings = [{"setting": name, "now": before, "in_the_file": after} for name, before, after in rows]
    if not shown_as_json({"file": str(file.path), "settings": settings, "trusted": trusted}):
        say("Trusted, until it changes." if trusted else "Not trusted: it sets the agent and the log level at most.")
