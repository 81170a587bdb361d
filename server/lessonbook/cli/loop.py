"""get, report, record, pending: the loop from the terminal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lessonbook import services
from lessonbook.cli.console import (
    BAD_INPUT,
    clipped,
    command,
    print_table,
    progress,
    request,
    run,
    run_all,
    run_reporting,
    say,
    shown_as_json,
    strong,
    warn,
    write,
)
from lessonbook.cli.output import is_terminal
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import ReportKind

if TYPE_CHECKING:
    from lessonbook.domain.loop import LessonQuery
    from lessonbook.domain.operator import FileReport, FlaggedLesson, ListedLesson, PendingPage
    from lessonbook.edges.access.gateway import Gateway


_LEFT_OUT_MAX: Final = 20


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "get")(get)
    command(app, "report")(report)
    command(app, "record")(record)
    command(app, "pending")(pending)


def get(
    task: Annotated[str, typer.Argument(help="What is about to be done.")] = "",
    agent: Annotated[str, typer.Option(help="The agent; otherwise found by task and files.")] = "",
    files: Annotated[list[str] | None, typer.Option("--file", help="A file that will be changed; repeatable.")] = None,
    category: Annotated[list[str] | None, typer.Option(help="Only this category; repeatable.")] = None,
    max_lessons: Annotated[int, typer.Option(help="The maximum number of lessons.")] = 5,
    max_tokens: Annotated[int, typer.Option(help="The maximum number of tokens.")] = 600,
    run_id: Annotated[str, typer.Option("--run", help="The run's id: a branch, a pull request.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show why each lesson would be served or not; logs nothing.")
    ] = False,
) -> None:
    """Print the prompt section for a task, and log the run. For hooks and scripts."""
    from lessonbook.domain.loop import LessonQuery

    bounds = {"categories": category, "max_lessons": max_lessons, "max_tokens": max_tokens}
    query = request(LessonQuery, agent_name=agent, task=task, files=files, run_id=run_id, **bounds)
    if explain:
        _explain(query)
        return
    result = run(services.serve.get_lessons, query)
    if shown_as_json(result):
        return
    write(result.prompt_section, end="")


def _explain(query: LessonQuery) -> None:
    from lessonbook.domain.operator import TaskExplanation

    asked = TaskExplanation(agent_name=query.agent_name, task=query.task, files=query.files)
    told = run(services.serve.explain_lessons, asked)
    if shown_as_json(told):
        return
    rows = [(f"{line.probability:.2f}", line.verdict, line.id, line.text, line.because) for line in told.lessons]
    where = f" in {', '.join(told.languages)}" if told.languages else ""
    title = f"{told.agent_name}{where}: served from a probability of {told.threshold} on"
    print_table(title, ["probability", "verdict", "id", "lesson", "because"], rows, alone=True)
    if told.note:
        warn(told.note)


def report(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT | FILE…]",
            help="The issue in words; or files, patterns, folders and zip archives of reports; - for standard input.",
        ),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file in any format that --format names, perhaps packed; - for standard input; repeatable."
        ),
    ] = None,
    kind: Annotated[
        ReportKind | None,
        typer.Option("--format", help="The format of all files; otherwise found by their content.", metavar="FORMAT"),
    ] = None,
    sarif: Annotated[Path | None, typer.Option(help="A scanner's SARIF 2.1.0 file; - for standard input.")] = None,
    junit: Annotated[Path | None, typer.Option(help="A test run's JUnit XML file; - for standard input.")] = None,
    agent: Annotated[str, typer.Option(help="The agent that wrote the code; otherwise found by words and files.")] = "",
    run_ids: Annotated[
        list[str] | None, typer.Option("--run", help="The run in which the issues were seen; repeatable.")
    ] = None,
    run_from_git: Annotated[
        bool, typer.Option("--run-from-git", help="Read the runs from the Lessonbook-Run trailers of BASE..HEAD.")
    ] = False,
    base: Annotated[
        str, typer.Option(help="Where the commits under test begin; otherwise as CI names it, else the main branch.")
    ] = "",
    source: Annotated[str, typer.Option(help="qa, ci, review, user, scanner or agent.")] = "",
    severity: Annotated[str, typer.Option(help="The severity of an issue in words.")] = "",
    rule: Annotated[str, typer.Option(help="The rule an issue in words breaks: CWE-89, bandit:B608.")] = "",
    lesson: Annotated[str, typer.Option(help="A general rule that would have prevented an issue in words.")] = "",
    key: Annotated[str, typer.Option(help="An idempotency key: a retry with the same key reports once.")] = "",
    server: Annotated[
        str,
        typer.Option(
            envvar="LESSONBOOK_SERVER",
            help="Send to this server instead of the database: https://host.",
            show_envvar=True,
        ),
    ] = "",
    token: Annotated[
        str, typer.Option(envvar="LESSONBOOK_TOKEN", help="The token for --server.", show_envvar=True)
    ] = "",
) -> None:
    """Report an issue, or files of scanners, tests and reviews."""
    from lessonbook.cli import report, report_inputs
    from lessonbook.cli.run_from_git import runs_from_git

    single = {"severity": severity, "rule_id": rule, "lesson": lesson}
    if any(single.values()) and (file or sarif or junit):
        raise InvalidInput("--severity, --rule and --lesson go with an issue in words: leave them out with a file")
    chosen = report_inputs.choose(what or [], file or [], {"sarif": sarif, "junit": junit}, kind)
    with closing(chosen) as inputs, progress("Sending, KiB" if server else "Reporting") as update:
        first = inputs.reported[0]
        is_single = first.in_words or (any(single.values()) and what == ["-"])
        if any(single.values()) and not is_single:
            raise InvalidInput("--severity, --rule and --lesson go with an issue in words: leave them out with a file")
        named = tuple(run_ids or ())
        if run_from_git and not named:
            trailers = runs_from_git(Path.cwd(), base)
            named = trailers.run_ids
            if trailers.note:
                warn(trailers.note)
        sender = report.ReportOptions(
            agent_name=agent,
            run_ids=named,
            source=source or ("user" if first.in_words or (what == ["-"] and not kind) else ""),
            idempotency_key=key,
        )
        if run_from_git and not named:
            warn("No commit under test has a Lessonbook-Run trailer: reported without a run.")
        if server:
            result = (
                report.send_issue(server, token, first, sender, single)
                if is_single
                else report.send_files(server, token, inputs, sender, update)
            )
        else:
            result = (
                report.one_issue(first, sender, single) if is_single else report.whole_files(inputs, sender, update)
            )
    if not shown_as_json(result):
        _show_files(result)
        _show_report(result)
    if result.refused and not result.findings:
        raise typer.Exit(BAD_INPUT)


def _show_files(result: FileReport) -> None:
    for file in result.files:
        found = f"{file.findings} finding{'s' if file.findings != 1 else ''}" if file.findings else "no findings"
        say(f"{file.place} read as {file.format}: {found}")
        for note in file.notes:
            warn(f"{file.place}: {note}")
    if result.left_out:
        named = ", ".join(result.left_out[:_LEFT_OUT_MAX]) + (" …" if len(result.left_out) > _LEFT_OUT_MAX else "")
        warn(f"Left out, as they are no reports: {named}")


def _show_report(result: FileReport) -> None:
    if len(result.issues) == 1:
        line = result.issues[0]
        say(f"{line.issue_id} {line.action} for {line.agent_name}: {line.reason}")
        return
    say(
        strong(str(result.findings)),
        " findings: ",
        (f"{result.created} new lessons", "green"),
        f", {result.merged} seen before, {result.pending} pending, {result.quarantined} quarantined"
        + (f", {result.rejected} of rejected lessons" if result.rejected else "")
        + ".",
    )
    if result.refused:
        print_table("Refused", ["place", "why"], [(line.place, line.reason) for line in result.refused])
    if result.pending:
        say("See what waits with ", strong("lessonbook pending"), ".")


def record(
    run_id: Annotated[str, typer.Option("--run", help="The run's id, from get_lessons.")],
    lessons: Annotated[list[str], typer.Argument(help="The lessons that were applied.")],
    prevented: Annotated[
        bool | None, typer.Option("--prevented/--not-prevented", help="Whether each prevented its issue.")
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so: qa, ci, review, user, scanner or agent.")] = "user",
    notes: Annotated[str, typer.Option(help="A remark, stored with the application.")] = "",
) -> None:
    """Record which lessons a run applied, and whether they helped."""
    from lessonbook.domain.loop import Application

    verdict = {"prevented_issue": prevented, "source": source, "notes": notes}
    application = request(Application, run_id=run_id, lesson_ids=lessons, **verdict)
    result = run_reporting(services.feedback.record_application, application)
    if shown_as_json(result):
        return
    print_table(
        "Applications",
        ["lesson", "result", "applied", "prevented"],
        [(line.lesson_id, line.result, line.times_applied or 0, line.times_prevented or 0) for line in result.results],
    )
    if all(line.result == "unknown" for line in result.results):
        raise InvalidInput("No lesson with these ids exists in this project: check the ids")


def pending(
    agent: Annotated[str, typer.Argument(help="Only this agent's; otherwise all.")] = "",
    limit: Annotated[int, typer.Option(help="The maximum number of groups, issues and quarantined lessons.")] = 50,
) -> None:
    """List what waits for a person. Issues without a lesson by group, quarantined lessons, and all flagged lessons."""
    from lessonbook.domain.operator import LessonListing, PendingListing

    listing = request(PendingListing, agent_name=agent, limit=limit)
    quarantine = request(LessonListing, agent_name=agent, limit=limit, status=["quarantined"])

    async def act(gateway: Gateway) -> tuple[PendingPage, list[ListedLesson], list[FlaggedLesson]]:
        issues = await gateway.call(services.views.list_pending_issues, listing)
        waiting = await gateway.call(services.views.list_lessons, quarantine)
        return issues, waiting.lessons, await gateway.call(services.views.list_flagged, agent)

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
