"""db …, doctor: the database and its health."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from lessonbook import services
from lessonbook.cli.console import FAILED, add_group, command, load, run, say, shown_as_json, write

T = TypeVar("T")

_COMMAND: Final = re.compile(r"`((?:lessonbook|uv|pip|chmod) [^`]+)`")
"""A command in a sentence."""

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lessonbook.store.engine import Store


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = add_group(app, "db", "Migrate the database and look at its schema.")
    command(group, "upgrade")(upgrade)
    command(group, "downgrade")(downgrade)
    command(group, "current")(current)
    command(group, "check")(check)
    command(group, "grant")(grant)
    command(app, "doctor")(doctor)


def _on_store(act: Callable[[Store], Awaitable[T]]) -> T:
    """Run `act` on the database as it is, not migrated."""
    import anyio

    from lessonbook.app import store_for

    settings = load()

    async def whole() -> T:
        store = store_for(settings)
        try:
            return await act(store)
        finally:
            await store.close()

    return anyio.run(whole)


def upgrade(revision: Annotated[str, typer.Argument(help="The revision to migrate to.")] = "head") -> None:
    """Migrate the database up."""
    from lessonbook.store import migrate

    _on_store(lambda store: migrate.upgrade(store, revision))
    current()


def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to migrate to; base removes all tables.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Migrate the database down. What older schemas cannot hold is lost."""
    from lessonbook.store import migrate

    if not yes and not typer.confirm(f"Migrate down to {revision}? What that schema cannot hold is lost."):
        raise typer.Exit(FAILED)
    _on_store(lambda store: migrate.downgrade(store, revision))
    current()


def current() -> None:
    """Show the database's schema revision."""
    from lessonbook.store import migrate

    revision = _on_store(migrate.current) or "none"
    if not shown_as_json({"schema": revision}):
        write(f"schema: {revision}")


def check() -> None:
    """Compare the database with the schema of this version; exit with 1 where they differ."""
    from lessonbook.store import migrate

    differences = _on_store(migrate.check)
    if not shown_as_json({"differences": differences}):
        write("\n".join(differences) or "The database has the schema of this version.")
    if differences:
        raise typer.Exit(FAILED)


def grant(role: Annotated[str, typer.Argument(help="The PostgreSQL role that servers log in as.")]) -> None:
    """Print what the owner of the tables runs to let a role serve, without the right to change the schema."""
    from lessonbook.store import row_security

    statements = _on_store(lambda store: row_security.grants(store, role))
    if not shown_as_json({"statements": statements}):
        write("\n".join(statements))


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
