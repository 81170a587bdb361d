"""report: an issue in words, or files of scanners, tests and reviews."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lessonbook.cli.console import (
    BAD_INPUT,
    command,
    print_table,
    progress,
    say,
    shown_as_json,
    strong,
    warn,
)
from lessonbook.domain.errors import InvalidInput
from lessonbook.domain.findings import ReportKind

if TYPE_CHECKING:
    from lessonbook.domain.file_results import FileReport

_LEFT_OUT_MAX: Final = 20


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "report")(report)


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
    from lessonbook.cli import report_inputs, report_sending
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
        sender = report_sending.ReportOptions(
            agent_name=agent,
            run_ids=named,
            source=source or ("user" if first.in_words or (what == ["-"] and not kind) else ""),
            idempotency_key=key,
        )
        if run_from_git and not named:
            warn("No commit under test has a Lessonbook-Run trailer: reported without a run.")
        if server:
            result = (
                report_sending.send_issue(server, token, first, sender, single)
                if is_single
                else report_sending.send_files(server, token, inputs, sender, update)
            )
        else:
            result = (
                report_sending.one_issue(first, sender, single)
                if is_single
                else report_sending.whole_files(inputs, sender, update)
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
