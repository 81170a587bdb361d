"""Scoring: the effect of a lesson from its evidence, the status that follows, and its evidence counted anew."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.experiment.effect import effect_before, effect_of, prior_mean
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.promotion import next_status
from lessonbook.experiment.serving_policy import Priors
from lessonbook.services.cache.evidence import Measure
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import run_checks, runs
from lessonbook.store import stats as figures
from lessonbook.store.types import Row


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


def is_randomised(delivery: runs.DeliveryRow, lesson: Lesson) -> bool:
    """Return whether a delivery is evidence of the lesson's effect: a coin decided, on the words it has now."""
    return not delivery.exempt and delivery.lesson_version == lesson.version


def move_by_evidence(
    ledger: Ledger, lesson: Lesson, exposures: Mapping[int, figures.Exposure], priors: Priors | None = None
) -> None:
    """Promote, demote or retire a lesson by its evidence; nothing, where its arms are unlike.

    Applications and flags, which are the agents' own statements, influence the order of lessons, but never a status.
    """
    if lesson.status not in SERVABLE or Evidence.from_document(lesson.evidence).alarm:
        return
    learning = ledger.work.settings.learning
    measure = Measure(ledger.caller.project, lesson.agent_name, learning.mode)
    measure.know(lesson, exposures, priors or Priors(), ledger.now)
    appraisal = measure.appraised(lesson, exempt=False)
    move = next_status(lesson.status, appraisal, pinned=lesson.pinned, named=learning.reporters)
    if move is None or (move.action == "demote" and lesson.approved_by is not None):
        return
    values: Row = {"status": move.to, "expires_at": None if move.action == "retire" else ledger.expiry()}
    ledger.move(lesson, move.action, f"By evidence: {move.reason}.", values, move.numbers)


def recount(ledger: Ledger, lesson: Lesson) -> None:
    """Recompute a lesson's evidence from the database, because issues have moved or its words have changed."""
    known = Evidence.from_document(lesson.evidence)
    found = counted(ledger.connection, ledger.caller.project, {lesson.id: lesson}).get(lesson.id, Evidence())
    ledger.set(lesson, scored(replace(found, before=known.before, alarm=known.alarm)))


def counted(connection: Connection, project: str, lessons: Mapping[str, Lesson]) -> dict[str, Evidence]:
    """Return the evidence of lessons from the rows of the experiment that is on and the verdicts, by lesson id."""
    found: dict[str, Evidence] = defaultdict(Evidence)
    only = next(iter(lessons)) if len(lessons) == 1 else ""
    epoch = run_checks.experiment(connection, project).epoch
    for row in run_checks.rows_of_lessons(connection, project, epoch, only):
        lesson = lessons.get(row.lesson_id)
        if lesson is None or row.left_out or row.lesson_version != lesson.version:
            continue
        known = found[row.lesson_id].add_row(shown=row.shown, p_show=row.p_show, period=row.week)
        if row.applied and row.shown:
            known = known.add_application(period=row.week)
        if row.event_by is not None:
            known = known.add_event(
                shown=row.shown, share=row.share, reporter=row.event_by, applied=row.applied, period=row.week
            )
        known = known.add_side(shown=row.shown, p_show=row.p_show, wrong=row.wrong)
        if row.unexplained is not None:
            known = known.add_unexplained(shown=row.shown, p_show=row.p_show, wrong=row.unexplained, period=row.week)
        found[row.lesson_id] = known
    for lesson_id, verdicts in evidence_rows.verified_verdicts(connection, project, only).items():
        if lesson_id in lessons:
            found[lesson_id] = replace(found[lesson_id], verdicts=verdicts)
    return found
