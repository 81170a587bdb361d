"""get: the lessons for a task, printed for a prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    command,
    print_table,
    request,
    run,
    shown_as_json,
    warn,
    write,
)

if TYPE_CHECKING:
    from lessonbook.domain.agent_tools import LessonQuery


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "get")(get)


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
    from lessonbook.domain.agent_tools import LessonQuery

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
    from lessonbook.domain.lesson_reviews import TaskExplanation

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
