"""Grouping: which other issues a pending one is decided on together with, and whether that was dismissed before.

Issues of one rule are a group, whichever agents they are of. An issue without a rule joins the group that it is most
like, as `dedup` weighs texts, and never one of a rule.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from lessonbook.dedup.known_groups import MERGE, Precedents
from lessonbook.services.cache.pending_groups import put_differing
from lessonbook.services.report.preparation import Prepared
from lessonbook.services.workspace import Workspace
from lessonbook.store import issue_groups


class Grouping:
    """The groups that the issues of one report are compared with, including those it adds itself."""

    def __init__(self, work: Workspace, project: str, connection: Connection) -> None:
        self._work = work
        self._project = project
        self._connection = connection
        self._worded: Precedents | None = None
        self._is_compared = False
        self._dismissed: dict[str, str] = {}
        self._looked_up: set[str] = set()
        self._expected: set[str] = set()
        self._used: set[str] = set()

    def look_up(self, prepared: Sequence[Prepared]) -> None:
        """Note the groups that are known from the issues themselves, to be read together if any of them is."""
        self._expected = {item.group_id for item in prepared}

    def group_of(self, item: Prepared, issue_id: str) -> str:
        """Return the group of an issue, which is compared with those that come after it."""
        if item.rule_key:
            return item.group_id
        worded, group_id = self._words(), item.group_id
        if not worded.members_of(group_id):  # nobody has reported these very words
            self._is_compared = True
            # As for lessons that nobody vouches for, the same weakness is not enough: it would hold all its issues.
            found = (match.group for match in worded.matches(item.description) if match.probability >= MERGE)
            group_id = next(found, group_id)
        put_differing(worded, issue_id, group_id, item.description)
        return group_id

    def dismissal(self, group_id: str) -> str:
        """Return why a group was dismissed; empty where it was not."""
        if group_id not in self._looked_up:
            wanted, self._expected = {group_id, *self._expected}, set()
            self._dismissed |= issue_groups.dismissals(self._connection, self._project, wanted)
            self._looked_up |= wanted
        self._used.add(group_id)
        return self._dismissed.get(group_id, "")

    def still_holds(self, connection: Connection) -> bool:
        """Return whether another transaction, that has not written yet, would put the issues into the same groups."""
        work, dismissed = self._work, {name: why for name, why in self._dismissed.items() if name in self._used}
        if issue_groups.dismissals(connection, self._project, self._used) != dismissed:
            return False
        if self._worded is None or not self._is_compared:
            return True
        return work.group_caches.is_current(connection, self._project, work.catalogue, self._worded)

    def _words(self) -> Precedents:
        if self._worded is None:
            work = self._work
            self._worded = work.group_caches.fresh(self._connection, self._project, work.catalogue)
        return self._worded
