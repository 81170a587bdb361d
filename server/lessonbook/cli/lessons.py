"""lessons …: looking at lessons and deciding about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    add_group,
    clipped,
    command,
    print_facts,
    print_table,
    request,
    run,
    run_all,
    say,
    shown_as_json,
    strong,
    warn,
    write,
)
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.lesson_status import DECISIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from lessonbook.domain.lesson_reviews import ArmOutcome, Reviewed
    from lessonbook.edges.access.gateway import Gateway

LessonIdArgument = Annotated[str, typer.Argument(help="The lesson's id.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the history.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = add_group(app, "lessons", "Look at lessons and decide about them.")
    command(group, "list")(list_lessons)
    command(group, "show")(show)
    command(group, "add")(add)
    command(group, "edit")(edit)
    command(group, "delete")(delete)
    command(group, "merge")(merge)
    command(group, "split")(split)
    command(group, "starter")(starter)
    for action, help_text in DECISIONS.items():
        command(group, action, help_text)(_decision(action))


def list_lessons(
    agent: Annotated[str, typer.Argument(help="Only this agent's; otherwise all.")] = "",
    query: Annotated[str, typer.Option("--query", "-q", help="A search, most relevant first.")] = "",
    status: Annotated[list[str] | None, typer.Option(help="Only this status; repeatable.")] = None,
    severity: Annotated[str, typer.Option(help="Only this severity.")] = "",
    category: Annotated[str, typer.Option(help="Only this category.")] = "",
    limit: Annotated[int, typer.Option(help="The maximum number.")] = 50,
    cursor: Annotated[str, typer.Option(help="The cursor that the page before ends with.")] = "",
) -> None:
    """List lessons, most severe and most effective first."""
    from lessonbook.domain.lesson_reviews import LessonListing

    words = {"agent_name": agent, "query": query, "severity": severity or None, "category": category or None}
    listing = request(LessonListing, **words, status=status, limit=limit, cursor=cursor)
    page = run(services.queries.list_lessons, listing)
    if shown_as_json(page):
        return
    print_table(
        "Lessons",
        ["lesson", "agent", "severity", "status", "seen", "prevented", "text"],
        [
            (
                lesson.id,
                lesson.agent_name,
                lesson.severity,
                lesson.status
                + (", pinned" if lesson.pinned else "")
                + (f", for {lesson.visible_to} alone" if lesson.visible_to else ""),
                lesson.issue_count,
                f"{lesson.times_prevented}/{lesson.times_verified}",
                lesson.text,
            )
            for lesson in page.lessons
        ],
        alone=True,
    )
    if page.next_cursor:
        warn(f"More: --cursor {page.next_cursor}", colour="")


def show(lesson_id: LessonIdArgument) -> None:
    """Show a lesson with its history, provenance and evidence."""
    from lessonbook.domain.lesson import LABELS
    from lessonbook.domain.where_it_holds import where_it_holds
    from lessonbook.edges.result_text import effect

    detail = run(services.queries.get_lesson, lesson_id)
    if shown_as_json(detail):
        return
    lesson, holds = detail.lesson, where_it_holds(detail.provenance)
    say(strong(lesson.text))
    if lesson.why:
        say(lesson.why)
    write("")
    facts = {
        **{label.lower(): getattr(lesson, name) for label, name in LABELS.items() if name != "why"},
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
        "prevented": f"{lesson.times_prevented} of {count_of(lesson.times_verified, 'verdict')}",
        "measured effect": effect(detail.effect),
        "flags": lesson.flags,
        "holds for": ", ".join((*holds.languages, *holds.paths)),
        "provenance": ", ".join(
            f"{key}={value}" for key, value in detail.provenance.items() if value and key != "holds"
        ),
    }
    print_facts("Facts", facts.items())
    if detail.evidence.arms:
        columns = ["arm", "runs", "checked", "events", "risk", "trouble elsewhere"]
        print_table("Experiment, with risks whatever unchecked runs hold", columns, map(_arm, detail.evidence.arms))
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
            [
                (line.issue_id, line.source, line.evidence, line.file, clipped(line.description))
                for line in detail.issues
            ],
        )


def _arm(arm: ArmOutcome) -> tuple[object, ...]:
    risk = f"{arm.risk_low:.0%} to {arm.risk_high:.0%}"
    trouble = "" if arm.trouble is None else f"{arm.trouble:.0%}"
    return arm.arm, arm.assigned, arm.checked, arm.events, risk, trouble


def add(
    text: Annotated[str, typer.Argument(help="The rule: what to do, and when.")],
    agent: Annotated[str, typer.Option(help="The agent that gets it; * for all.")] = "*",
    why: Annotated[str, typer.Option(help="The rationale.")] = "",
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
    from lessonbook.domain.lesson_reviews import NewLesson

    about = {"agent_name": agent, "severity": severity, "category": category, "rule_id": rule}
    where = {"languages": language, "paths": path}
    _show_review(run(services.lessons.add_lesson, request(NewLesson, text=text, why=why, **about, **where)))


def _review(lesson_id: str, action: str, reason: str = "", text: str = "") -> None:
    from lessonbook.domain.lesson_reviews import LessonReview

    review = request(LessonReview, lesson_id=lesson_id, action=action, reason=reason, text=text)
    _show_review(run(services.lessons.review_lesson, review))


def _show_review(result: Reviewed) -> None:
    if not shown_as_json(result):
        pinned = ", pinned" if result.pinned else ""
        say(strong(result.lesson_id), f" is {result.status}{pinned}. {result.note}".rstrip())


def _decision(action: str) -> Callable[[str, str], None]:
    def decide(lesson_id: LessonIdArgument, reason: ReasonOption = "") -> None:
        _review(lesson_id, action, reason)

    return decide


def edit(
    lesson_id: LessonIdArgument,
    text: Annotated[str, typer.Argument(help="The new text.")],
    reason: ReasonOption = "",
) -> None:
    """Replace a lesson's text; the old one stays in its history."""
    _review(lesson_id, "edit", reason, text)


