"""Upkeep: clean-up of useless lessons, expiry, rollups, resuming after a stop, and the doctor."""

from datetime import datetime, timedelta
from shlex import quote
from typing import Final, Literal

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, Forbidden
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.operator import CleanedUp, Cleanup, CleanupLine
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.expiry import lapse
from lessonbook.screening.redact import redact
from lessonbook.services.agent_names import label_shelves
from lessonbook.services.background.installation import warnings as of_settings
from lessonbook.services.cache.measured import counted_since
from lessonbook.services.lesson_results import result_of
from lessonbook.services.project_names import hint_on
from lessonbook.services.views.unusual_reports import unusual
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.arms import alarm_sentence, as_sums, sides, stop_if_harmful, unhealthy_agents
from lessonbook.services.writing.checked_runs import ROUTINE_CHECKS
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import counted
from lessonbook.store import (
    audit,
    call_counts,
    checks,
    idempotency,
    installation,
    migrate,
    partitions,
    recounts,
    rollups,
    tokens,
)
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import stats as figures
from lessonbook.store.row_security import EVERY_PROJECT
from lessonbook.store.types import Row

EXAMINED_MAX: Final = 10_000
MOVED_MAX: Final = 20
"""Lessons that a warning names."""
SILENT_AFTER: Final = timedelta(days=14)
"""A reporter that has checked no run for so long is told of."""
Fate = Literal["suspend", "propose", "spare"]
"""What a clean-up does with a lesson; a vouched one is only proposed for suspension."""


class Diagnosis(BaseModel):
    """What the doctor found: faults have to be repaired, warnings do not."""

    healthy: bool
    faults: list[str]
    warnings: list[str]


class Upkeep(BaseModel):
    """What a round of upkeep did: lessons that expired, rows rolled up, keys deleted, whether it stopped serving."""

    expired: int
    folded: int
    forgotten_keys: int
    stopped: bool = False


class Resumed(BaseModel):
    """A project whose serving is resumed, and why it had stopped."""

    project: str
    stopped_for: str


async def cleanup_lessons(work: Workspace, caller: Caller, cleanup: Cleanup) -> CleanedUp:
    """Suspend lessons that were applied often and prevented little, or list them in a dry run.

    Only verdicts of others than the run's principal count. Spared are pinned lessons, those without such verdicts, and
    those whose effect interval lies above zero. Vouched lessons are proposed for suspension.

    Raises:
        Forbidden: it is not a dry run, and the caller is neither a person nor a token with `lessons:approve`.
        Conflict: the idempotency key was used with another clean-up.
    """
    if not cleanup.dry_run and not caller.is_reviewer:
        raise Forbidden(
            "Only a person can carry out a clean-up: run `lessonbook cleanup --execute`, "
            "or pass dry_run = true to see what it would suspend"
        )

    def act(connection: Connection, now: datetime) -> CleanedUp:
        ledger = Ledger(work, caller, connection, now)
        examined = lesson_rows.applied_at_least(connection, caller.project, cleanup.min_applications, EXAMINED_MAX)
        verdicts = evidence_rows.verified_verdicts(connection, caller.project)
        if not cleanup.dry_run:
            condemned = [
                lesson.id
                for lesson in examined
                if _judge(lesson, verdicts.get(lesson.id, (0, 0)), cleanup)[0] == "suspend"
            ]
            held = ledger.lessons(condemned)
            examined = [held.get(lesson.id, lesson) for lesson in examined]
        lines: list[CleanupLine] = []
        for lesson in examined:
            split = verdicts.get(lesson.id, (0, 0))
            fate, reason = _judge(lesson, split, cleanup)
            if not cleanup.dry_run:
                _carry_out(ledger, lesson, fate, reason, {"prevented": split[0], "not_prevented": split[1]})
            chosen = {"suspended": fate == "suspend", "proposed": fate == "propose"}
            lines.append(result_of(CleanupLine, lesson, reason=reason, **chosen))
        suspended, proposed = (sum(getattr(line, name) for line in lines) for name in ("suspended", "proposed"))
        if not cleanup.dry_run:
            ledger.note("cleanup", caller.project, {"suspended": suspended, "proposed": proposed})
            ledger.write()
        return CleanedUp(dry_run=cleanup.dry_run, suspended=suspended, proposed=proposed, lessons=lines)

    fingerprint = request_hash(cleanup, "idempotency_key")
    key = "" if cleanup.dry_run else cleanup.idempotency_key
    return await once(work, caller, "cleanup_lessons", key, fingerprint, CleanedUp, act)


