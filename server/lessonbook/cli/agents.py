"""agents …: the names lessons are kept for."""

from __future__ import annotations

from typing import Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import command, print_table, request, run, say, shown_as_json, strong, with_options
from lessonbook.domain.counts import count_of


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="List the agents of the project, add and merge them.")
    group.callback(invoke_without_command=True)(with_options(list_unless_other))
    command(group, "list")(list_)
    command(group, "add")(add)
    command(group, "merge")(merge)
    app.add_typer(group, name="agents")


def list_unless_other(ctx: typer.Context) -> None:
    """List, add and merge the agents of the project; without a command: list."""
    if ctx.invoked_subcommand is None:
        list_()


def list_() -> None:
    """List the agents: those of the roster, those that people added, and those that have lessons."""
    agents = run(services.agents.list_agents)
    if not shown_as_json({"agents": agents}):
        rows = [(agent.agent_name, agent.area, agent.answers_for, agent.origin, agent.lessons) for agent in agents]
        print_table("Agents", ["agent", "area", "answers for", "known from", "lessons"], rows, alone=True)


def add(name: Annotated[str, typer.Argument(help="The agent's name.")]) -> None:
    """Add an agent, so that lessons are kept under its name."""
    from lessonbook.domain.lesson_reviews import AgentChoice

    added = run(services.agents.add_agent, request(AgentChoice, agent_name=name).agent_name)
    if not shown_as_json(added):
        lessons = count_of(added.lessons, "lesson")
        say(strong(added.agent_name), f" is an agent of this project, with {lessons}.")


def merge(
    source: Annotated[str, typer.Argument(help="The name whose lessons are moved.")],
    target: Annotated[str, typer.Argument(help="The agent that gets them.")],
) -> None:
    """Move the lessons kept for one name to an agent; afterwards the name is only a label."""
    done = run(services.agents.merge_agents, source, target)
    if not shown_as_json(done):
        say(
            f"{count_of(done.moved, 'lesson')} of {done.source} moved to ",
            strong(done.target),
            f", {done.joined} merged into lessons it had; {done.issues} pending issues moved.",
        )
