"""The servable lessons of one agent, held in memory and kept fresh by revision.

Ranking looks at every lesson an agent has. Reading a thousand rows for each call would cost ten times the answer, so a
process keeps the agents it serves on shelves, and each call fetches only what changed since: none, most of the time.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import suppress
from heapq import heapify, heappop, merge
from typing import Final

from sqlalchemy import Connection

from lessonbook.learning.ranking import standing, value
from lessonbook.learning.relevance import RelevanceIndex
from lessonbook.models.lesson import Lesson
from lessonbook.models.vocabulary import SERVABLE, SHARED_AGENT, Category
from lessonbook.store import lessons as lesson_rows

SHELVES_MAX: Final = 64

_Place = tuple[float, int, str]
"""Where a lesson stands: its standing and its issue count, both negative so that the best sort first, and its id."""


class Shelf:
    """One agent's servable lessons and those shared by all, with their full-text index."""

    def __init__(self, project: str, agent_name: str) -> None:
        self.project = project
        self.agent_name = agent_name
        self.lessons: dict[str, Lesson] = {}
        self._index: RelevanceIndex[str] = RelevanceIndex()
        self._places: dict[str, _Place] = {}
        self._order: list[_Place] = []
        self._agent_revision = -1
        self._shared_revision = -1

    def refresh(self, connection: Connection) -> None:
        """Fetch what changed since the last call, in the transaction of `connection`."""
        changed = lesson_rows.changed_since(
            connection, self.project, self.agent_name, self._agent_revision, self._shared_revision
        )
        # While this call waited for its rows, another may have put newer ones: those stay.
        agent_revision, shared_revision = self._agent_revision, self._shared_revision
        for lesson, body in changed:
            if lesson.revision > (shared_revision if lesson.agent_name == SHARED_AGENT else agent_revision):
                self._put(lesson, body)

    def has_own(self) -> bool:
        """Tell whether a lesson here is the agent's own, not one shared by all."""
        return any(lesson.agent_name == self.agent_name for lesson in self.lessons.values())

    def count(self, categories: Collection[Category]) -> int:
        """Return how many lessons there are, of `categories` where some are named."""
        if not categories:
            return len(self.lessons)
        return sum(lesson.category in categories for lesson in self.lessons.values())

    def ranked(self, task: str, categories: Collection[Category]) -> Iterator[Lesson]:
        """Yield lessons, the most valuable for `task` first; without a task those of the highest standing.

        Only lessons that share a word with the task are weighed anew; the others keep their order, and few are ever
        looked at.
        """
        places = self._weighed(task) if task else iter(self._order)
        for *_, lesson_id in places:
            lesson = self.lessons[lesson_id]
            if not categories or lesson.category in categories:
                yield lesson

    def _weighed(self, task: str) -> Iterator[_Place]:
        scores = self._index.scores(task)
        fitting: list[_Place] = []
        for lesson_id, score in scores.items():
            loss, seen, _ = self._places[lesson_id]
            fitting.append((-value(-loss, score), seen, lesson_id))
        heapify(fitting)
        others = (
            (-value(-loss, 0.0), seen, lesson_id) for loss, seen, lesson_id in self._order if lesson_id not in scores
        )
        return merge((heappop(fitting) for _ in range(len(fitting))), others)

    def _put(self, lesson: Lesson, body: str) -> None:
        if (place := self._places.pop(lesson.id, None)) is not None:
            del self._order[bisect_left(self._order, place)]
        if lesson.status in SERVABLE and lesson.is_active:
            self.lessons[lesson.id] = lesson
            self._index.put(lesson.id, body)
            place = (-standing(lesson.severity, lesson.effectiveness_score), -lesson.issue_count, lesson.id)
            self._places[lesson.id] = place
            insort(self._order, place)
        elif self.lessons.pop(lesson.id, None) is not None:
            self._index.discard(lesson.id)
        if lesson.agent_name == SHARED_AGENT:
            self._shared_revision = max(self._shared_revision, lesson.revision)
        if lesson.agent_name == self.agent_name:
            self._agent_revision = max(self._agent_revision, lesson.revision)


class Shelves:
    """The shelves of this process, the least recently used given up first."""

    def __init__(self, most: int = SHELVES_MAX) -> None:
        self._most = most
        self._shelves: OrderedDict[tuple[str, str], Shelf] = OrderedDict()

    def get(self, project: str, agent_name: str) -> Shelf | None:
        """Return an agent's shelf if it has been filled."""
        shelf = self._shelves.get((project, agent_name))
        if shelf is not None:
            with suppress(KeyError):  # given up on another thread just now: it is still good
                self._shelves.move_to_end((project, agent_name))
        return shelf

    def fill(self, connection: Connection, project: str, agent_name: str) -> Shelf:
        """Return an agent's shelf, filled from the database."""
        shelf = Shelf(project, agent_name)
        shelf.refresh(connection)
        self._shelves[project, agent_name] = shelf
        while len(self._shelves) > self._most:
            self._shelves.popitem(last=False)
        return shelf
