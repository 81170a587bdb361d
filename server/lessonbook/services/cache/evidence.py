"""The evidence on an agent's lessons, held in memory, and whether a coin is tossed for the agent at all.

Counts of deliveries are not in a lesson's row, so they are read again from time to time; events and verdicts come with
the lesson itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import nlargest
from operator import attrgetter
from statistics import fmean
from typing import Final, Literal

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import Effect, NotEnough
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.vocabulary import SHARED_AGENT
from lessonbook.experiment import effect
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.lesson_value import SEVERITY_WEIGHTS
from lessonbook.experiment.serving_policy import (
    Appraisal,
    Certain,
    Chance,
    LessonState,
    PolicySettings,
    Priors,
    appraise,
    fit_priors,
)
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import run_checks
from lessonbook.store import stats as figures
from lessonbook.store.rollups import week_of

Mode = Literal["auto", "curated", "measured"]

RUNS_MIN: Final = 200
EVENTS_MIN: Final = 10
WITHIN_DAYS: Final = 90
"""In `auto`, a coin is tossed for agents with so many checked runs and verified events in so many days."""

KNOWN_WEEKS: Final = 104
"""Deliveries older than this are not read: they are not evidence of a lesson as it is now."""
REFRESH_S: Final = 60.0
"""Maximum age of the agent's state (whether a coin is tossed, whether serving is stopped), in seconds."""
RECOUNT_S: Final = 900.0
"""Maximum age of the counts of each lesson's deliveries, which take longer to read, in seconds."""
FITTED_MAX: Final = 200
"""The most lessons that a population's prior is fitted to: those with the most events."""

FLAGS_MIN: Final = 2
"""Flags by fewer principals do not change how often a lesson is shown: one caller must not hide a lesson."""

ALWAYS: Final = Certain(p_show=1.0)
NEVER: Final = Certain(p_show=0.0)


@dataclass(frozen=True, slots=True)
class Readiness:
    """An agent's recent checked runs and verified events, and whether they are enough for a coin."""

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
        """Return a sentence on whether lessons are measured, and why."""
        return self.obstacle() or "Measured against a logged holdout."

    def obstacle(self) -> str:
        """Return a sentence on why no coin is tossed; empty where one is."""
        if self.tosses:
            return ""
        if self.mode == "curated":
            return "Nothing is withheld, so nothing is measured: learning.mode is curated."
        if not self.runs:
            return "Not measured: nobody independent reports here on every run, findings or not."
        return (
            f"Nothing is withheld yet: {min(self.runs, RUNS_MIN)} of {RUNS_MIN} checked runs and "
            f"{min(self.events, EVENTS_MIN)} of {EVENTS_MIN} independent issues reported with a run_id "
            f"in the last {WITHIN_DAYS} days."
        )