def _judge(lesson: Lesson, verdicts: tuple[int, int], cleanup: Cleanup) -> tuple[Fate, str]:
    """Return a lesson's fate, and the reason in a sentence; `verdicts` are (prevented, not prevented)."""
    if lesson.status not in SERVABLE:
        return "spare", f"spared: it is {lesson.status} already"
    prevented, judged = verdicts[0], sum(verdicts)
    if judged == 0:
        by_itself = " but those who applied it" if lesson.times_verified else ""
        return "spare", f"spared: nobody{by_itself} has given a verdict on it"
    ratio = f"prevented its issue in {prevented} of {count_of(judged, 'verdict')}"
    if prevented / judged >= cleanup.threshold:
        return "spare", f"spared: {ratio}"
    if lesson.pinned:
        return "spare", f"spared: {ratio}, but it is pinned"
    if lesson.events >= EVENTS_MIN and lesson.effect_low > 0:
        return "spare", f"spared: {ratio}, but its measured effect is good (interval above zero)"
    if lesson.is_vouched_for:
        who = "a person" if lesson.approved_by else "the catalogue"
        return "propose", f"{ratio}, but {who} vouches for it: suspend it by `lessonbook lessons suspend {lesson.id}`"
    return "suspend", ratio


def _carry_out(ledger: Ledger, lesson: Lesson, fate: Fate, reason: str, verdicts: dict[str, int]) -> None:
    numbers = {"applied": lesson.times_applied, **verdicts}
    if fate == "suspend":
        ledger.move(lesson, "suspend", f"clean-up: {reason}", {"status": "suspended"}, numbers)
    elif fate == "propose":
        ledger.note("lesson.propose_suspension", lesson.id, {"reason": reason, **numbers})


async def keep_up(work: Workspace, caller: Caller) -> Upkeep:
    """Do a round of upkeep.

    Deliveries, runs and issues are rolled up by day; overdue lessons expire, or go back to probation; serving stops
    where it does harm; old idempotency keys are deleted.
    """
    folded = 0
    while counted := await work.store.write(lambda connection: rollups.roll_up(connection, caller.project, work.now())):
        folded += counted

    def transaction(connection: Connection) -> Upkeep:
        now = work.now()
        ledger = Ledger(work, caller, connection, now)
        seen = lesson_rows.overdue(connection, caller.project, now)
        ledger.hold(lesson.agent_name for lesson in seen)
        overdue = lesson_rows.overdue(connection, caller.project, now, [lesson.id for lesson in seen])
        lapsed = sum(_let_lapse(ledger, lesson) for lesson in overdue)
        stopped = stop_if_harmful(ledger)
        ledger.write()
        return Upkeep(expired=lapsed, folded=folded, forgotten_keys=0, stopped=stopped)

    done = await work.store.write(transaction)
    # In its own transaction: it may wait for a key that is in use, and must hold no other locks meanwhile.
    done.forgotten_keys = await work.store.write(lambda connection: idempotency.prune(connection, work.now()))
    days = work.settings.database.keep_deliveries_days
    await work.store.write(lambda connection: partitions.keep(connection, caller.project, work.now(), days))
    minute = int(work.now().timestamp()) // 60
    await work.store.write(lambda connection: call_counts.prune(connection, minute))
    return done


def _let_lapse(ledger: Ledger, lesson: Lesson) -> bool:
    """Let an overdue lesson expire, and return whether it did: an active one delivered lately gets more time."""
    delivered_at = figures.last_delivered(ledger.connection, ledger.caller.project, lesson.id)
    ttl_days = ledger.work.settings.learning.ttl_days
    found = lapse(active=lesson.status == "active", delivered_at=delivered_at, now=ledger.now, ttl_days=ttl_days)
    if found.status == lesson.status:
        ledger.set(lesson, {"expires_at": found.until})
        return False
    seen = "seen" if found.status == "expired" else "delivered"
    values: Row = {"status": found.status, "expires_at": found.until}
    ledger.move(lesson, "expire", f"Neither verified nor {seen} in time.", values)
    return True


async def resume(work: Workspace, caller: Caller, reason: str) -> Resumed:
    """Resume serving after it stopped because it did harm; only runs from now on count for the next stop.

    Raises:
        Forbidden: the caller is not a person.
        Conflict: serving is not stopped.
    """
    caller.require_person("resume serving", "resume")

    def transaction(connection: Connection) -> Resumed:
        stop = evidence_rows.stop_of(connection, caller.project)
        if stop is None or not stop.stopped:
            raise Conflict(f"Serving is not stopped in project {caller.project!r}: there is nothing to resume")
        ledger = Ledger(work, caller, connection, work.now())
        numbers = as_sums(*sides(connection, caller.project))
        why = redact(reason)[0]
        resumed = evidence_rows.ServiceStop(
            caller.project,
            stopped=False,
            reason=why,
            numbers=numbers,
            principal=caller.principal,
            changed_at=ledger.now,
        )
        evidence_rows.put_stop(connection, resumed)
        ledger.note("service.resume", caller.project, {"reason": why, **numbers})
        ledger.write()
        return Resumed(project=caller.project, stopped_for=stop.reason)

    return await work.store.write(transaction)


