"""Applications of lessons, verdicts whether they prevented their issue, and flags."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from sqlalchemy import Connection

from lessonbook.domain.agent_tools import Application, Applied, Flag, Flagged, RecordedApplication
from lessonbook.domain.errors import NotFound
from lessonbook.domain.lesson import Caller, Lesson, not_independent
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.principals import LOCAL, SCRIPT
from lessonbook.domain.vocabulary import EvidenceGrade, Source
from lessonbook.experiment.evidence import Evidence
from lessonbook.screening.redact import redact
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import effect_columns, is_randomised
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import rollups, run_checks, runs
from lessonbook.store.run_checks import CheckedLesson
from lessonbook.store.runs import ApplicationRow, DeliveryRow, RunRow
from lessonbook.store.types import Row

FLAGS_TO_SUSPEND: Final = 2
UNPROVEN: Final = frozenset({LOCAL, SCRIPT})
"""Principals without credentials, as which anybody on the machine may flag: they never count as one of two."""


async def record_application(work: Workspace, caller: Caller, application: Application) -> Applied:
    """Record that lessons were applied in a run, or the verdicts on them; returns a line per lesson.

    An agent's own report and an independent verdict are stored apart. A declared verdict does not overwrite a verified
    one.

    Raises:
        NotFound: the run does not exist.
        Conflict: the idempotency key was used with another application.
    """
    key, fingerprint = application.idempotency_key, request_hash(application, "idempotency_key")
    claimed = application.source
    application = application.model_copy(update={"source": caller.source_of(claimed)})

    def act(connection: Connection, now: datetime) -> Applied:
        run = runs.find(connection, caller.project, application.run_id)
        if run is None:
            raise NotFound.run(application.run_id, caller.project, "pass the run_id that get_lessons returned")
        ledger = Ledger(work, caller, connection, now)
        wanted = list(dict.fromkeys(application.lesson_ids))
        lessons = ledger.lessons(wanted)
        recorded = runs.applications_of(connection, caller.project, application.run_id, wanted)
        delivered = runs.deliveries_of(connection, run)
        epoch = run_checks.experiment(connection, caller.project).epoch
        rows = run_checks.rows_of_run(connection, caller.project, application.run_id, epoch)
        evidence: EvidenceGrade = "verified" if caller.may_verify(run.principal) else "declared"
        results = [
            _record(
                ledger,
                application,
                run,
                lessons[lesson_id],
                recorded.get(lesson_id),
                delivered.get(lesson_id),
                evidence,
                rows.get(lesson_id),
            )
            if lesson_id in lessons
            else RecordedApplication(lesson_id=lesson_id, result="unknown")
            for lesson_id in wanted
        ]
        _count_by_day(ledger, run.agent_name, recorded, application.run_id, wanted)
        ledger.write()
        kept = [
            lesson_id for lesson_id, old in recorded.items() if not _may_change(caller, run, old, application.source)
        ]
        notes = [not_independent(claimed) if application.source != claimed else "", _kept_note(sorted(kept))]
        return Applied(results=results, note=" ".join(filter(None, notes)))

    return await once(work, caller, "record_application", key, fingerprint, Applied, act)


def _record(
    ledger: Ledger,
    application: Application,
    run: RunRow,
    lesson: Lesson,
    old: ApplicationRow | None,
    delivery: DeliveryRow | None,
    evidence: EvidenceGrade,
    row: CheckedLesson | None,
) -> RecordedApplication:
    may_change = old is None or _may_change(ledger.caller, run, old, application.source)
    values = _values(ledger, application, old, evidence) if may_change else {}
    by_coin = delivery is not None and delivery.shown and is_randomised(delivery, lesson)
    if old is None:
        new: dict[str, Any] = {
            "project": ledger.caller.project,
            "run_id": application.run_id,
            "lesson_id": lesson.id,
            "agent_name": run.agent_name,
            "principal": ledger.caller.principal,
            "by_coin": by_coin,
            "applied_at": ledger.now,
            **values,
        }
        runs.add_application(ledger.connection, new)
    elif values:
        runs.change_application(ledger.connection, ledger.caller.project, application.run_id, lesson.id, values)
    said = old._asdict() if old else {}
    before, after = _Statements.of(said), _Statements.of({**said, **values})
    known = Evidence.from_document(lesson.evidence)
    if old is None and row is not None and _tells_of(row, lesson):
        known = known.add_application(period=row.week, event=row.event_by is not None)
        run_checks.change_row(ledger.connection, row, {"applied": True})
    counters = _counters(lesson, known, before, after, is_new=old is None)
    is_renewed = lesson.status == "probation" and values.get("verdict_evidence") == "verified"
    renewed: Row = {"expires_at": ledger.expiry()} if is_renewed else {}
    ledger.set(lesson, {**counters, **renewed, "last_applied_at": ledger.now})
    return RecordedApplication(
        lesson_id=lesson.id,
        result="recorded" if old is None else "updated",
        times_applied=counters["times_applied"],
        times_prevented=counters["times_prevented"],
    )


def _may_change(caller: Caller, run: RunRow, old: ApplicationRow, source: Source) -> bool:
    """Return whether a caller may change what is recorded of an application: its own word, or as whom it trusts.

    A token without `evidence:write` changes nothing that another principal said of a run which is not its own.
    """
    if caller.scopes is None or caller.principal == run.principal or caller.may_verify(run.principal):
        return True
    said_by = old.principal if source == "agent" else (old.verdict_by or caller.principal)
    return said_by == caller.principal


def _kept_note(lesson_ids: Collection[str]) -> str:
    if not lesson_ids:
        return ""
    return (
        f"Not changed, as another principal said it before: {', '.join(lesson_ids)}. Only that one, the run's own, or "
        "a token with evidence:write may say otherwise."
    )


def _tells_of(row: CheckedLesson, lesson: Lesson) -> bool:
    """Return whether an application of a lesson that was shown adds to its row of the experiment."""
    return row.shown and not (row.left_out or row.applied) and row.lesson_version == lesson.version


def _count_by_day(
    ledger: Ledger, agent_name: str, before: Mapping[str, ApplicationRow], run_id: str, lesson_ids: Collection[str]
) -> None:
    """Count the call's changes on the day of each application, for figures of the last days."""
    project = ledger.caller.project
    after = runs.applications_of(ledger.connection, project, run_id, lesson_ids)
    changed: dict[str, Counter[str]] = defaultdict(Counter)
    for lesson_id, row in after.items():
        old = before.get(lesson_id)
        day = changed[row.applied_at.date().isoformat()]
        day["applications"] += old is None
        day["verified"] += (row.verdict is not None) - (old is not None and old.verdict is not None)
        day["prevented"] += (row.verdict is True) - (old is not None and old.verdict is True)
    for day, counts in sorted(changed.items()):
        if any(counts.values()):
            rollups.count_applications(
                ledger.connection, project, agent_name, day, rollups.AppliedCounts(**counts), ledger.now
            )