def delete(
    lesson_id: LessonIdArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete a lesson's words for good. They go from its history, too; a tombstone stays."""
    if not yes and not typer.confirm(f"Delete the words of {lesson_id} for good?"):
        raise typer.Exit(1)
    _review(lesson_id, "delete")


def merge(
    source: Annotated[str, typer.Argument(help="The lesson that is merged into the other.")],
    target: Annotated[str, typer.Argument(help="The lesson that stays.")],
    reason: ReasonOption = "they say the same",
) -> None:
    """Merge one lesson into another, which takes over its issues."""
    _show_review(run(services.lessons.merge_lessons, source, target, reason))


def split(
    lesson_id: LessonIdArgument,
    issues: Annotated[list[str], typer.Argument(help="The issues that the new lesson gets.")],
    text: Annotated[str, typer.Option(help="The new lesson's text.")],
    why: Annotated[str, typer.Option(help="The new lesson's rationale.")] = "",
) -> None:
    """Make a new lesson for some of a lesson's issues."""
    _show_review(run(services.lessons.split_lesson, lesson_id, issues, text, why))


def starter(
    agent: Annotated[str, typer.Argument(help="The agent that gets the lessons.")],
    stack: Annotated[
        list[str] | None,
        typer.Option(help="A language, framework, database or platform; repeatable. Default: what this folder shows."),
    ] = None,
    limit: Annotated[int, typer.Option(help="The maximum number.", min=1, max=200)] = 10,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show them without adding them.")] = False,
) -> None:
    """Give an agent catalogue lessons before anything was reported."""
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
    columns = ["severity", "category", "text"]
    lessons = [dict(zip(columns, row, strict=True)) for row in rows]
    if not shown_as_json({"stack": names, "created": made, "lessons": lessons}):
        if names and not stack:
            say(f"Stack by this folder: {', '.join(names)}.")
        print_table("Catalogue lessons", columns, rows)
        say("None was added." if dry_run else f"{len(made)} added, {len(rows) - len(made)} were there already.")


def _stack_of_folder() -> list[str]:
    """Return the technologies that the manifests of the working folder show."""
    from lessonbook.classify.manifests import is_manifest, stack_of
    from lessonbook.machine.manifests import read_manifests

    return stack_of(read_manifests(Path.cwd(), is_manifest))
