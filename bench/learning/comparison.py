"""All policies on the same seeds of one world."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.learning.draws import draw
from bench.learning.driver import Lessonbook
from bench.learning.rules import Counters, Holdout, Nothing, Oracle, Thompson, Threshold
from bench.learning.simulation import Maker, Outcome, simulate
from bench.learning.world import World
from lessonbook.experiment.intervals import Z_95

POLICIES: Final[Mapping[str, Maker]] = {
    "none": Nothing,
    "threshold": Threshold,
    "counters": Counters,
    "thompson": Thompson,
    "holdout": Holdout,
    "lessonbook": Lessonbook,
    "oracle": Oracle,
}
SIMPLE_RULES: Final = ("none", "threshold", "counters", "thompson", "holdout")
HORIZONS: Final = (300, 1_000, 3_000, 10_000)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What every policy did, seed by seed."""

    world: World
    outcomes: Mapping[str, Sequence[Outcome]]

    def prevented(self, policy: str) -> NDArray[np.float32]:
        """Return issues prevented, a row per seed and a column per run."""
        return np.stack([outcome.prevented for outcome in self.outcomes[policy]])

    def horizons(self) -> list[int]:
        """Return the horizons that were reached."""
        runs = len(self.outcomes["none"][0].prevented)
        return [horizon for horizon in HORIZONS if horizon <= runs]


def compare(world: World, seeds: int, runs: int, tell: Callable[[str], None], workers: int | None = None) -> Comparison:
    """Return how the policies fare in `seeds` seeds of `world`, computed on all processors.

    `tell` hears of the progress.
    """
    done: dict[int, dict[str, Outcome]] = {}
    with ProcessPoolExecutor(min(workers or os.cpu_count() or 1, seeds), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(one_seed, world, seed, runs): seed for seed in range(seeds)}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            tell(f"{world.name}: {len(done)} of {seeds} seeds")
    return Comparison(world, {name: [done[seed][name] for seed in range(seeds)] for name in POLICIES})


def one_seed(world: World, seed: int, runs: int) -> dict[str, Outcome]:
    """Return the outcome of every policy in one seed."""
    draws = draw(world, seed, runs)
    return {name: simulate(draws, policy(draws)) for name, policy in POLICIES.items()}


def interval(samples: NDArray[np.floating]) -> list[float]:
    """Return mean and half width of the 95 % interval of a sample of seeds."""
    return [round(float(samples.mean()), 3), round(float(Z_95 * samples.std(ddof=1) / len(samples) ** 0.5), 3)]
