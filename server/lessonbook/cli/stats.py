"""stats, cleanup, resume, experiment: the figures, and what a person does about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lessonbook import services
from lessonbook.cli.console import (
    add_group,
    command,
    print_facts,
    print_json,
    print_table,
    request,
    run,
    run_all,
    say,
    shown_as_json,
    wants_json,
    warn,
)
from lessonbook.domain.counts import count_of
from lessonbook.domain.errors import InvalidInput

if TYPE_CHECKING:
    from lessonbook.domain.agent_figures import AgentFigures
    from lessonbook.domain.agent_tools import Stats
    from lessonbook.domain.takeback import CleanedUp
    from lessonbook.edges.access.gateway import Gateway


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    command(app, "stats")(stats)
    command(app, "cleanup")(cleanup)
    command(app, "resume")(resume)
    command(add_group(app, "experiment", "Begin the experiment anew."), "restart")(restart)


def stats(
    agent: Annotated[str, typer.Argument(help="Only this agent's; otherwise all.")] = "",
    lesson: Annotated[str, typer.Option(help="The figures of one lesson instead.")] = "",
    days: Annotated[int, typer.Option(help="Only evidence of this many days; 0: all.")] = 0,
) -> None:
    """Show counts, measured effect and lift, and the trend by week."""
    from lessonbook.domain.agent_tools import StatsQuery

    if agent and lesson:
        raise InvalidInput("Name an agent or a lesson, not both")
    query = request(StatsQuery, agent_name=agent, lesson_id=lesson, days=days)

    async def act(gateway: Gateway) -> tuple[Stats, list[AgentFigures], list[str]]:
        figures = await gateway.call(services.queries.get_stats, query)
        if lesson:
            return figures, [], []
        agents = await gateway.call(services.queries.by_agent, agent)
        return figures, agents, await gateway.call(services.queries.unusual_reports)

    figures, rows, unusual = run_all(act)
    if wants_json():
        print_json({**figures.model_dump(mode="json"), "agents": rows, "unusual": unusual})
        return
    for note in unusual:
        warn(note)
    if not lesson:
        _show_agents(rows)
    _show_proof(figures)
    _show_trend(figures)
    if figures.top_recurring:
        recurring = [(line.issues, line.severity, line.lesson_id, line.text) for line in figures.top_recurring]
        print_table("Most frequent", ["seen", "severity", "lesson", "text"], recurring)


def _show_agents(rows: list[AgentFigures]) -> None:
    heads = ["agent", "active", "issues", "pending", "runs", "prevented"]
    cells = [
        [
            row.agent_name,
            f"{row.active_lessons} of {row.total_lessons}",
            *(row.issues, row.pending_issues, row.runs),
            f"{row.prevented} of {row.verified}",
        ]
        for row in rows
    ]
    print_table("Agents", heads, cells)


def _show_proof(figures: Stats) -> None:
    """Print each measured figure with its interval, or why it is not measured yet."""
    from lessonbook.domain.agent_tools import ServiceLift
    from lessonbook.edges.result_text import effect, lift, prevention_rate, side_effect

    totals = figures.totals
    facts = {
        "state": f"{figures.state.state}: {figures.state.reason}"
        + (f" About {figures.state.runs_to_go} checked runs to go." if figures.state.runs_to_go else ""),
        "measured effect": effect(figures.effect),
        "side effects": side_effect(figures.side_effect),
        "lift": lift(figures.lift),
        "verdicts": prevention_rate(figures.prevention_rate),
        "served": f"{totals.deliveries} deliveries in {count_of(totals.runs, 'run')}"
        + (f", {figures.tokens_served} tokens" if figures.tokens_served else ""),
        "not served": ", ".join(f"{count} {reason}" for reason, count in figures.withheld_by_reason.items() if count),
        "serving is stopped": figures.lift.stopped if isinstance(figures.lift, ServiceLift) else None,
    }
    print_facts("Proof", facts.items())


def _show_trend(figures: Stats) -> None:
    weeks = [
        (week.begins, week.runs, week.issues, "" if week.issues_per_100_runs is None else week.issues_per_100_runs)
        for week in figures.trend
    ]
    if len(weeks) > 1:
        print_table("Week by week", ["week of", "runs", "issues", "issues per 100 runs"], weeks)


def cleanup(
    threshold: Annotated[float, typer.Option(help="Useless: prevented ÷ verified below this.")] = 0.3,
    min_applications: Annotated[int, typer.Option(help="Only lessons applied at least this often.")] = 5,
    execute: Annotated[bool, typer.Option("--execute", help="Suspend them; otherwise they are only listed.")] = False,
) -> None:
    """Suspend lessons that were applied often and prevented little."""
    from lessonbook.domain.takeback import Cleanup

    wanted = request(Cleanup, threshold=threshold, min_applications=min_applications, dry_run=not execute)

    async def act(gateway: Gateway) -> CleanedUp:
        if execute:
            await gateway.call(services.background.keep_up)
        return await gateway.call(services.background.cleanup_lessons, wanted)

    result = run_all(act)
    if not shown_as_json(result):
        _show_cleanup(result)


def _show_cleanup(result: CleanedUp) -> None:
    verb = "would suspend" if result.dry_run else "suspended"
    fates = {(True, False): verb, (False, True): "proposes"}
    if not result.lessons:
        say("No lesson was applied often enough to be judged.")
        return
    rows = [
        (fates.get((line.suspended, line.proposed), "keeps"), line.lesson_id, line.agent_name, line.text, line.reason)
        for line in result.lessons
    ]
    print_table(
        f"Clean-up {verb} {count_of(result.suspended, 'lesson')}", ["verdict", "lesson", "agent", "text", "why"], rows
    )


def resume(
    reason: Annotated[str, typer.Argument(help="Why it is safe now, for the record.")] = "",
) -> None:
    """Resume serving after it stopped by itself.

    It does where runs with lessons have more issues than those without.
    """
    result = run(services.background.resume, reason)
    if not shown_as_json(result):
        say(f"Lessons are served again in project {result.project}; measuring starts over.")


def restart(
    reason: Annotated[str, typer.Argument(help="What made the arms unlike, for the record.")] = "",
) -> None:
    """Toss all coins anew, and set the evidence so far aside, where runs come back unequally often."""
    result = run(services.background.restart_experiment, reason)
    if not shown_as_json(result):
        say(f"Experiment {result.epoch} is on in project {result.project}. {result.note}")
