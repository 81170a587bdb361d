"""lessons …: looking at lessons and deciding about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook.cli.console import brief, command, print_json, print_table, run, run_all, say, wants_json
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from lessonbook.domain.operator import Reviewed
    from lessonbook.edges.access.gateway import Gateway

LessonIdArgument = Annotated[str, typer.Argument(help="The lesson's id.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the history.")]

_DECISIONS = {
    "approve": "Vouch for a lesson: it becomes active.",
    "reject": "Reject a lesson: it is not served, and not learned again.",
    "suspend": "Stop serving a lesson for now.",
    "restore": "Serve a suspended, retired, expired or rejected lesson again.",
    "retire": "Stop serving a lesson for good.",
    "pin": "Always serve a lesson where it fits, outside any measurement.",
    "unpin": "Take the pin away.",
    "expire": "End a lesson's time now.",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Look at lessons and decide about them.", no_args_is_help=True)
    command(group, "list")(list_lessons)
    command(group, "show")(show)
    command(group, "add")(add)
    command(group, "edit")(edit)
    command(group, "delete")(delete)
    command(group, "merge")(merge)
    command(group, "split")(split)
    command(group, "starter")(starter)
    for action, help_text in _DECISIONS.items():
        command(group, action, help_text)(_decision(action))
    app.add_typer(group, name="lessons")


def list_lessons(
    agent: Annotated[str, typer.Argument(help="One agent; otherwise all.")] = "",
    query: Annotated[str, typer.Option("--query", "-q", help="Full-text search; best first.")] = "",
    status: Annotated[list[str] | None, typer.Option(help="Only this status; repeatable.")] = None,
    severity: Annotated[str, typer.Option(help="Only this severity.")] = "",
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    cursor: Annotated[str, typer.Option(help="Go on from there.")] = "",
) -> None:
    """List lessons, most severe and most effective first."""
    from lessonbook import services
    from lessonbook.domain.operator import LessonListing
    from lessonbook.domain.validation import parse

    listing = parse(
        LessonListing,
        {
            "agent_name": agent,
            "query": query,
            "status": status or [],
            "severity": severity or None,
            "category": category or None,
            "limit": limit,
            "cursor": cursor,
        },
    )

    page = run(services.views.list_lessons, listing)
    if wants_json():
        print_json(page)
        return
    print_table(
        "Lessons",
        ["lesson", "agent", "severity", "status", "seen", "prevented", "text"],
        [
            (
                lesson.id,
                lesson.agent_name,
                lesson.severity,
                lesson.status + (" 📌" if lesson.pinned else ""),
                lesson.issue_count,
                f"{lesson.times_prevented}/{lesson.times_verified}",
                lesson.text,
            )
            for lesson in page.lessons
        ],
    )
    if page.next_cursor:
        say(f"More: --cursor {page.next_cursor}")


def show(lesson_id: LessonIdArgument) -> None:
    """Show a lesson with its history, provenance and evidence."""
    from lessonbook import services

    detail = run(services.views.get_lesson, lesson_id)
    if wants_json():
        print_json(detail)
        return
    from rich.markup import escape

    from lessonbook.domain.holds import where_it_holds
    from lessonbook.edges.text_form import effect

    lesson, holds = detail.lesson, where_it_holds(detail.provenance)
    say(f"[bold]{escape(lesson.text)}[/bold]\n{escape(lesson.why)}\n")
    facts = {
        "agent": lesson.agent_name,
        "severity": lesson.severity,
        "category": lesson.category,
        "status": f"{lesson.status}: {lesson.status_reason}".removesuffix(": "),
        "trust": lesson.trust,
        "rule": lesson.rule_key,
        "author": detail.author,
        "approved by": detail.approved_by,
        "superseded by": detail.superseded_by,
        "issues": lesson.issue_count,
        "applied": lesson.times_applied,
        "prevented": f"{lesson.times_prevented} of {lesson.times_verified} verdicts",
        "measured effect": effect(detail.effect),
        "flags": lesson.flags,
        "holds for": ", ".join((*holds.languages, *holds.paths)),
        "provenance": ", ".join(
            f"{key}={value}" for key, value in detail.provenance.items() if value and key != "holds"
        ),
    }
    print_table("Facts", ["", ""], [(key, value) for key, value in facts.items() if value not in (None, "")])
    print_table(
        "History",
        ["when", "what", "who", "why"],
        [(line.changed_at[:16], line.action, line.principal, line.reason) for line in detail.history],
    )
    if detail.flags:
        flags = [(line.flagged_at[:16], line.principal, line.reason) for line in detail.flags]
        print_table("Flags", ["when", "who", "why"], flags)
    if detail.issues:
        print_table(
            "Issues behind it (latest)",
            ["issue", "source", "evidence", "where", "description"],
            [(line.issue_id, line.source, line.evidence, line.file, brief(line.description)) for line in detail.issues],
        )


def add(
    text: Annotated[str, typer.Argument(help="The rule: what to do, and when.")],
    agent: Annotated[str, typer.Option(help="For whom; * for all agents.")] = "*",
    why: Annotated[str, typer.Option(help="Why that rule.")] = "",
    severity: Annotated[str, typer.Option(help="critical, high, medium or low.")] = "medium",
    category: Annotated[str, typer.Option(help="The category.")] = "other",
    rule: Annotated[str, typer.Option(help="The scanner rule or CWE it answers to.")] = "",
    language: Annotated[
        list[str] | None, typer.Option(help="A language or framework it holds for; repeatable. By default all.")
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(help="A glob of files it holds for, as `src/api/**`; repeatable. By default all."),
    ] = None,
) -> None:
    """Write a lesson: it is active at once."""
    from lessonbook import services
    from lessonbook.domain.operator import NewLesson
    from lessonbook.domain.validation import parse

    values = {
        "text": text,
        "agent_name": agent,
        "why": why,
        "severity": severity,
        "category": category,
        "rule_id": rule,
        "languages": language or [],
        "paths": path or [],
    }
    new = parse(NewLesson, values)

    _show_review(run(services.lessons.add_lesson, new))


def _review(lesson_id: str, action: str, reason: str = "", text: str = "") -> None:
    from lessonbook import services
    from lessonbook.domain.operator import LessonReview
    from lessonbook.domain.validation import parse

    review = parse(LessonReview, {"lesson_id": lesson_id, "action": action, "reason": reason, "text": text})

    _show_review(run(services.lessons.review_lesson, review))


def _show_review(result: Reviewed) -> None:
    if wants_json():
        print_json(result)
        return
    pinned = ", pinned" if result.pinned else ""
    say(f"[bold]{result.lesson_id}[/bold] is {result.status}{pinned}. {result.note}".rstrip())


def _decision(action: str) -> Callable[[str, str], None]:
    def decide(lesson_id: LessonIdArgument, reason: ReasonOption = "") -> None:
        _review(lesson_id, action, reason)

    return decide


def edit(
    lesson_id: LessonIdArgument,
    text: Annotated[str, typer.Argument(help="The new text.")],
    reason: ReasonOption = "",
) -> None:
    """Give a lesson other words; the old ones stay in its history."""
    _review(lesson_id, "edit", reason, text)


def delete(
    lesson_id: LessonIdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a lesson's words for good, from its history too; a tombstone stays."""
    if not yes and not typer.confirm(f"Remove the words of {lesson_id} for good?"):
        raise typer.Exit(1)
    _review(lesson_id, "delete")