async def diagnose(work: Workspace, caller: Caller | None = None) -> Diagnosis:
    """Return the faults (counters that differ from the evidence, broken audit chains, a damaged file) and warnings."""
    of_services = [await work.semantic.checked(), *await work.store.warnings()]

    def read(connection: Connection) -> Diagnosis:
        faults = recounts.database_faults(connection)
        for project in recounts.projects(connection):
            found = recounts.miscounted(connection, project) + _misjudged(connection, project)
            found += audit.verify(connection, project)
            faults += [f"project {project}: {line}" for line in found]
        warnings = [*installation.warnings(connection), partitions.warning(connection), *of_services]
        valid = [token for token in tokens.every(connection) if _is_valid(token, work.now())]
        warnings += of_settings(work.settings, valid)
        for project in recounts.projects(connection):
            warnings += _made_for_labels(work, connection, project)
            warnings += _unmeasured(connection, project, work.now())
            warnings += [f"project {project}: {line}" for line in unusual(connection, project, work.now())]
        if caller is not None:
            warnings += [caller.project_note, hint_on(connection, caller)]
        return Diagnosis(healthy=not faults, faults=faults, warnings=[*filter(None, warnings)])

    with work.store.within(EVERY_PROJECT):
        return await work.store.read(read)


def _is_valid(token: tokens.TokenRow, now: datetime) -> bool:
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def _unmeasured(connection: Connection, project: str, now: datetime) -> list[str]:
    """Return a warning for arms that are unlike, for each reporter whose checks tell nothing, and each gone silent."""
    rows = evidence_rows.of_agents(connection, project)
    warnings = [
        f"project {project}, agent {row.agent_name}: {alarm_sentence(Evidence.from_document(row.effect).alarm)}"
        for row in rows
        if row.agent_name in unhealthy_agents(rows)
    ]
    for reporter, looks, empty, last in checks.reporters(connection, project, counted_since(now)):
        name = f"{reporter.principal} ({', '.join(filter(None, (reporter.source, reporter.tool)))})"
        if looks >= ROUTINE_CHECKS and not empty:
            warnings.append(
                f"project {project}: {name} has reported on {looks} runs and never that nothing was found, so it seems "
                "to report only what it finds, and its checks tell nothing: let it report every run"
            )
        elif now - last > SILENT_AFTER:
            warnings.append(f"project {project}: {name} has checked no run since {last.date().isoformat()}")
    if moved := recounts.moved_unchecked(connection, project):
        named = ", ".join(f"{lesson_id} ({action})" for lesson_id, action in moved[:MOVED_MAX])
        more = f" and {len(moved) - MOVED_MAX} more" if len(moved) > MOVED_MAX else ""
        warnings.append(
            f"project {project}: evidence from before runs were checked, which counts no longer, last moved "
            f"{named}{more}: see `lessonbook lessons show ID`, and approve, restore or suspend what should be otherwise"
        )
    return warnings


def _made_for_labels(work: Workspace, connection: Connection, project: str) -> list[str]:
    """Return a warning for each name that has lessons only because something was reported under it."""
    return [
        f"project {project}: lessons are kept for {name!r}, which is not an agent. Make it one: "
        f"`lessonbook agents add {quote(name)} --project {quote(project)}`, or move them to one: "
        f"`lessonbook agents merge {quote(name)} AGENT --project {quote(project)}`"
        for name in sorted(label_shelves(work.roster, connection, project))
    ]


def _misjudged(connection: Connection, project: str) -> list[str]:
    """Return a sentence for each lesson whose evidence differs from its events."""
    lessons = lesson_rows.all_of(connection, project)
    found = counted(connection, project, lessons)
    wrong: list[str] = []
    for lesson in lessons.values():
        stored, events = Evidence.from_document(lesson.evidence), found.get(lesson.id, Evidence())
        if lesson.events != events.events:
            wrong.append(f"lesson {lesson.id}: events is {lesson.events}, the evidence says {events.events}")
        elif (stored.periods, stored.reporters, stored.side) != (events.periods, events.reporters, events.side):
            wrong.append(f"lesson {lesson.id}: its evidence differs from the checked runs, events and applications")
        elif any(stored.verdicts) and stored.verdicts != events.verdicts:
            wrong.append(f"lesson {lesson.id}: its evidence differs from the verdicts of others in its runs")
    return wrong


async def is_alive(work: Workspace, _caller: Caller | None = None) -> bool:
    """Return whether the database answers and has the schema this version needs, or a newer one.

    While replicas are replaced, those of the version before serve on: each migration is compatible with them.

    Raises:
        Unavailable: it does not answer.
    """
    return (await migrate.current(work.store) or "") >= migrate.HEAD
