"""The servable lessons of one agent, held in memory and kept fresh by revision.

Ranking looks at every lesson an agent has. Reading a thousand rows for each call would cost ten times the answer, so a
process keeps the agents it serves on shelves, and each call fetches only what changed since: none, most of the time.
"""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from itertools import islice
from typing import Final

from sqlalchemy import Connection

from lessonbook.config import LearningSettings
from lessonbook.learning.fit import is_relevant
from lessonbook.learning.ranking import standing, value
from lessonbook.learning.relevance import RelevanceIndex, asked_words, parts_of
from lessonbook.models.lesson import Lesson
from lessonbook.models.vocabulary import SERVABLE, SHARED_AGENT, Category
from lessonbook.refinery.subjects import subjects_of
from lessonbook.services import prompt_section
from lessonbook.services.measure import Measure
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import serving

SHELVES_MAX: Final = 64
OF_TASK_MAX: Final = 30
"""So many lessons at most are compared with a task: what comes after them is about something else."""
OF_PART_MAX: Final = 6
"""So many lessons at most are offered for one of several things that a task names."""
OFFERED_MAX: Final = 60
"""So many lessons at most are weighed by evidence for one task: what comes after them has no chance to fit."""
NAMED_MAX: Final = 2
"""A task of so few words names its subject: what holds all of it fits, unless a model can tell more."""

_Place = tuple[float, int, str]
"""Where a lesson stands: its standing and its issue count, both negative so that the best sort first, and its id."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A lesson, and how well it fits the task: from 0 to 1."""

    lesson: Lesson
    relevance: float


def asked_of(task: str, files: Collection[str]) -> str:
    """Return what a call asks for, in one text: the task, and then the paths."""
    return "\n".join((task, *files)).strip()


def _is_of(lesson: Lesson, categories: Collection[Category]) -> bool:
    return not categories or lesson.category in categories