def counted_since(now: datetime) -> datetime:
    """Return the moment from which runs and events count for an agent's readiness."""
    return (now - timedelta(days=WITHIN_DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)


def readiness(connection: Connection, project: str, agent_name: str, mode: Mode, now: datetime) -> Readiness:
    """Return an agent's readiness to be measured."""
    since = counted_since(now)
    events = evidence_rows.count_events(connection, project, agent_name, since, EVENTS_MIN)
    return Readiness(mode, figures.checked_runs(connection, project, agent_name, since), events)


def evidence_of(lesson: Lesson, exposures: Mapping[int, figures.Exposure] | None = None) -> Evidence:
    """Return all evidence on a lesson: that of its row, and its deliveries by week."""
    weeks = exposures or {}
    delivered = Evidence(
        certain=sum(seen.deliveries - seen.randomised for seen in weeks.values()),
        shown=sum(seen.shown for seen in weeks.values()),
        flags=lesson.flags if lesson.flags >= FLAGS_MIN else 0,
    )
    return Evidence.from_document(lesson.evidence) + delivered


def effect_of(lesson: Lesson) -> Effect | NotEnough:
    """Return a lesson's effect with its interval, or "not enough data" below `effect.EVENTS_MIN` events.

    Nothing is told of a lesson whose arms are unlike.
    """
    if lesson.events < effect.EVENTS_MIN or "alarm" in lesson.evidence:
        return "not enough data"
    return Effect(
        estimate=round(lesson.effectiveness_score, 3),
        low=round(lesson.effect_low, 3),
        high=round(lesson.effect_high, 3),
        events=lesson.events,
    )


class Measure:
    """The value of one agent's lessons as this process knows it; at most `REFRESH_S` seconds old."""

    def __init__(self, project: str, agent_name: str, mode: Mode) -> None:
        self.project = project
        self.agent_name = agent_name
        self.readiness = Readiness(mode, 0, 0)
        self.stop = ""
        self.priors = Priors()
        self.epoch = run_checks.FIRST_EPOCH
        self._tokens: float | None = None
        """The mean length of the agent's lessons."""
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
        """Return whether the state has to be read again; also if the clock went back."""
        return _is_older(self._read_at, now, REFRESH_S)

    def refresh(
        self, connection: Connection, lessons: Iterable[Lesson], now: datetime, *, may_toss: bool = True
    ) -> None:
        """Read the agent's state again and, where a coin is tossed, counts of deliveries that are too old.

        `may_toss` is False if the agent is known to have had no recent event, so that nothing needs to be counted.
        """
        self._read_at = now
        self.stop = evidence_rows.stop_reason(connection, self.project)
        self.epoch = run_checks.experiment(connection, self.project).epoch
        self.readiness = Readiness(self._mode, 0, 0)
        if may_toss or self._mode != "auto":
            self.readiness = readiness(connection, self.project, self.agent_name, self._mode, now)
        if self.tosses and _is_older(self._counted_at, now, RECOUNT_S):
            self._recount(connection, lessons, now)

    def _recount(self, connection: Connection, lessons: Iterable[Lesson], now: datetime) -> None:
        """Read the counts of deliveries, and fit the priors."""
        self._counted_at = now
        self._week = week_of(now.date())
        known = {lesson.id: lesson for lesson in lessons}
        shared = [lesson.id for lesson in known.values() if lesson.agent_name == SHARED_AGENT]
        since = self._week - KNOWN_WEEKS
        self._exposures = exposures = figures.exposures(connection, self.project, self.agent_name, shared, since)
        fitted = nlargest(FITTED_MAX, (known[name] for name in exposures if name in known), key=attrgetter("events"))
        population = [evidence_of(lesson, exposures[lesson.id]) for lesson in fitted]
        self.priors = fit_priors(population, self._week, _SETTINGS.half_life)
        self._tokens = fmean(lesson.token_count for lesson in fitted) if fitted else None
        self._appraisals = {}

    def know(self, lesson: Lesson, exposures: Mapping[int, figures.Exposure], priors: Priors, now: datetime) -> None:
        """Set one lesson's deliveries and the priors, instead of reading them."""
        self._week = week_of(now.date())
        self._exposures = {lesson.id: exposures}
        self.priors = priors

    def appraisal(self, lesson: Lesson, *, exempt: bool) -> Appraisal:
        """Return a lesson's appraisal, computed once per revision."""
        key = (lesson.id, lesson.revision, exempt)
        if (known := self._appraisals.get(key)) is None:
            known = self._appraisals[key] = self.appraised(lesson, exempt=exempt)
        return known

    def appraised(self, lesson: Lesson, *, exempt: bool) -> Appraisal:
        """Return a lesson's appraisal from the row as given."""
        state = LessonState(
            lesson_id=lesson.id,
            severity_weight=SEVERITY_WEIGHTS[lesson.severity],
            tokens=lesson.token_count,
            evidence=evidence_of(lesson, self._exposures.get(lesson.id)),
            trusted=lesson.approved_by is not None,
            exempt=exempt,
        )
        appraised = appraise([state], _SETTINGS, priors=self.priors, now=self._week, tokens=self._tokens)
        return appraised[lesson.id]

    def chance(self, lesson: Lesson, *, exempt: bool, held_out: bool) -> Chance:
        """Return the propensity of a lesson in a run."""
        if exempt:
            return ALWAYS
        if held_out:
            return NEVER
        if self.tosses:
            return self.appraisal(lesson, exempt=False)
        # Where nobody reports any more, what was told to do harm does not come back for that.
        return NEVER if effect.does_harm(lesson.events, lesson.effect_high) else ALWAYS


_SETTINGS: Final = PolicySettings()
"""Periods are weeks here."""


def _is_older(moment: datetime | None, now: datetime, most_s: float) -> bool:
    return moment is None or abs((now - moment).total_seconds()) >= most_s
