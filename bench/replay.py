"""Replay of real outcomes: programs that models wrote with and without being told their weaknesses.

A lesson is a taught CWE. A run draws a cell (model, thinking, scenario, framework) with replacement; the cell's taught
lessons are eligible, and each is read by its own coin: the program of arm `specific` where it is shown, that of `none`
where it is withheld. Only a working program can be checked for weaknesses, so a row comes back where the program works;
that a program is broken is the second outcome of every run.

Everything that is concluded is the product's own: evidence, propensities, health, states, side effects and moves. Weeks
have `WEEK_RUNS` runs; the priors are fitted anew every `REFIT_RUNS`. One reporter is named as the project's CI.
"""

import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from bench.faults import BenchError
from lessonbook.domain.lesson_status import Status
from lessonbook.experiment import coin
from lessonbook.experiment.arm_health import is_unhealthy
from lessonbook.experiment.effect import effect_of
from lessonbook.experiment.evidence import Evidence, Split
from lessonbook.experiment.lesson_state import standing
from lessonbook.experiment.promotion import next_status
from lessonbook.experiment.serving_policy import (
    Appraisal,
    LessonState,
    Priors,
    ServingCandidate,
    appraise,
    assign,
    fit_priors,
)

OUTCOMES: Final = "codestrike_outcomes.jsonl"
SEEDS: Final = 40
RUNS: Final = 3_000
WEEK_RUNS: Final = 500
REFIT_RUNS: Final = 100
REPORTER: Final = "ci"
TOKENS: Final = 100
SEVERITY_WEIGHT: Final = 4.0
FALL_MIN: Final = 0.10
PROGRAMS_MIN: Final = 100


class Program(NamedTuple):
    """What came of one program: whether it works, and the weaknesses found in it."""

    works: bool
    weaknesses: frozenset[str]


