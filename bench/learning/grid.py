"""Lives of one lesson whose arms are checked unequally often: wrong retirements, alarms, and what is told.

Vectorised over the rows of a life; `tests/bench` holds it to the functions that the product calls. A life has `ROWS`
assigned changes, `WEEK_ROWS` a week, and base rate `BASE`. As in the product the share π of a row is that of the
lesson's earlier checked rows, looks are at every event, and nothing is told or retired after the alarm.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from lessonbook.experiment import arm_health, retirement, told_interval
from lessonbook.experiment.effect import EVENTS_MIN
from lessonbook.experiment.evidence import SHARE_PERIODS, SHARE_ROWS, SideCounts
from lessonbook.experiment.side_effects import side_effect_of

RHOS: Final = (0.5, 0.7, 0.8, 0.85)
PROPENSITIES: Final = (0.5, 0.9, 0.95)
ATTRIBUTIONS: Final = ((0.8, 0.8), (0.8, 0.7), (0.8, 0.6), (0.8, 0.4), (0.8, 0.2), (0.8, 0.0))
BASE: Final = 0.3
ROWS: Final = 10_000
WEEK_ROWS: Final = 100
LIVES: Final = 1_000
TOLD_LIVES: Final = 200
HEALTHY_LIVES: Final = 10_000
HARMS: Final = (0.0, 0.05, 0.1, 0.2)
SIDE_RUNS: Final = 3_000
SIDE_LIVES: Final = 400
LOGIT_STEP: Final = 0.01

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Cell(NamedTuple):
    """A lesson's rate ratio and propensity, and the chances that a shown and a withheld change come back."""

    rho: float
    p_show: float
    attribution: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Life:
    """The checked rows of one life, in order: whether shown, whether there was an event, and π of those with one."""

    shown: Flags
    event: Flags
    share: Floats

    def alarm(self, p_show: float) -> int:
        """Return the row at which the arms are unlike; the number of rows if they never are."""
        shown = np.cumsum(self.shown)
        withheld = np.arange(1, len(shown) + 1) - shown
        bets: list[Floats] = []
        for ratio in arm_health.RATIOS:
            share = p_show * ratio / (p_show * ratio + 1 - p_show)
            bets.append(shown * np.log(share / p_show) + withheld * np.log((1 - share) / (1 - p_show)))
        return _first(_log_mean_exp(np.stack(bets)) >= np.log(arm_health.ALARM), len(shown))

    def retirement(self) -> int:
        """Return the row at which the e-process would retire the lesson; the number of rows if never."""
        rows = np.flatnonzero(self.event)
        null, *bad = self._logs(np.array([retirement.RHO_NULL, *retirement.RHO_BAD])).cumsum(axis=1)
        if not len(rows):
            return len(self.shown)
        at = _first(_log_mean_exp(np.stack(bad) - null) >= np.log(1 / retirement.ALPHA), len(rows))
        return int(rows[at]) if at < len(rows) else len(self.shown)

    def misses(self, rho: float) -> Flags:
        """Return for each event whether the interval that is told after it leaves out the truth."""
        grid = np.exp(
            np.linspace(np.log(told_interval.RHO_LEAST), np.log(told_interval.RHO_MOST), told_interval.POINTS)
        )
        logs = self._logs(grid).cumsum(axis=1)
        with np.errstate(divide="ignore"):
            average = _log_mean_exp(logs + np.log(np.array(told_interval.WEIGHTS) * told_interval.POINTS)[:, None])
        # As told, an end is a point further out than the last that is possible.
        possible = average - logs < -np.log(told_interval.ALPHA)
        first = possible.argmax(axis=0) - 1
        last = told_interval.POINTS - possible[::-1].argmax(axis=0)
        ends = np.concatenate([[0.0], grid, [told_interval.RHO_MOST]])
        return (rho < ends[first + 1]) | (rho > ends[last + 1])

    def _logs(self, rhos: Floats) -> Floats:
        """Return the log likelihood of each rate ratio by event, up to a constant: a row per ratio."""
        return self.shown[self.event] * np.log(rhos)[:, None] - np.log1p(self.share * (rhos[:, None] - 1))


