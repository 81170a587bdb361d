"""Pending issues without a rule, of all agents of a project, held in memory by group: new ones join the like.

Issues of a group stay in memory after they were settled: what is like them belongs to the same group. Dismissed groups
are here as well.
"""

from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Final

from cachetools import LRUCache
from sqlalchemy import Connection

from lessonbook.classify.catalogue import Catalogue
from lessonbook.dedup.known_groups import MEMBERS_MAX, Precedents, words_of_catalogue
from lessonbook.dedup.likeness import sketch
from lessonbook.store import issue_groups
from lessonbook.store import issues as issue_rows

PROJECTS_MAX: Final = 16
ISSUES_MAX: Final = 2_000
"""Issues of one project in memory: the latest."""
_OVERLAP: Final = timedelta(minutes=1)
"""How far back issues are read again: one of a transaction that began earlier may be committed later."""
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _GroupCache:
    """The groups of one project."""

    def __init__(self, project: str, catalogue: Catalogue) -> None:
        self.project = project
        self.precedents = Precedents(words_of_catalogue(catalogue))
        self._seen_until = _EVER
        self._known: dict[str, None] = {}

    def refresh(self, connection: Connection) -> None:
        """Fetch the issues that came since the last call."""
        found = issue_groups.worded_since(connection, self.project, self._seen_until, ISSUES_MAX)
        fresh = {issue_id: group_id for issue_id, group_id, _ in found if issue_id not in self._known}
        descriptions = issue_rows.descriptions(connection, self.project, list(fresh))
        with self.precedents.lock:
            for issue_id, description in descriptions.items():
                self._known[issue_id] = None
                if put_differing(self.precedents, issue_id, fresh[issue_id], description):
                    self.precedents.renew()
            for *_, created_at in found:
                self._seen_until = max(self._seen_until, created_at - _OVERLAP)
            while len(self._known) > ISSUES_MAX:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self.precedents.discard(oldest)


class GroupCaches:
    """The group caches of this process, at most `most`, the least recently used dropped first. Threads share it."""

    def __init__(self, most: int = PROJECTS_MAX) -> None:
        self._caches: LRUCache[str, _GroupCache] = LRUCache(most)
        self._lock = Lock()

    def fresh(self, connection: Connection, project: str, catalogue: Catalogue) -> Precedents:
        """Return the groups of a project as the transaction sees them; what it adds stays its own.

        `catalogue` distinguishes rare from common words while a project has few issues.
        """
        with self._lock:
            cache = self._caches.setdefault(project, _GroupCache(project, catalogue))
        # Without the lock: on PostgreSQL a read gives way to other transactions of this thread.
        cache.refresh(connection)
        return Precedents(parent=cache.precedents)

    def is_current(self, connection: Connection, project: str, catalogue: Catalogue, known: Precedents) -> bool:
        """Return whether what `fresh` returned groups issues as it would in this transaction."""
        return self.fresh(connection, project, catalogue).generation == known.generation

    def drop(self, project: str) -> None:
        """Forget a project's groups: issues of the past have come to it, which a refresh would not see."""
        with self._lock:
            self._caches.pop(project, None)


def put_differing(precedents: Precedents, issue_id: str, group_id: str, description: str) -> bool:
    """Remember an issue as a member of a group, unless that is full or has one in the same words already.

    Repetitions would make the group narrow: what is like one of its issues is less like their mean. Returns whether it
    was remembered.
    """
    words = sketch(description).words
    with precedents.lock:
        members = precedents.members_of(group_id)
        differs = all(precedents.find(member).sketch.words != words for member in members)
        if is_put := len(members) < MEMBERS_MAX and differs:
            precedents.put(issue_id, group_id, description)
    return is_put
