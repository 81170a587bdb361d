"""Maintain: clean-up of useless lessons, expiry, folding of counts, and the doctor who counts anew."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.learning.effect import EVENTS_MIN
from lessonbook.models.lesson import Caller, Lesson
from lessonbook.models.operator import CleanedUp, Cleanup, CleanupLine
from lessonbook.models.vocabulary import SERVABLE
from lessonbook.services.lifecycle import Ledger
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.store import audit, idempotency, migrate, upkeep
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.types import Row

EXAMINED_MAX: Final = 10_000


class Diagnosis(BaseModel):
    """What the doctor found: faults need mending, warnings are good to know."""

    healthy: bool
    faults: list[str]
    warnings: list[str]


class Upkeep(BaseModel):
    """What a round of housekeeping did."""

    expired: int
    folded: int
    forgotten_keys: int


async def cleanup_lessons(work: Workspace, caller: Caller, cleanup: Cleanup) -> CleanedUp:
    """Suspend lessons that were applied often enough and prevented too little, or tell which they are.

    Never suspended: a pinned lesson, one without verdicts, one whose effect interval lies above zero.

    Raises:
        Conflict: the idempotency key was used with another clean-up.
    """

    def act(connection: Connection, now: datetime) -> CleanedUp:
        ledger = Ledger(work, caller, connection, now)
        examined = lesson_rows.applied_at_least(connection, caller.project, cleanup.min_applications, EXAMINED_MAX)
        lines: list[CleanupLine] = []
        for lesson in examined:
            useless, reason = _judge(lesson, cleanup)
            if useless and not cleanup.dry_run:
                numbers = {"applied": lesson.times_applied, "verified": lesson.times_verified}
                ledger.move(
                    lesson,
                    "suspend",
                    f"clean-up: {reason}",
                    {"status": "suspended"},
                    {**numbers, "prevented": lesson.times_prevented, "threshold": cleanup.threshold},
                )
            lines.append(_line(lesson, reason, suspended=useless))
        if not cleanup.dry_run:
            ledger.note("cleanup", caller.project, {"suspended": sum(line.suspended for line in lines)})
            ledger.write()
        return CleanedUp(dry_run=cleanup.dry_run, suspended=sum(line.suspended for line in lines), lessons=lines)

    fingerprint = request_hash(cleanup, "idempotency_key")
    key = "" if cleanup.dry_run else cleanup.idempotency_key
    return await once(work, caller, "cleanup_lessons", key, fingerprint, CleanedUp, act)


def _judge(lesson: Lesson, cleanup: Cleanup) -> tuple[bool, str]:
    """Return whether a lesson is useless, and the sentence that says why or why not."""
    if lesson.status not in SERVABLE:
        return False, f"spared: it is {lesson.status} already"
    if lesson.times_verified == 0:
        return False, "spared: nobody has given a verdict on it"
    told = f"prevented its issue in {lesson.times_prevented} of {lesson.times_verified} verdicts"
    if lesson.times_prevented / lesson.times_verified >= cleanup.threshold:
        return False, f"spared: {told}"
    if lesson.pinned:
        return False, f"spared: {told}, but it is pinned"
    if lesson.events >= EVENTS_MIN and lesson.effect_low > 0:
        return False, f"spared: {told}, but measured it helps (interval above zero)"
    return True, told


def _line(lesson: Lesson, reason: str, *, suspended: bool) -> CleanupLine:
    return CleanupLine(
        lesson_id=lesson.id,
        agent_name=lesson.agent_name,
        text=lesson.lesson_text,
        times_applied=lesson.times_applied,
        times_verified=lesson.times_verified,
        times_prevented=lesson.times_prevented,
        suspended=suspended,
        reason=reason,
    )


async def keep_up(work: Workspace, caller: Caller) -> Upkeep:
    """Expire lessons whose time is over, fold old deliveries into daily counts, forget old idempotency keys."""

    def transaction(connection: Connection) -> Upkeep:
        now = work.now()
        ledger = Ledger(work, caller, connection, now)
        overdue = lesson_rows.overdue(connection, caller.project, now)
        for lesson in overdue:
            values: Row = {"status": "expired", "expires_at": None}
            if lesson.status == "active":
                values = {"status": "probation", "expires_at": ledger.expiry()}
            ledger.move(lesson, "expire", "Neither verified nor seen in time.", values)
        ledger.write()
        return Upkeep(
            expired=len(overdue),
            folded=upkeep.fold_deliveries(connection, caller.project, now),
            forgotten_keys=idempotency.prune(connection, now),
        )

    return await work.store.write(transaction)


async def diagnose(work: Workspace) -> Diagnosis:
    """Return what is wrong: counters that differ from the evidence, broken audit chains, a damaged file."""
    semantic = await work.semantic.checked()

    def read(connection: Connection) -> Diagnosis:
        faults = upkeep.database_faults(connection)
        for project in upkeep.projects(connection):
            found = upkeep.miscounted(connection, project) + audit.verify(connection, project)
            faults += [f"project {project}: {line}" for line in found]
        warnings = [upkeep.sqlite_warning(connection), semantic]
        return Diagnosis(healthy=not faults, faults=faults, warnings=[*filter(None, warnings)])

    return await work.store.read(read)


async def is_alive(work: Workspace) -> bool:
    """Return whether the database answers and has the schema this version needs.

    Raises:
        Unavailable: it does not answer.
    """
    return await migrate.current(work.store) == migrate.HEAD
