"""The precedents of agents, held in memory and kept fresh by revision, for matching new issues.

Unlike a shelf (`services/cache/shelf`), which is for serving, it has lessons of every status, so that nothing rejected
is learned again, and pending issues, so that duplicates of them are found.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from threading import Lock
from typing import Final

from cachetools import LRUCache
from sqlalchemy import Connection

from lessonbook.classify.catalogue import Catalogue
from lessonbook.dedup.known_groups import MEMBERS_MAX, Precedents, words_of_catalogue
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows

CACHES_MAX: Final = 64
PENDING_MAX: Final = 2_000
"""Pending issues in memory: the latest."""
_OVERLAP: Final = timedelta(minutes=1)
"""How far back pending issues are read again: one of a transaction that began earlier may be committed later."""


class PrecedentCache:
    """The precedents of one agent."""

    def __init__(self, project: str, agent_name: str, catalogue: Catalogue) -> None:
        self.project = project
        self.agent_name = agent_name
        self.precedents = Precedents(words_of_catalogue(catalogue))
        self._revision = -1
        self._lessons: dict[str, tuple[int, int]] = {}
        """The revision of each lesson, and a hash of its status and words."""
        self._seen_until: datetime | None = None
        self._waiting: dict[str, None] = {}

    def refresh(self, connection: Connection) -> None:
        """Fetch what changed since the last call, in the transaction of `connection`."""
        self.refresh_lessons(connection)
        waiting = issue_rows.pending_since(connection, self.project, self.agent_name, self._seen_until, PENDING_MAX)
        unknown = [issue_id for issue_id, _ in waiting if issue_id not in self._waiting]
        descriptions = issue_rows.descriptions(connection, self.project, unknown)
        with self.precedents.lock:
            self._put_pending(waiting, descriptions)

    def refresh_lessons(self, connection: Connection) -> None:
        """Fetch what changed of lessons and of the issues behind them; any such change begins a generation.

        Issues that wait begin none: they are told to reviewers, and decide nothing.
        """
        changed = lesson_rows.words_since(connection, self.project, self.agent_name, self._revision)
        wanted = [lesson.id for lesson in changed if self._wants_more(lesson)]
        behind = issue_rows.latest_of_each(connection, self.project, wanted, MEMBERS_MAX)
        with self.precedents.lock:
            # Another transaction may have read something newer meanwhile.
            current = [lesson for lesson in changed if lesson.revision >= self._lessons.get(lesson.id, (-1,))[0]]
            self._put_issues(behind, {lesson.id for lesson in current})
            for lesson in current:
                self._put_lesson(lesson)
            self._revision = max([self._revision, *(lesson.revision for lesson in changed)])

    def _wants_more(self, lesson: lesson_rows.TextAtRevision) -> bool:
        known = self.precedents.members_of(lesson.id)
        if lesson.status == "superseded" or not lesson.lesson_text:
            return False
        return sum(name != lesson.id for name in known) < MEMBERS_MAX

    def _put_lesson(self, lesson: lesson_rows.TextAtRevision) -> None:
        """Represent a lesson by its own words until it has an issue: issues compare best with issues."""
        said = hash((lesson.status, lesson.lesson_text))
        if self._lessons.get(lesson.id, (-1, None))[1] != said:
            self.precedents.renew()
        self._lessons[lesson.id] = lesson.revision, said
        if lesson.status == "superseded" or not lesson.lesson_text:  # issues went to a successor, or words are deleted
            self.precedents.forget(lesson.id)
        elif self.precedents.members_of(lesson.id) in ([], [lesson.id]):
            self.precedents.put(lesson.id, lesson.id, lesson.lesson_text)
        else:
            self.precedents.discard(lesson.id)

    def _put_issues(self, behind: Iterable[tuple[str, str, str]], lesson_ids: Collection[str]) -> None:
        for issue_id, lesson_id, description in behind:
            if lesson_id in lesson_ids:
                if issue_id not in self.precedents.members_of(lesson_id):
                    self.precedents.renew()
                self.precedents.put(issue_id, lesson_id, description)
                self._waiting.pop(issue_id, None)

    def _put_pending(self, waiting: Iterable[tuple[str, datetime]], descriptions: Mapping[str, str]) -> None:
        for issue_id, description in descriptions.items():
            self._waiting[issue_id] = None
            self.precedents.put(issue_id, issue_id, description)
        for _, created_at in waiting:
            self._seen_until = max(self._seen_until or created_at, created_at - _OVERLAP)
        while len(self._waiting) > PENDING_MAX:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self.precedents.discard(oldest)


class PrecedentCaches:
    """The precedent caches of this process, at most `most`, the least recently used dropped first. Threads share it."""

    def __init__(self, most: int = CACHES_MAX) -> None:
        self._caches: LRUCache[tuple[str, str], PrecedentCache] = LRUCache(most)
        self._lock = Lock()

    def fresh(self, connection: Connection, project: str, agent_name: str, catalogue: Catalogue) -> Precedents:
        """Return the precedents of an agent as the transaction sees them; what it adds stays its own.

        `catalogue` distinguishes rare from common words while an agent has few issues.
        """
        with self._lock:
            cache = self._caches.get((project, agent_name))
        if cache is None:
            cache = PrecedentCache(project, agent_name, catalogue)
        cache.refresh(connection)
        with self._lock:
            self._caches[project, agent_name] = cache
        return Precedents(parent=cache.precedents)

    def is_current(self, connection: Connection, project: str, agent_name: str, known: Precedents) -> bool:
        """Return whether what `fresh` returned decides as it would decide in this transaction."""
        with self._lock:
            cache = self._caches.get((project, agent_name))
        if cache is None:
            return False
        cache.refresh_lessons(connection)
        return cache.precedents.generation == known.generation

    def drop(self, project: str) -> None:
        """Forget a project's precedents: issues of the past have come to it, which a refresh would not see."""
        with self._lock:
            for key in [key for key in self._caches if key[0] == project]:
                del self._caches[key]
