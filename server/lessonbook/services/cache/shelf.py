"""The servable lessons of one agent, or of all agents of a project, held in memory and kept fresh by revision.

Ranking looks at every lesson an agent has. Reading a thousand rows for each call would cost ten times the answer, so a
process keeps the agents it serves on shelves, and each call fetches only what changed since: none, most of the time.
Callers who name no agent are served from one shelf that holds the lessons of all agents in one index: a search over it
costs what one over an agent with as many lessons costs, where a search of each agent's shelf in turn would cost their
sum.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from itertools import islice
from threading import Lock
from typing import Final
from weakref import WeakValueDictionary

from cachetools import LRUCache
from sqlalchemy import Connection

from lessonbook.config.settings import LearningSettings
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.vocabulary import SHARED_AGENT, Category
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.ranking import static_score, value
from lessonbook.search.document import Subjects
from lessonbook.search.index import RelevanceIndex, asked_words, parts_of
from lessonbook.search.score import is_relevant
from lessonbook.search.subjects import subjects_of
from lessonbook.services import prompt_section
from lessonbook.services.cache.measured import Measure, Mode, counted_since
from lessonbook.store import evidence as evidence_rows
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
"""A task of so few words names its subject: what holds a word of it fits, unless a model can tell more."""

ALL_AGENTS: Final = ""
"""The name of the shelf that holds the lessons of all agents of a project."""

_Place = tuple[float, int, str]
"""The sort key of a lesson: its static score and issue count, both negated so that the best come first, and its id."""


@dataclass(frozen=True, slots=True)
class RankedLesson:
    """A lesson, and how well it fits the task: from 0 to 1."""

    lesson: Lesson
    relevance: float


def asked_of(task: str, files: Collection[str]) -> str:
    """Return what a call asks for, in one text: the task, and then the paths."""
    return "\n".join((task, *files)).strip()


def _is_of(lesson: Lesson, categories: Collection[Category]) -> bool:
    return not categories or lesson.category in categories


class Shelf:
    """One agent's servable lessons and those shared by all, with their full-text index and what they are worth.

    With `ALL_AGENTS` for its agent it holds the lessons of every agent of the project.
    """

    def __init__(
        self,
        project: str,
        agent_name: str,
        learning: LearningSettings,
        measure_of: Callable[[str, str], Measure] | None = None,
    ) -> None:
        self.project = project
        self.agent_name = agent_name
        self._measure_of = measure_of
        self._mode: Mode = learning.mode
        self._measures: dict[str, Measure] = {}
        self._owned: Counter[str] = Counter()
        self.lessons: dict[str, Lesson] = {}
        self._index: RelevanceIndex[str] = RelevanceIndex()
        self._places: dict[str, _Place] = {}
        self._order: list[_Place] = []
        self._costs: dict[str, int] = {}
        self._always: set[str] = set()
        """Lessons without a coin: they come first where they fit. Those of them that are pinned are shown anyway."""
        self._always_show = frozenset(learning.always_show)
        self._revisions: dict[str, int] = {}

    def refresh(self, connection: Connection) -> None:
        """Fetch what changed since the last call, in the transaction of `connection`."""
        for agent_name, revision in self._changed_agents(connection):
            known = (self._revisions.get(agent_name, -1), self._revisions.get(SHARED_AGENT, -1))
            changed = lesson_rows.changed_since(connection, self.project, agent_name, *known)
            # While this call waited for its rows, another may have put newer ones: those stay.
            before = dict(self._revisions)
            for lesson, body in changed:
                if lesson.revision > before.get(lesson.agent_name, -1):
                    self._put(lesson, body)
            self._know(agent_name, revision)

    def _know(self, agent_name: str, revision: int) -> None:
        self._revisions[agent_name] = max(self._revisions.get(agent_name, -1), revision)

    def _changed_agents(self, connection: Connection) -> list[tuple[str, int]]:
        """Return the agents whose lessons may have changed, each with a revision whose lessons can be read."""
        if self.agent_name != ALL_AGENTS:
            known = (self._revisions.get(self.agent_name, -1), self._revisions.get(SHARED_AGENT, -1))
            changed = serving.may_have_changed(connection, self.project, self.agent_name, *known)
            return [(self.agent_name, -1)] if changed else []
        known_of = self._revisions
        now = serving.revisions_of(connection, self.project)
        return [(name, revision) for name, revision in now.items() if revision > known_of.get(name, -1)]

    @property
    def measure(self) -> Measure:
        """What the evidence says of the shelf's agent."""
        return self.measure_of_agent(self.agent_name)

    def measure_of_agent(self, agent_name: str) -> Measure:
        """Return what the evidence says of an agent whose lessons are here, or for whom a run counts."""
        measure = self._measures.get(agent_name)
        if measure is None:
            make = self._measure_of
            measure = make(self.project, agent_name) if make else Measure(self.project, agent_name, self._mode)
            self._measures[agent_name] = measure
        return measure

    def owner_of(self, lesson: Lesson) -> str:
        """Return whose a delivery of the lesson is: on an agent's own shelf the agent's, also where all share it."""
        return lesson.agent_name if self.agent_name == ALL_AGENTS else self.agent_name

    def stale_measures(self, agent_name: str, now: datetime) -> list[Measure]:
        """Return the measures to be read anew before a run of `agent_name` is served from here."""
        names = {agent_name, *self._owned} if self.agent_name == ALL_AGENTS else {agent_name}
        measures = map(self.measure_of_agent, sorted(names))
        return [measure for measure in measures if measure.is_stale(now)]

    def refresh_measures(self, connection: Connection, measures: Iterable[Measure], now: datetime) -> None:
        """Read anew what the evidence says of lessons, in the transaction of `connection`."""
        measures = list(measures)
        # One question for all instead of two for each: of many agents few ever had an event.
        eventful: Collection[str] | None = None
        if len(measures) > 1:
            eventful = evidence_rows.agents_with_events(connection, self.project, counted_since(now))
        for measure in measures:
            may_toss = eventful is None or measure.agent_name in eventful
            measure.refresh(connection, self._lessons_of(measure.agent_name), now, may_toss=may_toss)

    def _lessons_of(self, agent_name: str) -> list[Lesson]:
        return [lesson for lesson in self.lessons.values() if lesson.agent_name in (agent_name, SHARED_AGENT)]

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
        subjects: Subjects | None = None,
        agent_name: str = "",
    ) -> list[RankedLesson]:
        """Return the lessons worth offering for a task, the most valuable first, at most `OFFERED_MAX`.

        Those that speak of its subject, and those that a person pinned: where nothing does, nothing else. What a person
        vouches for so that no coin decides about it comes first.
        Paths tell little, so that a word in common is enough; a task of a word or two names its subject. Without a task
        and files, those of the highest static score. `similar` has an embedding model's cosine by lesson id,
        `subjects` what the task is about, where that is known already.
        Lessons of `agent_name`, for whom the run counts, come first where they fit equally, and only theirs and those
        shared by all are shown because they are pinned.
        """
        mine = {agent_name or self.agent_name, SHARED_AGENT}
        always = self._always
        if not task.strip() and not files:
            places = (self.lessons[lesson_id] for *_, lesson_id in self._order)
            found = (lesson for lesson in places if _is_of(lesson, categories))
            fits = islice(self._distinct([RankedLesson(lesson, 1.0) for lesson in found], mine), OFFERED_MAX)
            return sorted(fits, key=lambda fit: fit.lesson.id in always, reverse=True)
        scores = self._scores(task, files, similar, subjects_of(task) if subjects is None else subjects)
        named = self._named(task, scores) if not similar else ()
        wanted = {lesson_id: score for lesson_id, score in scores.items() if is_relevant(score) or lesson_id in named}
        for lesson_id in self._pinned_of(mine):
            wanted.setdefault(lesson_id, scores.get(lesson_id, 0.0))
        lessons = ((self.lessons[lesson_id], score) for lesson_id, score in wanted.items())
        fits = [RankedLesson(lesson, score) for lesson, score in lessons if _is_of(lesson, categories)]

        def worth(fit: RankedLesson) -> tuple[bool, float, bool, int, str]:
            loss, seen, lesson_id = self._places[fit.lesson.id]
            is_other = fit.lesson.agent_name not in mine
            return lesson_id not in always, -value(-loss, fit.relevance), is_other, seen, lesson_id

        return nsmallest(OFFERED_MAX, self._distinct(fits, mine), key=worth)

    def _pinned_of(self, agents: Collection[str]) -> list[str]:
        exempt = (self.lessons[lesson_id] for lesson_id in self._always)
        return [lesson.id for lesson in exempt if lesson.pinned and lesson.agent_name in agents]

    def _distinct(self, fits: list[RankedLesson], mine: Collection[str]) -> list[RankedLesson]:
        """Return `fits` in their order, each text once: several agents may have the same lesson. Those of `mine` stay.

        It fits as well as the best of its copies does, which may have other issues behind it.
        """
        if self.agent_name != ALL_AGENTS:
            return fits
        kept: dict[str, RankedLesson] = {}
        for fit in fits:
            known = kept.setdefault(fit.lesson.lesson_text, fit)
            if known is not fit:
                better = known if known.lesson.agent_name in mine or fit.lesson.agent_name not in mine else fit
                kept[fit.lesson.lesson_text] = RankedLesson(better.lesson, max(known.relevance, fit.relevance))
        return list(kept.values())

    def _named(self, task: str, scores: Mapping[str, float]) -> Collection[str]:
        """Return the lessons that hold what a short task names, though their score is low; for paths alone, all."""
        if not task.strip():
            return scores.keys()
        return self._index.holding(task) if len(asked_words(task)) <= NAMED_MAX else ()

    def _scores(
        self, task: str, files: Collection[str], similar: Mapping[str, float] | None, subjects: Subjects
    ) -> dict[str, float]:
        """Return how probably each lesson is relevant to the task as a whole, or to a part of it if that is more.

        A task often names several things at once, and a lesson for one of them fits. Only the whole is embedded.
        """
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

    def _put(self, lesson: Lesson, body: str) -> None:
        if (place := self._places.pop(lesson.id, None)) is not None:
            del self._order[bisect_left(self._order, place)]
        self._costs.pop(lesson.id, None)
        if (before := self.lessons.get(lesson.id)) is not None:
            self._own(before, -1)
        if lesson.status in SERVABLE and lesson.is_active:
            self.lessons[lesson.id] = lesson
            self._own(lesson, 1)
            self._index.put(lesson.id, body)
            place = (-static_score(lesson.severity, lesson.effectiveness_score), -lesson.issue_count, lesson.id)
            self._places[lesson.id] = place
            insort(self._order, place)
            (self._always.add if self.is_always_shown(lesson) else self._always.discard)(lesson.id)
        elif self.lessons.pop(lesson.id, None) is not None:
            self._index.discard(lesson.id)
            self._always.discard(lesson.id)
        self._know(lesson.agent_name, lesson.revision)

    def _own(self, lesson: Lesson, more: int) -> None:
        self._owned[lesson.agent_name] += more
        if not self._owned[lesson.agent_name]:
            del self._owned[lesson.agent_name]


