"""Figures of projects, agents and lessons. A ratio always has its interval, and is left out below ten events."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.agent_figures import AgentFigures
from lessonbook.domain.agent_tools import (
    Effect,
    EffectStanding,
    LessonLift,
    NotEnough,
    PreventionRate,
    RecurringIssue,
    ServiceLift,
    SideEffectFound,
    Stats,
    StatsQuery,
    TooFew,
    Totals,
    WeekFigures,
)
from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import SERVABLE, TOMBSTONES, Status
from lessonbook.experiment.effect import EVENTS_MIN, EffectEstimate, effect_of
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.intervals import wilson_interval
from lessonbook.experiment.lesson_state import standing
from lessonbook.experiment.lift import Lift, RunTotals, lift_of, service_lift
from lessonbook.experiment.serving_policy import HOLDOUT_SHARE
from lessonbook.experiment.side_effects import NO_POOL, Pool, of_lesson, side_effect_of
from lessonbook.services.cache.evidence import Readiness, evidence_of, readiness
from lessonbook.services.cache.evidence import effect_of as effect_of_lesson
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.queries.unusual_reports import unusual
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.arms import alarm_sentence, sides_of, unhealthy_agents
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import rollups
from lessonbook.store import stats as figures
from lessonbook.store.evidence import AgentSums
from lessonbook.store.rollups import ActivityDay
from lessonbook.store.stats import Exposure

RECURRING_MAX: Final = 5
TREND_WEEKS: Final = 12
UNIT: Final = "issues per 100 runs"
_COUNTED: Final = {"applications": "times_applied", "verified": "times_verified", "prevented": "times_prevented"}


async def get_stats(work: Workspace, caller: Caller, query: StatsQuery) -> Stats:
    """Return the figures of the project, one agent or one lesson.

    `days` bounds the evidence that is counted, from the beginning of its first day (UTC).

    Raises:
        NotFound: the lesson does not exist.
    """
    agent_name = work.roster.resolve(query.agent_name) if query.agent_name else ""
    now = work.now()
    since = (now - timedelta(days=query.days)).replace(hour=0, minute=0, second=0, microsecond=0)

    def read(connection: Connection) -> Stats:
        if query.lesson_id:
            return _of_lesson(connection, work, caller, query.lesson_id, since if query.days else None, now)
        return _of_agents(connection, work, caller, agent_name, since if query.days else None, now)

    return await work.store.view(read)


async def unusual_reports(work: Workspace, caller: Caller) -> list[str]:
    """Return notes on unusual reports of the last day: bursts, near-duplicates, one lesson that takes most of them."""
    return await work.store.view(lambda connection: unusual(connection, caller.project, work.now()))


def _of_agents(
    connection: Connection, work: Workspace, caller: Caller, agent_name: str, since: datetime | None, now: datetime
) -> Stats:
    """Return the figures of a project, or of one of its agents."""
    project = caller.project
    lessons = figures.by_status(connection, project, agent_name)
    ever = figures.activity(connection, project, agent_name)
    within = ever if since is None else [row for row in ever if row.day >= since.date().isoformat()]
    rows = evidence_rows.of_agents(connection, project)
    events = [row for row in rows if agent_name in ("", row.agent_name)]
    pooled = sum((Evidence.from_document(row.effect) for row in events), Evidence())
    found, alarm = effect_of(pooled), _alarm(rows, agent_name, pooled)
    note = readiness(connection, project, agent_name, work.settings.learning.mode, now) if agent_name else None
    totals = {name: _sum(within, name) for name in ("issues", "runs", "deliveries")}
    totals |= {name: _sum(lessons.values(), counter) for name, counter in _COUNTED.items()}
    if since is not None:
        totals |= {name: _sum(within, name) for name in rollups.APPLICATIONS}
    return Stats(
        totals=Totals(
            lessons=_sum((row for status, row in lessons.items() if status not in TOMBSTONES), "lessons"),
            active=_sum((row for status, row in lessons.items() if status in SERVABLE), "lessons"),
            pending=figures.pending(connection, project, agent_name, since),
            **totals,
        ),
        effect=_told(found, alarm),
        state=_standing(pooled, found, obstacle=_obstacle(note, work, pooled), alarm=alarm),
        side_effect=_side_effect(pooled, alarm),
        lift=_service_lift(connection, project, note, sides_of(events)),
        top_recurring=[
            _recurring(lesson) for lesson in figures.top_recurring(connection, project, agent_name, RECURRING_MAX)
        ],
        withheld_by_reason={
            "coin": _sum(within, "withheld"),
            "holdout": _sum(within, "deliveries") - _sum(within, "shown") - _sum(within, "withheld"),
            **{status: row.lessons for status, row in lessons.items() if status not in SERVABLE},
        },
        prevention_rate=_rate(totals["prevented"], totals["verified"]),
        tokens_served=_sum(within, "tokens"),
        trend=_trend(ever, now.date()),
    )


def _told(found: EffectEstimate, alarm: str) -> Effect | NotEnough:
    """Return the effect of all lessons together, in which every event has the same weight."""
    if found.events < EVENTS_MIN or alarm:
        return "not enough data"
    return Effect(
        estimate=round(found.mean, 3), low=round(found.low, 3), high=round(found.high, 3), events=found.events
    )


def _alarm(rows: Sequence[AgentSums], agent_name: str, pooled: Evidence) -> str:
    """Return why nothing may be concluded about an agent or the project, as a sentence; empty where something may."""
    if agent_name:
        return alarm_sentence(pooled.alarm) if agent_name in unhealthy_agents(rows) else ""
    return alarm_sentence(pooled.alarm) if rows and len(unhealthy_agents(rows)) == len(rows) else ""


def _obstacle(note: Readiness | None, work: Workspace, pooled: Evidence) -> str:
    if note is not None:
        return note.obstacle()
    if work.settings.learning.mode == "curated":
        return Readiness("curated", 0, 0).obstacle()
    return "" if pooled.rows else Readiness("auto", 0, 0).obstacle()


def _standing(
    evidence: Evidence, found: EffectEstimate, *, status: Status | None = None, obstacle: str, alarm: str
) -> EffectStanding:
    said = standing(evidence, found, status=status, obstacle=obstacle, alarm=alarm)
    return EffectStanding(state=said.state, events=said.events, runs_to_go=said.runs_to_go, reason=said.reason)


def _side_effect(evidence: Evidence, alarm: str, of_agent: Pool = NO_POOL) -> SideEffectFound | TooFew:
    """Return what goes wrong elsewhere; a lesson's is drawn towards that of its agent's lessons (see `of_lesson`)."""
    found = of_lesson(side_effect_of(evidence.side), *of_agent)
    if alarm or not found.is_told:
        return "too few runs for side effects"
    return SideEffectFound(
        estimate=round(found.mean, 3), low=round(found.low, 3), high=round(found.high, 3), runs=found.rows
    )


def _service_lift(
    connection: Connection, project: str, note: Readiness | None, both: Sequence[RunTotals]
) -> ServiceLift:
    """Return issues prevented per 100 runs, runs with lessons against held-out ones, or what measuring it lacks."""
    served, held_out = both
    enough = min(served.runs, held_out.runs) >= EVENTS_MIN
    return ServiceLift(
        status="measured" if enough else "not enough data",
        comparisons=held_out.runs,
        runs_with_lessons=served.runs,
        unit=UNIT,
        note=note.sentence() if note else None,
        stopped=evidence_rows.stop_reason(connection, project) or None,
        **_interval(service_lift(served, held_out, HOLDOUT_SHARE) if enough else None),
    )


def _interval(lift: Lift | None) -> dict[str, float]:
    if lift is None:
        return {}
    per_hundred = {"estimate": lift.mean, "low": lift.low, "high": lift.high}
    return {name: round(100 * value, 3) for name, value in per_hundred.items()}


def _rate(prevented: int, verdicts: int) -> PreventionRate | None:
    """Return preventions ÷ verdicts with its 95 % Wilson interval."""
    if not verdicts:
        return None
    share = prevented / verdicts
    low, high = wilson_interval(share, verdicts)
    return PreventionRate(ratio=round(share, 3), low=round(low, 3), high=round(high, 3), verdicts=verdicts)


def _trend(days: Sequence[ActivityDay], today: date) -> list[WeekFigures]:
    """Return the last `TREND_WEEKS` weeks from the first activity on, oldest first; a week begins on Monday."""
    sums: dict[date, dict[str, int]] = {}
    for row in days:
        day = date.fromisoformat(row.day)
        week = sums.setdefault(day - timedelta(days=day.weekday()), dict.fromkeys(_WEEKLY, 0))
        for name in _WEEKLY:
            week[name] += getattr(row, name)
    monday = today - timedelta(days=today.weekday())
    weeks = (monday - timedelta(weeks=back) for back in reversed(range(TREND_WEEKS)))
    nothing: dict[str, int] = dict.fromkeys(_WEEKLY, 0)
    return [_week(week, sums.get(week, nothing)) for week in weeks if sums and week >= min(sums)]


_WEEKLY: Final = ("runs", "issues", "deliveries", "tokens")


def _week(begins: date, sums: dict[str, int]) -> WeekFigures:
    per_hundred = round(100 * sums["issues"] / sums["runs"], 1) if sums["runs"] else None
    return WeekFigures(begins=begins.isoformat(), issues_per_100_runs=per_hundred, **sums)


async def by_agent(work: Workspace, caller: Caller, agent_name: str = "") -> list[AgentFigures]:
    """Return the rows of the statistics view, one for each agent of the project, or for one agent."""
    name = work.roster.resolve(agent_name) if agent_name else ""
    return await work.store.view(lambda connection: figures.by_agent(connection, caller.project, name))


def _of_lesson(
    connection: Connection, work: Workspace, caller: Caller, lesson_id: str, since: datetime | None, now: datetime
) -> Stats:
    lesson = lesson_rows.find(connection, caller.project, [lesson_id]).get(lesson_id)
    if lesson is None:
        raise NotFound.lesson(lesson_id, caller.project)
    exposures = figures.exposures_of(connection, caller.project, lesson_id)
    if since is None:
        delivered = Exposure(*map(sum, zip(*exposures.values(), strict=True)))
    else:
        delivered = figures.deliveries_of_lesson(connection, caller.project, lesson_id, since)
    counted = {
        "issues": lesson.issue_count,
        "applications": lesson.times_applied,
        "verified": lesson.times_verified,
        "prevented": lesson.times_prevented,
    }
    if since is not None:
        counted = figures.applied_since(connection, caller.project, lesson_id, since)._asdict()
        counted["issues"] = figures.issues_of_lesson_since(connection, caller.project, lesson_id, since)
    by_coin = delivered.randomised - delivered.randomised_shown
    evidence = Evidence.from_document(lesson.evidence)
    rows = evidence_rows.of_agents(connection, caller.project)
    alarm = alarm_sentence(evidence.alarm) if evidence.alarm or lesson.agent_name in unhealthy_agents(rows) else ""
    ready = readiness(connection, caller.project, lesson.agent_name, work.settings.learning.mode, now)
    exempt = (
        "No coin is tossed for it: it is always shown." if lesson.is_exempt(work.settings.learning.always_show) else ""
    )
    is_served = lesson.status in SERVABLE and lesson.is_visible_to(caller.principal)
    is_shown = lesson.issue_count > 1 and is_served
    return Stats(
        totals=Totals(
            lessons=1,
            active=int(lesson.is_active),
            pending=0,
            runs=delivered.deliveries,
            deliveries=delivered.deliveries,
            **counted,
        ),
        effect="not enough data" if alarm else effect_of_lesson(lesson),
        state=_standing(
            evidence, effect_of(evidence), status=lesson.status, obstacle=exempt or ready.obstacle(), alarm=alarm
        ),
        side_effect=_side_effect(evidence, alarm, work.shelves.priors_of(caller.project, lesson.agent_name).side),
        lift=_lesson_lift(lesson, exposures),
        top_recurring=[_recurring(lesson)] if is_shown else [],
        withheld_by_reason={"coin": by_coin, "holdout": delivered.deliveries - delivered.shown - by_coin},
        prevention_rate=_rate(counted["prevented"], counted["verified"]),
    )


def _lesson_lift(lesson: Lesson, exposures: Mapping[int, Exposure]) -> LessonLift:
    """Return issues prevented per 100 runs in which the coin decided on the lesson, shown against withheld."""
    evidence = evidence_of(lesson, exposures)
    seen = evidence.total()
    enough = evidence.events >= EVENTS_MIN and seen.withheld > 0
    return LessonLift(
        status="measured" if enough else "not enough data",
        comparisons=seen.withheld,
        runs_shown=seen.shown,
        runs_without_a_coin=evidence.certain,
        unit=UNIT,
        **_interval(lift_of(evidence) if enough else None),
    )


def _sum(rows: Iterable[tuple[object, ...]], name: str) -> int:
    return sum(getattr(row, name) for row in rows)


def _recurring(lesson: Lesson) -> RecurringIssue:
    seen_at = lesson.last_seen_at.isoformat() if lesson.last_seen_at else None
    return result_of(RecurringIssue, lesson, issues=lesson.issue_count, last_seen_at=seen_at)