@dataclass(frozen=True, slots=True)
class _Statements:
    """The verdict on one application, and whether it is verified."""

    verdict: bool | None = None
    verified: bool = False

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the verdict in the columns of an application."""
        return cls(row.get("verdict"), row.get("verdict_evidence") == "verified")

    def judges(self, *, prevented: bool) -> bool:
        """Return whether somebody other than the run's principal gave this verdict."""
        return self.verified and self.verdict is prevented


def _values(ledger: Ledger, application: Application, old: ApplicationRow | None, evidence: EvidenceGrade) -> Row:
    """Return the columns that the call sets: the agent's own report, or a verdict that may replace the old one."""
    values: Row = {"notes": redact(application.notes)[0]} if application.notes or old is None else {}
    if application.prevented_issue is None:
        return values
    if application.source == "agent":
        return {**values, "self_report": application.prevented_issue}
    if old is not None and old.verdict_evidence == "verified" and evidence == "declared":
        return values
    return {
        **values,
        "verdict": application.prevented_issue,
        "verdict_source": application.source,
        "verdict_evidence": evidence,
        "verdict_by": ledger.caller.principal,
        "verdict_at": ledger.now,
    }


def _counters(lesson: Lesson, evidence: Evidence, before: _Statements, after: _Statements, *, is_new: bool) -> Row:
    """Return the lesson's counters, evidence and effect; declared verdicts count only in the counters."""
    counters: Row = {
        "times_applied": lesson.times_applied + is_new,
        "times_verified": lesson.times_verified + (after.verdict is not None) - (before.verdict is not None),
        "times_prevented": lesson.times_prevented + (after.verdict is True) - (before.verdict is True),
    }
    for_it, against = evidence.verdicts
    verdicts = (  # not below zero: an older version did not store them
        max(for_it + after.judges(prevented=True) - before.judges(prevented=True), 0),
        max(against + after.judges(prevented=False) - before.judges(prevented=False), 0),
    )
    document = replace(evidence, verdicts=verdicts).to_document()
    if document != lesson.evidence:
        counters["evidence"] = document
    return counters if lesson.events else {**counters, **effect_columns(replace(lesson, **counters))}


