"""Measure: what is known of an agent's lessons by evidence, held in memory, and whether a coin is tossed at all.

Counts of deliveries never touch a lesson's row, so they are read anew every now and then; events and verdicts
come with the lesson itself, as soon as they are there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from typing import Final, Literal

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.domain.loop import Effect, NotEnough
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.experiment import effect
from lessonbook.experiment.evidence import Evidence, Period
from lessonbook.experiment.policy import Appraisal, Certain, Chance, LessonState, PolicySettings, appraise
from lessonbook.experiment.population import fit_prior
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.ranking import SEVERITY_WEIGHTS
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import stats as figures
from lessonbook.store.rollups import week_of

Mode = Literal["auto", "curated", "measured"]

RUNS_MIN: Final = 200
EVENTS_MIN: Final = 10
WITHIN_DAYS: Final = 90
"""In `auto`, a coin is tossed for agents with so many runs, and so many independent issues in them, in that time."""

KNOWN_WEEKS: Final = 104
"""Deliveries older than that tell nothing of a lesson as it is now."""
REFRESH_S: Final = 60.0
"""How old may be what is known of the agent: whether a coin is tossed, whether serving is stopped."""
RECOUNT_S: Final = 900.0
"""How old may be what is known of each lesson's deliveries, which takes longer to read."""
FITTED_MAX: Final = 200
"""A population's prior is fitted to so many lessons, those with the most events."""

FLAGS_MIN: Final = 2
"""Flags by fewer principals than these change nothing in how often a lesson is shown: one caller hides nothing."""

ALWAYS: Final = Certain(p_show=1.0)
NEVER: Final = Certain(p_show=0.0)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How much evidence an agent has brought lately, and whether that is enough for a coin."""

    mode: Mode
    runs: int
    events: int

    @property
    def tosses(self) -> bool:
        """Whether a coin is tossed."""
        match self.mode:
            case "measured":
                return True
            case "curated":
                return False
            case "auto":
                return self.runs >= RUNS_MIN and self.events >= EVENTS_MIN

    def sentence(self) -> str:
        """Return why lessons are measured, or why not yet."""
        if self.mode == "curated":
            return "Nothing is withheld, so nothing is measured: learning.mode is curated."
        if self.tosses:
            return "Measured against a logged holdout."
        return (
            f"Nothing is withheld yet: {min(self.runs, RUNS_MIN)} of {RUNS_MIN} runs and "
            f"{min(self.events, EVENTS_MIN)} of {EVENTS_MIN} independent issues reported with a run_id "
            f"in the last {WITHIN_DAYS} days."
        )


def counted_since(now: datetime) -> datetime:
    """Return from when on runs and events count for whether an agent is measured."""
    return (now - timedelta(days=WITHIN_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)


def readiness(connection: Connection, project: str, agent_name: str, mode: Mode, now: datetime) -> Readiness:
    """Return how ready an agent is to be measured."""
    since = counted_since(now)
    days = figures.activity(connection, project, agent_name, since)
    events = evidence_rows.count_events(connection, project, agent_name, since, EVENTS_MIN)
    return Readiness(mode, sum(row.runs for row in days), events)


def evidence_of(lesson: Lesson, exposures: Mapping[int, figures.Exposure] | None = None) -> Evidence:
    """Return everything known of a lesson: what its row tells, and its exposures by week."""
    weeks = exposures or {}
    delivered = Evidence(
        periods={
            week: Period(shown=seen.randomised_shown, withheld=seen.randomised - seen.randomised_shown)
            for week, seen in weeks.items()
            if seen.randomised
        },
        certain=sum(seen.deliveries - seen.randomised for seen in weeks.values()),
        shown=sum(seen.shown for seen in weeks.values()),
        flags=lesson.flags if lesson.flags >= FLAGS_MIN else 0,
    )
    return Evidence.from_document(lesson.evidence) + delivered


def effect_of(lesson: Lesson) -> Effect | NotEnough:
    """Return a lesson's effect with its interval, or that there are too few events to tell."""
    if lesson.events < effect.EVENTS_MIN:
        return "not enough data"
    return Effect(
        estimate=round(lesson.effectiveness_score, 3),
        low=round(lesson.effect_low, 3),
        high=round(lesson.effect_high, 3),
        events=lesson.events,
    )


