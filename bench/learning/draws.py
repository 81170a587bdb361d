"""Every random draw of one seed, taken before any policy acts: all policies meet the same lessons, runs and accidents.

Readings of the description that the table of simple rules singles out are marked (reading).

* Each lesson's kind is drawn independently; its class's base rate log-uniformly; rate ratios and side rates uniformly.
* A run's risk is log-normal with mean 1 (reading); it multiplies rates of issues, not of side effects (reading), and,
  to the power 0.3, adherence.
* What happens in a run is settled for both cases, shown and withheld, by the same uniform numbers: the issue happens
  where u < base · risk · (rate ratio if the lesson is shown and applied).
* A class is reported in a run where its issue happened and was detected, or falsely; false reports are drawn for every
  lesson that was retrieved (reading). The report arrives after a geometric number of runs.
* Side effects and flags need the lesson applied, respectively shown; claims come from runs that applied it, at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.learning.world import World

KINDS: Final = ("good", "useless", "backfire", "side")
GENERIC_RATE: Final = 0.05
DRIFTED_RR: Final = 1.6
ADHERENCE_POWER: Final = 0.3
ADHERENCE_BOUNDS: Final = (0.3, 0.95)
SEEN_BY_AGENT: Final = 0.6
INSIGHT: Final = (0.6, 0.10, 0.02)
"""Chance of claiming a prevention: where there was one, where there was none to be had, where the issue happened."""

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Chance(NamedTuple):
    """What one retrieved lesson does in one run, for both cases: shown and withheld."""

    lesson: int
    relevance: float
    issue: bool
    """The issue happens if the lesson is withheld."""
    issue_shown: bool
    side_shown: bool
    flag_shown: bool
    report: bool
    report_shown: bool
    claim: bool | None
    """What the agent claims of a shown lesson, by the world's kind of claims; None: it did not apply it."""
    mark: bool | None
    """The same, by the better kind of claims: agents with some insight, unless claims are spoofed."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """The lessons of one seed, an entry each: kind, severity weight, length, rates, and when they arrive and drift."""

    kind: NDArray[np.int64]
    weight: Floats
    tokens: NDArray[np.int64]
    base: Floats
    ratio: Floats
    side: Floats
    arrives: Floats
    drifts: Floats

    def harms_from(self) -> Floats:
        """Return the run from which each lesson does harm: from the start, when it drifts, or never (infinity)."""
        return np.where(self.kind >= KINDS.index("backfire"), 0.0, self.drifts)

    def harmful(self, run: float) -> Flags:
        """Return which lessons do harm in a run."""
        return self.harms_from() <= run

    def always_good(self) -> Flags:
        """Return which lessons help, to the end."""
        return (self.kind == 0) & np.isinf(self.drifts)


@dataclass(frozen=True, slots=True)
class Draws:
    """One seed of a world."""

    world: World
    seed: int
    runs: int
    lessons: Lessons
    chances: list[list[Chance]]
    """Of each run, the lessons that are retrieved."""
    generic: list[float]
    """Of each run, the uniform number of its generic failure."""
    generic_rates: list[float]
    """Of each run, the rate of generic failures without lessons."""
    delays: list[int]
    """Runs until the reports of each run arrive."""
    coins: list[float]
    """Of each run, a uniform number for policies that hold whole runs out."""
    other_detected: list[bool]
    """Of each run, whether its generic failures and side effects are detected."""
    attributed: list[float]
    """Of each change, the uniform number that decides whether it comes back."""
    lateness: list[float]
    """Of each change, the uniform number that decides whether it comes back in time."""


def draw(world: World, seed: int, runs: int) -> Draws:
    """Return everything that chance decides in one seed of `world`."""
    dice = np.random.default_rng(seed)
    lessons = _lessons(world, dice, runs)
    chances = _chances(world, lessons, dice, runs)
    others = np.random.default_rng([seed, 3])  # apart, so that worlds differ in nothing else
    return Draws(
        world=world,
        seed=seed,
        runs=runs,
        lessons=lessons,
        chances=chances,
        generic=dice.random(runs).tolist(),
        generic_rates=_generic_rates(world, seed, chances),
        delays=dice.geometric(1 / world.delay_runs, runs).tolist(),
        coins=dice.random(runs).tolist(),
        other_detected=(dice.random(runs) < world.detection).tolist(),
        attributed=others.random(runs).tolist(),
        lateness=others.random(runs).tolist(),
    )


def _generic_rates(world: World, seed: int, chances: Sequence[Sequence[Chance]]) -> list[float]:
    """Return the rate of generic failures of each run: the usual one, times the kinds of task that it is (reading)."""
    sd = world.trouble_sd
    risks = np.exp(np.random.default_rng([seed, 4]).normal(-(sd**2) / 2, sd, world.lessons)).tolist()
    return [min(GENERIC_RATE * prod(risks[chance.lesson] for chance in some), 0.5) for some in chances]


def _lessons(world: World, dice: np.random.Generator, runs: int) -> Lessons:
    count = world.lessons
    shares = np.array([world.good, world.useless, world.backfire, world.side])
    kind = dice.choice(len(KINDS), count, p=shares / shares.sum())
    good_rr, backfire_rr = dice.uniform(*world.good_rr, count), dice.uniform(*world.backfire_rr, count)
    ratio = np.select([kind == 0, kind == KINDS.index("backfire")], [good_rr, backfire_rr], 1.0)
    arrives = np.where(dice.random(count) < world.present_at_start, 0.0, dice.uniform(0, runs / 2, count))
    drifts = np.where((dice.random(count) < world.drift) & (kind == 0), dice.uniform(runs / 2, runs, count), np.inf)
    mix = np.array(world.severity_mix)
    lowest, highest = np.log(world.base_rate)
    return Lessons(
        kind=kind,
        weight=dice.choice(np.array(world.severity_weights, dtype=float), count, p=mix / mix.sum()),
        tokens=dice.integers(int(world.tokens[0]), int(world.tokens[1]) + 1, count),
        base=np.exp(dice.uniform(lowest, highest, count)),
        ratio=ratio,
        side=np.where(kind == KINDS.index("side"), dice.uniform(*world.side_rate, count), 0.0),
        arrives=arrives,
        drifts=drifts,
    )


def _chances(world: World, lessons: Lessons, dice: np.random.Generator, runs: int) -> list[list[Chance]]:
    shape = (runs, world.lessons)
    time = np.arange(runs)[:, None]
    stake = dice.random(shape) < world.at_stake
    retrieved = dice.random(shape) < np.where(stake, world.retrieved_if_at_stake, world.retrieved_otherwise)
    risk = np.exp(dice.normal(-(world.run_risk_sd**2) / 2, world.run_risk_sd, (runs, 1)))
    adherence = np.clip(world.adherence * risk**ADHERENCE_POWER, *ADHERENCE_BOUNDS)
    applied = dice.random(shape) < adherence
    ratio = np.where(time >= lessons.drifts, DRIFTED_RR, lessons.ratio)
    luck = dice.random(shape)
    issue = stake & (luck < lessons.base * risk)
    issue_shown = stake & (luck < lessons.base * risk * np.where(applied, ratio, 1.0))
    side = applied & (dice.random(shape) < lessons.side)
    flag = dice.random(shape) < np.where(side, world.flag_if_side_effect, world.flag_otherwise)
    detected, false = dice.random(shape) < world.detection, dice.random(shape) < world.false_reports
    relevance = dice.random(shape)
    fit, misfit = world.relevance_if_at_stake, world.relevance_otherwise
    relevance = np.where(stake, fit[0] + relevance * (fit[1] - fit[0]), misfit[0] + relevance * (misfit[1] - misfit[0]))
    mark = _insight(issue, issue_shown, dice.random(shape))
    if world.claims == "spoofed":
        mark |= lessons.harmful(runs)
    seen = issue_shown & (dice.random(shape) < SEEN_BY_AGENT)
    claim = ~seen if world.claims == "outcome" else mark
    at, which = np.nonzero(retrieved & (time >= lessons.arrives))
    parts = (issue, issue_shown, side, flag, issue & detected | false, issue_shown & detected | false)
    columns = [part[at, which].tolist() for part in parts]
    told = [_told(said[at, which], applied[at, which]) for said in (claim, mark)]
    chances: list[list[Chance]] = [[] for _ in range(runs)]
    rows = zip(which.tolist(), relevance[at, which].tolist(), *columns, *told, strict=True)
    for run, row in zip(at.tolist(), rows, strict=True):
        chances[run].append(Chance(*row))
    return chances


def _insight(issue: Flags, issue_shown: Flags, luck: Floats) -> Flags:
    prevented, nothing, happened = INSIGHT
    return luck < np.select([issue_shown, issue], [happened, prevented], nothing)


def _told(said: Flags, applied: Flags) -> list[bool | None]:
    return [one if did else None for one, did in zip(said.tolist(), applied.tolist(), strict=True)]