def lived(cell: Cell, dice: np.random.Generator, rows: int = ROWS) -> Life:
    """Return one life."""
    shown = dice.random(rows) < cell.p_show
    back = dice.random(rows) < np.where(shown, *cell.attribution)
    event = dice.random(rows) < BASE * np.where(shown, cell.rho, 1.0)
    return of_rows(shown[back], event[back], (np.arange(rows) // WEEK_ROWS)[back], cell.p_show)


def of_rows(shown: Flags, event: Flags, week: NDArray[np.int64], p_show: float) -> Life:
    """Return the life of checked rows in order, which have one propensity, with π as `Evidence.share` has it."""
    before = np.concatenate([[0], np.cumsum(shown)])
    now = np.flatnonzero(event)
    since = np.searchsorted(week, week[now] - SHARE_PERIODS + 1)
    share = (before[now] - before[since] + SHARE_ROWS * p_show) / (now - since + SHARE_ROWS)
    odds = np.round(np.log(share / (1 - share)) / LOGIT_STEP) * LOGIT_STEP
    return Life(shown, event, np.round(1 / (1 + np.exp(-odds)), 6))


def of_cell(cell: Cell, seed: int, lives: int = LIVES, told_lives: int = TOLD_LIVES) -> dict[str, float]:
    """Return the shares of lives that end in a wrong retirement, in an alarm, and that are covered at every look."""
    dice = np.random.default_rng(seed)
    retired = late = alarmed = covered = 0
    for number in range(lives):
        life = lived(cell, dice)
        alarm, gone = life.alarm(cell.p_show), life.retirement()
        alarmed += alarm < len(life.shown)
        retired += gone < alarm
        late += gone < len(life.shown)
        if number < told_lives:
            rows = np.flatnonzero(life.event)
            is_told = (np.arange(1, len(rows) + 1) >= EVENTS_MIN) & (rows < alarm)
            covered += not (life.misses(cell.rho) & is_told).any() if len(rows) else True
    return {
        "retired": retired / lives,
        "retired_without_alarm": late / lives,
        "alarmed": alarmed / lives,
        "covered": covered / told_lives,
    }


def false_alarms(p_show: float, seed: int, lives: int = HEALTHY_LIVES, rows: int = ROWS) -> float:
    """Return the share of lives of so many checked rows in which healthy arms raise the alarm."""
    dice = np.random.default_rng(seed)
    alarms = 0
    for _ in range(lives):
        shown = dice.random(rows) < p_show
        alarms += Life(shown, shown, np.zeros(0)).alarm(p_show) < rows
    return alarms / lives


def side_effects(harm: float, lessons: int, seed: int, lives: int = SIDE_LIVES) -> dict[str, float]:
    """Return how often a harm per shown lesson is told after `SIDE_RUNS` runs, checked 80/60, at p .95 and base .3."""
    dice = np.random.default_rng(seed)
    found = missed = 0
    for _ in range(lives):
        shown = dice.random((SIDE_RUNS, lessons)) < 0.95
        wrong = dice.random(SIDE_RUNS) < np.minimum(0.3 + harm * shown.sum(axis=1), 1.0)
        back = dice.random((SIDE_RUNS, 1)) < np.where(shown, 0.8, 0.6)
        counts = [int((back & arm & bad[:, None]).sum()) for arm in (shown, ~shown) for bad in (wrong >= 0, wrong)]
        effect = side_effect_of({0.95: SideCounts(*counts)})
        found += effect.harms
        missed += not effect.low <= harm <= effect.high
    return {"told": found / lives, "left_out": missed / lives}


def measure(tell: Callable[[str], None], lives: int = LIVES, workers: int | None = None) -> dict[str, Any]:
    """Return the whole grid, on all processors."""
    cells = [Cell(*one) for one in product(RHOS, PROPENSITIES, ATTRIBUTIONS)]
    found: dict[int, dict[str, float]] = {}
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        alarms = [pool.submit(false_alarms, p, 1, 10 * lives) for p in PROPENSITIES]
        futures = {pool.submit(of_cell, cell, at, lives, lives // 5): at for at, cell in enumerate(cells)}
        for future in as_completed(futures):
            found[futures[future]] = future.result()
            tell(f"{len(found)} of {len(cells)} cells")
        return {
            "task": "learning-grid",
            "lives": lives,
            "cells": [{**cell._asdict(), **found[at]} for at, cell in enumerate(cells)],
            "false_alarms": {str(p): one.result() for p, one in zip(PROPENSITIES, alarms, strict=True)},
            "side_effects": [
                {"harm": harm, "lessons": lessons, **side_effects(harm, lessons, 1)}
                for lessons in (1, 4)
                for harm in HARMS
            ],
        }


def tables(measured: dict[str, Any]) -> Sequence[Table]:
    """Return `measure`'s figures as tables."""
    grid = Table(title="the worst of each: wrong retirements, alarms, lives covered at every look")
    for column in ("checked", "p", *(f"ρ {rho}" for rho in RHOS)):
        grid.add_column(column, justify="right")
    for attribution, p in product(ATTRIBUTIONS, PROPENSITIES):
        of_pair = [one for one in measured["cells"] if tuple(one["attribution"]) == attribution and one["p_show"] == p]
        grid.add_row(
            f"{attribution[0]:.0%} / {attribution[1]:.0%}",
            str(p),
            *(f"{one['retired']:.1%} {one['alarmed']:.0%} {one['covered']:.1%}" for one in of_pair),
        )
    others = Table(title="false alarms of healthy arms, and side effects told after 3,000 runs")
    others.add_column("what")
    others.add_column("share of lives", justify="right")
    for p, share in measured["false_alarms"].items():
        others.add_row(f"false alarm, p {p}", f"{share:.2%}")
    for one in measured["side_effects"]:
        others.add_row(f"harm of {one['harm']:.0%} told, {one['lessons']} lessons a run", f"{one['told']:.1%}")
    return grid, others


def _log_mean_exp(logs: Floats) -> Floats:
    top = logs.max(axis=0)
    return top + np.log(np.exp(logs - top).mean(axis=0))


def _first(reached: Flags, otherwise: int) -> int:
    return int(reached.argmax()) if reached.any() else otherwise