class Shelf:
    """One agent's servable lessons and those shared by all, with their full-text index and what they are worth."""

    def __init__(self, project: str, agent_name: str, learning: LearningSettings) -> None:
        self.project = project
        self.agent_name = agent_name
        self.measure = Measure(project, agent_name, learning.mode)
        self.lessons: dict[str, Lesson] = {}
        self._index: RelevanceIndex[str] = RelevanceIndex()
        self._places: dict[str, _Place] = {}
        self._order: list[_Place] = []
        self._costs: dict[str, int] = {}
        self._always: set[str] = set()
        self._always_show = frozenset(learning.always_show)
        self._agent_revision = -1
        self._shared_revision = -1

    def refresh(self, connection: Connection) -> None:
        """Fetch what changed since the last call, in the transaction of `connection`."""
        known = (self.project, self.agent_name, self._agent_revision, self._shared_revision)
        if not serving.may_have_changed(connection, *known):
            return
        changed = lesson_rows.changed_since(connection, *known)
        # While this call waited for its rows, another may have put newer ones: those stay.
        agent_revision, shared_revision = self._agent_revision, self._shared_revision
        for lesson, body in changed:
            if lesson.revision > (shared_revision if lesson.agent_name == SHARED_AGENT else agent_revision):
                self._put(lesson, body)

    def refresh_measure(self, connection: Connection, now: datetime) -> None:
        """Read anew what the evidence says of the lessons, in the transaction of `connection`."""
        self.measure.refresh(connection, list(self.lessons.values()), now)

    def has_own(self) -> bool:
        """Tell whether a lesson here is the agent's own, not one shared by all."""
        return any(lesson.agent_name == self.agent_name for lesson in self.lessons.values())

    def count(self, categories: Collection[Category]) -> int:
        """Return how many lessons there are, of `categories` where some are named."""
        if not categories:
            return len(self.lessons)
        return sum(lesson.category in categories for lesson in self.lessons.values())

    def fitting(
        self,
        task: str,
        files: Collection[str],
        categories: Collection[Category],
        similar: Mapping[str, float] | None = None,
    ) -> list[Fit]:
        """Return the lessons worth offering for a task, the most valuable first, at most `OFFERED_MAX`.

        Those that speak of its subject, and those that a person wants shown always: where nothing does, nothing else.
        Paths tell little, so that a word in common is enough; a task of a word or two names its subject. Without a task
        and files, those of the highest standing. `similar` is what an embedding model says of the task, by lesson id.
        """
        if not task.strip() and not files:
            places = (self.lessons[lesson_id] for *_, lesson_id in self._order)
            found = islice((lesson for lesson in places if _is_of(lesson, categories)), OFFERED_MAX)
            return sorted((Fit(lesson, 1.0) for lesson in found), key=self._is_always, reverse=True)
        scores = self._scores(task, files, similar)
        named = self._named(task, scores) if not similar else ()
        wanted = {lesson_id: score for lesson_id, score in scores.items() if is_relevant(score) or lesson_id in named}
        for lesson_id in self._always:
            wanted.setdefault(lesson_id, scores.get(lesson_id, 0.0))
        lessons = ((self.lessons[lesson_id], score) for lesson_id, score in wanted.items())
        fits = [Fit(lesson, score) for lesson, score in lessons if _is_of(lesson, categories)]
        return nsmallest(OFFERED_MAX, fits, key=self._worth)

    def _named(self, task: str, scores: Mapping[str, float]) -> Collection[str]:
        """Return the lessons that hold all a short task names, though their score is low; those of paths alone: all."""
        if not task.strip():
            return scores.keys()
        return self._index.holding(task) if len(asked_words(task)) <= NAMED_MAX else ()

    def _scores(self, task: str, files: Collection[str], similar: Mapping[str, float] | None) -> dict[str, float]:
        """Return how probably each lesson is relevant to the task as a whole, or to a part of it if that is more.

        A task often names several things at once, and a lesson for one of them fits. Only the whole is embedded.
        """
        subjects = subjects_of(task)
        scores = self._index.scores(asked_of(task, files), similar=similar, subjects=subjects, most=OF_TASK_MAX)
        for part in parts_of(task):
            for lesson_id, score in self._index.scores(part, most=OF_PART_MAX).items():
                scores[lesson_id] = max(score, scores.get(lesson_id, 0.0))
        return scores

    def cost_of(self, lesson: Lesson) -> int:
        """Return the tokens one of the lessons adds to a section, counted once for each that is offered."""
        cost = self._costs.get(lesson.id)
        if cost is None:
            cost = self._costs[lesson.id] = prompt_section.cost_of(lesson)
        return cost

    def is_always_shown(self, lesson: Lesson) -> bool:
        """Tell whether a person wants the lesson shown wherever it fits."""
        return lesson.is_exempt(self._always_show)

    def _is_always(self, fit: Fit) -> bool:
        return fit.lesson.id in self._always

    def _worth(self, fit: Fit) -> tuple[bool, float, int, str]:
        loss, seen, lesson_id = self._places[fit.lesson.id]
        return lesson_id not in self._always, -value(-loss, fit.relevance), seen, lesson_id

    def _put(self, lesson: Lesson, body: str) -> None:
        if (place := self._places.pop(lesson.id, None)) is not None:
            del self._order[bisect_left(self._order, place)]
        self._costs.pop(lesson.id, None)
        if lesson.status in SERVABLE and lesson.is_active:
            self.lessons[lesson.id] = lesson
            self._index.put(lesson.id, body)
            place = (-standing(lesson.severity, lesson.effectiveness_score), -lesson.issue_count, lesson.id)
            self._places[lesson.id] = place
            insort(self._order, place)
            (self._always.add if self.is_always_shown(lesson) else self._always.discard)(lesson.id)
        elif self.lessons.pop(lesson.id, None) is not None:
            self._index.discard(lesson.id)
            self._always.discard(lesson.id)
        if lesson.agent_name == SHARED_AGENT:
            self._shared_revision = max(self._shared_revision, lesson.revision)
        if lesson.agent_name == self.agent_name:
            self._agent_revision = max(self._agent_revision, lesson.revision)


class Shelves:
    """The shelves of this process, the least recently used given up first."""

    def __init__(self, learning: LearningSettings, most: int = SHELVES_MAX) -> None:
        self._learning = learning
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
        shelf = Shelf(project, agent_name, self._learning)
        shelf.refresh(connection)
        self._shelves[project, agent_name] = shelf
        while len(self._shelves) > self._most:
            self._shelves.popitem(last=False)
        return shelf