async def flag_lesson(work: Workspace, caller: Caller, flag: Flag) -> Flagged:
    """Record that a lesson misled. Flags of two principals suspend it, unless a person or the catalogue vouches for it.

    Every flag is kept with its reason; those of one principal count once. All callers without a name, over stdio or
    HTTP without authorisation, are one principal, and none of the two.

    Raises:
        NotFound: the lesson or the run does not exist.
        Conflict: the idempotency key was used with another flag.
    """

    def act(connection: Connection, now: datetime) -> Flagged:
        ledger = Ledger(work, caller, connection, now)
        lesson = ledger.lesson(flag.lesson_id)
        if flag.run_id and runs.find(connection, caller.project, flag.run_id) is None:
            raise NotFound.run(flag.run_id, caller.project, "leave run_id out")
        row: Row = {
            "project": caller.project,
            "lesson_id": lesson.id,
            "principal": caller.principal,
            "reason": redact(flag.reason)[0],
            "run_id": flag.run_id or None,
            "flagged_at": now,
        }
        is_first = lesson_rows.add_flag(connection, row)
        flags = lesson.flags + is_first
        if is_first:
            ledger.set(lesson, {"flags": flags})
            ledger.note("lesson.flag", lesson.id, {"flags": flags})
        result = _weigh(ledger, lesson, flags)
        ledger.write()
        return result

    fingerprint = request_hash(flag, "idempotency_key")
    return await once(work, caller, "flag_lesson", flag.idempotency_key, fingerprint, Flagged, act)


def _unsettled(ledger: Ledger, lesson: Lesson, flags: int) -> int:
    """Return the number of authenticated principals who flagged since a person last restored the lesson."""
    if flags < FLAGS_TO_SUSPEND:
        return flags
    project = ledger.caller.project
    history = lesson_rows.history(ledger.connection, project, lesson.id)
    settled = max((row.changed_at for row in history if row.action == "restore"), default=None)
    found = lesson_rows.flags_of(ledger.connection, project, lesson.id)
    return len({row.principal for row in found if settled is None or row.flagged_at > settled} - UNPROVEN)


def _weigh(ledger: Ledger, lesson: Lesson, flags: int) -> Flagged:
    if lesson.is_vouched_for:
        who = "A person" if lesson.pinned or lesson.approved_by else "The catalogue"
        note = f"{who} vouches for this lesson: it is still served, and a review is queued."
        return Flagged(result="review queued", lesson_id=lesson.id, flags=flags, note=note)
    if lesson.status not in SERVABLE or _unsettled(ledger, lesson, flags) < FLAGS_TO_SUSPEND:
        return Flagged(result="noted", lesson_id=lesson.id, flags=flags)
    ledger.move(lesson, "suspend", f"{flags} principals flagged it", {"status": "suspended"}, {"flags": flags})
    return Flagged(result="suspended", lesson_id=lesson.id, flags=flags)
