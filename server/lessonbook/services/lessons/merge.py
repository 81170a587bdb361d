"""Merging two lessons that say the same into one, and splitting one that says two things."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.domain.lesson_names import rule_name
from lessonbook.domain.lesson_reviews import Reviewed
from lessonbook.domain.lesson_status import TOMBSTONES
from lessonbook.domain.where_it_holds import where_it_holds
from lessonbook.screening.offer import screened_offer
from lessonbook.screening.redact import redact
from lessonbook.services.lessons.review import reviewed_lesson
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import entry_of, reindex
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import recount
from lessonbook.store import issues as issue_rows
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.issues import IssueRow
from lessonbook.store.types import Row

ISSUES_MAX: Final = 200


async def merge_lessons(work: Workspace, caller: Caller, source_id: str, target_id: str, reason: str) -> Reviewed:
    """Merge `source_id` into `target_id`, which takes over its names and issues; applications stay with the source.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: a lesson does not exist.
        InvalidInput: the lessons are the same or of different agents, or one was merged already or rejected.
    """
    caller.require_person("merge lessons", "lessons merge")
    if source_id == target_id:
        raise InvalidInput("A lesson cannot be merged into itself: name two lessons")

    def transaction(connection: Connection) -> Reviewed:
        ledger = Ledger(work, caller, connection, work.now())
        source, target = _both(ledger.lessons([source_id, target_id]), caller, source_id, target_id)
        moved = join(ledger, source, target, redact(reason)[0])
        ledger.write()
        return reviewed_lesson(target, "merge", f"{count_of(moved, 'issue')} moved from {source.id}.")

    return await work.store.write(transaction)


def join(ledger: Ledger, source: Lesson, target: Lesson, reason: str) -> int:
    """Merge `source` into `target`, within a transaction; returns the number of issues that moved."""
    connection, project = ledger.connection, ledger.caller.project
    lesson_rows.move_keys(connection, project, source.id, target.id)
    moved = issue_rows.move(connection, project, source.id, target.id)
    values: Row = {
        "issue_count": target.issue_count + source.issue_count,
        "last_seen_at": _later(target.last_seen_at, source.last_seen_at),
    }
    ledger.set(target, values)
    ledger.set(source, {"issue_count": 0})
    recount(ledger, source)
    ledger.move(source, "merge", reason, {"status": "superseded", "superseded_by": target.id})
    ledger.move(target, "merge", reason, {}, {"merged": source.id, "issues": moved})
    reindex(ledger, target, ISSUES_MAX)
    reindex(ledger, source, ISSUES_MAX)  # its issues moved, so their words leave its document
    return moved


async def split_lesson(
    work: Workspace, caller: Caller, lesson_id: str, issue_ids: list[str], text: str, why: str
) -> Reviewed:
    """Make a new lesson, in a person's words, for some of a lesson's issues.

    Raises:
        Forbidden: the caller is not a person.
        NotFound: the lesson does not exist, or an issue is not behind it.
        InvalidInput: no issue is named, the text is not a rule, or a lesson with that text exists.
    """
    caller.require_person("split a lesson", "lessons split")
    if not issue_ids:
        raise InvalidInput("A split needs the issues of the new lesson: name at least one")

    def transaction(connection: Connection) -> Reviewed:
        ledger = Ledger(work, caller, connection, work.now())
        lesson = ledger.lesson(lesson_id)
        offer, refusal = screened_offer(replace(lesson.words, text=text, why=why), "approved")
        if offer is None:
            raise InvalidInput(refusal)
        found = issue_rows.find(connection, caller.project, issue_ids).values()
        if len(found) != len(set(issue_ids)) or any(issue.lesson_id != lesson.id for issue in found):
            raise NotFound(f"Not all of these issues are behind lesson {lesson.id}: see `lessonbook lessons show`")
        moved = sum(issue.action != "rejected" for issue in found)  # rejected ones were never counted
        new_id = ledger.create(
            lesson.agent_name,
            replace(offer, holds=where_it_holds(lesson.provenance)),
            provenance={"split_from": lesson.id},
            status="active",
            issue_count=moved,
        )
        if not ledger.flush():
            raise InvalidInput("A lesson with that text exists already: write another text")
        issue_rows.move(connection, caller.project, lesson.id, new_id, issue_ids)
        lesson_rows.move_keys(
            connection, caller.project, lesson.id, new_id, _names_that_go(connection, caller.project, lesson, found)
        )
        ledger.set(lesson, {"issue_count": lesson.issue_count - moved})
        recount(ledger, lesson)
        ledger.move(
            lesson, "split", f"{count_of(moved, 'issue')} went to {new_id}", {}, {"into": new_id, "issues": moved}
        )
        reindex(ledger, lesson, ISSUES_MAX)
        made = lesson_rows.find(connection, caller.project, [new_id])[new_id]
        reindex(ledger, made, ISSUES_MAX)
        ledger.write()
        return reviewed_lesson(made, "split", f"{count_of(moved, 'issue')} moved from {lesson.id}.")

    return await work.store.write(transaction)


def _both(found: dict[str, Lesson], caller: Caller, source_id: str, target_id: str) -> tuple[Lesson, Lesson]:
    for lesson_id in (source_id, target_id):
        if lesson_id not in found:
            raise NotFound.lesson(lesson_id, caller.project)
    source, target = found[source_id], found[target_id]
    if source.agent_name != target.agent_name:
        raise InvalidInput(
            f"{source.id} belongs to {source.agent_name} and {target.id} to {target.agent_name}: "
            "only lessons of one agent can be merged"
        )
    if source.status == "superseded":
        raise InvalidInput(f"Lesson {source.id} was merged already, into {source.superseded_by}")
    if target.visible_to is not None:
        raise InvalidInput(
            f"Nobody has approved the words of lesson {target.id}: approve it first, or merge into another"
        )
    if target.status in TOMBSTONES:
        raise InvalidInput(f"Lesson {target.id} is {target.status}: merge into another lesson")
    return source, target


def _names_that_go(connection: Connection, project: str, lesson: Lesson, moved: Collection[IssueRow]) -> set[str]:
    """Return the exact names that only moved issues have: further reports under them belong to the new lesson."""
    staying = issue_rows.of_lesson(connection, project, lesson.id, ISSUES_MAX)
    names, kept = ({entry_of(issue).name for issue in each} for each in (moved, staying))
    return names - kept - {rule_name(lesson.rule_key)}


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
