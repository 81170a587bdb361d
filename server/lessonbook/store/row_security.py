"""Walls between projects on PostgreSQL: which project's rows a transaction may touch, and which rights a role needs.

Row-level security compares each row's project with the setting `lessonbook.project` of the transaction. A query that
forgets its project, or names another, finds nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.store.engine import Store

_DATABASE: Final = text("SELECT current_database()")
EVERY_PROJECT: Final = "*"
"""In place of a project: rows of all, for the doctor and for commands about projects."""
_PROJECT: Final[ContextVar[str]] = ContextVar("project", default="")


@contextmanager
def within(project: str) -> Generator[None]:
    """Let transactions that begin within the block touch rows of one project, or of `EVERY_PROJECT`."""
    before = _PROJECT.set(project)
    try:
        yield
    finally:
        _PROJECT.reset(before)


def opening() -> str:
    """Return the statement that a transaction begins with; it is sent with BEGIN, so it costs no round trip."""
    return f"SET LOCAL lessonbook.project = {_quoted(_PROJECT.get())};"


def _quoted(value: str) -> str:
    """Return a text as a literal that means the same whatever `standard_conforming_strings` says."""
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


async def grants(store: Store, role: str) -> list[str]:
    """Return the statements by which the owner of the tables lets a role serve, without the right to change the schema.

    They may be run again.

    Raises:
        InvalidInput: the database is not PostgreSQL.
    """
    if store.dialect != "postgresql":
        raise InvalidInput("SQLite has no roles: `db grant` is for PostgreSQL")
    database = await store.read(lambda connection: connection.execute(_DATABASE).scalar_one())
    name, whole = _identifier(role), _identifier(str(database))
    future = "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT"
    return [
        f"GRANT CONNECT ON DATABASE {whole} TO {name};",
        f"GRANT USAGE ON SCHEMA public TO {name};",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {name};",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name};",
        f"GRANT EXECUTE ON FUNCTION agent_lesson_deliveries_keep TO {name};",
        f"{future} SELECT, INSERT, UPDATE, DELETE ON TABLES TO {name};",
        f"{future} USAGE ON SEQUENCES TO {name};",
    ]


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