class Cell(NamedTuple):
    """One task of one model: the lessons of its scenario, and its programs without and with them."""

    lessons: tuple[str, ...]
    plain: Program
    taught: Program


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was told in one seed: the lessons of which it was ever told that they help, harm, or break something."""

    helps: frozenset[str]
    harms: frozenset[str]
    breaks: frozenset[str]
    side_effects: dict[str, float]
    unhealthy: frozenset[str]
    p_show: dict[str, float]


def cells_of(data: Path) -> list[Cell]:
    """Return the cells of a folder's outcomes that have both arms and taught lessons.

    Raises:
        BenchError: The folder has no outcomes.
    """
    path = data / OUTCOMES
    if not path.exists():
        message = f"{path}: no such file"
        raise BenchError(message)
    found: dict[tuple[object, ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for line in path.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        key = (row["model"], row["thinking"], row["scenario"], row["framework"])
        found[key][row["arm"]] = row
    return [
        Cell(tuple(_names(arms["specific"]["taught"])), _program(arms["none"]), _program(arms["specific"]))
        for arms in found.values()
        if "none" in arms and arms.get("specific", {}).get("taught")
    ]


def replay(cells: Sequence[Cell], seed: int, runs: int) -> Replayed:
    """Return what is told of each lesson after so many runs, in measured mode and from no evidence."""
    dice, book = random.Random(seed), _Book(seed)
    for run in range(runs):
        if run % REFIT_RUNS == 0:
            book.conclude(run)
        book.add(run, dice.choice(cells))
    book.conclude(runs)
    return book.replayed()


@dataclass(slots=True)
class _Book:
    """The lessons of one agent, whose evidence grows."""

    seed: int
    evidence: dict[str, Evidence] = field(default_factory=lambda: defaultdict[str, Evidence](Evidence))
    status: dict[str, Status] = field(default_factory=lambda: defaultdict[str, Status](lambda: "probation"))
    appraisals: dict[str, Appraisal] = field(default_factory=dict[str, Appraisal])
    priors: Priors = field(default_factory=Priors)
    week: int = 0
    told: dict[str, set[str]] = field(default_factory=lambda: defaultdict[str, set[str]](set))
    unhealthy: set[str] = field(default_factory=set[str])
    side_effects: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, run: int, cell: Cell) -> None:
        """Assign the cell's lessons, and count what comes back."""
        names = [name for name in cell.lessons if self.status[name] != "retired"]
        chances = {name: self._appraisal(name) for name in names}
        candidates = [ServingCandidate(name, 1.0, TOKENS) for name in names]

        def uniform(name: str) -> float:
            return coin.toss(self.seed.to_bytes(8), "replay", str(run), name, "")

        for delivery in assign(candidates, chances, uniform, TOKENS * len(candidates)):
            name, shown, p_show = delivery.lesson_id, delivery.shown, delivery.p_show
            program = cell.taught if shown else cell.plain
            evidence = self.evidence[name].add_side(shown=shown, p_show=p_show, wrong=not program.works)
            evidence = evidence.add_unexplained(shown=shown, p_show=p_show, wrong=not program.works, period=self.week)
            if program.works:
                share = evidence.share(p_show, self.week)
                evidence = evidence.add_row(shown=shown, p_show=p_show, period=self.week)
                if name in program.weaknesses:
                    evidence = evidence.add_event(shown=shown, share=share, reporter=REPORTER, period=self.week)
            self.evidence[name] = evidence

    def conclude(self, run: int) -> None:
        """Look at everything: fit the priors, tell states and side effects, and move lessons."""
        self.week = run // WEEK_RUNS
        self.priors = fit_priors(self.evidence.values(), self.week, 20.0)
        self.appraisals = {}
        if is_unhealthy(_coins(sum(self.evidence.values(), Evidence()))):
            self.unhealthy.add("")
        for name, evidence in self.evidence.items():
            if is_unhealthy(_coins(evidence)) or "" in self.unhealthy:
                self.unhealthy.add(name)
            alarm = "The arms are unlike." if name in self.unhealthy else ""
            self.told[standing(evidence, effect_of(evidence), alarm=alarm).state].add(name)
            side_effect = self._appraisal(name).side_effect
            self.side_effects[name] = side_effect.mean
            if side_effect.harms:
                self.told["breaks"].add(name)
            if not alarm and (move := next_status(self.status[name], self._appraisal(name), named=[REPORTER])):
                self.status[name] = move.to

    def replayed(self) -> Replayed:
        """Return what was ever told."""
        return Replayed(
            helps=frozenset(self.told["helps"]),
            harms=frozenset(self.told["harms"]),
            breaks=frozenset(self.told["breaks"]),
            side_effects=self.side_effects,
            unhealthy=frozenset(self.unhealthy - {""}),
            p_show={name: self._appraisal(name).p_show for name in self.evidence},
        )

    def _appraisal(self, name: str) -> Appraisal:
        if (known := self.appraisals.get(name)) is None:
            state = LessonState(name, SEVERITY_WEIGHT, TOKENS, self.evidence[name])
            known = appraise([state], priors=self.priors, now=self.week, tokens=TOKENS)[name]
            self.appraisals[name] = known
        return known


def _coins(evidence: Evidence) -> dict[float, Split]:
    return dict(evidence.total().coins)


def _program(row: dict[str, Any]) -> Program:
    return Program(row["functional"], frozenset(_names(row["cwes"])))


