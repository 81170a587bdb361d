"""The servable lessons of one agent, or of all agents of a project, held in memory and kept fresh by revision.

Ranking looks at every lesson an agent has. Reading a thousand rows for each call would cost ten times the answer, so a
process keeps the agents it serves on shelves, and each call fetches only what changed since: none, most of the time.
Callers who name no agent are served from one shelf that holds the lessons of all agents in one index: a search over it
costs what one over an agent with as many lessons costs, where a search of each agent's shelf in turn would cost their
sum.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from heapq import nsmallest
from threading import Lock
from typing import Final, Literal, NamedTuple
from weakref import WeakValueDictionary

from cachetools import LRUCache
from sqlalchemy import Connection

from lessonbook.config.settings import LearningSettings
from lessonbook.domain.agent_tools import ServedLesson
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.vocabulary import SHARED_AGENT, Category
from lessonbook.domain.where_it_holds import Holds, holds_for, where_it_holds
from lessonbook.experiment.lesson_value import static_score
from lessonbook.experiment.serving_policy import Priors
from lessonbook.search.context import COUNTED_MAX, IssueCounts, likely_by_history, recurring, unseen
from lessonbook.search.diversity import Wording, first_of_alike, wording_of
from lessonbook.search.hazard_model import THRESHOLD
from lessonbook.search.hazards import NOTHING_LIKELY
from lessonbook.search.index import RelevanceIndex, asked_words, parts_of
from lessonbook.search.relevance import likely_by_words, relevance_for
from lessonbook.search.task import TaskReading
from lessonbook.services import prompt_section
from lessonbook.services.cache.evidence import Measure, Mode, counted_since
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import serving

_DAY_S: Final = 86_400.0
SHELVES_MAX: Final = 64
OF_TASK_MAX: Final = 40
"""So many lessons at most are compared with a task: what comes after them is about something else."""
OF_PART_MAX: Final = 3
"""So many lessons at most are offered for one of several things that a task names."""
OTHERS_MAX: Final = 2
"""So many lessons at most in words that nobody reviewed are another principal's than the one who asks."""
OFFERED_MAX: Final = 60
"""So many lessons at most are weighed by evidence for one task: what comes after them has no chance to fit."""
NAMED_MAX: Final = 2
"""A task of so few words names its subject: what holds a word of it fits, unless a model can tell more."""

SURE: Final = 0.5
"""From this relevance on a lesson's words alone say that it is needed, whatever the catalogue knows."""

Ground = Literal["words", "task", "history", "pinned"]
"""What the probability that a lesson is needed comes from."""
_NOTHING: Final[tuple[float, Ground]] = (0.0, "words")

ALL_AGENTS: Final = ""
"""The name of the shelf that holds the lessons of all agents of a project."""

_Place = tuple[float, int, str]
"""The sort key of a lesson: its static score and issue count, both negated so that the best come first, and its id."""