class Shelves:
    """The shelves of this process, the least recently used given up first. Transactions on several threads share it."""

    def __init__(self, learning: LearningSettings, most: int = SHELVES_MAX) -> None:
        self._learning = learning
        self._shelves: LRUCache[tuple[str, str], Shelf] = LRUCache(most)
        self._lock = Lock()
        self._measures: WeakValueDictionary[tuple[str, str], Measure] = WeakValueDictionary()

    def get(self, project: str, agent_name: str) -> Shelf | None:
        """Return an agent's shelf if it has been filled."""
        with self._lock:
            return self._shelves.get((project, agent_name))

    def fill(self, connection: Connection, project: str, agent_name: str) -> Shelf:
        """Return an agent's shelf, filled from the database."""
        shelf = Shelf(project, agent_name, self._learning, self._measure_of)
        shelf.refresh(connection)
        with self._lock:
            self._shelves[project, agent_name] = shelf
        return shelf

    def prior_of(self, project: str, agent_name: str) -> Prior:
        """Return what this process expects of a lesson of an agent before there is evidence."""
        measure = self._measures.get((project, agent_name))
        return measure.told_prior if measure is not None else DEFAULT_PRIOR

    def _measure_of(self, project: str, agent_name: str) -> Measure:
        """Return an agent's measure, one for all shelves that hold lessons of the agent."""
        fresh = Measure(project, agent_name, self._learning.mode)
        return self._measures.setdefault((project, agent_name), fresh)
