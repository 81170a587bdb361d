"""Queries about lessons: their rows, keys, history and documents."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from functools import cache
from sys import intern
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from lessonbook.domain.lesson import COLUMNS, TEXT_COLUMNS, Lesson, LessonWords
from lessonbook.domain.lesson_names import kind_of
from lessonbook.domain.lesson_status import SERVABLE, TOMBSTONES, Status
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.store import dialect
from lessonbook.store.tables import (
    applications,
    in_project,
    lesson_documents,
    lesson_flags,
    lesson_keys,
    lesson_vectors,
    lesson_versions,
    lessons,
    revisions,
)
from lessonbook.store.types import Row

FLAGGED_MAX: Final = 10_000
FLAGS_KEPT: Final = 20
"""Maximum number of earlier flags of one principal on one lesson that are kept."""
OVERDUE_MAX: Final = 1_000
_COLUMNS: Final = [lessons.c[field.name] for field in fields(Lesson)]
_CHANGED: Final = (
    select(*_COLUMNS, lesson_documents.c.body)
    .outerjoin(lesson_documents, and_(*in_project(lesson_documents, lessons.c.project, lesson_id=lessons.c.id)))
    .where(
        *in_project(lessons, bindparam("project")),
        or_(
            and_(lessons.c.agent_name == bindparam("agent"), lessons.c.revision > bindparam("agent_revision")),
            and_(lessons.c.agent_name == SHARED_AGENT, lessons.c.revision > bindparam("shared_revision")),
        ),
    )
)

_CHANGED_WORDS: Final = (
    select(lessons.c.id, lessons.c.status, lessons.c.lesson_text, lessons.c.revision)
    .where(
        *in_project(lessons, bindparam("project"), agent_name=bindparam("agent")),
        lessons.c.revision > bindparam("revision"),
    )
    .order_by(lessons.c.revision, lessons.c.id)
)
_NAMED: Final = select(lesson_keys.c.agent_name, lesson_keys.c.key, lesson_keys.c.lesson_id).where(
    lesson_keys.c.project == bindparam("project"),
    lesson_keys.c.agent_name.in_(bindparam("agents", expanding=True)),
    lesson_keys.c.key.in_(bindparam("keys", expanding=True)),
)

_REJECTED: Final = (
    select(lesson_keys.c.key, lesson_keys.c.lesson_id)
    .join(lessons, and_(*in_project(lessons, lesson_keys.c.project, id=lesson_keys.c.lesson_id, status="rejected")))
    .where(*in_project(lesson_keys, bindparam("project")), lesson_keys.c.key.in_(bindparam("texts", expanding=True)))
)
_FOUND: Final = select(*_COLUMNS).where(
    lessons.c.project == bindparam("project"), lessons.c.id.in_(bindparam("ids", expanding=True))
)
# Rows that refer to a lesson may be inserted meanwhile: its key does not change.
_FOUND_LOCKED: Final = _FOUND.order_by(lessons.c.id).with_for_update(key_share=True)


_DOCUMENTS: Final = select(lesson_documents.c.lesson_id, lesson_documents.c.body).where(
    *in_project(lesson_documents, bindparam("project")),
    lesson_documents.c.lesson_id.in_(bindparam("ids", expanding=True)),
)
_CHANGE: Final = update(lessons).where(
    lessons.c.project == bindparam("of_project"), lessons.c.id == bindparam("of_lesson")
)
_MARK: Final = update(lessons).where(
    lessons.c.project == bindparam("of_project"), lessons.c.id.in_(bindparam("ids", expanding=True))
)


class TextAtRevision(NamedTuple):
    """A lesson's text and status at one revision."""

    id: str
    status: Status
    lesson_text: str
    revision: int


class HistoryRow(NamedTuple):
    """One change of a lesson, what it said afterwards, and the numbers that led to the change."""

    change: int
    version: int
    action: str
    principal: str
    reason: str
    status: Status
    numbers: Mapping[str, Any]
    changed_at: datetime
    words: LessonWords


class FlagRow(NamedTuple):
    """One principal's flag on a lesson."""

    principal: str
    reason: str
    flagged_at: datetime


def _lesson(values: Sequence[Any]) -> Lesson:
    """Return a lesson that will be kept in memory: strings that thousands of lessons share are stored once."""
    kept = list(values)
    for place in _REPEATED:
        if kept[place] is not None:
            kept[place] = intern(kept[place])
    return Lesson(*kept)


_WORDS: Final = frozenset({"agent_name", "category", "status", "trust", "author", "approved_by"})
_REPEATED: Final = tuple(place for place, field in enumerate(fields(Lesson)) if field.name in _WORDS)


