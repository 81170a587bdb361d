"""Where the two databases speak differently: upserts, full-text search, announcements."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, Literal, assert_never, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    Select,
    Table,
    Text,
    TextClause,
    case,
    func,
    literal_column,
    text,
)
from sqlalchemy import cast as cast_to

from lessonbook.store.types import Row

Dialect = Literal["sqlite", "postgresql"]

_SEARCH_SQLITE = text("""
    SELECT d.lesson_id, -bm25(agent_lesson_search) AS score
    FROM agent_lesson_search JOIN agent_lesson_documents d ON d.document_id = agent_lesson_search.rowid
    WHERE agent_lesson_search MATCH :query AND d.project = :project
    ORDER BY score DESC, d.lesson_id LIMIT :most
""")
_SEARCH_POSTGRESQL = text("""
    SELECT d.lesson_id, ts_rank_cd(d.body_vector, q.query, 1) AS score
    FROM agent_lesson_documents d, to_tsquery('english', :query) AS q(query)
    WHERE d.body_vector @@ q.query AND d.project = :project
    ORDER BY score DESC, d.lesson_id LIMIT :most
""")

_FREQUENCIES_SQLITE = text("""
    SELECT word.value, (SELECT count(*) FROM agent_lesson_search
                        WHERE agent_lesson_search MATCH '"' || word.value || '"')
    FROM json_each(:words) AS word
    UNION ALL SELECT NULL, coalesce(max(document_id), 0) FROM agent_lesson_documents
""")
_FREQUENCIES_POSTGRESQL = text("""
    SELECT word.value, (SELECT count(*) FROM agent_lesson_documents d
                        WHERE d.body_vector @@ to_tsquery('english', quote_literal(word.value))
                        AND d.project = :project)
    FROM json_array_elements_text(CAST(:words AS json)) AS word(value)
    UNION ALL SELECT NULL, count(*) FROM agent_lesson_documents WHERE project = :project
""")


def name_of(connection: Connection) -> Dialect:
    """Return which database `connection` leads to."""
    return cast("Dialect", connection.dialect.name)


def insert_into(name: Dialect, table: Table) -> Any:
    """Return the dialect's INSERT for `table`, which knows ON CONFLICT in the same words on both."""
    match name:
        case "sqlite":
            from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # only the dialect that is used

            return sqlite.insert(table)
        case "postgresql":
            from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # only the dialect that is used

            return postgresql.insert(table)
        case _:
            assert_never(name)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert `rows` whose key is not taken yet, and return how many went in."""
    if not rows:
        return 0
    name = name_of(connection)
    if name == "sqlite" or len(rows) == 1:  # its driver adds up what went in, PostgreSQL's does not
        return connection.execute(_insert_or_skip(name, table), rows if len(rows) > 1 else rows[0]).rowcount
    return len(connection.execute(_insert_or_skip(name, table, tells=True), rows).all())


@cache
def _insert_or_skip(name: Dialect, table: Table, *, tells: bool = False) -> Any:
    """Return the statement, made once: SQLAlchemy then compiles it once, too. `tells` lets it return a key a row."""
    statement = insert_into(name, table).on_conflict_do_nothing()
    return statement.returning(next(iter(table.primary_key.columns))) if tells else statement


@cache
def upsert(
    name: Dialect,
    table: Table,
    *,
    keys: tuple[str, ...] = (),
    replaced: tuple[str, ...] = (),
    added: tuple[str, ...] = (),
    latest: str = "",
    chosen: Select[Any] | None = None,
) -> Any:
    """Return the statement that inserts rows, or changes those whose key is taken; made once, and compiled once.

    Args:
        name: the database.
        table: where to.
        keys: the columns of the key; by default the primary key's.
        replaced: columns that the new row overwrites.
        added: columns to whose value the new row's is added.
        latest: a column that keeps the later of both moments.
        chosen: a query of the rows, whose columns are `keys`, `replaced`, `added` and `latest`; else they are given.
    """
    keys = keys or tuple(column.name for column in table.primary_key.columns)
    statement = insert_into(name, table)
    if chosen is not None:
        columns = [*keys, *replaced, *added, *filter(None, [latest])]
        statement = statement.from_select(columns, chosen, include_defaults=False)
    new = statement.excluded
    values = {key: new[key] for key in replaced} | {key: table.c[key] + new[key] for key in added}
    if latest:
        values[latest] = case((new[latest] > table.c[latest], new[latest]), else_=table.c[latest])
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


def full_text(connection: Connection, words: Sequence[str]) -> tuple[TextClause, str]:
    """Return the full-text statement and its `query` for any of `words` (plain words, no operators).

    The statement takes `query`, `project` and `most`, and gives `lesson_id` and `score`, best first.
    """
    name = name_of(connection)
    match name:
        case "sqlite":
            return _SEARCH_SQLITE, " OR ".join(f'"{word}"' for word in words)
        case "postgresql":
            return _SEARCH_POSTGRESQL, " | ".join(f"'{word}'" for word in words)
        case _:
            assert_never(name)


def frequencies(connection: Connection) -> TextClause:
    """Return the statement that counts the documents which hold each of some words.

    It takes `words` (a JSON list of plain words) and `project`, and gives a word and a number a row, with NULL for the
    word the number of all documents. On SQLite, whose index is one for all projects, so are the numbers.
    """
    name = name_of(connection)
    match name:
        case "sqlite":
            return _FREQUENCIES_SQLITE
        case "postgresql":
            return _FREQUENCIES_POSTGRESQL
        case _:
            assert_never(name)


def date_of(name: Dialect, moment: ColumnElement[datetime]) -> ColumnElement[Any]:
    """Return the date of a moment in UTC, in the form that is cheapest to group by; `day_of` tells it."""
    match name:
        case "sqlite":
            return func.substr(moment, literal_column("1"), literal_column("10"), type_=Text)
        case "postgresql":
            zone: ColumnElement[str] = literal_column("'UTC'")  # no parameter, so that one may group by it
            return cast_to(func.timezone(zone, moment), Date)
        case _:
            assert_never(name)


def day_of(name: Dialect, date: ColumnElement[Any]) -> ColumnElement[str]:
    """Return what `date_of` gave as an ISO date."""
    match name:
        case "sqlite":
            return date
        case "postgresql":
            form: ColumnElement[str] = literal_column("'YYYY-MM-DD'")
            return func.to_char(date, form, type_=Text)
        case _:
            assert_never(name)


def take_turns(connection: Connection, names: Iterable[str]) -> None:
    """Wait until no other transaction holds any of `names`, and hold them until this one ends.

    All are asked for in one order, so those who want several never wait for each other. SQLite has one writer anyway.
    """
    name = name_of(connection)
    match name:
        case "sqlite":
            pass
        case "postgresql":
            keys = sorted(int.from_bytes(sha256(one.encode()).digest()[:8], signed=True) for one in set(names))
            connection.execute(_HELD, {"keys": keys})
        case _:
            assert_never(name)


_HELD = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS key")


def announce(connection: Connection, channel: str, payload: str) -> None:
    """Tell listening replicas at commit. SQLite needs no telling: its file counts commits."""
    name = name_of(connection)
    match name:
        case "sqlite":
            pass
        case "postgresql":
            connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})
        case _:
            assert_never(name)
