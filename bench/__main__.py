"""Command line of the benchmarks: one subcommand each, which prints a table and exits 0 whatever the figures say."""

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import anyio
import typer
from rich.console import Console

from bench import (
    answers,
    clients,
    cost,
    crowd,
    dedup,
    effect,
    evidence,
    findings,
    growth,
    harm,
    hooks,
    injection,
    intake,
    processes,
    refine,
    replay,
    retrieval,
    routing,
    secret_finding,
    severity,
    soak,
    speed,
    start,
    tasks,
)
from bench.evaluation import Evaluation
from bench.faults import BenchError, leaves
from bench.measure import Report

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Plan = TypeVar("Plan")
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
    lessons_per_agent: Annotated[int, typer.Option(min=1, max=5_000, help="lessons of each of 25 agents")] = 1_000,
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
        lessons_per_agent=lessons_per_agent,
        self_check=self_check,
    )
    _show(_finished(speed.measured, plan), json_file)


@app.command(name="answers")
def answers_command() -> None:
    """Compare what an answer costs in both forms: the text, and the structured content that many clients show alone."""
    Console().print(answers.table())


@app.command(name="growth")
def growth_command(
    database: Annotated[speed.Databases, typer.Option(help="database behind Lessonbook")] = speed.Databases.both,
    calls: Annotated[int, typer.Option(min=20, help="timed calls per server and step")] = 300,
    most: Annotated[int, typer.Option(min=1_000, help="leave out steps with more lessons")] = 1_000_000,
    json_file: JsonFile = None,
) -> None:
    """Time get_lessons as the agent's lessons and all others grow: 1,000, 10,000, 100,000, 1,000,000."""
    plan = growth.Plan(databases=database.members(), calls=calls, most=most)
    _show(_finished(growth.measured, plan), json_file)


@app.command(name="start")
def start_command(
    rounds: Annotated[int, typer.Option(min=3, help="times each command is run")] = 20,
    json_file: JsonFile = None,
) -> None:
    """Time commands as whole processes, beside the import of the libraries that they need."""
    _show(start.measure(rounds), json_file)


@app.command(name="hooks")
def hooks_command(
    calls: Annotated[int, typer.Option(min=20, help="timed hooks of each kind with a server")] = 100,
    cold: Annotated[int, typer.Option(min=1, help="timed hooks without a server")] = 10,
    lessons: Annotated[int, typer.Option(min=1, max=50, help="lessons of the starter")] = 20,
    json_file: JsonFile = None,
) -> None:
    """Time whole processes of `lessonbook hook`, with a server and without, beside a bare Python."""
    _show(hooks.measure(hooks.Plan(calls, cold, lessons)), json_file)


@app.command(name="crowd")
def crowd_command(
    database: Annotated[speed.Databases, typer.Option(help="database behind Lessonbook")] = speed.Databases.both,
    callers: Annotated[int, typer.Option(min=1, help="callers at once, on 8 connections")] = 200,
    calls: Annotated[int, typer.Option(min=100, help="calls by which authorisation is timed")] = 3_000,
    processes_: Annotated[int, typer.Option("--processes", min=0, help="processes at once, instead of callers")] = 0,
    writes: Annotated[int, typer.Option(min=1, help="reports of each process")] = 20,
    json_file: JsonFile = None,
) -> None:
    """Let many callers with tokens call at once, and time what authorisation adds to a call.

    With `--processes`, as many processes write to one database instead.
    """
    if processes_:
        crowded = processes.Plan(databases=database.members(), processes=processes_, writes=writes)
        _show(_finished(processes.measured, crowded), json_file)
        return
    plan = crowd.Plan(databases=database.members(), callers=callers, calls=calls)
    _show(_finished(crowd.measured, plan), json_file)


@app.command(name="soak")
def soak_command(
    database: Annotated[speed.Databases, typer.Option(help="database behind Lessonbook")] = speed.Databases.both,
    minutes: Annotated[float, typer.Option(min=0.1, help="how long on each database")] = 15.0,
    rate: Annotated[float, typer.Option(min=0.1, help="calls a second")] = 20.0,
    json_file: JsonFile = None,
) -> None:
    """Let a server answer a steady mix of calls, and tell what grows beside the data."""
    _show(_finished(soak.measured, soak.Plan(database.members(), minutes, rate)), json_file)


@app.command(name="cost")
def cost_command(
    calls: Annotated[int, typer.Option(min=100, help="calls of get_lessons over HTTP")] = 3_000,
    lessons: Annotated[int, typer.Option(min=10, help="lessons of each of 25 agents")] = 1_000,
    json_file: JsonFile = None,
) -> None:
    """Tell what a call of `get_lessons` costs on PostgreSQL: processor time, and bytes kept."""
    _show(_finished(cost.measured, cost.Plan(calls=calls, lessons_per_agent=lessons)), json_file)


