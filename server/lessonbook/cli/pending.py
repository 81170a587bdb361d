"""pending: what waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    clipped,
    command,
    print_table,
    request,
    run_all,
    say,
    shown_as_json,
    strong,
    warn,
)
from lessonbook.cli.output import is_terminal

if TYPE_CHECKING:
    from lessonbook.domain.lesson_reviews import FlaggedLesson, ListedLesson
    from lessonbook.domain.pending_issues import PendingPage
    from lessonbook.edges.access.gateway import Gateway


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "pending")(pending)


def pending(
    agent: Annotated[str, typer.Argument(help="Only this agent's; otherwise all.")] = "",
    limit: Annotated[int, typer.Option(help="The maximum number of groups, issues and quarantined lessons.")] = 50,
) -> None:
    """List what waits for a person. Issues without a lesson by group, quarantined lessons, and all flagged lessons."""
    from lessonbook.domain.lesson_reviews import LessonListing
    from lessonbook.domain.pending_issues import PendingListing

    listing = request(PendingListing, agent_name=agent, limit=limit)
    quarantine = request(LessonListing, agent_name=agent, limit=limit, status=["quarantined"])

    async def act(gateway: Gateway) -> tuple[PendingPage, list[ListedLesson], list[FlaggedLesson]]:
        issues = await gateway.call(services.queries.list_pending_issues, listing)
        waiting = await gateway.call(services.queries.list_lessons, quarantine)
        return issues, waiting.lessons, await gateway.call(services.queries.list_flagged, agent)

    page, waiting, flagged = run_all(act)
    shown = {"groups": page.groups, "issues": page.issues}
    if shown_as_json({**shown, "quarantined": waiting, "flagged": flagged, "notes": page.notes}):
        return
    rows = [
        (
            group.group_id,
            group.issues,
            ", ".join(share.agent_name for share in group.agents),
            group.severity,
            group.rule_id or "like words",
            clipped(group.examples[0].description),
            ", ".join(f"{near.lesson_id} ({near.score:.2f})" for near in group.suggestions[:2]),
        )
        for group in page.groups
    ]
    columns = ["group", "issues", "agents", "severity", "rule", "latest", "like"]
    print_table("Issues without a lesson, by group", columns, rows)
    quarantined = [(lesson.id, lesson.agent_name, lesson.text, lesson.status_reason) for lesson in waiting]
    reasons = [
        (
            lesson.id,
            lesson.agent_name,
            lesson.text,
            "; ".join(f"{flag.principal}: {flag.reason}" for flag in lesson.raised),
        )
        for lesson in flagged
    ]
    for title, lessons in (("Quarantined lessons", quarantined), ("Flagged lessons", reasons)):
        if lessons:
            print_table(title, ["lesson", "agent", "text", "why"], lessons)
    for note in page.notes:
        warn(note)
    if is_terminal():
        say(
            "Write a lesson with ",
            strong("lessonbook refine"),
            "; review one with ",
            strong("lessonbook lessons"),
            ".",
        )
