"""Replay of real outcomes: programs that models wrote with and without being told their weaknesses.

A lesson is a taught CWE. A run draws a cell (model, thinking, scenario, framework) with replacement; the cell's taught
lessons are eligible, and each is read by its own coin: the program of arm `specific` where it is shown, that of `none`
where it is withheld. Only a working program can be checked for weaknesses, so a row comes back where the program works;
that a program is broken is the second outcome of every run.

Everything that is concluded is the product's own: evidence, propensities, health, states, side effects and moves. Weeks
have `WEEK_RUNS` runs; the priors are fitted anew every `REFIT_RUNS`. One reporter is named as the project's CI.
"""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench.faults import BenchError
from lessonbook.domain.lesson_status import Status
from lessonbook.experiment import coin
from lessonbook.experiment.effect import effect_of
from lessonbook.experiment.evidence import Evidence, Split
from lessonbook.experiment.health import is_unhealthy
from lessonbook.experiment.policy import Appraisal, LessonState, Priors, ServingCandidate, appraise, assign, fit_priors
from lessonbook.experiment.promotion import next_status
from lessonbook.experiment.standing import standing

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
RARER_CWE: Final = "CWE-693"
"""The one lesson after which "weak or broken" is rarer."""


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
