"""Queries that carry rows of one project into another, and count what stays."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, func, select, tuple_, update

from lessonbook.store import dialect, rollups
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.tables import (
    applications,
    audit_log,
    checked_lessons,
    deliveries,
    in_project,
    issues,
    lesson_flags,
    lessons,
    refinement_runs,
    run_checks,
    runs,
)
from lessonbook.store.types import Row

UNCOUNTED: Final = rollups.NEVER - timedelta(days=1)
"""When a carried run began: before all counting, since it is a run of another project's experiment."""
_CARRIED: Final[Mapping[str, Table]] = {
    "lessons": lessons,
    "issues": issues,
    "applications": applications,
    "flags": lesson_flags,
    "refinement_runs": refinement_runs,
    "audit_entries": audit_log,
}
_LEFT: Final[Mapping[str, Table]] = {
    "runs": runs,
    "deliveries": deliveries,
    "checks": run_checks,
    "experiment_rows": checked_lessons,
}


def carried_run_id(project: str, run_id: str) -> str:
    """Return the id under which a run of another project is referred to: no caller can name it (see `RunId`)."""
    return f"<{project}> {run_id}"


def sizes(connection: Connection, project: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many rows of each kind are carried, and how many stay."""

    def counted(tables: Mapping[str, Table]) -> dict[str, int]:
        query = {name: select(func.count()).where(*in_project(table, project)) for name, table in tables.items()}
        return {name: int(connection.execute(one).scalar_one()) for name, one in query.items()}

    return counted(_CARRIED), counted(_LEFT)


def page(connection: Connection, table: Table, project: str, after: Sequence[Any], limit: int) -> list[Row]:
    """Return rows of a project in the order of their keys, from behind the key `after` (without the project)."""
    keys = keys_of(table)
    query = select(*_stored(table)).where(*in_project(table, project)).order_by(*keys).limit(limit)
    if after:
        query = query.where(tuple_(*keys) > tuple_(*after))
    return [dict(row) for row in connection.execute(query).mappings()]


def of_lessons(connection: Connection, table: Table, project: str, lesson_ids: Collection[str]) -> list[Row]:
    """Return the rows of some lessons in the order of their keys."""
    of_project = in_project(table, project)
    query = select(*_stored(table)).where(*of_project, table.c.lesson_id.in_(lesson_ids)).order_by(*keys_of(table))
    return [dict(row) for row in connection.execute(query).mappings()]


def rows_of(connection: Connection, project: str, lesson_ids: Collection[str]) -> list[Row]:
    """Return lessons as they are stored, in the order of their ids."""
    query = select(*_stored(lessons)).where(*in_project(lessons, project), lessons.c.id.in_(lesson_ids))
    return [dict(row) for row in connection.execute(query.order_by(lessons.c.id)).mappings()]


def agents_of(connection: Connection, project: str, lesson_ids: Collection[str] | None = None) -> dict[str, str]:
    """Return the agent of each lesson of a project, or of those of `lesson_ids`, by id in order."""
    query = select(lessons.c.id, lessons.c.agent_name).where(*in_project(lessons, project))
    if lesson_ids is not None:
        query = query.where(lessons.c.id.in_(lesson_ids))
    return {row[0]: row[1] for row in connection.execute(query.order_by(lessons.c.id))}


def linked(connection: Connection, project: str) -> list[tuple[str, str | None, str | None]]:
    """Return the lessons that point to others: id, successor, and the lesson that they are a proposal for."""
    columns = lessons.c
    points = columns.superseded_by.is_not(None) | columns.proposal_for.is_not(None)
    query = select(columns.id, columns.superseded_by, columns.proposal_for).where(*in_project(lessons, project), points)
    return [(row[0], row[1], row[2]) for row in connection.execute(query.order_by(columns.id))]


def keys_of(table: Table) -> list[Column[Any]]:
    """Return the columns of a table's key without the project."""
    return [column for column in table.primary_key.columns if column.name != "project"]


def _stored(table: Table) -> Iterable[Column[Any]]:
    """Return the columns that are written, not computed."""
    return (column for column in table.columns if column.computed is None)


def there(connection: Connection, table: Table, project: str, rows: Sequence[Row]) -> set[tuple[Any, ...]]:
    """Return the keys of those of `rows` that a project has."""
    keys = keys_of(table)
    first = keys[0]
    query = select(*keys).where(*in_project(table, project), first.in_({row[first.name] for row in rows}))
    return {tuple(row) for row in connection.execute(query)}


def add(connection: Connection, table: Table, rows: Sequence[Row]) -> int:
    """Insert those of `rows` whose key is free, and return how many."""
    return dialect.insert_new(connection, table, rows)


def add_runs(connection: Connection, source: str, target: str, run_ids: Iterable[str]) -> None:
    """Make the runs that carried rows refer to: without evidence, and before all counting."""
    wanted = sorted(set(run_ids))
    if not wanted:
        return
    columns = (runs.c.run_id, runs.c.agent_name, runs.c.principal, runs.c.task_hash, runs.c.label, runs.c.routed)
    query = select(*columns).where(*in_project(runs, source), runs.c.run_id.in_(wanted))
    rows: list[Row] = [
        {
            **row,
            "project": target,
            "run_id": carried_run_id(source, row["run_id"]),
            "started_at": UNCOUNTED,
        }
        for row in connection.execute(query).mappings()
    ]
    dialect.insert_new(connection, runs, rows)


def join_flags(connection: Connection, rows: Sequence[Row]) -> int:
    """Add flags, and return how many are new.

    One of a principal who has flagged the lesson in both projects is kept among the earlier ones.
    """
    new = 0
    for row in rows:
        if dialect.insert_new(connection, lesson_flags, [row]):
            new += 1
            continue
        own = in_project(lesson_flags, row["project"], lesson_id=row["lesson_id"], principal=row["principal"])
        query = select(lesson_flags.c.flagged_at, lesson_flags.c.earlier).where(*own).with_for_update()
        flagged_at, earlier = connection.execute(query).one()
        said = {**{name: row[name] for name in ("reason", "run_id")}, "flagged_at": row["flagged_at"].isoformat()}
        if row["flagged_at"] != flagged_at and said not in earlier:
            kept = [*earlier, *row["earlier"], said][-lesson_rows.FLAGS_KEPT :]
            connection.execute(update(lesson_flags).where(*own).values(earlier=kept))
            new += 1
    return new


def flags_on(connection: Connection, project: str, lesson_ids: Collection[str]) -> dict[str, int]:
    """Return the number of principals who flagged each lesson, for those that somebody flagged."""
    columns = lesson_flags.c
    query = select(columns.lesson_id, func.count()).where(*in_project(lesson_flags, project))
    query = query.where(columns.lesson_id.in_(lesson_ids)).group_by(columns.lesson_id)
    return {row[0]: int(row[1]) for row in connection.execute(query)}
