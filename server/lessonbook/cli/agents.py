"""agents …: the names lessons are kept for."""

from __future__ import annotations

from typing import Annotated

import typer

from lessonbook.cli.console import command, print_json, print_table, run, say, wants_json, with_options


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(with_options(list_unless_other))
    command(group, "list")(list_)
    command(group, "add")(add)
    command(group, "merge")(merge)
    app.add_typer(group, name="agents")


def list_unless_other(ctx: typer.Context) -> None:
    """List, add and merge the agents of the project; without a command: list."""
    if ctx.invoked_subcommand is None:
        list_()


def list_() -> None:
    """List the agents: those of the roster, and those that were given, written for, or made by reports."""
    from lessonbook import services

    agents = run(services.agents.list_agents)
    if wants_json():
        print_json({"agents": [agent.model_dump(mode="json") for agent in agents]})
        return
    rows = [(agent.agent_name, agent.area, agent.answers_for, agent.origin, agent.lessons) for agent in agents]
    print_table("Agents", ["agent", "area", "answers for", "known from", "lessons"], rows)


def add(name: Annotated[str, typer.Argument(help="The agent's name.")]) -> None:
    """Say that a name is an agent's: from now on lessons are kept for it."""
    from lessonbook import services
    from lessonbook.domain.operator import AgentChoice
    from lessonbook.domain.validation import parse

    choice = parse(AgentChoice, {"agent_name": name})

    added = run(services.agents.add_agent, choice.agent_name)
    if wants_json():
        print_json(added)
    else:
        from rich.markup import escape

        say(f"[bold]{escape(added.agent_name)}[/bold] is an agent of this project, with {added.lessons} lessons.")


def merge(
    source: Annotated[str, typer.Argument(help="The name whose lessons go.")],
    target: Annotated[str, typer.Argument(help="The agent that gets them.")],
) -> None:
    """Move the lessons kept for one name to an agent; the name is only a label from then on."""
    from lessonbook import services

    done = run(services.agents.merge_agents, source, target)
    if wants_json():
        print_json(done)
    else:
        from rich.markup import escape

        say(
            f"{done.moved} lessons of {escape(done.source)} moved to [bold]{escape(done.target)}[/bold], "
            f"{done.joined} merged into lessons it had; {done.issues} issues wait there."
        )
