"""Erasing words for good: of an issue, a lesson, a principal, or all of a project (SAFETY P20)."""

from sqlalchemy import Connection

from lessonbook.domain.errors import InvalidInput, NotFound
from lessonbook.domain.lesson import Caller
from lessonbook.domain.takeback import Forget, Forgotten
from lessonbook.experiment.evidence import Evidence
from lessonbook.services.lessons.review import ISSUES_MAX, delete_lesson
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.issue_writer import reindex
from lessonbook.services.writing.ledger import Ledger
from lessonbook.services.writing.scoring import scored
from lessonbook.store import audit, takeback


async def forget(work: Workspace, caller: Caller, wanted: Forget) -> Forgotten:
    """Blank words in every table, history and search included; what is left is a tombstone without words.

    The rows and counts stay, so that statistics do not change; of a project only lessons and history without words.
    Kept answers to repeated calls that name what is erased are deleted, and so are vectors. On SQLite the file's freed
    pages are overwritten and the write-ahead log is cut; archives and backups of PostgreSQL are their owner's.

    Raises:
        Forbidden: the caller is no person.
        InvalidInput: nothing, or more than one thing, is named.
        NotFound: the issue, lesson or principal is not in the project.
    """
    caller.require_person("forget", "forget")
    if sum(map(bool, (wanted.issue_id, wanted.lesson_id, wanted.principal, wanted.everything))) != 1:
        raise InvalidInput("Name one thing to forget: --issue ID, --lesson ID, --principal NAME or --everything")

    def transaction(connection: Connection) -> Forgotten:
        ledger = Ledger(work, caller, connection, work.now())
        if wanted.everything:
            result = _forget_project(work, caller, connection)
        elif wanted.principal:
            result = _forget_principal(ledger, wanted.principal)
        elif wanted.lesson_id:
            result = _forget_lessons(ledger, [wanted.lesson_id])
        else:
            result = _forget_issues(ledger, [wanted.issue_id])
        if not wanted.everything:
            subject = wanted.lesson_id or wanted.issue_id or wanted.principal
            ledger.note("forget", subject, result.model_dump(mode="json"))
            ledger.write()
        takeback.scrub(connection)
        return result

    result = await work.store.write(transaction)
    await work.store.scrub()
    return result


def _forget_lessons(ledger: Ledger, lesson_ids: list[str]) -> Forgotten:
    lessons = ledger.lessons(lesson_ids)
    if not lessons:
        raise NotFound.lesson(lesson_ids[0], ledger.caller.project)
    blanked = sum(delete_lesson(ledger, lesson) for lesson in lessons.values())
    takeback.forget_answers(ledger.connection, ledger.caller.project, lessons)
    return Forgotten(lessons=len(lessons), issues=blanked)


def _forget_issues(ledger: Ledger, issue_ids: list[str]) -> Forgotten:
    project, connection = ledger.caller.project, ledger.connection
    of_issues = takeback.lessons_of(connection, project, issue_ids)
    if len(of_issues) < len(issue_ids):
        raise NotFound.issue(issue_ids[0], project)
    lessons = ledger.lessons({lesson_id for lesson_id in of_issues.values() if lesson_id})
    takeback.forget_issues(connection, project, issue_ids)
    takeback.forget_meanings(connection, project, lessons)
    takeback.forget_answers(connection, project, issue_ids)
    for lesson in lessons.values():
        reindex(ledger, lesson, ISSUES_MAX)
        ledger.set(lesson, {})  # its search row changed, so caches have to read it again
    return Forgotten(issues=len(issue_ids))


def _forget_principal(ledger: Ledger, principal: str) -> Forgotten:
    project, connection = ledger.caller.project, ledger.connection
    issue_ids = takeback.all_issues_of(connection, project, principal)
    lesson_ids = takeback.authored(connection, project, principal, None)
    of_issues = takeback.lessons_of(connection, project, issue_ids)
    lessons = ledger.lessons({*lesson_ids, *(one for one in of_issues.values() if one)})
    words = [lesson for lesson in lessons.values() if lesson.author == principal and lesson.trust != "curated"]
    result = Forgotten()
    if issue_ids:
        result = _forget_issues(ledger, issue_ids)
    blanked = sum(delete_lesson(ledger, lesson) for lesson in words)
    remarks = takeback.forget_remarks(connection, project, principal)
    if not issue_ids and not words and not remarks:
        raise NotFound(f"Nothing in project {project} is by {principal!r}")
    takeback.forget_answers(connection, project, [lesson.id for lesson in words] or [principal])
    return Forgotten(issues=result.issues + blanked, lessons=len(words), remarks=remarks)


def _forget_project(work: Workspace, caller: Caller, connection: Connection) -> Forgotten:
    rows = takeback.forget_project(connection, caller.project, scored(Evidence()))
    audit.append(
        connection,
        project=caller.project,
        writer=work.writer,
        principal=caller.principal,
        entries=[("forget", "project", {"rows": rows})],
        now=work.now(),
    )
    return Forgotten(rows=rows)