def merge(
    source: Annotated[str, typer.Argument(help="The lesson that goes.")],
    target: Annotated[str, typer.Argument(help="The lesson that stays.")],
    reason: ReasonOption = "they say the same",
) -> None:
    """Let one lesson stand for another too."""
    from lessonbook import services

    _show_review(run(services.lessons.merge_lessons, source, target, reason))


def split(
    lesson_id: LessonIdArgument,
    issues: Annotated[list[str], typer.Argument(help="The issues that go to the new lesson.")],
    text: Annotated[str, typer.Option(help="The new lesson's text.")],
    why: Annotated[str, typer.Option(help="Why that rule.")] = "",
) -> None:
    """Give some of a lesson's issues a lesson of their own."""
    from lessonbook import services

    _show_review(run(services.lessons.split_lesson, lesson_id, issues, text, why))


def starter(
    agent: Annotated[str, typer.Argument(help="The agent to start with lessons.")],
    stack: Annotated[
        list[str] | None,
        typer.Option(help="A language, framework, database, platform; repeatable. By default what this folder shows."),
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=200)] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show them.")] = False,
) -> None:
    """Give an agent catalogue lessons before anything was reported."""
    from lessonbook import services

    names = stack or _stack_of_folder()

    async def act(gateway: Gateway) -> tuple[list[str], list[tuple[str, str, str]]]:
        named = await gateway.call(services.agent_names.named, agent)
        if not named.agent_name:
            near = f"; nearest: {', '.join(named.nearest)}" if named.nearest else ""
            raise InvalidInput(f"There is no agent {agent!r} here{near}. Add one with `lessonbook agents add`")
        rules = (await gateway.call(services.lessons.starters, named.agent_name, names))[:limit]
        made = [] if dry_run else await gateway.call(services.lessons.add_starters, named.agent_name, rules)
        return made, [(rule.severity, rule.category, rule.text) for rule in rules]

    made, rows = run_all(act)
    if wants_json():
        print_json(
            {
                "stack": names,
                "created": made,
                "lessons": [dict(zip(("severity", "category", "text"), row, strict=True)) for row in rows],
            }
        )
        return
    if names and not stack:
        say(f"Stack by this folder: {', '.join(names)}.")
    print_table("Catalogue lessons", ["severity", "category", "text"], rows)
    say("Only shown." if dry_run else f"{len(made)} added, {len(rows) - len(made)} were there.")


def _stack_of_folder() -> list[str]:
    """Return the technologies that the manifests of the working folder show."""
    from lessonbook.classify.manifests import is_manifest, stack_of
    from lessonbook.machine.manifests import read_manifests

    return stack_of(read_manifests(Path.cwd(), is_manifest))
