"""doctor: what is wrong with the database and the installation, and what to do."""

from __future__ import annotations

import re
from typing import Final

import typer

from lessonbook import services
from lessonbook.cli.console import FAILED, command, run, say, shown_as_json, write

_COMMAND: Final = re.compile(r"`((?:lessonbook|uv|pip|chmod) [^`]+)`")
"""A command in a sentence."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor")(doctor)


def doctor() -> None:
    """Check counters, audit chains and the database. Everything is recounted; exits with 1 on a fault."""
    found = run(services.background.diagnose)
    if not shown_as_json(found):
        for line in found.faults:
            _advise("fault", "red", line)
        for line in found.warnings:
            _advise("note", "yellow", line)
        if found.healthy:
            say(("All counters agree with the evidence, and the audit chains are whole.", "green"))
    if not found.healthy:
        raise typer.Exit(FAILED)


def _advise(kind: str, colour: str, text: str) -> None:
    """Print a finding, and below it each command that it names, on a line of its own to be copied."""
    say((kind, colour), f" {text}")
    for advised in _COMMAND.findall(text):
        write(f"    {advised}")
