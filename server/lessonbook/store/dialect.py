"""What the two databases do differently: upserts, full-text search, dates, locks, notifications."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any, Final, Literal, cast

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
CHANNEL: Final = "lessonbook"
"""The channel on which PostgreSQL announces commits."""

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
    """Return which database `connection` is of."""
    return cast("Dialect", connection.dialect.name)


def insert_into(name: Dialect, table: Table) -> Any:
    """Return the dialect's INSERT for `table`; its methods for ON CONFLICT have the same names on both."""
    match name:
        case "sqlite":
            from sqlalchemy.dialects import sqlite  # noqa: PLC0415  # only the dialect that is used

            return sqlite.insert(table)
        case "postgresql":
            from sqlalchemy.dialects import postgresql  # noqa: PLC0415  # only the dialect that is used

            return postgresql.insert(table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert those of `rows` whose key is free, and return how many."""
    if not rows:
        return 0
    name = name_of(connection)
    if name == "sqlite" or len(rows) == 1:  # PostgreSQL's driver does not add up the counts of several rows
        return connection.execute(_insert_or_skip(name, table), rows if len(rows) > 1 else rows[0]).rowcount
    return len(connection.execute(_insert_or_skip(name, table, returns_keys=True), rows).all())


@cache
def _insert_or_skip(name: Dialect, table: Table, *, returns_keys: bool = False) -> Any:
    """Return the statement, made once so that SQLAlchemy compiles it once."""
    statement = insert_into(name, table).on_conflict_do_nothing()
    return statement.returning(next(iter(table.primary_key.columns))) if returns_keys else statement


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
    """Return the statement that inserts rows or, where the key is taken, changes them; made and compiled once.

    Args:
        name: the database.
        table: the table to write.
        keys: the columns of the key; by default the primary key's.
        replaced: columns that the new row overwrites.
        added: columns to whose value the new row's is added.
        latest: a column that keeps the later of both moments.
        chosen: a query of the rows to write, with the columns `keys`, `replaced`, `added` and `latest`; None: the rows
            are parameters.
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

    The statement takes `query`, `project` and `most`, and returns `lesson_id` and `score`, best first.
    """
    match name_of(connection):
        case "sqlite":
            return _SEARCH_SQLITE, " OR ".join(f'"{word}"' for word in words)
        case "postgresql":
            return _SEARCH_POSTGRESQL, " | ".join(f"'{word}'" for word in words)


def frequencies(connection: Connection) -> TextClause:
    """Return the statement that counts the documents with each of some words.

    It takes `words` (a JSON list of plain words) and `project`, and returns rows of a word and a number; the row whose
    word is NULL has the number of all documents. On SQLite, whose index is one for all projects, numbers are of all.
    """
    match name_of(connection):
        case "sqlite":
            return _FREQUENCIES_SQLITE
        case "postgresql":
            return _FREQUENCIES_POSTGRESQL


def date_of(name: Dialect, moment: ColumnElement[datetime]) -> ColumnElement[Any]:
    """Return the date of a moment in UTC, in the form that is cheapest to group by; `day_of` converts it."""
    match name:
        case "sqlite":
            return func.substr(moment, literal_column("1"), literal_column("10"), type_=Text)
        case "postgresql":
            zone: ColumnElement[str] = literal_column("'UTC'")  # GROUP BY takes no parameter
            return cast_to(func.timezone(zone, moment), Date)


def day_of(name: Dialect, date: ColumnElement[Any]) -> ColumnElement[str]:
    """Return a date that `date_of` returned as ISO text."""
    match name:
        case "sqlite":
            return date
        case "postgresql":
            form: ColumnElement[str] = literal_column("'YYYY-MM-DD'")
            return func.to_char(date, form, type_=Text)


def take_turns(connection: Connection, names: Iterable[str]) -> None:
    """Wait until no other transaction holds any of `names`, and hold them until this one ends.

    All transactions ask in the same order, so there is no deadlock. SQLite needs no lock: it has one writer.

    Raises:
        NotYet: others of this process come first; `PostgresStore` runs the transaction again when its turn has come.
    """
    match name_of(connection):
        case "sqlite":
            pass
        case "postgresql":
            wanted = set(names)
            if (claim := connection.get_execution_options().get("claim")) is not None:
                claim.take(wanted)
            keys = sorted(int.from_bytes(sha256(one.encode()).digest()[:8], signed=True) for one in wanted)
            connection.execute(_HELD, {"keys": keys})


_HELD = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(CAST(:keys AS bigint[])) AS key")


def announce(connection: Connection, payload: str, *, channel: str = CHANNEL) -> None:
    """Notify listening replicas at commit. On SQLite they watch the file's change counter instead."""
    match name_of(connection):
        case "sqlite":
            pass
        case "postgresql":
            connection.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": channel, "payload": payload})
