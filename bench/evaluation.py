"""What the measurements on labelled data share: reading rows, writing predictions and metrics, a table of both."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

Row = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """A bound a metric is held to: at least `least` or at most `most`."""

    least: float | None = None
    most: float | None = None

    def verdict(self, value: float) -> str:
        """Return `met` or `missed`."""
        low = self.least is None or value >= self.least
        high = self.most is None or value <= self.most
        return "met" if low and high else "missed"

    def __str__(self) -> str:
        """Return the bound as people write it."""
        return f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"


@dataclass
class Evaluation:
    """What one task predicted and, where the rows are labelled, how well; `missing` names files that were not there."""

    task: str
    predictions: list[Row] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    sets: dict[str, dict[str, float]] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Return the figures as a table, goals beside them."""
        table = Table(title=self.task, title_justify="left")
        for name in ("set", "figure", "value", "goal", "verdict"):
            table.add_column(name, justify="right" if name == "value" else "left")
        for name, value in self.metrics.items():
            goal = self.goals.get(name)
            table.add_row("all", name, f"{value:.4g}", str(goal or ""), goal.verdict(value) if goal else "")
        for group, figures in self.sets.items():
            for name, value in figures.items():
                table.add_row(group, name, f"{value:.4g}", "", "")
        for name in self.missing:
            table.add_row("", f"{name} is missing: skipped", "", "", "")
        return table

    def write(self, predictions_file: Path | None, json_file: Path | None) -> None:
        """Write the predictions, a JSON object a line, and the metrics."""
        if predictions_file is not None:
            write_rows(predictions_file, self.predictions)
        if json_file is not None:
            content = {"task": self.task, "metrics": self.metrics, "sets": self.sets}
            json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_rows(data: Path, name: str) -> list[Row]:
    """Return the rows of `{name}.jsonl` in folder `data`; empty where there is no such file."""
    file = data / f"{name}.jsonl"
    if not file.is_file():
        return []
    with file.open(encoding="utf-8") as lines:  # `splitlines` would split inside texts, too
        return [json.loads(line) for line in lines if line.strip()]


def write_rows(file: Path, rows: Iterable[Row]) -> None:
    """Write rows, a JSON object a line."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def macro_f1(truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the unweighted mean over the labels of `truth` of F1, the harmonic mean of precision and recall."""
    scores: list[float] = []
    for label in sorted(set(truth)):
        hits = sum(one == label == other for one, other in zip(truth, predicted, strict=True))
        scores.append(2 * hits / (truth.count(label) + list(predicted).count(label)))
    return sum(scores) / len(scores) if scores else 0.0


def quadratic_kappa(truth: Sequence[int], predicted: Sequence[int], classes: int) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen, 1968) of two sequences of classes 0 to `classes` - 1."""
    count = len(truth)
    mine, others = Counter(truth), Counter(predicted)
    seen = sum((one - other) ** 2 for one, other in zip(truth, predicted, strict=True))
    chance = sum(
        (one - other) ** 2 * mine[one] * others[other] / count for one in range(classes) for other in range(classes)
    )
    return 1.0 - seen / chance if chance else 0.0