class RankedLesson(NamedTuple):
    """A lesson, the probability that the task raises its issue, and what that probability comes from."""

    lesson: Lesson
    relevance: float
    by: Ground = "words"


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
        rule_of: Callable[[Lesson], str] | None = None,
    ) -> None:
        self.project = project
        self.agent_name = agent_name
        self._measure_of = measure_of
        self._rule_of = rule_of
        self._mode: Mode = learning.mode
        self._measures: dict[str, Measure] = {}
        self._owned: Counter[str] = Counter()
        self.lessons: dict[str, Lesson] = {}
        self._index: RelevanceIndex[str] = RelevanceIndex()
        self._places: dict[str, _Place] = {}
        self._order: list[_Place] = []
        self._costs: dict[str, int] = {}
        self._served: dict[str, tuple[Lesson, ServedLesson]] = {}
        """Lessons that were shown, as agents get them."""
        self._always: set[str] = set()
        """Lessons without a coin: they come first where they fit. Those of them that are pinned are shown anyway."""
        self._unreviewed: set[str] = set()
        """Lessons in words that nobody reviewed."""
        self._always_show = frozenset(learning.always_show)
        self._revisions: dict[str, int] = {}
        self._rules: dict[str, str] = {}
        """The catalogue's rule of each lesson that has one."""
        self._of_rule: dict[str, set[str]] = {}
        self._wordings: dict[str, Wording] = {}
        self._holds: dict[str, Holds] = {}
        """Where lessons hold, of those that do not hold everywhere."""
        self._issues: dict[str, IssueCounts] = {}
        """The latest issues of each agent that had any."""

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
        self._refresh_issues(connection, [measure.agent_name for measure in measures], now)

    def _refresh_issues(self, connection: Connection, agent_names: Sequence[str], now: datetime) -> None:
        """Read which issues came lately, and where."""
        latest = issue_rows.latest_places(connection, self.project, agent_names, COUNTED_MAX)
        by_agent: dict[str, list[tuple[str, str, float]]] = {}
        for seen in latest:
            age_days = (now - seen.created_at).total_seconds() / _DAY_S
            by_agent.setdefault(seen.agent_name, []).append((seen.lesson_id, seen.file, age_days))
        for agent_name in agent_names:
            self._issues.pop(agent_name, None)
        self._issues |= {agent_name: IssueCounts(seen) for agent_name, seen in by_agent.items()}

    def _lessons_of(self, agent_name: str) -> list[Lesson]:
        return [lesson for lesson in self.lessons.values() if lesson.agent_name in (agent_name, SHARED_AGENT)]

    def fitting(
        self,
        reading: TaskReading,
        categories: Collection[Category],
        similar: Mapping[str, float] | None = None,
        agent_name: str = "",
        principal: str = "",
    ) -> list[RankedLesson]:
        """Return the lessons worth offering for a task, the likeliest first, at most `OFFERED_MAX`.

        Those whose issue the task is likely to raise, and those that a person pinned: where none is likely, no others.
        What a person vouches for so that no coin decides about it comes first, then what is likelier; lessons of
        `agent_name`, for whom the run counts, precede others that are as likely. Of lessons that say nearly the same
        the first stays. Without a task and files: those of the highest static score. `similar` has an embedding
        model's cosine by lesson id.

        Words that nobody reviewed come after all others, so that they take no reviewed lesson's place, and few of them
        are another principal's than `principal`, who asks.
        """
        mine = {agent_name or self.agent_name, SHARED_AGENT}
        always = self._always
        if not reading.query:
            places = [self.lessons[lesson_id] for *_, lesson_id in self._order]
            if self._unreviewed:
                places.sort(key=lambda lesson: lesson.id in self._unreviewed)  # a stable sort
            found = (lesson for lesson in places if _is_of(lesson, categories) and lesson.is_visible_to(principal))
            fits = self._distinct((RankedLesson(lesson, 1.0) for lesson in found), mine)[:OFFERED_MAX]
            fits = sorted(fits, key=lambda fit: fit.lesson.id in always, reverse=True)
            return self._with_few_of_others(fits, principal)
        likely = self.likely(reading, similar, principal=principal)
        pinned = [name for name in self._pinned_of(mine) if name not in likely]
        fits = [*likely.values(), *(RankedLesson(self.lessons[name], THRESHOLD, "pinned") for name in pinned)]

        def worth(fit: RankedLesson) -> tuple[bool, bool, float, bool, _Place]:
            lesson = fit.lesson
            doubt = lesson.id not in always, lesson.id in self._unreviewed
            return *doubt, -fit.relevance, lesson.agent_name not in mine, self._places[lesson.id]

        best = nsmallest(OFFERED_MAX, [fit for fit in fits if _is_of(fit.lesson, categories)], key=worth)
        return self._with_few_of_others(self._diverse(self._distinct(best, mine)), principal)

    def _with_few_of_others(self, fits: list[RankedLesson], principal: str) -> list[RankedLesson]:
        """Return `fits` with at most `OTHERS_MAX` in unreviewed words of other principals."""
        others = [fit for fit in fits if fit.lesson.id in self._unreviewed and fit.lesson.author != principal]
        dropped = {fit.lesson.id for fit in others[OTHERS_MAX:]}
        return [fit for fit in fits if fit.lesson.id not in dropped] if dropped else fits

    def likely(
        self,
        reading: TaskReading,
        similar: Mapping[str, float] | None = None,
        *,
        least: float = THRESHOLD,
        principal: str = "",
    ) -> dict[str, RankedLesson]:
        """Return how probably the task raises the issue of each lesson, by lesson id; those of at least `least`.

        A lesson of the catalogue is as likely as its rule is for such tasks, another as its words say; so is one whose
        issue came, if the catalogue expects nothing. Where its issue
        came in this project in code of the task's languages, that counts if it makes the lesson likelier.
        """
        relevances = self._relevances(reading, similar)
        named = self._named(reading, relevances) if not similar else set[str]()
        counts = {agent_name: known.here(reading.place) for agent_name, known in self._issues.items()}
        totals = {agent_name: sum(here.values()) for agent_name, here in counts.items()}
        likely = reading.likely if self.needs_rules else NOTHING_LIKELY
        enough = relevance_for(least)
        candidates = {
            *(lesson_id for lesson_id, relevance in relevances.items() if relevance >= enough),
            *relevances.keys() & named,
            *(lesson_id for here in counts.values() for lesson_id in here if lesson_id in self.lessons),
            *(lesson_id for rule in likely.possible for lesson_id in self._of_rule.get(rule, ())),
        }
        found: dict[str, RankedLesson] = {}
        lessons, rules, unreviewed = self.lessons, self._rules, self._unreviewed
        for lesson_id in candidates:
            lesson, relevance = lessons[lesson_id], relevances.get(lesson_id, 0.0)
            if lesson_id in unreviewed and not lesson.is_visible_to(principal):
                continue
            rule, owner, count = rules.get(lesson_id, ""), "", 0.0
            if counts and (owner := self.owner_of(lesson)) in counts:
                count = counts[owner].get(lesson_id, 0.0)
            value, by = _NOTHING
            if rule:
                by, issue_count = "task", lesson.issue_count
                if issue_count:
                    value = recurring(likely.considered.get(rule, 0.0), issue_count)
                else:
                    value = likely.rules.get(rule, 0.0)
                if owner in totals:
                    value *= unseen(totals[owner] - count)
            if not rule or (not value and (relevance >= SURE or lesson.issue_count)):
                value, by = likely_by_words(relevance), "words"
                value = max(value, THRESHOLD) if lesson_id in named else value
            if count and (here := likely.need * likely_by_history(count, totals[owner], relevance)) > value:
                value, by = here, "history"
            if value >= least and (count or self._holds_for(lesson_id, reading.files)):
                found[lesson_id] = RankedLesson(lesson, value, by)
        return found

    def _holds_for(self, lesson_id: str, files: Collection[str]) -> bool:
        holds = self._holds.get(lesson_id)
        return holds is None or holds_for(holds, files)

    def _distinct(self, fits: Iterable[RankedLesson], mine: Collection[str]) -> list[RankedLesson]:
        """Return `fits` in their order, each text once: several agents may have the same lesson. Those of `mine` stay.

        It is as likely as the likeliest of its copies, which may have other issues behind it.
        """
        kept: dict[str, RankedLesson] = {}
        for fit in fits:
            known = kept.setdefault(fit.lesson.lesson_text, fit)
            is_no_worse = fit.lesson.id not in self._unreviewed or known.lesson.id in self._unreviewed
            is_nearer = fit.lesson.agent_name in mine and known.lesson.agent_name not in mine
            if is_nearer and is_no_worse:
                kept[fit.lesson.lesson_text] = known._replace(lesson=fit.lesson)
        return list(kept.values())

    def _diverse(self, fits: Iterable[RankedLesson]) -> list[RankedLesson]:
        """Return `fits` in their order without those that say nearly what one before them says."""
        fits = list(fits)
        return [fits[position] for position in first_of_alike([self._wording_of(fit.lesson) for fit in fits])]

    def _wording_of(self, lesson: Lesson) -> Wording:
        wording = self._wordings.get(lesson.id)
        if wording is None:
            wording = self._wordings[lesson.id] = wording_of(lesson.lesson_text)
        return wording

    def _pinned_of(self, agents: Collection[str]) -> list[str]:
        exempt = (self.lessons[lesson_id] for lesson_id in self._always)
        return [lesson.id for lesson in exempt if lesson.pinned and lesson.agent_name in agents]

    def _named(self, reading: TaskReading, relevances: Mapping[str, float]) -> Set[str]:
        """Return the lessons that hold what a short task names, though few words say little; for paths alone, all."""
        if not reading.task:
            return relevances.keys()
        return self._index.holding(reading.task) if len(asked_words(reading.task)) <= NAMED_MAX else set()

    def _relevances(self, reading: TaskReading, similar: Mapping[str, float] | None) -> dict[str, float]:
        """Return how probably each lesson's words are about the task as a whole, or about a part of it if that is more.

        A task often names several things at once, and a lesson for one of them fits. Only the whole is embedded.
        """
        # However many words nobody reviewed are nearer to the task, reviewed lessons are compared as well.
        scores = self._index.scores(
            reading.query, similar=similar, subjects=reading.subjects, most=OF_TASK_MAX, apart=self._unreviewed
        )
        # Words decide about lessons that no rule of the catalogue explains, and weigh where issues came.
        by_words = len(self._rules) < len(self.lessons) or bool(self._issues)
        for part in parts_of(reading.task) if by_words else ():
            for lesson_id, score in self._index.scores(part, most=OF_PART_MAX, apart=self._unreviewed).items():
                scores[lesson_id] = max(score, scores.get(lesson_id, 0.0))
        return scores

    @property
    def needs_rules(self) -> bool:
        """Whether what rules a task is likely to break decides about any lesson here, by itself or by its history."""
        return bool(self._rules or self._issues)

    def rule_of(self, lesson_id: str) -> str:
        """Return the id of the catalogue's rule that a lesson is of, empty if none."""
        return self._rules.get(lesson_id, "")

    def cost_of(self, lesson: Lesson) -> int:
        """Return the tokens one of the lessons adds to an answer, counted once for each that is offered."""
        cost = self._costs.get(lesson.id)
        if cost is None:
            cost = self._costs[lesson.id] = prompt_section.cost_of(lesson)
        return cost

    def as_served(self, lesson: Lesson) -> ServedLesson:
        """Return one of the lessons as agents get it, made once for each that is shown."""
        known = self._served.get(lesson.id)
        if known is None or known[0] is not lesson:
            known = self._served[lesson.id] = lesson, prompt_section.served(lesson)
        return known[1]

    def is_always_shown(self, lesson: Lesson) -> bool:
        """Tell whether a person wants the lesson shown wherever it fits."""
        return lesson.is_exempt(self._always_show)

    def _put(self, lesson: Lesson, body: str) -> None:
        if (place := self._places.pop(lesson.id, None)) is not None:
            del self._order[bisect_left(self._order, place)]
        self._costs.pop(lesson.id, None)
        self._served.pop(lesson.id, None)
        self._wordings.pop(lesson.id, None)
        self._holds.pop(lesson.id, None)
        if rule := self._rules.pop(lesson.id, ""):
            self._of_rule[rule].discard(lesson.id)
        if (before := self.lessons.get(lesson.id)) is not None:
            self._own(before, -1)
        self._unreviewed.discard(lesson.id)
        if lesson.status in SERVABLE:
            self.lessons[lesson.id] = lesson
            if lesson.is_unreviewed:
                self._unreviewed.add(lesson.id)
            self._own(lesson, 1)
            self._index.put(lesson.id, body)
            if holds := where_it_holds(lesson.provenance):
                self._holds[lesson.id] = holds
            if self._rule_of and (rule := self._rule_of(lesson)):
                self._rules[lesson.id] = rule
                self._of_rule.setdefault(rule, set()).add(lesson.id)
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

    def __init__(
        self,
        learning: LearningSettings,
        rule_of: Callable[[Lesson], str] | None = None,
        most: int = SHELVES_MAX,
    ) -> None:
        """Take the settings, and what returns the id of the catalogue's rule that a lesson is of, empty if none."""
        self._learning = learning
        self._rule_of = rule_of
        self._shelves: LRUCache[tuple[str, str], Shelf] = LRUCache(most)
        self._lock = Lock()
        self._measures: WeakValueDictionary[tuple[str, str], Measure] = WeakValueDictionary()

    def get(self, project: str, agent_name: str) -> Shelf | None:
        """Return an agent's shelf if it has been filled."""
        with self._lock:
            return self._shelves.get((project, agent_name))

    def fill(self, connection: Connection, project: str, agent_name: str) -> Shelf:
        """Return an agent's shelf, filled from the database."""
        shelf = Shelf(project, agent_name, self._learning, self._measure_of, self._rule_of)
        shelf.refresh(connection)
        with self._lock:
            self._shelves[project, agent_name] = shelf
        return shelf

    def priors_of(self, project: str, agent_name: str) -> Priors:
        """Return what this process expects of a lesson of an agent before there is evidence."""
        measure = self._measures.get((project, agent_name))
        return measure.priors if measure is not None else Priors()

    def _measure_of(self, project: str, agent_name: str) -> Measure:
        """Return an agent's measure, one for all shelves that hold lessons of the agent."""
        fresh = Measure(project, agent_name, self._learning.mode)
        return self._measures.setdefault((project, agent_name), fresh)
