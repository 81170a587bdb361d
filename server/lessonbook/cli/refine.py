"""refine: lessons for pending issues, by hand, one by one in the terminal, or by the configured model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lessonbook.cli.console import FAILED, command, load, print_json, print_table, progress, run, say, wants_json
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.services.triage.backlog import BacklogReport

_HOW = (
    "Say how to refine: `lessonbook refine ISSUE… --lesson TEXT` words a lesson, `--into LESSON` joins one, `--auto` "
    "lets the rules and the configured model work; in a terminal, `lessonbook refine` goes through what is pending"
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "refine")(refine)


def refine(
    issues: Annotated[list[str] | None, typer.Argument(help="Pending issues that one lesson answers.")] = None,
    lesson: Annotated[str, typer.Option(help="The general rule, in your own words.")] = "",
    into: Annotated[str, typer.Option(help="The lesson that the issues are instances of.")] = "",
    why: Annotated[str, typer.Option(help="Why that rule.")] = "",
    severity: Annotated[str, typer.Option(help="critical, high, medium or low.")] = "",
    category: Annotated[str, typer.Option(help="The category.")] = "",
    auto: Annotated[bool, typer.Option("--auto", help="By today's rules, then by the configured model.")] = False,
    agent: Annotated[str, typer.Option(help="Only the issues of one agent.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many issues; 0: all.", min=0)] = 0,
    again: Annotated[bool, typer.Option("--again", help="With --auto: what the model declined, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --auto: only tell what it may use.")] = False,
) -> None:
    """Find lessons for pending issues: by hand, one by one in the terminal, or by the configured model."""
    if (again or dry_run) and not auto:
        raise InvalidInput("--again and --dry-run go with --auto: add it, or leave them out")
    if issues:
        if auto:
            raise InvalidInput("--auto takes all pending issues: leave the issues out, or bound it with --limit")
        _author({"issue_ids": issues, "lesson": lesson, "lesson_id": into, "why": why}, severity, category)
    elif any((lesson, into, why, severity, category)):
        raise InvalidInput("Name the pending issues that the lesson answers: see `lessonbook pending`")
    elif auto:
        _work_on_backlog(agent, limit, again=again, dry_run=dry_run)
    elif wants_json() or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(_HOW)
    else:
        _go_through(agent, limit)


def _author(authored: dict[str, Any], severity: str, category: str) -> None:
    from lessonbook import services
    from lessonbook.domain.operator import Authoring
    from lessonbook.domain.validation import parse

    authored |= {key: value for key, value in (("severity", severity), ("category", category)) if value}
    authoring = parse(Authoring, {"lessons": [authored]})

    result = run(services.triage.refine_issues, authoring)
    if wants_json():
        print_json(result)
        return
    rows = [(line.issue_id, line.action, line.lesson_id, line.reason) for line in result.issues]
    print_table("Refined", ["issue", "action", "lesson", "why"], rows)


def _work_on_backlog(agent: str, limit: int, *, again: bool, dry_run: bool) -> None:
    from lessonbook.services.triage import backlog

    wanted = backlog.Wanted(agent_name=agent, limit=limit, again=again, dry_run=dry_run)
    with progress("Refining") as told:
        report = run(backlog.refine_backlog, wanted, told)
    if wants_json():
        print_json(report)
    else:
        _show(report)
    if report.failed:
        raise typer.Exit(FAILED)


def _show(report: BacklogReport) -> None:
    from rich.markup import escape

    cost = f", {report.cost_usd:.4f} US dollars" if report.cost_usd else ""
    if report.dry_run:
        say(f"{report.waiting} issues are pending; the model would be asked about {report.asked}.")
        say(f"That may use {report.tokens} tokens{cost} at most. Nothing was sent.")
    else:
        say(
            f"[bold]{report.waiting}[/bold] issues were pending: [green]{report.created} got a new lesson[/green], "
            f"{report.merged} joined one, {report.quarantined} wait for your approval, {report.pending} are pending "
            "still" + (f", {report.rejected} are of rejected lessons" if report.rejected else "") + "."
        )
        if report.asked:
            say(f"The model was asked about {report.asked} of them: {report.tokens} tokens{cost}.")
        told = [line for line in report.issues if line.action != "pending"]
        if told:
            rows = [(line.issue_id, line.action, line.lesson_id, line.reason) for line in told]
            print_table("Refined", ["issue", "action", "lesson", "why"], rows)
    if report.stopped:
        say(f"[yellow]{escape(report.stopped)}[/yellow]")


def _go_through(agent: str, limit: int) -> None:
    from anyio.from_thread import start_blocking_portal

    from lessonbook.app import gateway_for
    from lessonbook.cli.console import console
    from lessonbook.cli.triage import TriageSession
    from lessonbook.logs import set_up

    settings = load()
    set_up(settings.log_level)
    terminal = console()
    # The loop runs in another thread, so that a question can be left with Ctrl-C.
    with start_blocking_portal() as portal:
        gateway = gateway_for(settings, "cli", person=True)
        try:
            TriageSession(portal, gateway, terminal, terminal.input).go_through(agent, limit)
        finally:
            portal.call(gateway.close)
