"""refine: lessons for pending issues, worded by hand, in a triage session, or by the configured model."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lessonbook import services
from lessonbook.cli.console import (
    FAILED,
    command,
    load,
    print_table,
    progress,
    request,
    run,
    say,
    shown_as_json,
    strong,
    wants_json,
)
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.principals import TERMINAL

if TYPE_CHECKING:
    from lessonbook.domain.agent_tools import RefinedIssue
    from lessonbook.services.triage.backlog import BacklogReport

_HOW = (
    "Say how to refine: `lessonbook refine GROUP… --lesson TEXT` words a lesson for groups or issues, `--into LESSON` "
    "joins one, `--dismiss REASON` rejects them, `--auto` lets the rules and the configured model work; in a terminal, "
    "`lessonbook refine` goes through what is pending"
)


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "refine")(refine)


def refine(
    issues: Annotated[
        list[str] | None, typer.Argument(help="Groups of pending issues, or single issues of one agent.")
    ] = None,
    lesson: Annotated[str, typer.Option(help="The general rule, in your own words.")] = "",
    into: Annotated[str, typer.Option(help="The lesson, or catalogue:ENTRY, that they are instances of.")] = "",
    dismiss: Annotated[str, typer.Option(help="Why they are not worth a lesson; a dismissed group stays away.")] = "",
    why: Annotated[str, typer.Option(help="The rationale of the rule.")] = "",
    severity: Annotated[str, typer.Option(help="critical, high, medium or low.")] = "",
    category: Annotated[str, typer.Option(help="The category.")] = "",
    auto: Annotated[bool, typer.Option("--auto", help="By the current rules, then by the configured model.")] = False,
    agent: Annotated[str, typer.Option(help="Only this agent's issues.")] = "",
    limit: Annotated[int, typer.Option(help="The maximum number of issues; 0: all.", min=0)] = 0,
    again: Annotated[bool, typer.Option("--again", help="With --auto: also issues the model declined.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --auto: only print what it may use.")] = False,
) -> None:
    """Find lessons for pending issues. By hand, group by group in the terminal, or by the configured model."""
    if (again or dry_run) and not auto:
        raise InvalidInput("--again and --dry-run go with --auto: add it, or leave them out")
    if issues:
        if auto:
            raise InvalidInput("--auto takes all pending issues: leave the issues out, or bound it with --limit")
        authored = {"issue_ids": issues, "lesson": lesson, "lesson_id": into, "dismiss": dismiss, "why": why}
        _author(authored, severity, category)
    elif any((lesson, into, dismiss, why, severity, category)):
        raise InvalidInput("Name the groups or issues that the lesson answers: see `lessonbook pending`")
    elif auto:
        _work_on_backlog(agent, limit, again=again, dry_run=dry_run)
    elif wants_json() or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput(_HOW)
    else:
        _go_through(agent, limit)


def _author(authored: dict[str, Any], severity: str, category: str) -> None:
    from lessonbook.domain.pending_issues import Authoring

    authored |= {"severity": severity or None, "category": category or None}
    result = run(services.triage.refine_issues, request(Authoring, lessons=[authored]))
    if shown_as_json(result):
        return
    rows = [
        (group.group_id, ", ".join(f"{count} {what}" for what, count in group.actions.items()), group.lesson_ids)
        for group in result.groups
    ]
    if rows:
        print_table("Groups", ["group", "issues", "lessons"], [(*row[:2], ", ".join(row[2])) for row in rows])
    _show_refined(result.issues)
    if result.note:
        say((result.note, "yellow"))


def _show_refined(issues: Iterable[RefinedIssue]) -> None:
    rows = [(line.issue_id, line.action, line.lesson_id, line.reason) for line in issues]
    print_table("Refined", ["issue", "action", "lesson", "why"], rows)


def _work_on_backlog(agent: str, limit: int, *, again: bool, dry_run: bool) -> None:
    from lessonbook.services.triage import backlog

    wanted = backlog.Wanted(agent_name=agent, limit=limit, again=again, dry_run=dry_run)
    with progress("Refining") as update:
        report = run(backlog.refine_backlog, wanted, update)
    if not shown_as_json(report):
        _show(report)
    if report.failed:
        raise typer.Exit(FAILED)


def _show(report: BacklogReport) -> None:
    cost = f", {report.cost_usd:.4f} US dollars" if report.cost_usd else ""
    if report.dry_run:
        say(
            f"Pending: {count_of(report.waiting, 'issue')}; the model would be asked about {report.asked} "
            f"in {report.groups} groups."
        )
        say(f"That may use {report.tokens} tokens{cost} at most. Nothing was sent.")
    else:
        say(
            strong(str(report.waiting)),
            " issues were pending: ",
            (f"{report.created} got a new lesson", "green"),
            f", {report.merged} joined one, {report.quarantined} wait for your approval, {report.pending} are pending "
            "still" + (f", {report.rejected} are of rejected lessons" if report.rejected else "") + ".",
        )
        if report.asked:
            say(
                f"The model was asked about {report.asked} of them in {report.groups} groups: "
                f"{report.tokens} tokens{cost}."
            )
        if refined := [line for line in report.issues if line.action != "pending"]:
            _show_refined(refined)
    if report.stopped:
        say((report.stopped, "yellow"))


def _go_through(agent: str, limit: int) -> None:
    from anyio.from_thread import start_blocking_portal

    from lessonbook.app import gateway_for
    from lessonbook.cli.console import console
    from lessonbook.cli.triage import TriageSession
    from lessonbook.logs import set_up

    settings = load()
    set_up(settings.log_level, settings.log_format)
    terminal = console()
    # The event loop runs in another thread, so that Ctrl-C can interrupt a question.
    with start_blocking_portal() as portal:
        gateway = gateway_for(settings, TERMINAL, person=True)
        try:
            TriageSession(portal, gateway, terminal, terminal.input).go_through(agent, limit)
        finally:
            portal.call(gateway.close)
