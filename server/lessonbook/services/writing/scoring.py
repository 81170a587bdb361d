"""Scoring: new events change scores, statuses and the service's sums, in the transaction that reports them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, replace
from typing import Any, Final

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.experiment.effect import effect_before, effect_of, prior_mean
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.lift import RunTotals, service_harms, service_lift
from lessonbook.experiment.policy import HOLDOUT_SHARE
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.promotion import next_status
from lessonbook.services.cache.measured import Measure
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import runs
from lessonbook.store import stats as figures
from lessonbook.store.rollups import ActivityDay, week_of
from lessonbook.store.types import Row

RUN_ISSUES_MAX: Final = 10
"""The most issues of one run that count: one broken build must not outweigh a hundred runs."""


class Scores:
    """The events of one report, and the changes that follow from them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._events: dict[str, Evidence] = defaultdict(Evidence)
        self._of_agents: dict[str, Evidence] = defaultdict(Evidence)
        self._verified: list[str] = []

    def add_event(self, lesson: Lesson, delivery: runs.DeliveryRow) -> None:
        """Count a verified event of a lesson, if the delivery is evidence of the lesson's present words."""
        if not is_randomised(delivery, lesson):
            return
        connection, project, run_id = self._ledger.connection, self._ledger.caller.project, delivery.run_id
        applied = runs.applications_of(connection, project, run_id, [lesson.id])
        event: dict[str, Any] = {
            "shown": delivery.shown,
            "p_show": delivery.p_show,
            "verified": True,
            "applied": any(row.by_coin for row in applied.values()),
            "period": week_of(delivery.delivered_at.date()),
        }
        self._events[lesson.id] = self._events[lesson.id].add_event(**event)
        agent_name = delivery.agent_name
        self._of_agents[agent_name] = self._of_agents[agent_name].add_event(**event)

    def verify_event(self, lesson: Lesson, delivery: runs.DeliveryRow, event: evidence_rows.Event) -> None:
        """Count an event that was only declared before, and that another principal has reported now."""
        self._verified.append(event.issue_id)
        self.add_event(lesson, delivery)

    def values_of(self, lesson: Lesson) -> Row:
        """Return the columns that new events set; empty if there are none."""
        if lesson.id not in self._events:
            return {}
        evidence = Evidence.from_document(lesson.evidence) + self._events[lesson.id]
        return scored(evidence, self._prior(lesson))

    def move(self, lesson: Lesson) -> None:
        """Change the lesson's status if its new evidence asks for it; the numbers go into its history."""
        if lesson.id in self._events:
            exposures = figures.exposures_of(self._ledger.connection, self._ledger.caller.project, lesson.id)
            move_by_evidence(self._ledger, lesson, exposures, self._prior(lesson))

    def write(self, run: runs.RunRow | None, new_issues: int) -> None:
        """Write verified events, the agents' sums, and the run's count of issues."""
        connection, project = self._ledger.connection, self._ledger.caller.project
        evidence_rows.verify_events(connection, project, self._verified)
        arms = _arms(connection, run, new_issues) if run is not None and new_issues else {}
        agents = {*self._of_agents, *([run.agent_name] if run is not None and arms else [])}
        for agent_name in sorted(agents):
            sums = evidence_rows.hold(connection, project, agent_name)
            total = Evidence.from_document(sums.effect) + self._of_agents[agent_name]
            grown: dict[str, int] = {}
            if run is not None and agent_name == run.agent_name:
                grown = {name: getattr(sums, name) + more for name, more in arms.items()}
            evidence_rows.put(connection, sums._replace(effect=total.to_document(), **grown))

    def _prior(self, lesson: Lesson) -> Prior:
        """Return the agent's prior, as this process knows it."""
        return self._ledger.work.shelves.prior_of(self._ledger.caller.project, lesson.agent_name)


def is_randomised(delivery: runs.DeliveryRow, lesson: Lesson) -> bool:
    """Return whether a delivery is evidence of the lesson's effect: a coin decided, on the words it has now."""
    return not delivery.exempt and delivery.lesson_version == lesson.version


def scored(evidence: Evidence, prior: Prior = DEFAULT_PRIOR) -> Row:
    """Return the columns of a lesson's evidence: the document, the number of events, and the effect."""
    return {"evidence": evidence.to_document(), "events": evidence.events, **_effect_columns(evidence, prior)}


def effect_columns(lesson: Lesson) -> Row:
    """Return the columns of a lesson's effect, from its row; before the first event, verdicts move the prior."""
    return _effect_columns(Evidence.from_document(lesson.evidence), DEFAULT_PRIOR)


def _effect_columns(evidence: Evidence, prior: Prior) -> Row:
    if evidence.events:
        effect = effect_of(evidence, prior)
    else:
        prevented, not_prevented = evidence.verdicts
        effect = effect_before(round(prior_mean(prevented + not_prevented, prevented), 3))
    return {"effectiveness_score": effect.mean, "effect_low": effect.low, "effect_high": effect.high}


