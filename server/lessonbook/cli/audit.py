"""flag, audit: a lesson that misled, and who changed what."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lessonbook import services
from lessonbook.cli.console import FAILED, command, print_table, request, run, say, shown_as_json, warn
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.domain.audit_trail import AuditCheck, AuditEntry

_AGO: Final = re.compile(r"(\d{1,4})([hdw])")
_UNITS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "flag")(flag)
    command(app, "audit")(audit)


def flag(
    lesson_id: Annotated[str, typer.Argument(metavar="LESSON", help="The lesson's id.")],
    reason: Annotated[str, typer.Argument(help="How it misled; kept with the flag.")],
    run_id: Annotated[str, typer.Option("--run", help="The run in which it misled.")] = "",
) -> None:
    """Flag a lesson that is wrong or harmful. Flags by two callers suspend it."""
    from lessonbook.domain.agent_tools import Flag

    result = run(services.feedback.flag_lesson, request(Flag, lesson_id=lesson_id, reason=reason, run_id=run_id))
    if not shown_as_json(result):
        say(f"{result.lesson_id}: {result.result}, {result.flags} flag{'s' if result.flags != 1 else ''} in all.")
        if result.note:
            warn(result.note)


def audit(
    lesson: Annotated[str, typer.Option(help="Only changes of this lesson or refinement run.")] = "",
    since: Annotated[str, typer.Option(help="Only from then on: 24h, 7d, 2w, or an ISO time.")] = "",
    limit: Annotated[int, typer.Option(help="The maximum number of entries, the newest.")] = 50,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chains of hashes instead; exit with 1 on a fault.")
    ] = False,
    head: Annotated[
        bool, typer.Option("--head", help="Print where each chain ends, to be kept elsewhere as evidence.")
    ] = False,
) -> None:
    """Show who changed what in this project, newest first."""
    if verify or head:
        if lesson or since:
            raise InvalidInput("--verify and --head take in the whole project: leave --lesson and --since out")
        _show_check(run(services.queries.check_audit), with_heads=head)
        return
    from lessonbook.domain.audit_trail import AuditQuery

    query = request(AuditQuery, subject=lesson, since=moment(since), limit=limit)
    trail = run(services.queries.get_audit, query)
    if not shown_as_json(trail):
        rows = [
            (line.logged_at[:19], line.principal, line.action, line.subject, _details(line)) for line in trail.entries
        ]
        print_table("Audit trail", ["when", "who", "what", "of", "details"], rows, alone=True)


def moment(text: str) -> str:
    """Return a time that may be given as an age; anything else as it is."""
    found = _AGO.fullmatch(text.strip())
    if found is None:
        return text
    return (datetime.now(UTC) - int(found[1]) * _UNITS[found[2]]).isoformat()


def _details(entry: AuditEntry) -> str:
    return ", ".join(f"{name}={value}" for name, value in entry.details.items() if value not in (None, "", [], {}))


def _show_check(check: AuditCheck, *, with_heads: bool) -> None:
    if not shown_as_json(check):
        for fault in check.faults:
            warn(f"fault: {fault}", colour="red")
        if with_heads:
            rows = [(chain.writer, chain.seq, chain.hash) for chain in check.chains]
            print_table("Ends of the audit chains", ["writer", "entries", "hash"], rows, alone=True)
        elif check.whole:
            entries = sum(chain.seq for chain in check.chains)
            say(f"The audit trail is whole: {count_of(entries, 'entry')} in {count_of(len(check.chains), 'chain')}.")
    if not check.whole:
        raise typer.Exit(FAILED)
