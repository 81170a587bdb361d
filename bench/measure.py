"""Figures with goals and verdicts, percentiles of samples, memory of a process, and how they are printed."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table


def percentile(samples: Sequence[float], rank: int) -> float:
    """Return the `rank`-th percentile (1 to 99) of `samples`, interpolated between neighbours; one sample is itself."""
    if len(samples) == 1:
        return samples[0]
    return statistics.quantiles(samples, n=100, method="inclusive")[rank - 1]


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process in MB (10^6 bytes); NaN where the system does not tell."""

    now_mb: float
    peak_mb: float


def memory_of(pid: int) -> Memory:
    """Return what `/proc` says of process `pid`: VmRSS and VmHWM."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return Memory(math.nan, math.nan)
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Memory(_mb(lines.get("VmRSS", "")), _mb(lines.get("VmHWM", "")))


def _mb(field_text: str) -> float:
    number = field_text.split()[:1]
    return int(number[0]) * 1024 / 1e6 if number else math.nan


@dataclass(frozen=True)
class Figure:
    """One measured number; `goal` is the most it may be, None where it only informs."""

    name: str
    value: float
    unit: str = ""
    goal: float | None = None

    @property
    def verdict(self) -> str:
        """Return `met`, `missed`, `not measured`, or nothing for a figure without a goal."""
        if self.goal is None:
            return ""
        if math.isnan(self.value):
            return "not measured"
        return "met" if self.value <= self.goal else "missed"

    def shown(self, value: float) -> str:
        """Return `value` as people read it, with this figure's unit."""
        digits = 0 if self.unit == "bytes" else 2
        return f"{value:,.{digits}f}{'' if self.unit == '×' else ' '}{self.unit}".strip()


@dataclass
class Report:
    """Figures of one benchmark, grouped by the setting they were measured in, and the sizes of its input sets."""

    task: str
    title: str
    sets: Mapping[str, int | str]
    groups: dict[str, list[Figure]] = field(default_factory=dict[str, list[Figure]])

    def add(self, group: str, figures: Sequence[Figure]) -> None:
        """Add `figures` measured in the setting `group`."""
        self.groups.setdefault(group, []).extend(figures)

    def metrics(self) -> dict[str, float]:
        """Return every figure that was measured, as `group.name`."""
        return {
            f"{group}.{figure.name}": round(figure.value, 4)
            for group, figures in self.groups.items()
            for figure in figures
            if not math.isnan(figure.value)
        }

    def table(self) -> Table:
        """Return the figures as a table: a section per setting with figure, value, goal and verdict."""
        table = Table(title=self.title, caption=", ".join(f"{key} {value}" for key, value in self.sets.items()))
        table.add_column("figure", no_wrap=True)
        for heading in ("measured", "goal"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for group, figures in self.groups.items():
            table.add_row(f"[bold]{group.replace('.', ', ')}[/bold]")
            for figure in figures:
                table.add_row(*_cells(figure))
            table.add_section()
        return table

    def write_json(self, path: Path) -> None:
        """Write `{"task", "metrics", "sets"}` to `path`."""
        content = {"task": self.task, "metrics": self.metrics(), "sets": dict(self.sets)}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


_COLOURS = {"met": "green", "missed": "red", "not measured": "yellow"}


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    goal = "" if figure.goal is None else f"≤ {figure.shown(figure.goal)}"
    colour = _COLOURS.get(figure.verdict)
    verdict = f"[{colour}]{figure.verdict}[/{colour}]" if colour else ""
    return figure.name.replace("_", " "), figure.shown(figure.value), goal, verdict
