"""PostgreSQL databases for tests, emptied and used again: making one takes the server longer than most tests take."""

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg

from tests.patience import PATIENCE_S

T = TypeVar("T")

BYTES_MAX: Final = 4_000_000
"""A database whose tables have grown larger is dropped: what was deleted from a table is still read."""

_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_FORM = f"""
    SELECT concat_ws(' ',
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_class WHERE oid >= 16384),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_index WHERE indexrelid >= 16384),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_attribute WHERE attrelid >= 16384),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_trigger),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_policy),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_proc WHERE oid >= 16384),
        (SELECT (count(*), sum(xmin::text::bigint)) FROM pg_constraint WHERE oid >= 16384),
        (SELECT count(*) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
        (SELECT array_agg(version_num) FROM alembic_version),
        (SELECT sum(pg_relation_size(oid)) <= {BYTES_MAX} FROM pg_class WHERE relkind IN ('r', 't') AND oid >= 16384))
"""
"""Changes with the schema: a row of the catalogue that was written has a later transaction's number than all others, so
one that was removed, added or replaced changes how many there are, or what the numbers come to."""
_EMPTY = """
    BEGIN;
    SET LOCAL session_replication_role = replica;  -- in any order, without triggers
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT quote_ident(relname) FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
                AND pg_relation_size(oid) > 0
        LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
    END $$;
    SELECT setval(seqrelid, seqstart, false) FROM pg_sequence;
    COMMIT;
"""


def run_apart(act: Coroutine[Any, Any, T]) -> T:
    """Return what `act` returns, on a thread of its own: fixtures are asked for inside running loops as well."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, act).result()


class Databases:
    """Empty databases on one server, all of one form: that of `template`, which has no rows.

    Each is emptied over a connection that is kept: a new one would read the catalogue first, which takes longer.
    """

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[str] = []
        self._form: str | None = None
        self._loop = asyncio.new_event_loop()
        self._connections: dict[str, Any] = {}

    @contextmanager
    def one(self) -> Iterator[str]:
        """Give the URL of an empty database for as long as it is needed."""
        name = self._free.pop() if self._free else self._made()
        yield database_of(self._server_url, name)
        if self._do(self._emptied(name)):
            self._free.append(name)
        else:
            self._drop(name)

    def _do(self, act: Coroutine[Any, Any, T]) -> T:
        """Return what `act` returns, on the loop of the connections that are kept."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._loop.run_until_complete, act).result()

    def _made(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        run_apart(run_sql(self._server_url, f"CREATE DATABASE {name} TEMPLATE {self._template}"))
        self._form = self._form or self._do(self._form_of(name))
        return name

    def _drop(self, name: str) -> None:
        if connection := self._connections.pop(name, None):
            self._do(_closed(connection))
        run_apart(run_sql(self._server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def close(self) -> None:
        """Drop all databases."""
        while self._free:
            self._drop(self._free.pop())
        self._loop.close()

    async def _connection(self, name: str) -> Any:
        if name not in self._connections:
            self._connections[name] = await asyncpg.connect(
                database_of(self._server_url, name),
                server_settings={"application_name": "lessonbook"},  # as the product's own: tests look for strangers
            )
        return self._connections[name]

    async def _form_of(self, name: str) -> str:
        return await (await self._connection(name)).fetchval(_FORM)

    async def _emptied(self, name: str) -> bool:
        """End all sessions in a database, empty its tables, and return whether it is as good as new."""
        try:
            connection = await self._connection(name)
            await connection.execute(_END_OTHERS)
            if await connection.fetchval(_FORM) != self._form:
                return False
            await connection.execute(_EMPTY)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # Dropped, closed to all, its server is gone; no superuser's, or a setting forbids writing; or a test ended
            # all its sessions.
            return False
        return True


async def _closed(connection: Any) -> None:
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        await connection.close(timeout=PATIENCE_S)
    connection.terminate()


def database_of(url: str, name: str) -> str:
    """Return the URL of database `name` on the server of `url`."""
    return urlsplit(url)._replace(path=f"/{name}").geturl() if urlsplit(url).netloc else _socket_url(url, name)


def _socket_url(url: str, name: str) -> str:
    host = parse_qs(urlsplit(url).query)["host"][0]
    return f"postgresql://postgres@/{name}?host={quote(host)}"


async def run_sql(url: str, *statements: str) -> None:
    """Run statements, each by itself."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