def changed_since(
    connection: Connection, project: str, agent_name: str, agent_revision: int, shared_revision: int
) -> list[tuple[Lesson, str]]:
    """Return the agent's and the shared lessons that changed after those revisions, each with its document's text."""
    wanted = {"project": project, "agent": agent_name}
    wanted |= {"agent_revision": agent_revision, "shared_revision": shared_revision}
    return [(_lesson(row[:-1]), row[-1] or "") for row in connection.execute(_CHANGED, wanted)]


def words_since(connection: Connection, project: str, agent_name: str, revision: int) -> list[TextAtRevision]:
    """Return an agent's lessons of any status that changed after `revision`, in the order of their revisions."""
    known = {"project": project, "agent": agent_name, "revision": revision}
    return [TextAtRevision(*row) for row in connection.execute(_CHANGED_WORDS, known)]


def hold_agents(connection: Connection, project: str, agent_names: Iterable[str]) -> None:
    """Keep other transactions from changing lessons of these agents until this one ends.

    It comes before anything that the transaction writes: see `Ledger.hold`.
    """
    dialect.take_turns(connection, (f"lessonbook.lessons\0{project}\0{agent_name}" for agent_name in agent_names))


def find(connection: Connection, project: str, lesson_ids: Iterable[str], *, lock: bool = False) -> dict[str, Lesson]:
    """Return the lessons that exist, by id. `lock` keeps their rows until the transaction ends."""
    wanted = {"project": project, "ids": list(set(lesson_ids))}
    if not wanted["ids"]:
        return {}
    return {row.id: Lesson(*row) for row in connection.execute(_FOUND_LOCKED if lock else _FOUND, wanted)}


def all_of(connection: Connection, project: str) -> dict[str, Lesson]:
    """Return every lesson of a project, by id."""
    query = select(*_COLUMNS).where(*in_project(lessons, project))
    return {row.id: Lesson(*row) for row in connection.execute(query)}


def find_by_keys(
    connection: Connection, project: str, agents: Iterable[str], keys: Iterable[str]
) -> dict[tuple[str, str], str]:
    """Return lesson ids by (agent, key)."""
    wanted = {"project": project, "agents": list({*agents, SHARED_AGENT}), "keys": list(set(keys))}
    if not wanted["keys"]:
        return {}
    return {(agent, key): lesson_id for agent, key, lesson_id in connection.execute(_NAMED, wanted)}


def free_name(connection: Connection, project: str, agent_name: str, key: str) -> None:
    """Take an exact name from the lesson of an agent that has it."""
    connection.execute(delete(lesson_keys).where(*in_project(lesson_keys, project, agent_name=agent_name, key=key)))


def names_of(connection: Connection, project: str) -> dict[str, list[str]]:
    """Return every exact name of a project's lessons, sorted, by lesson id."""
    query = select(lesson_keys.c.lesson_id, lesson_keys.c.key).where(*in_project(lesson_keys, project))
    names: dict[str, list[str]] = {}
    for lesson_id, key in connection.execute(query):
        names.setdefault(lesson_id, []).append(key)
    return {lesson_id: sorted(keys) for lesson_id, keys in names.items()}


def worded(connection: Connection, project: str, hashes: Iterable[str]) -> list[tuple[str, str, str]]:
    """Return the lessons of any status whose text has one of the hashes: agent, hash, lesson id."""
    wanted = list(set(hashes))
    with_hash = (*in_project(lessons, project), lessons.c.content_hash.in_(wanted))
    query = select(lessons.c.agent_name, lessons.c.content_hash, lessons.c.id).where(*with_hash)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)] if wanted else []


def rejected_texts(connection: Connection, project: str, keys: Iterable[str]) -> dict[str, str]:
    """Return those of the keys that name the text of a rejected lesson of any agent, with the lesson's id."""
    texts = {key for key in keys if kind_of(key) == "text"}
    if not texts:
        return {}
    found = connection.execute(_REJECTED, {"project": project, "texts": list(texts)})
    return {key: lesson_id for key, lesson_id in found}  # noqa: C416  # rows are no pairs to the type checker


