"""db …: the database's schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from lessonbook.cli.console import FAILED, add_group, command, load, shown_as_json, write

T = TypeVar("T")

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
