"""The simulated world: how lessons, runs, issues and reports come about, as a TOML file says it."""

import tomllib
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, Self

from bench.faults import BenchError

Range = tuple[float, float]
Claims = Literal["outcome", "insight", "spoofed"]
Reporters = Literal["routine", "triggered"]


@dataclass(frozen=True, slots=True)
class World:
    """The parameters of a world; what a file leaves out has the mixed world's value.

    `good`, `useless`, `backfire` and `side` are shares: lessons that cut the rate of their issue, do nothing, raise it,
    or cause other issues. Rates are per run in which the lesson's class is at stake, tokens are counts. `trouble_sd` is
    how much the lessons' kinds of task differ in generic failures, whatever they get: the standard deviation of the
    rate's logarithm.

    `attribution` is the share of changes that come back checked, where the lesson was shown and where it was withheld;
    `reporters` are "routine", which report every run, or "triggered", which report only what they find; from run
    `falls_silent` on nobody reports; `late_checks` is the share of checks that come after 14 days. Runs of a change,
    `runs_per_change` of them, end in one check. Unless `declared`, agents report no applications and raise no flags.
    """

    name: str = "mixed"
    lessons: int = 60
    good: float = 0.5
    useless: float = 0.3
    backfire: float = 0.1
    side: float = 0.1
    good_rr: Range = (0.3, 0.7)
    backfire_rr: Range = (1.5, 3.0)
    side_rate: Range = (0.05, 0.15)
    base_rate: Range = (0.03, 0.4)
    at_stake: float = 0.15
    retrieved_if_at_stake: float = 0.9
    retrieved_otherwise: float = 0.02
    relevance_if_at_stake: Range = (0.6, 1.0)
    relevance_otherwise: Range = (0.4, 0.8)
    severity_weights: tuple[float, ...] = (1, 2, 4, 8)
    severity_mix: tuple[float, ...] = (0.4, 0.3, 0.2, 0.1)
    tokens: Range = (40, 160)
    budget_tokens: int = 600
    token_tax: float = 0.003
    trouble_sd: float = 0.0
    present_at_start: float = 0.5
    drift: float = 0.15
    run_risk_sd: float = 0.5
    adherence: float = 0.7
    detection: float = 0.85
    false_reports: float = 0.01
    delay_runs: float = 100
    claims: Claims = "outcome"
    flag_if_side_effect: float = 0.3
    flag_otherwise: float = 0.004
    attribution: Range = (1.0, 1.0)
    reporters: Reporters = "routine"
    falls_silent: float = inf
    late_checks: float = 0.0
    runs_per_change: int = 1
    declared: bool = True

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the world of a TOML file.

        Raises:
            BenchError: The file cannot be read, or a key in it is not one of a world's.
        """
        try:
            values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BenchError(f"{path}: {error}") from error
        if unknown := sorted(values.keys() - _KEYS):
            raise BenchError(f"{path}: no such key: {', '.join(unknown)}")
        if values.get("claims", "outcome") not in {"outcome", "insight", "spoofed"}:
            raise BenchError(f'{path}: claims is one of "outcome", "insight", "spoofed"')
        if values.get("reporters", "routine") not in {"routine", "triggered"}:
            raise BenchError(f'{path}: reporters is one of "routine", "triggered"')
        values.setdefault("name", path.stem)
        values |= {key: tuple[Any, ...](value) for key, value in values.items() if isinstance(value, list)}
        return cls(**values)


_KEYS: Final = {field.name for field in fields(World)}