def _names(numbers: Sequence[int]) -> list[str]:
    return [f"CWE-{number}" for number in numbers]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was told in every seed, and what the programs show."""

    runs: int
    seeds: Sequence[Replayed]
    cells: Sequence[Cell]

    def lessons(self) -> list[str]:
        """Return the names of all lessons, by number."""
        return sorted({name for cell in self.cells for name in cell.lessons}, key=lambda name: int(name[4:]))

    def of_lesson(self, name: str) -> dict[str, float]:
        """Return the share of seeds in which each thing was told of a lesson."""
        count = len(self.seeds)
        return {
            "told_to_help": sum(name in seed.helps for seed in self.seeds) / count,
            "told_to_harm": sum(name in seed.harms for seed in self.seeds) / count,
            "told_side_effect": sum(name in seed.breaks for seed in self.seeds) / count,
            "unhealthy": sum(name in seed.unhealthy for seed in self.seeds) / count,
        }

    def works(self, name: str) -> tuple[float, float, int]:
        """Return the shares of programs that work, plain and taught, and how many of each there are."""
        own = [cell for cell in self.cells if name in cell.lessons]
        return (
            sum(cell.plain.works for cell in own) / len(own),
            sum(cell.taught.works for cell in own) / len(own),
            len(own),
        )

    def weak(self, name: str) -> tuple[float, float]:
        """Return the shares of programs that are weak or broken, plain and taught."""
        own = [cell for cell in self.cells if name in cell.lessons]
        arms = ([cell.plain for cell in own], [cell.taught for cell in own])
        plain, taught = (sum(not one.works or name in one.weaknesses for one in arm) / len(arm) for arm in arms)
        return plain, taught

    def document(self) -> dict[str, Any]:
        """Return what is written to JSON."""
        lessons = {name: self.of_lesson(name) for name in self.lessons()}
        return {"task": "replay", "seeds": len(self.seeds), "runs": self.runs, "lessons": lessons, **self.goals()}

    def goals(self) -> dict[str, float]:
        """Return the figures that have goals: the mean of false help, and of breakage that is told."""
        not_helped = [name for name in self.lessons() if self.weak(name)[1] >= self.weak(name)[0]]
        broken = [
            name
            for name in self.lessons()
            for plain, taught, programs in (self.works(name),)
            if plain - taught >= FALL_MIN and 2 * programs >= PROGRAMS_MIN
        ]
        return {
            "false_help": _mean([self.of_lesson(name)["told_to_help"] for name in not_helped]),
            "breakage_told": _mean([self.of_lesson(name)["told_side_effect"] for name in broken]),
            "breakage_told_least": min((self.of_lesson(name)["told_side_effect"] for name in broken), default=0.0),
        }

    def table(self) -> Table:
        """Return a row per lesson."""
        grid = Table(title=f"told of each lesson in {len(self.seeds)} seeds of {self.runs:,} runs")
        for column in ("lesson", "programs that work", "weak or broken", "helps", "harms", "breaks", "unhealthy"):
            grid.add_column(column, justify="left" if column == "lesson" else "right")
        for name in self.lessons():
            plain, taught, _ = self.works(name)
            weak, weak_taught = self.weak(name)
            shares = (f"{share:.2f}" for share in self.of_lesson(name).values())
            grid.add_row(name, f"{plain:.2f} → {taught:.2f}", f"{weak:.2f} → {weak_taught:.2f}", *shares)
        for name, value in self.goals().items():
            grid.add_row(name, "", "", f"{value:.3f}")
        return grid


def measure(data: Path, seeds: int, runs: int, tell: Callable[[str], None], workers: int | None = None) -> Measured:
    """Return what is told in so many seeds, computed on all processors.

    Raises:
        BenchError: The folder has no outcomes.
    """
    cells = cells_of(data)
    done: dict[int, Replayed] = {}
    count = min(workers or os.cpu_count() or 1, seeds)
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(replay, cells, seed, runs): seed for seed in range(seeds)}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            tell(f"{len(done)} of {seeds} seeds")
    return Measured(runs, [done[seed] for seed in range(seeds)], cells)


def draw_picture(measured: Measured, path: Path) -> None:
    """Draw how many programs work with each lesson and without, and what was told of it."""
    import matplotlib as mpl  # noqa: PLC0415  # only for pictures, and slow to load

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    names = sorted(measured.lessons(), key=lambda name: measured.works(name)[2])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 7), sharey=True, layout="constrained")
    for row, name in enumerate(names):
        plain, taught, programs = measured.works(name)
        left.plot([plain, taught], [row, row], color="0.7", linewidth=2, zorder=1)
        left.scatter([plain], [row], color="tab:blue", zorder=2, label="withheld" if not row else None)
        left.scatter([taught], [row], color="tab:red", zorder=2, label="shown" if not row else None)
        left.annotate(f"{2 * programs}", (1.0, row), ha="right", va="center", fontsize=7, color="0.4")
        told = measured.of_lesson(name)
        right.barh(row + 0.2, told["told_side_effect"], 0.35, color="tab:red", label=None if row else "breaks programs")
        right.barh(row - 0.2, told["told_to_help"], 0.35, color="tab:green", label=None if row else "helps")
    left.set_yticks(range(len(names)), names, fontsize=8)
    left.set(xlim=(0, 1.02), xlabel="share of programs that work (grey: programs)")
    right.set(xlim=(0, 1.02), xlabel=f"share of {len(measured.seeds)} seeds in which it is told")
    figure.legend(frameon=False, loc="outside right upper")
    figure.suptitle("Real programs, replayed: what Lessonbook tells of each lesson")
    figure.supxlabel(
        "All lessons of a task were taught in one prompt: each is praised and blamed for the whole of it. Programs: "
        "CodeStrike.",
        fontsize=8,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(len(values), 1)
