"""db …, doctor: the database and its health."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lessonbook.cli.console import FAILED, command, load, print_json, run, say, wants_json

T = TypeVar("T")

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lessonbook.store.engine import Store


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Migrate the database and look at its schema.", no_args_is_help=True)
    command(group, "upgrade")(upgrade)
    command(group, "downgrade")(downgrade)
    command(group, "current")(current)
    command(group, "check")(check)
    app.add_typer(group, name="db")
    command(app, "doctor")(doctor)


def _on_store(act: Callable[[Store], Awaitable[T]]) -> T:
    """Run `act` on the database as it is: the server's own start would migrate it first."""
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


def upgrade(revision: Annotated[str, typer.Argument(help="How far.")] = "head") -> None:
    """Migrate the database up."""
    from lessonbook.store import migrate

    async def act(store: Store) -> str | None:
        await migrate.upgrade(store, revision)
        return await migrate.current(store)

    _tell("schema", _on_store(act))


def downgrade(
    revision: Annotated[str, typer.Argument(help="How far; base leaves nothing.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Migrate the database down. What older schemas cannot hold is lost."""
    from lessonbook.store import migrate

    if not yes and not typer.confirm(f"Go down to {revision}? What that schema cannot hold is lost."):
        raise typer.Exit(FAILED)

    async def act(store: Store) -> str | None:
        await migrate.downgrade(store, revision)
        return await migrate.current(store)

    _tell("schema", _on_store(act) or "none")


def current() -> None:
    """Show the database's schema revision."""
    from lessonbook.store import migrate

    _tell("schema", _on_store(migrate.current) or "none")


def check() -> None:
    """Compare the database with what this version expects; exits with 1 where they differ."""
    from lessonbook.store import migrate

    differences = _on_store(migrate.check)
    if wants_json():
        print_json({"differences": differences})
    elif differences:
        for line in differences:
            typer.echo(line)
    else:
        say("The schema is as it should be.")
    if differences:
        sys.exit(FAILED)


def _tell(name: str, value: object) -> None:
    if wants_json():
        print_json({name: value})
    else:
        say(f"{name}: [bold]{value}[/bold]")


def doctor() -> None:
    """Count everything anew from the evidence, check the audit chains and the file; exits with 1 on a fault."""
    from lessonbook import services

    found = run(services.background.diagnose)
    if wants_json():
        print_json(found)
    else:
        for line in found.faults:
            say(f"[red]fault[/red] {line}")
        for line in found.warnings:
            say(f"[yellow]note[/yellow] {line}")
        say(
            "[green]All counters agree with the evidence, and the audit chains are whole.[/green]"
            if found.healthy
            else ""
        )
    if not found.healthy:
        sys.exit(FAILED)
