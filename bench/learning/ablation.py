"""What each ingredient of Lessonbook's policy does: the shipped code on paired draws, one ingredient off at a time."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, Final
from unittest.mock import patch

import numpy as np
from rich.table import Table

from bench.learning.comparison import HORIZONS, interval
from bench.learning.draws import draw
from bench.learning.driver import Lessonbook
from bench.learning.simulation import Outcome, simulate
from bench.learning.world import World
from lessonbook.experiment import likelihood, serving_policy
from lessonbook.experiment.evidence import Evidence
from lessonbook.experiment.prior import DEFAULT_PRIOR, Prior
from lessonbook.experiment.rho_grid import GRID_POINTS
from lessonbook.experiment.serving_policy import PolicySettings

WHOLE: Final = "nothing"
PER: Final = 1_000


@dataclass(frozen=True, slots=True)
class Without:
    """A policy that lacks something: other settings, and what takes the place of names in the shipped modules."""

    settings: PolicySettings = field(default_factory=PolicySettings)
    places: Mapping[str, object] = field(default_factory=dict[str, object])


_seen_in = likelihood.seen_in


def _no_counts_seen(evidence: Evidence) -> list[likelihood.Seen]:
    return [seen._replace(worths=[], worth_logs=[]) for seen in _seen_in(evidence)]


def _no_counts(*_: object) -> list[float]:
    return [0.0] * GRID_POINTS


def _no_applications(*_: object) -> tuple[list[float], list[float]]:
    return [0.0] * GRID_POINTS, [0.0] * GRID_POINTS


def _no_population(*_: object) -> tuple[Prior, Prior]:
    return DEFAULT_PRIOR, DEFAULT_PRIOR


def _no_trouble(_evidence: Evidence, _background: object, prior: Prior) -> list[float]:
    return [0.0] * len(prior.harms)


def _always_optimistic(*_: object) -> float:
    return PolicySettings().optimism


_show_probability = serving_policy.show_probability


def _no_caution(p_positive: float, settings: PolicySettings, optimism: float = 0.0, **given: Any) -> float:
    return _show_probability(p_positive, settings, optimism, trusted=given.get("trusted", False))


_LEARNING: Final = "lessonbook.experiment"
INGREDIENTS: Final[Mapping[str, Without]] = {
    WHOLE: Without(),
    "how many events there were": Without(
        places={f"{_LEARNING}.serving_policy.seen_in": _no_counts_seen, f"{_LEARNING}.population.rate_logs": _no_counts}
    ),
    "who applied the lesson": Without(
        places={f"{_LEARNING}.{module}.application_logs": _no_applications for module in ("likelihood", "population")}
    ),
    "the population": Without(places={f"{_LEARNING}.serving_policy.fit_both": _no_population}),
    "effects that change": Without(PolicySettings(hazard=0.0)),
    "changed lessons expected at no effect": Without(
        places={f"{_LEARNING}.likelihood.CHANGED": DEFAULT_PRIOR.rho_weights}
    ),
    "the outlook": Without(places={f"{_LEARNING}.serving_policy.optimism_of": _always_optimistic}),
    "caution by gain and loss": Without(places={f"{_LEARNING}.serving_policy.show_probability": _no_caution}),
    "harm elsewhere": Without(PolicySettings(harm_cost=0.0)),
    "unexplained trouble": Without(places={f"{_LEARNING}.trouble_harm.logs_of": _no_trouble}),
    "a floor of 0.2 % (1 % instead)": Without(PolicySettings(p_min=0.01)),
    "sharpness (1 instead of 4)": Without(PolicySettings(sharpness=1.0)),
}


def ablate(world: World, seeds: int, runs: int, tell: Callable[[str], None]) -> dict[str, list[Outcome]]:
    """Return what the policy does in `seeds` seeds of `world` without each ingredient, on all processors."""
    done: dict[int, dict[str, Outcome]] = {}
    with ProcessPoolExecutor(min(os.cpu_count() or 1, seeds), mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(one_seed, world, seed, runs): seed for seed in range(seeds)}
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            tell(f"{world.name}: {len(done)} of {seeds} seeds")
    return {name: [done[seed][name] for seed in range(seeds)] for name in INGREDIENTS}


def one_seed(world: World, seed: int, runs: int, names: Sequence[str] = tuple(INGREDIENTS)) -> dict[str, Outcome]:
    """Return the outcome without each of the ingredients named, in one seed."""
    draws = draw(world, seed, runs)
    outcomes: dict[str, Outcome] = {}
    for name in names:
        with ExitStack() as stack:
            for place, value in INGREDIENTS[name].places.items():
                stack.enter_context(patch(place, value))
            outcomes[name] = simulate(draws, Lessonbook(draws, INGREDIENTS[name].settings))
    return outcomes


def figures(world: World, outcomes: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """Return what each ingredient adds: with it less without it, paired, [mean, 95 % half width] over seeds."""
    whole = np.stack([outcome.prevented for outcome in outcomes[WHOLE]])
    rows: dict[str, Any] = {}
    for name, some in outcomes.items():
        added = whole - np.stack([outcome.prevented for outcome in some]) if name != WHOLE else whole
        means = {at: PER * added[:, :at].mean(axis=1, dtype=np.float64) for at in HORIZONS if at <= whole.shape[1]}
        rows[name] = {str(at): interval(mean) for at, mean in means.items()}
        rows[name]["harmful_served"] = interval(np.array([outcome.harmful_served for outcome in some]))
    return {"task": "learning-ablation", "world": world.name, "without": rows}


def table(measured: dict[str, Any]) -> Table:
    """Return `figures` as a table, a row per ingredient."""
    rows: dict[str, dict[str, list[float]]] = measured["without"]
    grid = Table(title=f"what each ingredient adds, issues prevented per {PER:,} runs: {measured['world']}")
    grid.add_column("without")
    for column in rows[WHOLE]:
        grid.add_column(column.replace("_", " "), justify="right")
    for name, row in rows.items():
        grid.add_row(name, *(f"{mean:.1f} ±{half:.1f}" for mean, half in row.values()))
    return grid
