"""Taking back what one principal, source, time or refinement run brought in, and undoing that (SAFETY P10)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_status import RULES, STATUSES, Status, targets
from lessonbook.domain.takeback import Rollback, RolledBack, RolledBackLesson
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import recount
from lessonbook.store import lessons as lesson_rows
from lessonbook.store import takeback
from lessonbook.store.takeback import OriginIssue
from lessonbook.store.types import Row

_WAS: Final = re.compile(r"\(was (\w{1,20})(, an event)?\): ")


@dataclass(frozen=True, slots=True)
class _Plan:
    issues: list[OriginIssue]
    lessons: dict[str, Lesson]
    left: dict[str, int]
    """The issues that stay with each lesson."""
    ends: dict[str, Status]
    """What becomes of lessons whose sources are all taken back."""


async def roll_back(work: Workspace, caller: Caller, rollback: Rollback) -> RolledBack:
    """Take back the issues that all conditions hold for, and the lessons that nothing else stands for.

    A lesson goes if its author is the principal, if it was made in the time, or if all its issues go; not if another
    person approved or pinned it. Lessons of the catalogue only expire: their words are sound, and they come back when
    their issue does. Nothing is deleted; `undo_rollback` brings it back. In a dry run nothing changes.

    Raises:
        Forbidden: the caller is no person.
        InvalidInput: no condition is given.
    """
    caller.require_person("roll back", "rollback")
    if not (rollback.by or rollback.since or rollback.source or rollback.run):
        raise InvalidInput("Say what to roll back: --by PRINCIPAL, --since TIME, --source SOURCE or --run RUN")
    rollback_id = "" if rollback.dry_run else work.new_id("RB")

    def transaction(connection: Connection) -> RolledBack:
        ledger = Ledger(work, caller, connection, work.now())
        find = ledger.lessons if not rollback.dry_run else partial(lesson_rows.find, connection, caller.project)
        plan = _planned(ledger, rollback, find)
        if not rollback.dry_run:
            _carry_out(ledger, plan, rollback_id)
            conditions = rollback.model_dump(mode="json", exclude={"dry_run"}, exclude_defaults=True)
            counts = {"lessons": len(plan.ends), "issues": len(plan.issues)}
            ledger.note("rollback", rollback_id, {**conditions, **counts})
            ledger.write()
        return _told(plan, rollback_id, dry_run=rollback.dry_run)

    return await (work.store.read(transaction) if rollback.dry_run else work.store.write(transaction))


async def undo_rollback(work: Workspace, caller: Caller, rollback_id: str) -> RolledBack:
    """Bring back the issues and lessons that a rollback took, each with the status it had, if nobody changed it since.

    Raises:
        Forbidden: the caller is no person.
        NotFound: there is no such rollback, or nothing of it is left to bring back.
    """
    caller.require_person("undo a rollback", "rollback --undo")
    mark = _mark(rollback_id)

    def transaction(connection: Connection) -> RolledBack:
        ledger = Ledger(work, caller, connection, work.now())
        taken, moved = takeback.rolled_back(connection, caller.project, mark)
        ids = {issue.lesson_id for issue in taken if issue.lesson_id} | {lesson_id for lesson_id, _ in moved}
        lessons = ledger.lessons(ids)
        ends: dict[str, Status] = {}
        for lesson_id, was in moved:
            lesson = lessons.get(lesson_id)
            status: Status | None = next((one for one in STATUSES if one == was), None)
            if lesson is None or status is None or lesson.status_reason != mark:
                continue  # somebody decided about it since
            ledger.move(lesson, "undo", f"rollback {rollback_id} undone", {"status": status})
            ends[lesson_id] = status
        if not taken and not ends:
            raise NotFound(f"There is no rollback {rollback_id} in project {caller.project} that can be undone")
        changed: dict[str, Row] = {}
        for issue in taken:
            if (was := _WAS.match(issue.reason[len(mark) + 1 :])) is not None:
                reason = issue.reason[len(mark) + 1 + was.end() :]
                changed[issue.id] = {"action": was[1], "is_event": bool(was[2]), "reason": reason}
        takeback.change_issues(connection, caller.project, changed)
        left = _count_again(ledger, lessons)
        ledger.note("rollback.undo", rollback_id, {"lessons": len(ends), "issues": len(changed)})
        ledger.write()
        return _told(_Plan(taken, lessons, left, ends), rollback_id, dry_run=False)

    return await work.store.write(transaction)


def _mark(rollback_id: str) -> str:
    return f"rolled back by {rollback_id}"


def _planned(ledger: Ledger, rollback: Rollback, find: Callable[[set[str]], dict[str, Lesson]]) -> _Plan:
    project, connection = ledger.caller.project, ledger.connection
    taken = takeback.issues_from(
        connection,
        project,
        principal=rollback.by,
        since=rollback.since,
        source=rollback.source,
        run=rollback.run,
    )
    by_words = rollback.source == "" and rollback.run == ""
    written = set(takeback.authored(connection, project, rollback.by, rollback.since)) if by_words else set[str]()
    sourced = {issue.lesson_id for issue in taken if issue.lesson_id}
    lessons = find(written | sourced)
    going: dict[str, int] = {}
    for issue in taken:
        if issue.lesson_id:
            going[issue.lesson_id] = going.get(issue.lesson_id, 0) + 1
    there = takeback.counts(connection, project, lessons)
    left = {lesson_id: there.get(lesson_id, 0) - going.get(lesson_id, 0) for lesson_id in lessons}
    ends: dict[str, Status] = {}
    for lesson in lessons.values():
        goes = (lesson.id in written and lesson.trust != "curated") or (lesson.id in sourced and not left[lesson.id])
        if goes and (status := _end(lesson, rollback.by)) is not None:
            ends[lesson.id] = status
    return _Plan(taken, lessons, left, ends)


def _end(lesson: Lesson, by: str) -> Status | None:
    """Return the status of a lesson that is taken back; None where another person stands for it, or it is gone."""
    if lesson.approved_by and lesson.approved_by != by:
        return None
    if RULES[lesson.status].is_tombstone:
        return None
    if lesson.trust == "curated":
        return "expired" if targets("expire", lesson.status) and not lesson.pinned else None
    return "rejected"


def _carry_out(ledger: Ledger, plan: _Plan, rollback_id: str) -> None:
    mark = _mark(rollback_id)
    changed: dict[str, Row] = {
        issue.id: {
            "action": "rejected",
            "is_event": False,
            "reason": f"{mark} (was {issue.action}{', an event' if issue.is_event else ''}): {issue.reason}",
        }
        for issue in plan.issues
    }
    takeback.change_issues(ledger.connection, ledger.caller.project, changed)
    for lesson_id, status in plan.ends.items():
        lesson = plan.lessons[lesson_id]
        action = "expire" if status == "expired" else "reject"
        ledger.move(lesson, action, mark, {"status": status}, {"was": lesson.status})
    _count_again(ledger, plan.lessons)


def _count_again(ledger: Ledger, lessons: dict[str, Lesson]) -> dict[str, int]:
    """Bring the counters of lessons in line with the issues that stand, and return the issue counts."""
    counts = takeback.counts(ledger.connection, ledger.caller.project, lessons)
    for lesson in lessons.values():
        ledger.set(lesson, {"issue_count": counts.get(lesson.id, 0)})
        recount(ledger, lesson)
    return counts


def _told(plan: _Plan, rollback_id: str, *, dry_run: bool) -> RolledBack:
    lines = [
        result_of(
            RolledBackLesson,
            lesson,
            status=plan.ends.get(lesson.id, lesson.status),
            goes=lesson.id in plan.ends,
            issues_left=plan.left.get(lesson.id, 0),
        )
        for lesson in plan.lessons.values()
    ]
    return RolledBack(rollback_id=rollback_id, dry_run=dry_run, issues=len(plan.issues), lessons=lines)
