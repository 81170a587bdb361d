"""Opening a workspace: migrate the database, agree on the shared secret, read the data files."""

import secrets
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select

from lessonbook.classify.agent_roster import load_roster
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.config.settings import Settings
from lessonbook.domain.errors import LessonbookError
from lessonbook.domain.lesson import Lesson
from lessonbook.services.cache.embeddings import Semantic
from lessonbook.services.cache.known_groups import PrecedentCaches
from lessonbook.services.cache.shelf import Shelves
from lessonbook.services.project_names import ProjectNames
from lessonbook.services.workspace import Workspace
from lessonbook.store import dialect, migrate, project_names
from lessonbook.store.engine import Store, connect
from lessonbook.store.tables import secrets as secret_rows
from lessonbook.store.urls import PostgresAddress, parse_address


async def open_workspace(
    settings: Settings,
    *,
    now: Callable[[], datetime] | None = None,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    on_connect: Callable[[Store], None] = lambda _: None,
) -> Workspace:
    """Return a workspace on the configured database, migrated where it was new or behind.

    Without a clock, `now`, the database's counts. `on_connect` is given the store before it is waited for, so that
    whoever ends meanwhile can give it up.

    Raises:
        ConfigError: the database's address or a data file is wrong.
        Unavailable: the database does not answer.
    """
    address, url = parse_address(settings.database_url), settings.database.replica_url
    replica = parse_address(url) if url else None
    store = connect(address, replica if isinstance(replica, PostgresAddress) else None)
    on_connect(store)
    try:
        return await work_on(store, settings, now=now or store.now, random_bytes=random_bytes)
    except LessonbookError:
        await store.close()  # the next call tries again, on a store of its own
        raise


async def work_on(
    store: Store, settings: Settings, *, now: Callable[[], datetime], random_bytes: Callable[[int], bytes]
) -> Workspace:
    """Return a workspace on `store`. See `open_workspace`."""
    roster = load_roster(settings.data.roster)
    if settings.data.catalogue is not None:
        load_catalogue(settings.data.catalogue)  # a person's own: report its errors at once
    await migrate.ensure(store)
    secret, names = await store.read(lambda connection: (_stored_secret(connection), project_names.every(connection)))
    if secret is None:
        fresh = random_bytes(32).hex()
        secret = await store.write(lambda connection: _agree_on(connection, fresh))
    known = ProjectNames()
    known.know(names, now())
    return Workspace(
        store=store,
        settings=settings,
        roster=roster,
        shelves=Shelves(settings.learning, partial(rule_of, settings)),
        precedent_caches=PrecedentCaches(),
        semantic=Semantic(settings.semantic, store, now),
        secret=bytes.fromhex(secret),
        writer=random_bytes(8).hex(),
        now=now,
        random_bytes=random_bytes,
        project_names=known,
    )


def rule_of(settings: Settings, lesson: Lesson) -> str:
    """Return the id of the catalogue's rule that a lesson is of; empty if none.

    Rules of a catalogue of one's own that name no tasks do not count: the words of their lessons decide.
    """
    rule = load_catalogue(settings.data.catalogue).rule_of_lesson(lesson.lesson_text, lesson.rule_key)
    return rule.id if rule and (rule.tasks or rule.trust == "curated") else ""


def _stored_secret(connection: Connection) -> str | None:
    query = select(secret_rows.c.value).where(secret_rows.c.name == "delimiter")
    return connection.execute(query).scalar_one_or_none()


def _agree_on(connection: Connection, fresh: str) -> str:
    """Store `fresh` unless another process was first, and return the stored secret."""
    dialect.insert_new(connection, secret_rows, [{"name": "delimiter", "value": fresh}])
    stored = _stored_secret(connection)
    assert stored is not None  # noqa: S101  # just inserted
    return stored
