"""Maintain: clean-up of useless lessons, expiry, folding of counts, and the doctor who counts anew."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel
from sqlalchemy import Connection

from lessonbook.domain.errors import Conflict, Forbidden
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import SERVABLE
from lessonbook.domain.operator import CleanedUp, Cleanup, CleanupLine
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.expiry import lapse
from lessonbook.screening.redact import redact
from lessonbook.services.agent_names import label_shelves
from lessonbook.services.workspace import Workspace, once, request_hash
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import as_sums, counted, recount, sides, stop_if_harmful
from lessonbook.store import audit, idempotency, migrate, recounts, rollups
from lessonbook.store import evidence as evidence_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import stats as figures
from lessonbook.store.types import Row

EXAMINED_MAX: Final = 10_000
Fate = Literal["suspend", "propose", "spare"]
"""What a clean-up does with a lesson: what somebody vouches for is only proposed for suspension."""


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
    stopped: bool = False


class Resumed(BaseModel):
    """A project that is served again, and why it was not."""

    project: str
    stopped_for: str


async def cleanup_lessons(work: Workspace, caller: Caller, cleanup: Cleanup) -> CleanedUp:
    """Suspend lessons that were applied often enough and prevented too little, or tell which they are.

    Only verdicts of others than the run's principal count. Never suspended: a pinned lesson, one without such verdicts,
    one whose effect interval lies above zero. What the catalogue or a person vouches for is proposed for suspension.

    Raises:
        Forbidden: it is no dry run, and the caller is no person.
        Conflict: the idempotency key was used with another clean-up.
    """
    if not cleanup.dry_run and not caller.person:
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
            lines.append(_line(lesson, fate, reason))
        suspended, proposed = (sum(getattr(line, name) for line in lines) for name in ("suspended", "proposed"))
        if not cleanup.dry_run:
            ledger.note("cleanup", caller.project, {"suspended": suspended, "proposed": proposed})
            ledger.write()
        return CleanedUp(dry_run=cleanup.dry_run, suspended=suspended, proposed=proposed, lessons=lines)

    fingerprint = request_hash(cleanup, "idempotency_key")
    key = "" if cleanup.dry_run else cleanup.idempotency_key
    return await once(work, caller, "cleanup_lessons", key, fingerprint, CleanedUp, act)


def _judge(lesson: Lesson, verdicts: tuple[int, int], cleanup: Cleanup) -> tuple[Fate, str]:
    """Return what becomes of a lesson, and the sentence that says why; `verdicts` are (prevented, not prevented)."""
    if lesson.status not in SERVABLE:
        return "spare", f"spared: it is {lesson.status} already"
    prevented, judged = verdicts[0], sum(verdicts)
    if judged == 0:
        by_itself = " but those who applied it" if lesson.times_verified else ""
        return "spare", f"spared: nobody{by_itself} has given a verdict on it"
    told = f"prevented its issue in {prevented} of {judged} verdicts"
    if prevented / judged >= cleanup.threshold:
        return "spare", f"spared: {told}"
    if lesson.pinned:
        return "spare", f"spared: {told}, but it is pinned"
    if lesson.events >= EVENTS_MIN and lesson.effect_low > 0:
        return "spare", f"spared: {told}, but measured it helps (interval above zero)"
    if lesson.is_vouched_for:
        who = "a person" if lesson.approved_by else "the catalogue"
        return "propose", f"{told}, but {who} vouches for it: to take it out, `lessonbook lessons suspend {lesson.id}`"
    return "suspend", told


def _carry_out(ledger: Ledger, lesson: Lesson, fate: Fate, reason: str, verdicts: dict[str, int]) -> None:
    numbers = {"applied": lesson.times_applied, **verdicts}
    match fate:
        case "suspend":
            ledger.move(lesson, "suspend", f"clean-up: {reason}", {"status": "suspended"}, numbers)
        case "propose":
            ledger.note("lesson.propose_suspension", lesson.id, {"reason": reason, **numbers})
        case "spare":
            pass


def _line(lesson: Lesson, fate: Fate, reason: str) -> CleanupLine:
    return CleanupLine(
        lesson_id=lesson.id,
        agent_name=lesson.agent_name,
        text=lesson.lesson_text,
        times_applied=lesson.times_applied,
        times_verified=lesson.times_verified,
        times_prevented=lesson.times_prevented,
        suspended=fate == "suspend",
        proposed=fate == "propose",
        reason=reason,
    )


async def keep_up(work: Workspace, caller: Caller) -> Upkeep:
    """Do a round of housekeeping.

    Deliveries, runs and issues are counted by day; lessons whose time is over expire, or go back to probation; serving
    stops where it does harm; old idempotency keys are forgotten.
    """
    folded = 0
    while counted := await work.store.write(lambda connection: rollups.roll_up(connection, caller.project, work.now())):
        folded += counted

    def transaction(connection: Connection) -> Upkeep:
        now = work.now()
        ledger = Ledger(work, caller, connection, now)
        seen = lesson_rows.overdue(connection, caller.project, now)
        declared = _with_declared_events(connection, caller.project)
        ledger.hold(lesson.agent_name for lesson in (*seen, *declared))
        overdue = lesson_rows.overdue(connection, caller.project, now, [lesson.id for lesson in seen])
        lapsed = sum(_let_lapse(ledger, lesson) for lesson in overdue)
        for lesson in ledger.lessons(lesson.id for lesson in declared).values():
            recount(ledger, lesson)
        stopped = stop_if_harmful(ledger)
        ledger.write()
        return Upkeep(expired=lapsed, folded=folded, forgotten_keys=0, stopped=stopped)

    done = await work.store.write(transaction)
    # In a transaction of its own: a key that is just being used again may be waited for by nobody who holds more.
    done.forgotten_keys = await work.store.write(lambda connection: idempotency.prune(connection, work.now()))
    return done


def _with_declared_events(connection: Connection, project: str) -> list[Lesson]:
    """Return lessons whose evidence holds events that were only declared: an older version counted those as well."""
    return [
        lesson
        for lesson in lesson_rows.with_events(connection, project)
        if (evidence := Evidence.from_document(lesson.evidence)).events != sum(map(sum, evidence.verified.values()))
    ]


def _let_lapse(ledger: Ledger, lesson: Lesson) -> bool:
    """End a lesson's time, and return whether it was over: an active one that was delivered lately has more."""
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
    """Serve again after serving was stopped because it did harm; only what comes from now on is counted.

    Raises:
        Forbidden: the caller is no person.
        Conflict: serving is not stopped.
    """
    if not caller.person:
        raise Forbidden("Only a person can resume serving: run `lessonbook resume`")

    def transaction(connection: Connection) -> Resumed:
        stop = evidence_rows.stop_of(connection, caller.project)
        if stop is None or not stop.stopped:
            raise Conflict(f"Serving is not stopped in project {caller.project!r}: there is nothing to resume")
        ledger = Ledger(work, caller, connection, work.now())
        numbers = as_sums(*sides(connection, caller.project))
        told = redact(reason)[0]
        evidence_rows.put_stop(
            connection,
            evidence_rows.ServiceStop(
                caller.project,
                stopped=False,
                reason=told,
                numbers=numbers,
                principal=caller.principal,
                changed_at=ledger.now,
            ),
        )
        ledger.note("service.resume", caller.project, {"reason": told, **numbers})
        ledger.write()
        return Resumed(project=caller.project, stopped_for=stop.reason)

    return await work.store.write(transaction)


