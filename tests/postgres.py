"""PostgreSQL databases for tests, emptied and used again: making one takes the server longer than most tests take."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg

T = TypeVar("T")

BYTES_MAX: Final = 4_000_000
"""A database whose tables have grown larger is dropped: what was deleted from a table is still read."""

_END_OTHERS = """
    SELECT pg_terminate_backend(pid, 10_000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
_FORM = f"""
    SELECT
        (SELECT array_agg((oid, relname, relkind, relnatts, relchecks, relhasrules)::text ORDER BY oid)
            FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'S') AND oid >= 16384),
        (SELECT array_agg((indexrelid, indisvalid)::text ORDER BY indexrelid) FROM pg_index WHERE indexrelid >= 16384),
        (SELECT array_agg((attrelid, attnum, attname, atttypid, attnotnull, atthasdef)::text ORDER BY attrelid, attnum)
            FROM pg_attribute WHERE attrelid >= 16384 AND attnum > 0),
        (SELECT array_agg((oid, tgenabled)::text ORDER BY oid) FROM pg_trigger),
        (SELECT array_agg((oid, xmin)::text ORDER BY oid) FROM pg_proc WHERE oid >= 16384),
        (SELECT array_agg((oid, convalidated)::text ORDER BY oid) FROM pg_constraint WHERE oid >= 16384),
        (SELECT count(*) FROM pg_db_role_setting
            WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())),
        (SELECT array_agg(version_num) FROM alembic_version),
        (SELECT sum(pg_relation_size(oid)) <= {BYTES_MAX} FROM pg_class WHERE relkind IN ('r', 't') AND oid >= 16384)
"""
_TABLES = """
    SELECT array_agg(quote_ident(relname)) FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> 'alembic_version'
"""
_RESTART = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"


def run_apart(act: Coroutine[Any, Any, T]) -> T:
    """Return what `act` returns, on a thread of its own: fixtures are asked for inside running loops as well."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, act).result()


class Databases:
    """Empty databases on one server, all of one form: that of `template`, which has no rows."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[str] = []
        self._form: Any = None

    @contextmanager
    def one(self) -> Iterator[str]:
        """Give the URL of an empty database for as long as it is needed."""
        name = self._free.pop() if self._free else self._made()
        url = database_of(self._server_url, name)
        yield url
        if run_apart(_emptied(url, self._form)):
            self._free.append(name)
        else:
            self._drop(name)

    def _made(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        run_apart(run_sql(self._server_url, f"CREATE DATABASE {name} TEMPLATE {self._template}"))
        self._form = self._form or run_apart(_form(database_of(self._server_url, name)))
        return name

    def _drop(self, name: str) -> None:
        run_apart(run_sql(self._server_url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def close(self) -> None:
        """Drop all databases."""
        while self._free:
            self._drop(self._free.pop())


async def _form(url: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchrow(_FORM)
    finally:
        await connection.close()


async def _emptied(url: str, form: Any) -> bool:
    """End all sessions in a database, empty its tables, and return whether it is as good as new."""
    try:
        connection = await asyncpg.connect(url)
    except (asyncpg.PostgresError, OSError):  # dropped, closed to all, or its server is gone
        return False
    try:
        await connection.execute(_END_OTHERS)
        if await connection.fetchrow(_FORM) != form:
            return False
        tables = await connection.fetchval(_TABLES)
        async with connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")  # in any order, without triggers
            await connection.execute(";".join(f"DELETE FROM {table}" for table in tables))
            await connection.execute(_RESTART)
    except asyncpg.PostgresError:  # not a superuser, or a setting forbids writing
        return False
    else:
        return True
    finally:
        await connection.close()


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
