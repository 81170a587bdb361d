"""Queries about the vectors that an embedding model gave lessons."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, and_, delete, func, or_, select, tuple_, update

from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.store import dialect
from lessonbook.store.lessons import hold_agents
from lessonbook.store.tables import in_project, lesson_documents, lesson_vectors, lessons
from lessonbook.store.types import Row


class Unembedded(NamedTuple):
    """A lesson whose vector is missing or older than its last change; `text_hash` is of the text that was embedded."""

    lesson_id: str
    revision: int
    body: str
    text_hash: str | None


class LessonVector(NamedTuple):
    """A lesson's vector, and when it was made."""

    lesson_id: str
    vector: bytes
    embedded_at: datetime


def unembedded(connection: Connection, project: str, model: str, most: int) -> list[Unembedded]:
    """Return lessons that `model` has not embedded as they are now, at most `most`, the longest unchanged first."""
    documents, vectors = (
        and_(*in_project(table, lessons.c.project, lesson_id=lessons.c.id))
        for table in (lesson_documents, lesson_vectors)
    )
    query = (
        select(lessons.c.id, lessons.c.revision, lesson_documents.c.body, lesson_vectors.c.text_hash)
        .join(lesson_documents, documents)
        .outerjoin(lesson_vectors, and_(vectors, lesson_vectors.c.model == model))
        .where(
            *in_project(lessons, project),
            lessons.c.status.not_in(TOMBSTONES),
            lesson_documents.c.body != "",
            or_(lesson_vectors.c.revision.is_(None), lesson_vectors.c.revision < lessons.c.revision),
        )
        .order_by(lessons.c.revision, lessons.c.id)
        .limit(most)
    )
    return [Unembedded(*row) for row in connection.execute(query)]


def hold(connection: Connection, project: str, lesson_ids: Sequence[str]) -> dict[str, int]:
    """Hold the agents of these lessons, and return the revisions of those that are not tombstones, by lesson id."""
    of_lessons = (*in_project(lessons, project), lessons.c.id.in_(sorted(lesson_ids)))
    agents = connection.execute(select(lessons.c.agent_name).where(*of_lessons).distinct()).scalars()
    hold_agents(connection, project, list(agents))
    query = select(lessons.c.id, lessons.c.revision).where(*of_lessons, lessons.c.status.not_in(TOMBSTONES))
    return {row[0]: row[1] for row in connection.execute(query)}


def forget_ended(connection: Connection, project: str) -> None:
    """Delete the vectors, of any model, of lessons that are tombstones."""
    ended = select(lessons.c.id).where(*in_project(lessons, project), lessons.c.status.in_(TOMBSTONES))
    key = lesson_vectors.primary_key.columns
    theirs = select(*key).where(*in_project(lesson_vectors, project), lesson_vectors.c.lesson_id.in_(ended))
    # Rows that another transaction is writing are left for the next call.
    connection.execute(delete(lesson_vectors).where(tuple_(*key).in_(theirs.with_for_update(skip_locked=True))))


def count(connection: Connection, project: str, model: str) -> int:
    """Return how many lessons of a project `model` has embedded."""
    query = select(func.count()).select_from(lesson_vectors).where(*in_project(lesson_vectors, project, model=model))
    return connection.execute(query).scalar_one()


def put(connection: Connection, rows: Sequence[Row]) -> None:
    """Write vectors, replacing existing ones."""
    if rows:
        replaced = ("text_hash", "revision", "vector", "embedded_at")
        connection.execute(dialect.upsert(dialect.name_of(connection), lesson_vectors, replaced=replaced), rows)


def touch(connection: Connection, project: str, model: str, revisions: Sequence[tuple[str, int]]) -> None:
    """Set the revisions, given by lesson id, of vectors whose text has not changed."""
    for lesson_id, revision in revisions:
        key = in_project(lesson_vectors, project, lesson_id=lesson_id, model=model)
        connection.execute(update(lesson_vectors).where(*key).values(revision=revision))


def since(connection: Connection, project: str, model: str, moment: datetime | None) -> list[LessonVector]:
    """Return the vectors embedded at `moment` or later; None: all."""
    columns = (lesson_vectors.c[name] for name in LessonVector._fields)
    query = select(*columns).where(*in_project(lesson_vectors, project, model=model))
    if moment is not None:
        query = query.where(lesson_vectors.c.embedded_at >= moment)
    return [LessonVector(*row) for row in connection.execute(query)]
