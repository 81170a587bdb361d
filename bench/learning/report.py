"""The figures of a comparison: as a table, as JSON, and as a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bench.learning.comparison import SIMPLE_RULES, Z_95, Comparison, interval
from bench.learning.simulation import LAST_FIFTH, Outcome

PER: Final = 1_000


def figures(comparison: Comparison) -> dict[str, Any]:
    """Return everything that is measured, as it is written to JSON: [mean, 95 % half width] over seeds."""
    return {
        "task": "learning",
        "world": comparison.world.name,
        "policies": {name: _of_policy(comparison, name) for name in comparison.outcomes},
        "paired": {rule: _paired(comparison, rule) for rule in SIMPLE_RULES},
    }


def write_json(measured: dict[str, Any], path: Path) -> None:
    """Write `figures` to a file."""
    path.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")


def table(measured: dict[str, Any]) -> Table:
    """Return `figures` as a table, a row per policy."""
    first = next(iter(measured["policies"].values()))
    grid = Table(title=f"issues prevented per {PER:,} runs: {measured['world']}")
    for column in ("policy", *(f"first {int(at):,}" for at in first["prevented_at"]), "all", "last fifth"):
        grid.add_column(column, justify="left" if column == "policy" else "right")
    for column in ("tokens a run", "harmful served", "good retired"):
        grid.add_column(column, justify="right")
    for name, row in measured["policies"].items():
        spans = (*row["prevented_at"].values(), row["prevented_per_1000"], row["last_fifth"])
        grid.add_row(
            name,
            *(f"{mean:.1f} ±{half:.1f}" for mean, half in spans),
            *(f"{row['tokens_per_run']:.0f}", f"{row['harmful_served']:.1f}", f"{row['good_retired_share']:.1%}"),
        )
    return grid


def draw_picture(comparison: Comparison, path: Path) -> None:
    """Draw issues prevented over runs, a line per policy with its 95 % band over seeds."""
    import matplotlib as mpl  # noqa: PLC0415  # only for pictures, and slow to load

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for name in comparison.outcomes:
        total = comparison.prevented(name).cumsum(axis=1)
        mean, half = total.mean(axis=0), Z_95 * total.std(axis=0, ddof=1) / len(total) ** 0.5
        runs = np.arange(1, total.shape[1] + 1)
        (line,) = axes.plot(runs, mean, label=name, linewidth=2.5 if name == "lessonbook" else 1.2)
        axes.fill_between(runs, mean - half, mean + half, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.set(xlabel="runs", ylabel="issues prevented so far", title=f"World: {comparison.world.name}")
    axes.margins(x=0)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _of_policy(comparison: Comparison, name: str) -> dict[str, Any]:
    outcomes = comparison.outcomes[name]
    prevented = comparison.prevented(name)
    last = prevented.shape[1] // LAST_FIFTH
    return {
        "prevented_per_1000": _rate(prevented),
        "prevented_at": {str(at): _rate(prevented[:, :at]) for at in comparison.horizons()},
        "last_fifth": _rate(prevented[:, prevented.shape[1] - last :]),
        "severity_weighted": interval(PER * np.array([outcome.weighted_per_run for outcome in outcomes])),
        "tokens_per_run": round(float(np.mean([outcome.tokens_per_run for outcome in outcomes])), 2),
        "harmful_served": round(float(np.mean([outcome.harmful_served for outcome in outcomes])), 3),
        "good_retired_share": round(_retired_share(outcomes), 5),
    }


def _paired(comparison: Comparison, rule: str) -> dict[str, list[float]]:
    difference = comparison.prevented("lessonbook") - comparison.prevented(rule)
    spans = {str(at): _rate(difference[:, :at]) for at in comparison.horizons()}
    return spans | {"total": _rate(difference)}


def _rate(prevented: NDArray[np.floating]) -> list[float]:
    return interval(PER * prevented.mean(axis=1, dtype=np.float64))


def _retired_share(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.good_retired for outcome in outcomes) / max(sum(outcome.good for outcome in outcomes), 1)
