"""Upkeep: clean-up of useless lessons, expiry, rollups, and resuming after a stop."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import Conflict, Forbidden
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.takeback import CleanedUp, Cleanup, CleanupLine
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.expiry import lapse
from lessonbook.screening.redact import redact
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.arms import as_sums, sides, stop_if_harmful
from lessonbook.services.writing.ledger import Ledger
from lessonbook.store import (
    call_counts,
    idempotency,
    migrate,
    partitions,
    rollups,
)
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import stats as figures
from lessonbook.store.types import Row

EXAMINED_MAX: Final = 10_000
Fate = Literal["suspend", "propose", "spare"]
"""What a clean-up does with a lesson; a vouched one is only proposed for suspension."""


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


async def is_alive(work: Workspace, _caller: Caller | None = None) -> bool:
    """Return whether the database answers and has the schema this version needs, or a newer one.

    While replicas are replaced, those of the version before serve on: each migration is compatible with them.

    Raises:
        Unavailable: it does not answer.
    """
    return (await migrate.current(work.store) or "") >= migrate.HEAD
