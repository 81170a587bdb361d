"""Queries about the vectors that an embedding model gave lessons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, and_, delete, func, or_, select, tuple_

from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.store import dialect
from lessonbook.store.lessons import hold_agents
from lessonbook.store.tables import lesson_documents, lesson_vectors, lessons
from lessonbook.store.types import Row


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A lesson whose vector is missing, or older than its last change; `text_hash` is that of the text it is of."""

    lesson_id: str
    revision: int
    body: str
    text_hash: str | None


def unembedded(connection: Connection, project: str, model: str, most: int) -> list[Unembedded]:
    """Return lessons that `model` has not embedded as they are now, at most `most`."""
    query = (
        select(lessons.c.id, lessons.c.revision, lesson_documents.c.body, lesson_vectors.c.text_hash)
        .join(
            lesson_documents,
            and_(lesson_documents.c.project == lessons.c.project, lesson_documents.c.lesson_id == lessons.c.id),
        )
        .outerjoin(
            lesson_vectors,
            and_(
                lesson_vectors.c.project == lessons.c.project,
                lesson_vectors.c.lesson_id == lessons.c.id,
                lesson_vectors.c.model == model,
            ),
        )
        .where(
            lessons.c.project == project,
            lessons.c.status.not_in(TOMBSTONES),
            lesson_documents.c.body != "",
            or_(lesson_vectors.c.revision.is_(None), lesson_vectors.c.revision < lessons.c.revision),
        )
        .order_by(lessons.c.revision, lessons.c.id)
        .limit(most)
    )
    return [Unembedded(*row) for row in connection.execute(query)]


def hold(connection: Connection, project: str, lesson_ids: Sequence[str]) -> dict[str, int]:
    """Return the revisions of those lessons that have not ended, and let nobody change them before the commit."""
    of_lessons = (lessons.c.project == project, lessons.c.id.in_(sorted(lesson_ids)))
    agents = connection.execute(select(lessons.c.agent_name).where(*of_lessons).distinct()).scalars()
    hold_agents(connection, project, list(agents))
    query = select(lessons.c.id, lessons.c.revision).where(*of_lessons, lessons.c.status.not_in(TOMBSTONES))
    return {row[0]: row[1] for row in connection.execute(query)}


def forget_ended(connection: Connection, project: str) -> None:
    """Delete the vectors of lessons that are rejected, deleted or superseded, whatever the model."""
    ended = select(lessons.c.id).where(lessons.c.project == project, lessons.c.status.in_(TOMBSTONES))
    named = tuple_(*lesson_vectors.primary_key.columns)
    theirs = select(*lesson_vectors.primary_key.columns).where(
        lesson_vectors.c.project == project, lesson_vectors.c.lesson_id.in_(ended)
    )
    # What somebody else is just deleting or writing is left to them, or to the next time.
    connection.execute(delete(lesson_vectors).where(named.in_(theirs.with_for_update(skip_locked=True))))


def count(connection: Connection, project: str, model: str) -> int:
    """Return how many lessons of a project `model` has embedded."""
    of_model = (lesson_vectors.c.project == project, lesson_vectors.c.model == model)
    return connection.execute(select(func.count()).select_from(lesson_vectors).where(*of_model)).scalar_one()


def put(connection: Connection, rows: Sequence[Row]) -> None:
    """Write vectors in place of those there were."""
    if rows:
        connection.execute(_put(dialect.name_of(connection)), rows)


@cache
def _put(name: dialect.Dialect) -> Any:
    """Return the statement, made once: SQLAlchemy then compiles it once, too."""
    statement = dialect.insert_into(name, lesson_vectors)
    kept = {column: statement.excluded[column] for column in ("text_hash", "revision", "vector", "embedded_at")}
    return statement.on_conflict_do_update(index_elements=["project", "lesson_id", "model"], set_=kept)


def touch(connection: Connection, project: str, model: str, revisions: Sequence[tuple[str, int]]) -> None:
    """Note that vectors are right for later revisions, too, given by lesson id."""
    for lesson_id, revision in revisions:
        connection.execute(
            lesson_vectors.update()
            .where(
                lesson_vectors.c.project == project,
                lesson_vectors.c.lesson_id == lesson_id,
                lesson_vectors.c.model == model,
            )
            .values(revision=revision)
        )


def since(
    connection: Connection, project: str, model: str, moment: datetime | None
) -> list[tuple[str, bytes, datetime]]:
    """Return lesson ids and vectors embedded at `moment` or later, or all, each with when."""
    query = select(lesson_vectors.c.lesson_id, lesson_vectors.c.vector, lesson_vectors.c.embedded_at).where(
        lesson_vectors.c.project == project, lesson_vectors.c.model == model
    )
    if moment is not None:
        query = query.where(lesson_vectors.c.embedded_at >= moment)
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]