@app.command(name="intake")
def intake_command(
    data: Annotated[Path | None, typer.Option(help="folder with dedup_stream.jsonl, for real texts")] = None,
    results: Annotated[int, typer.Option(min=500, help="results of the SARIF file")] = 20_000,
    issues: Annotated[int, typer.Option(min=100, help="issues in words")] = 2_000,
    json_file: JsonFile = None,
) -> None:
    """Time refining of issues and scanner files, and watch memory as files grow."""
    plan = intake.Plan(data=data, results=results, issues=issues)
    _show(_finished(intake.measure, plan), json_file)


@app.command(name="evidence")
def evidence_command(
    database: Annotated[speed.Databases, typer.Option(help="database to fill")] = speed.Databases.both,
    deliveries: Annotated[int, typer.Option(min=1_000, help="deliveries over 90 days of 25 agents")] = 10_000_000,
    calls: Annotated[int, typer.Option(min=20, help="timed get_stats calls of each kind")] = 200,
    plans: Annotated[
        Path | None, typer.Option(help="append statements and the plans of slow ones to this file")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Fill a database with deliveries, fold them, and time `get_stats`. Ten millions take 4 GB of disk."""
    plan = evidence.Plan(databases=database.members(), deliveries=deliveries, calls=calls, plans=plans)
    _show(_finished(evidence.measured, plan), json_file)


DataFolder = Annotated[Path, typer.Option(help="folder of the labelled (or unlabelled) rows, a .jsonl file each")]
PredictionsFile = Annotated[Path | None, typer.Option("--predictions", help="write what was predicted, a line each")]


def _evaluation(name: str, evaluate: Callable[[Path], Evaluation], sentence: str) -> None:
    """Add the command of one task on labelled data."""

    def command(data: DataFolder, predictions_file: PredictionsFile = None, json_file: JsonFile = None) -> None:
        evaluation = evaluate(data)
        Console().print(evaluation.table())
        evaluation.write(predictions_file, json_file)

    app.command(name=name, help=sentence)(command)


def _retrieval(name: str, evaluate: Callable[[Path, Path | None], Evaluation], sentence: str) -> None:
    """Add the command of a task that an embedding model can take part in."""

    def command(
        data: DataFolder,
        semantic: Annotated[Path | None, typer.Option(help="folder of an embedding model (`semantic.model`)")] = None,
        predictions_file: PredictionsFile = None,
        json_file: JsonFile = None,
    ) -> None:
        try:
            evaluation = evaluate(data, semantic)
        except BenchError as error:
            Console(stderr=True).print(str(error), style="red", highlight=False, markup=False)
            raise typer.Exit(1) from None
        Console().print(evaluation.table())
        evaluation.write(predictions_file, json_file)

    app.command(name=name, help=sentence)(command)


_evaluation(
    "dedup", dedup.evaluate, "Tell which issues of a stream are repeats, and how often a new one is taken for one."
)
_evaluation("severity", severity.evaluate, "Grade advisories by their words alone.")
_evaluation("routing", routing.evaluate, "Tell whose work a commit message speaks of.")
_evaluation("injection", injection.evaluate, "Plant attacks through every channel and look at what agents are served.")
_retrieval("retrieval", retrieval.evaluate, "Find the lessons that fit what is asked, beside plain FTS5.")
_retrieval(
    "learning-retrieval", retrieval.evaluate_learning, "Tell what the issues behind lessons add to finding them."
)
_evaluation("scale", retrieval.evaluate_scale, "Find lessons among those of all sets, and among many that fit nothing.")
_evaluation("tasks", tasks.evaluate, "Serve lessons for coding tasks whose weaknesses are known, and for chatter.")
_evaluation("everyday", tasks.evaluate_everyday, "Serve lessons for tasks as developers put them.")
_evaluation("secrets", secret_finding.evaluate, "Look for secrets in code and reports.")
_evaluation("effect", effect.evaluate, "Tell what a policy would have brought from what another one logged.")


@app.command(name="harm")
def harm_command(json_file: JsonFile = None) -> None:
    """Hold harmful advice in a friendly voice, and no good advice; by family, also with the family's words left out."""
    found = harm.evaluate()
    Console().print(found.table())
    found.write(None, json_file)


@app.command(name="findings")
def findings_command(
    data: Annotated[Path, typer.Option(help="folder of report files")],
    sample_file: Annotated[
        Path | None, typer.Option("--sample", help="also write findings for people to judge")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="findings in the sample")] = 130,
    seed: Annotated[int, typer.Option(help="of the sample")] = 1,
    json_file: JsonFile = None,
) -> None:
    """Show what the findings of report files become: a lesson of the catalogue, in the scanner's words, or none."""
    report = findings.measure(data, sample_file, count, seed)
    Console().print(report.table())
    if json_file is not None:
        json_file.write_text(json.dumps(report.metrics(), indent=2) + "\n", encoding="utf-8")


@app.command(name="refine")
def refine_command(
    findings: Annotated[Path, typer.Option(help="report file whose findings are pending")] = refine.FINDINGS,
    python: Annotated[Path, typer.Option(help="interpreter that has the model and its engine")] = Path(sys.executable),
    batch_size: Annotated[int, typer.Option(min=1, max=50, help="groups in one question")] = 3,
    limit: Annotated[int, typer.Option(min=0, help="issues to ask about; 0: all")] = 0,
    seed: Annotated[int, typer.Option(help="of the model's sampling")] = 1,
    free: Annotated[bool, typer.Option("--free", help="do not guide answers by their schema")] = False,
    json_file: JsonFile = None,
) -> None:
    """Let a small local model word lessons for real pending findings, and show what is served, held and left."""
    plan = refine.Plan(findings, python, batch_size, limit, seed, free)
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            outcome = refine.measure(plan, status.update)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    for table in outcome.tables():
        Console().print(table)
    if json_file is not None:
        outcome.write_json(json_file)


@app.command(name="clients")
def clients_command(
    names: Annotated[list[str] | None, typer.Argument(help="clients; by default all that npm has")] = None,
    npm: Annotated[Path | None, typer.Option(help="folder into which npm installed them already")] = None,
    over_http: Annotated[bool, typer.Option("--http", help="a server over HTTP that asks for tokens")] = False,
    json_file: JsonFile = None,
) -> None:
    """Let real clients connect to what `install` writes, and show what their model reads of an answer."""
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            shown = clients.measure(names or [], npm, status.update, over_http=over_http)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    Console().print(clients.table(shown))
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(one) for one in shown], indent=2) + "\n", encoding="utf-8")


