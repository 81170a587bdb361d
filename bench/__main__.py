"""Command line of the benchmarks: one subcommand each, which prints a table and exits 0 whatever the figures say."""

from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console

from bench import speed
from bench.faults import BenchError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
JsonFile = Annotated[Path | None, typer.Option("--json", help="also write the figures to this file")]


@app.callback()
def bench() -> None:
    """Measure Lessonbook. A missed goal is told, never an error."""


@app.command(name="speed")
def speed_command(
    database: Annotated[speed.Databases, typer.Option(help="database behind Lessonbook")] = speed.Databases.both,
    transport: Annotated[speed.Transports, typer.Option(help="how the client reaches it")] = speed.Transports.both,
    calls: Annotated[int, typer.Option(min=20, help="timed get_lessons calls per server")] = 400,
    reports: Annotated[int, typer.Option(min=10, help="timed report_issues calls")] = 100,
    starts: Annotated[int, typer.Option(min=1, help="timed starts per server")] = 9,
    agents: Annotated[int, typer.Option(min=1, max=25, help="agents that have lessons")] = 25,
    lessons_per_agent: Annotated[int, typer.Option(min=1, max=5_000)] = 1_000,
    json_file: JsonFile = None,
    self_check: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Time Lessonbook beside a bare SDK server, in one interleaved run.

    `--self-check` puts a second bare server in Lessonbook's place: what it shows beyond 1 is this machine's noise.
    """
    plan = speed.Plan(
        databases=database.members(),
        transports=transport.members(),
        calls=calls,
        reports=reports,
        starts=starts,
        agents=agents,
        lessons_per_agent=lessons_per_agent,
        self_check=self_check,
    )
    console = Console()
    try:
        report = anyio.run(_run_speed, plan, Console(stderr=True))
    except BenchError as error:
        Console(stderr=True).print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(1) from error
    console.print(report.table())
    if json_file is not None:
        report.write_json(json_file)


async def _run_speed(plan: speed.Plan, console: Console) -> Any:
    with console.status("starting") as status:
        return await speed.measured(plan, status.update)


if __name__ == "__main__":
    app(prog_name="python -m bench")