def add(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert lessons."""
    if rows:
        connection.execute(insert(lessons), rows)


def add_keys(connection: Connection, rows: Sequence[Row]) -> int:
    """Insert exact names that are free, and return how many."""
    return dialect.insert_new(connection, lesson_keys, rows)


def keys_of(connection: Connection, project: str, lesson_id: str) -> list[str]:
    """Return the exact names of a lesson."""
    query = select(lesson_keys.c.key).where(*in_project(lesson_keys, project, lesson_id=lesson_id))
    return list(connection.execute(query).scalars())


def drop_keys_of_others(connection: Connection, project: str, lesson_id: str, agent_name: str) -> None:
    """Delete those names of a lesson that a lesson of `agent_name` has as well."""
    taken = select(lesson_keys.c.key).where(*in_project(lesson_keys, project, agent_name=agent_name))
    of_others = (lesson_keys.c.agent_name != agent_name, lesson_keys.c.key.in_(taken))
    connection.execute(delete(lesson_keys).where(*in_project(lesson_keys, project, lesson_id=lesson_id), *of_others))


def of_agent(connection: Connection, project: str, agent_name: str) -> list[Lesson]:
    """Return an agent's lessons of any status, their rows locked until the transaction ends."""
    query = select(*_COLUMNS).where(*in_project(lessons, project, agent_name=agent_name)).order_by(lessons.c.id)
    return [Lesson(*row) for row in connection.execute(query.with_for_update())]


def move_keys(
    connection: Connection, project: str, source: str, target: str, only: Collection[str] | None = None
) -> None:
    """Move the exact names of lesson `source`, or those of `only`, to lesson `target`."""
    statement = update(lesson_keys).where(*in_project(lesson_keys, project, lesson_id=source))
    if only is not None:
        statement = statement.where(lesson_keys.c.key.in_(only))
    connection.execute(statement.values(lesson_id=target))


def add_versions(connection: Connection, rows: Sequence[Row]) -> None:
    """Append to the history of lessons."""
    if rows:
        connection.execute(insert(lesson_versions), rows)


def change(connection: Connection, project: str, lesson_id: str, values: Row) -> None:
    """Set columns of one lesson."""
    change_each(connection, project, {lesson_id: values})


def change_each(connection: Connection, project: str, changes: Mapping[str, Row]) -> None:
    """Set columns of lessons, by lesson id; those with the same columns in one go."""
    alike: dict[tuple[str, ...], list[Row]] = {}
    for lesson_id, values in changes.items():
        row = {**values, "of_project": project, "of_lesson": lesson_id}
        alike.setdefault(tuple(sorted(values)), []).append(row)
    for rows in alike.values():
        connection.execute(_CHANGE, rows if len(rows) > 1 else rows[0])


def last_change(connection: Connection, project: str, lesson_id: str) -> int:
    """Return the number of the lesson's latest change."""
    query = select(func.coalesce(func.max(lesson_versions.c.change), 0))
    return connection.execute(query.where(*in_project(lesson_versions, project, lesson_id=lesson_id))).scalar_one()


def history(connection: Connection, project: str, lesson_id: str) -> list[HistoryRow]:
    """Return every change of a lesson, oldest first."""
    *own, _ = HistoryRow._fields
    query = (
        select(*(lesson_versions.c[name] for name in (*own, *COLUMNS.values())))
        .where(*in_project(lesson_versions, project, lesson_id=lesson_id))
        .order_by(lesson_versions.c.change)
    )
    rows = connection.execute(query).mappings()
    return [HistoryRow(**{name: row[name] for name in own}, words=LessonWords.of_row(dict(row))) for row in rows]


def forget_words(connection: Connection, project: str, lesson_id: str) -> None:
    """Blank the words of a deleted lesson in its history, document, flags and applications, and delete its vectors."""
    blanked = {
        lesson_versions: (*TEXT_COLUMNS, "reason"),
        lesson_documents: ("body",),
        lesson_flags: ("reason",),
        applications: ("notes",),
    }
    for table, columns in blanked.items():
        of_lesson = in_project(table, project, lesson_id=lesson_id)
        connection.execute(update(table).where(*of_lesson).values(dict.fromkeys(columns, "")))
    flags = in_project(lesson_flags, project, lesson_id=lesson_id)
    connection.execute(update(lesson_flags).where(*flags).values(earlier=[]))
    connection.execute(delete(lesson_vectors).where(*in_project(lesson_vectors, project, lesson_id=lesson_id)))


def mark_changed(connection: Connection, project: str, changed: Mapping[str, str]) -> None:
    """Give lessons their agent's next revision, so that caches fetch them again. Call it last.

    Readers ask for rows above the revision they know, so revisions must become visible in order: the counter's row is
    locked from here to the commit. `changed` has the agent of each changed lesson, by lesson id.
    """
    by_agent: dict[str, list[str]] = {}
    for lesson_id, agent_name in changed.items():
        by_agent.setdefault(agent_name, []).append(lesson_id)
    for agent_name in sorted(by_agent):
        row = {"project": project, "agent_name": agent_name, "revision": 1}
        revision = connection.execute(_next_revision(dialect.name_of(connection)), row).scalar_one()
        marked = {"of_project": project, "ids": by_agent[agent_name], "revision": revision}
        connection.execute(_MARK, marked)
    if by_agent:
        dialect.announce(connection, project[:200])


@cache
def _next_revision(name: dialect.Dialect) -> Any:
    """Return the statement, made once so that SQLAlchemy compiles it once."""
    return dialect.upsert(name, revisions, added=("revision",)).returning(revisions.c.revision)


def put_documents(connection: Connection, project: str, bodies: Mapping[str, str]) -> None:
    """Write the documents that full-text search reads, by lesson id."""
    if bodies:
        rows = [{"project": project, "lesson_id": lesson_id, "body": body} for lesson_id, body in bodies.items()]
        keys = ("project", "lesson_id")
        statement = dialect.upsert(dialect.name_of(connection), lesson_documents, keys=keys, replaced=("body",))
        connection.execute(statement, rows)


def documents(connection: Connection, project: str, lesson_ids: Iterable[str]) -> dict[str, str]:
    """Return the documents that full-text search reads, by lesson id."""
    wanted = {"project": project, "ids": list(set(lesson_ids))}
    return {row[0]: row[1] for row in connection.execute(_DOCUMENTS, wanted)}


def search(connection: Connection, project: str, words: Sequence[str], most: int) -> dict[str, float]:
    """Return full-text scores of lessons that have any of `words`, by lesson id, best first, at most `most`.

    Higher is better. SQLite scores by BM25, PostgreSQL by `ts_rank_cd`: scores of the two do not compare.
    """
    if not words:
        return {}
    statement, query = dialect.full_text(connection, words)
    rows = connection.execute(statement, {"query": query, "project": project, "most": most})
    return {row.lesson_id: float(row.score) for row in rows}


def frequencies(connection: Connection, project: str, words: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Return about how many documents there are, and how many of them have each of `words`."""
    given = {"words": json.dumps(list(words)), "project": project}
    rows = connection.execute(dialect.frequencies(connection), given).all()
    return next(row[1] for row in rows if row[0] is None), {row[0]: row[1] for row in rows if row[0] is not None}


def page(
    connection: Connection,
    project: str,
    *,
    filters: Mapping[str, Any],
    statuses: Collection[str],
    after: tuple[int, float, str] | None,
    limit: int,
    principal: str | None = None,
) -> list[Lesson]:
    """Return lessons most severe first, then most effective, from behind `after` (severity, effectiveness, id).

    With `principal` only those that are served to it.
    """
    conditions = [*in_project(lessons, project, **filters), lessons.c.status.in_(statuses), *_served_to(principal)]
    if after is not None:
        severity, effectiveness, lesson_id = after
        same_severity = lessons.c.severity == severity
        conditions.append(
            or_(
                lessons.c.severity < severity,
                and_(same_severity, lessons.c.effectiveness_score < effectiveness),
                and_(same_severity, lessons.c.effectiveness_score == effectiveness, lessons.c.id > lesson_id),
            )
        )
    order = [lessons.c.severity.desc(), lessons.c.effectiveness_score.desc(), lessons.c.id]
    return where(connection, conditions, order, limit)


def _served_to(principal: str | None) -> list[ColumnElement[bool]]:
    """Return the condition of lessons that are served to `principal` while they are servable; none for None."""
    return [] if principal is None else [or_(lessons.c.visible_to.is_(None), lessons.c.visible_to == principal)]


def where(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], order: Sequence[ColumnElement[Any]], most: int
) -> list[Lesson]:
    """Return at most `most` lessons that meet all conditions, in the given order."""
    query = select(*_COLUMNS).where(*conditions).order_by(*order).limit(most)
    return [Lesson(*row) for row in connection.execute(query)]


def ids_beginning(
    connection: Connection, project: str, prefix: str, most: int, principal: str | None = None
) -> list[str]:
    """Return lesson ids that begin with `prefix`, in order; with `principal` those of lessons served to it."""
    found = [*in_project(lessons, project), lessons.c.id.startswith(prefix, autoescape=True), *_served_to(principal)]
    if principal is not None:
        found.append(lessons.c.status.in_(SERVABLE))
    query = select(lessons.c.id).where(*found).order_by(lessons.c.id).limit(most)
    return list(connection.execute(query).scalars())


def by_category(
    connection: Connection, project: str, agent_name: str = "", principal: str | None = None
) -> dict[str, list[Lesson]]:
    """Return the servable lessons of each category, most severe first; with `principal` those served to it."""
    filters = {"agent_name": agent_name} if agent_name else {}
    found: dict[str, list[Lesson]] = {}
    served = page(
        connection, project, filters=filters, statuses=SERVABLE, after=None, limit=10_000, principal=principal
    )
    for lesson in served:
        found.setdefault(lesson.category, []).append(lesson)
    return dict(sorted(found.items()))


def add_flag(connection: Connection, row: Row) -> bool:
    """Record a flag, and return whether it is the principal's first on the lesson; earlier ones are kept beside it."""
    if dialect.insert_new(connection, lesson_flags, [row]):
        return True
    said, key = ("reason", "run_id", "flagged_at"), ("project", "lesson_id", "principal")
    own = [lesson_flags.c[name] == row[name] for name in key]
    query = select(*(lesson_flags.c[name] for name in (*said, "earlier"))).where(*own).with_for_update()
    *last, earlier = connection.execute(query).one()
    kept = [*earlier, dict(zip(said, (*last[:2], last[2].isoformat()), strict=True))][-FLAGS_KEPT:]
    values = {name: row[name] for name in said}
    connection.execute(update(lesson_flags).where(*own).values({**values, "earlier": kept}))
    return False


def flags_of(connection: Connection, project: str, lesson_id: str) -> list[FlagRow]:
    """Return the flags on a lesson, oldest first, the earlier ones of each principal among them."""
    return flags_of_all(connection, project, [lesson_id]).get(lesson_id, [])


def flags_of_all(connection: Connection, project: str, lesson_ids: Collection[str]) -> dict[str, list[FlagRow]]:
    """Return the flags on lessons by lesson id. See `flags_of`."""
    columns = lesson_flags.c
    query = select(columns.lesson_id, *(columns[name] for name in (*FlagRow._fields, "earlier")))
    wanted = query.where(*in_project(lesson_flags, project), columns.lesson_id.in_(lesson_ids))
    found: dict[str, list[FlagRow]] = {}
    for row in connection.execute(wanted):
        lesson_id, principal, reason, flagged_at, earlier = cast(
            "tuple[str, str, str, datetime, list[Row]]", tuple(row)
        )
        flags = found.setdefault(lesson_id, [])
        flags += (FlagRow(principal, one["reason"], datetime.fromisoformat(one["flagged_at"])) for one in earlier)
        flags.append(FlagRow(principal, reason, flagged_at))
    return {lesson_id: sorted(flags, key=lambda flag: flag.flagged_at) for lesson_id, flags in found.items()}


def overdue(connection: Connection, project: str, now: datetime, only: Collection[str] | None = None) -> list[Lesson]:
    """Return servable lessons that have passed `expires_at` and are not pinned, of `only` where given."""
    servable = (*in_project(lessons, project, pinned=False), lessons.c.status.in_(SERVABLE))
    conditions = [*servable, lessons.c.expires_at <= now]
    if only is not None:
        conditions.append(lessons.c.id.in_(only))
    return where(connection, conditions, [lessons.c.id], OVERDUE_MAX)


def flagged(connection: Connection, project: str, agent_name: str, statuses: Collection[str]) -> list[Lesson]:
    """Return the lessons with a flag in one of `statuses`, of an agent where one is named, most severe first."""
    conditions = [lessons.c.project == project, lessons.c.flags > 0, lessons.c.status.in_(statuses)]
    if agent_name:
        conditions.append(lessons.c.agent_name == agent_name)
    return where(connection, conditions, [lessons.c.severity.desc(), lessons.c.id], FLAGGED_MAX)


def applied_at_least(connection: Connection, project: str, times: int, most: int) -> list[Lesson]:
    """Return the lessons applied in at least `times` runs, those with fewest prevented issues first."""
    applied = (lessons.c.times_applied >= times, lessons.c.status.not_in(TOMBSTONES))
    return where(connection, [*in_project(lessons, project), *applied], [lessons.c.times_prevented, lessons.c.id], most)


def revisions_of(connection: Connection, project: str) -> dict[str, int]:
    """Return the current revision of each agent of a project."""
    query = select(revisions.c.agent_name, revisions.c.revision).where(*in_project(revisions, project))
    return {row[0]: row[1] for row in connection.execute(query)}


def ids_changed_after(connection: Connection, project: str, agent_name: str, revision: int) -> list[str]:
    """Return the ids of an agent's lessons that changed after `revision`."""
    changed = (*in_project(lessons, project, agent_name=agent_name), lessons.c.revision > literal(revision))
    return list(connection.execute(select(lessons.c.id).where(*changed)).scalars())