@app.command(name="learning")
def learning_command(
    world_file: Annotated[Path, typer.Option("--world", help="TOML file of the simulated world")],
    seeds: Annotated[int, typer.Option(min=2, help="paired seeds: the same draws for every policy")] = 40,
    runs: Annotated[int, typer.Option(min=10, help="runs of each seed")] = 10_000,
    json_file: JsonFile = None,
    picture: Annotated[Path | None, typer.Option(help="draw issues prevented over runs into this file")] = None,
    ingredients: Annotated[bool, typer.Option("--ablation", help="what each ingredient adds, instead")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; by default one per processor")] = None,
) -> None:
    """Compare Lessonbook's policy with simpler rules in a simulated world, or with itself less an ingredient."""
    from bench.learning import ablation, comparison, report, world  # noqa: PLC0415  # they need the extra `bench`

    console = Console(stderr=True)
    try:
        read = world.World.read(world_file)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    with console.status(f"{read.name}: starting") as status:
        if ingredients:
            without = ablation.figures(read, ablation.ablate(read, seeds, runs, status.update))
            Console().print(ablation.table(without))
            if json_file is not None:
                report.write_json(without, json_file)
            return
        compared = comparison.compare(read, seeds, runs, status.update, workers)
    measured = report.figures(compared)
    Console().print(report.table(measured))
    if json_file is not None:
        report.write_json(measured, json_file)
    if picture is not None:
        report.draw_picture(compared, picture)


@app.command(name="learning-grid")
def learning_grid_command(
    lives: Annotated[int, typer.Option(min=50, help="lives in each cell of the grid")] = 1_000,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; by default one per processor")] = None,
    json_file: JsonFile = None,
) -> None:
    """Tell how often a lesson is retired wrongly, or an effect told wrongly, where arms are checked unequally often."""
    from bench.learning import grid, report  # noqa: PLC0415  # they need the extra `bench`

    with Console(stderr=True).status("starting") as status:
        figures = grid.measure(status.update, lives, workers)
    for table in grid.tables(figures):
        Console().print(table)
    if json_file is not None:
        report.write_json(figures, json_file)


@app.command(name="replay")
def replay_command(
    data: Annotated[Path, typer.Option(help="folder with codestrike_outcomes.jsonl")],
    seeds: Annotated[int, typer.Option(min=1, help="how often the runs are drawn")] = replay.SEEDS,
    runs: Annotated[int, typer.Option(min=10, help="runs of each seed")] = replay.RUNS,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; by default one per processor")] = None,
    json_file: JsonFile = None,
    picture: Annotated[Path | None, typer.Option(help="draw what was told of each lesson into this file")] = None,
) -> None:
    """Replay programs that models wrote with lessons and without, and show what is told of each lesson."""
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            measured = replay.measure(data, seeds, runs, status.update, workers)
    except BenchError as error:
        console.print(str(error), style="red", highlight=False, markup=False)
        raise typer.Exit(1) from None
    Console().print(measured.table())
    if json_file is not None:
        json_file.write_text(json.dumps(measured.document(), indent=2) + "\n", encoding="utf-8")
    if picture is not None:
        replay.draw_picture(measured, picture)


def _finished(measured: Callable[[Plan, Callable[[str], None]], Awaitable[Report]], plan: Plan) -> Report:
    """Run a benchmark with its progress on stderr; what stopped it is told in a sentence, with exit code 1."""
    console = Console(stderr=True)
    causes: list[str] = []
    try:
        with console.status("starting") as status:
            return anyio.run(measured, plan, status.update)
    except* BenchError as group:  # a client's task group wraps what its block raises
        causes = [str(error) for error in leaves(group)]
    console.print("\n".join(causes), style="red", highlight=False, markup=False)
    raise typer.Exit(1)


def _show(report: Report, json_file: Path | None) -> None:
    Console().print(report.table())
    if json_file is not None:
        report.write_json(json_file)


if __name__ == "__main__":
    app(prog_name="python -m bench")
