"""record: which lessons a run applied, and whether they helped."""

from __future__ import annotations

from typing import Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    command,
    print_table,
    request,
    run_reporting,
    shown_as_json,
)
from lessonbook.domain.errors import InvalidInput


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "record")(record)


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
    from lessonbook.domain.agent_tools import Application

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