def move_by_evidence(
    ledger: Ledger, lesson: Lesson, exposures: Mapping[int, figures.Exposure], prior: Prior = DEFAULT_PRIOR
) -> None:
    """Promote, demote or retire a lesson by its evidence, without the agents' own statements.

    Applications and flags influence the order of lessons, but never a status.
    """
    if lesson.status not in SERVABLE:
        return
    learning = ledger.work.settings.learning
    measure = Measure(ledger.caller.project, lesson.agent_name, learning.mode)
    measure.know(lesson, exposures, prior, ledger.now)
    evidence = Evidence.from_document(lesson.evidence).without_claims()
    appraisal = measure.appraised(replace(lesson, evidence=evidence.to_document(), flags=0), exempt=False)
    move = next_status(lesson.status, appraisal, evidence, pinned=lesson.pinned)
    if move is None or (move.action == "demote" and lesson.approved_by is not None):
        return
    values: Row = {"status": move.to, "expires_at": None if move.action == "retire" else ledger.expiry()}
    ledger.move(lesson, move.action, f"By evidence: {move.reason}.", values, move.numbers)


def recount(ledger: Ledger, lesson: Lesson) -> None:
    """Recompute a lesson's evidence from the database, because issues have moved or its words have changed."""
    found = counted(ledger.connection, ledger.caller.project, {lesson.id: lesson}).get(lesson.id, Evidence())
    ledger.set(lesson, scored(found))


def counted(connection: Connection, project: str, lessons: Mapping[str, Lesson]) -> dict[str, Evidence]:
    """Return the evidence of lessons from their verified events and verdicts and their applications, by lesson id."""
    found: dict[str, Evidence] = defaultdict(Evidence)
    only = next(iter(lessons)) if len(lessons) == 1 else ""
    for event in evidence_rows.assigned_events(connection, project, only):
        lesson = lessons.get(event.lesson_id)
        if lesson is not None and event.verified and not event.exempt and event.lesson_version == lesson.version:
            found[lesson.id] = found[lesson.id].add_event(
                shown=event.shown,
                p_show=event.p_show,
                verified=True,
                applied=event.applied,
                period=week_of(event.delivered_at.date()),
            )
    for applied in evidence_rows.applied_by_coin(connection, project, only):
        lesson = lessons.get(applied.lesson_id)
        if lesson is not None and applied.lesson_version == lesson.version:
            week = week_of(applied.delivered_at.date())
            found[lesson.id] = found[lesson.id].add_application(p_show=applied.p_show, period=week)
    for lesson_id, verdicts in evidence_rows.verified_verdicts(connection, project, only).items():
        if lesson_id in lessons:
            found[lesson_id] = replace(found[lesson_id], verdicts=verdicts)
    return found


def _arms(connection: Connection, run: runs.RunRow, new_issues: int) -> dict[str, int]:
    """Count the issues of a measured run, and return what they add to the sums of its arm."""
    if not run.p_holdout:
        return {}
    count = runs.add_issues(connection, run.project, run.run_id, new_issues)
    before, after = min(count - new_issues, RUN_ISSUES_MAX), min(count, RUN_ISSUES_MAX)
    side = "held_out" if run.holdout else "served"
    return {f"{side}_issues": after - before, f"{side}_squares": after**2 - before**2}


def sides(
    connection: Connection, project: str, agent_name: str = "", since: Mapping[str, int] | None = None
) -> list[RunTotals]:
    """Return the measured runs of a project or an agent: (served, held out).

    `since` has the sums to subtract: those before serving was resumed.
    """
    days = figures.activity(connection, project, agent_name)
    return sides_of(days, evidence_rows.of_agents(connection, project, agent_name), since)


def sides_of(
    days: Iterable[ActivityDay], rows: Iterable[evidence_rows.AgentSums], since: Mapping[str, int] | None = None
) -> list[RunTotals]:
    """Return the same from the activity by day and the sums of each agent. See `sides`."""
    days, rows = list(days), list(rows)
    held_out, measured = sum(day.held_out_runs for day in days), sum(day.measured_runs for day in days)
    sums: dict[str, int] = {name: sum(getattr(row, name) for row in rows) for name in evidence_rows.ARMS}
    sums |= {"served_runs": measured - held_out, "held_out_runs": held_out}
    left = {name: count - (since or {}).get(name, 0) for name, count in sums.items()}
    return [
        RunTotals(left[f"{side}_runs"], left[f"{side}_issues"], left[f"{side}_squares"])
        for side in ("served", "held_out")
    ]


def as_sums(served: RunTotals, held_out: RunTotals) -> dict[str, int]:
    """Return both arms as one row of sums."""
    return {
        f"{arm}_{name}": count
        for arm, totals in (("served", served), ("held_out", held_out))
        for name, count in zip(("runs", "issues", "squares"), astuple(totals), strict=True)
    }


def stop_if_harmful(ledger: Ledger) -> bool:
    """Stop serving if the whole service causes more issues than it prevents, and return whether it was stopped now."""
    connection, project = ledger.connection, ledger.caller.project
    stop = evidence_rows.stop_of(connection, project)
    if stop is not None and stop.stopped:
        return False
    served, held_out = sides(connection, project, since=stop.numbers if stop else None)
    if not service_harms(served, held_out, HOLDOUT_SHARE):
        return False
    lift = service_lift(served, held_out, HOLDOUT_SHARE)
    reason = (
        f"over {lift.observations} runs, those with lessons had {-100 * lift.mean:.1f} more issues per 100 runs than "
        f"those without (95 % interval {-100 * lift.high:.1f} to {-100 * lift.low:.1f}). "
        "A person can resume it: lessonbook resume"
    )
    evidence_rows.put_stop(
        connection,
        evidence_rows.ServiceStop(
            project,
            stopped=True,
            reason=reason,
            numbers=stop.numbers if stop else {},
            principal=ledger.caller.principal,
            changed_at=ledger.now,
        ),
    )
    ledger.note("service.stop", project, {"reason": reason, **as_sums(served, held_out)})
    return True