async def diagnose(work: Workspace, _caller: Caller | None = None) -> Diagnosis:
    """Return what is wrong: counters that differ from the evidence, broken audit chains, a damaged file."""
    semantic = await work.semantic.checked()

    def read(connection: Connection) -> Diagnosis:
        faults = recounts.database_faults(connection)
        for project in recounts.projects(connection):
            found = recounts.miscounted(connection, project) + _misjudged(connection, project)
            found += audit.verify(connection, project)
            faults += [f"project {project}: {line}" for line in found]
        warnings = [recounts.sqlite_warning(connection), recounts.readable_warning(connection), semantic]
        for project in recounts.projects(connection):
            warnings += _made_for_labels(work, connection, project)
        return Diagnosis(healthy=not faults, faults=faults, warnings=[*filter(None, warnings)])

    return await work.store.read(read)


def _made_for_labels(work: Workspace, connection: Connection, project: str) -> list[str]:
    """Return the agents that exist only since something was reported under their name, a sentence each."""
    return [
        f"project {project}: lessons are kept for {name!r}, a name that nobody gave an agent: "
        "`lessonbook agents merge` moves them to one, `lessonbook agents add` says that it is one"
        for name in sorted(label_shelves(work.roster, connection, project))
    ]


def _misjudged(connection: Connection, project: str) -> list[str]:
    """Return every lesson whose evidence differs from the events it was made of, a sentence each."""
    lessons = lesson_rows.all_of(connection, project)
    found = counted(connection, project, lessons)
    wrong: list[str] = []
    for lesson in lessons.values():
        told, events = Evidence.from_document(lesson.evidence), found.get(lesson.id, Evidence())
        if lesson.events != events.events:
            wrong.append(f"lesson {lesson.id}: events is {lesson.events}, the evidence says {events.events}")
        elif (told.periods, told.verified) != (events.periods, events.verified):
            wrong.append(f"lesson {lesson.id}: its evidence differs from the events and applications in its runs")
        elif any(told.verdicts) and told.verdicts != events.verdicts:
            wrong.append(f"lesson {lesson.id}: its evidence differs from the verdicts of others in its runs")
    return wrong


async def is_alive(work: Workspace, _caller: Caller | None = None) -> bool:
    """Return whether the database answers and has the schema this version needs.

    Raises:
        Unavailable: it does not answer.
    """
    return await migrate.current(work.store) == migrate.HEAD
