"""rollback, forget: taking back what came in, and erasing words for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.audit import moment
from lessonbook.cli.console import command, print_table, request, run, say, shown_as_json
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.domain.takeback import RolledBack


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "rollback")(rollback)
    command(app, "forget")(forget)


def rollback(
    by: Annotated[str, typer.Option(help="What this principal brought in.")] = "",
    since: Annotated[str, typer.Option(help="What came in from then on: 24h, 7d, 2w, or an ISO time.")] = "",
    source: Annotated[str, typer.Option(help="Issues of this source: qa, ci, review, user, scanner, agent.")] = "",
    refinement_run: Annotated[str, typer.Option("--run", help="Issues of this refinement run.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise it is only shown.")] = False,
    undo: Annotated[str, typer.Option(help="Undo the rollback with this id.")] = "",
) -> None:
    """Take back issues, and lessons that nothing else stands for. It is shown first, and can be undone.

    Conditions add up. Lessons that another person approved stay; those of the catalogue expire.
    """
    from lessonbook.domain.takeback import Rollback

    if undo:
        if by or since or source or refinement_run:
            raise InvalidInput("--undo takes the rollback's id alone")
        result = run(services.lessons.undo_rollback, undo)
        if not shown_as_json(result):
            say(f"Brought back {_counted(result)}.")
        return
    given = {"since": moment(since)} if since else {}
    wanted = request(Rollback, by=by, source=source, run=refinement_run, dry_run=not yes, **given)
    result = run(services.lessons.roll_back, wanted)
    if not shown_as_json(result):
        _show(result)


def _show(result: RolledBack) -> None:
    rows = [
        (line.status if line.goes else "stays", line.lesson_id, line.agent_name, line.issues_left, line.text)
        for line in result.lessons
    ]
    if rows:
        print_table("Lessons concerned", ["becomes", "lesson", "agent", "issues left", "text"], rows)
    if result.dry_run:
        say(f"Would take back {_counted(result)}. Repeat it with --yes to do so.")
    else:
        say(f"Took back {_counted(result)}. Undo it with: lessonbook rollback --undo {result.rollback_id}")


def _counted(result: RolledBack) -> str:
    lessons = sum(line.goes for line in result.lessons)
    issues = f"{result.issues} issue{'s' if result.issues != 1 else ''}"
    return f"{issues} and {lessons} lesson{'s' if lessons != 1 else ''}"


def forget(
    issue: Annotated[str, typer.Option(help="Erase this issue.")] = "",
    lesson: Annotated[str, typer.Option(help="Erase this lesson and the issues behind it.")] = "",
    principal: Annotated[str, typer.Option(help="Erase all that this principal wrote.")] = "",
    everything: Annotated[bool, typer.Option("--everything", help="Erase the whole project.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase words for good, from history, search and kept answers as well. It cannot be undone.

    Counts stay, so that figures do not change; of a whole project one audit entry stays. What backups and PostgreSQL's
    archives hold is not reached.
    """
    from lessonbook.domain.takeback import Forget

    wanted = request(Forget, issue_id=issue, lesson_id=lesson, principal=principal, everything=everything)
    if not yes:
        typer.confirm("This cannot be undone. Erase it?", abort=True, err=True)
    result = run(services.lessons.forget, wanted)
    if not shown_as_json(result):
        parts = result.model_dump(exclude_defaults=True) or {"rows": 0}
        names = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in parts.items())
        say(f"Erased: {names}.")