class Measure:
    """What one agent's lessons are worth, as far as this process knows; fresh to within `REFRESH_S` seconds."""

    def __init__(self, project: str, agent_name: str, mode: Mode) -> None:
        self.project = project
        self.agent_name = agent_name
        self.readiness = Readiness(mode, 0, 0)
        self.stop = ""
        self.prior: Prior = DEFAULT_PRIOR
        self.told_prior: Prior = DEFAULT_PRIOR
        """The same without what agents say of themselves: what is told, and what moves a status, starts from it."""
        self._mode: Mode = mode
        self._read_at: datetime | None = None
        self._counted_at: datetime | None = None
        self._week = 0
        self._exposures: Mapping[str, Mapping[int, figures.Exposure]] = {}
        self._appraisals: dict[tuple[str, int, bool], Appraisal] = {}

    @property
    def tosses(self) -> bool:
        """Whether a coin is tossed for this agent."""
        return self.readiness.tosses

    def is_stale(self, now: datetime) -> bool:
        """Tell whether the counts are to be read anew; a clock that went back makes them so, too."""
        return _is_older(self._read_at, now, REFRESH_S)

    def refresh(
        self, connection: Connection, lessons: Iterable[Lesson], now: datetime, *, may_toss: bool = True
    ) -> None:
        """Read anew what is known of the agent and, where a coin is tossed and it is old, of each lesson.

        `may_toss` is False where it is known that the agent had no event lately, so that nothing needs to be counted.
        """
        self._read_at = now
        self.stop = evidence_rows.stop_reason(connection, self.project)
        known = may_toss or self._mode != "auto"
        self.readiness = (
            readiness(connection, self.project, self.agent_name, self._mode, now)
            if known
            else Readiness(self._mode, 0, 0)
        )
        if self.tosses and _is_older(self._counted_at, now, RECOUNT_S):
            self._recount(connection, lessons, now)

    def _recount(self, connection: Connection, lessons: Iterable[Lesson], now: datetime) -> None:
        """Read deliveries, and fit what is expected of lessons that nothing is known of yet."""
        self._counted_at = now
        self._week = week_of(now.date())
        known = {lesson.id: lesson for lesson in lessons}
        shared = [lesson.id for lesson in known.values() if lesson.agent_name == SHARED_AGENT]
        since = self._week - KNOWN_WEEKS
        self._exposures = exposures = figures.exposures(connection, self.project, self.agent_name, shared, since)
        known_of = nlargest(FITTED_MAX, (known[name] for name in exposures if name in known), key=_events)
        population = [evidence_of(lesson, exposures[lesson.id]) for lesson in known_of]
        self.prior = fit_prior(population, self._week, _SETTINGS.half_life)
        independent = (known.without_claims() for known in population)
        self.told_prior = fit_prior(independent, self._week, _SETTINGS.half_life)
        self._appraisals = {}

    def know(self, lesson: Lesson, exposures: Mapping[int, figures.Exposure], prior: Prior, now: datetime) -> None:
        """Take one lesson's exposures and what is expected of its like as given."""
        self._week = week_of(now.date())
        self._exposures = {lesson.id: exposures}
        self.prior = prior

    def appraisal(self, lesson: Lesson, *, exempt: bool) -> Appraisal:
        """Return what a lesson is worth."""
        key = (lesson.id, lesson.revision, exempt)
        if (known := self._appraisals.get(key)) is None:
            known = self._appraisals[key] = self.appraised(lesson, exempt=exempt)
        return known

    def appraised(self, lesson: Lesson, *, exempt: bool) -> Appraisal:
        """Return what a lesson is worth, from the row as given."""
        state = LessonState(
            lesson_id=lesson.id,
            severity_weight=SEVERITY_WEIGHTS[lesson.severity],
            tokens=lesson.token_count,
            evidence=evidence_of(lesson, self._exposures.get(lesson.id)),
            trusted=lesson.approved_by is not None,
            exempt=exempt,
        )
        return appraise([state], _SETTINGS, prior=self.prior, now=self._week)[lesson.id]

    def chance(self, lesson: Lesson, *, exempt: bool, held_out: bool) -> Chance:
        """Return with what probability a lesson is shown in a run."""
        if exempt:
            return ALWAYS
        if held_out:
            return NEVER
        return self.appraisal(lesson, exempt=False) if self.tosses else ALWAYS


_SETTINGS: Final = PolicySettings()
"""Its periods are weeks here."""


def _is_older(moment: datetime | None, now: datetime, most_s: float) -> bool:
    return moment is None or abs((now - moment).total_seconds()) >= most_s


def _events(lesson: Lesson) -> int:
    return lesson.events
