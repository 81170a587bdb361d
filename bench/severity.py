"""How well severities are told from the words of advisories (`advisories.jsonl`)."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.evaluation import Evaluation, Goal, macro_f1, quadratic_kappa, read_rows
from lessonbook.classify.severity import severity_of
from lessonbook.domain.vocabulary import Severity

GOALS: Final = {"kappa": Goal(least=0.58), "macro_f1": Goal(least=0.60)}
ORDER: Final[tuple[Severity, ...]] = ("low", "medium", "high", "critical")
_RESAMPLES: Final = 1_000


def evaluate(data: Path) -> Evaluation:
    """Return the severity told of each advisory; where some are labelled, how they agree.

    `kappa` has quadratic weights and a bootstrap interval of 95 %. Nothing was fitted to these labels.
    """
    result = Evaluation("severity", goals=GOALS)
    rows = read_rows(data, "advisories")
    if not rows:
        result.missing.append("advisories")
        return result
    told = [severity_of(row["text"]) for row in rows]
    result.predictions = [{"id": row["id"], "severity": one} for row, one in zip(rows, told, strict=True)]
    pairs = [(row, one) for row, one in zip(rows, told, strict=True) if row.get("severity")]
    if not pairs:
        return result
    labelled = [row for row, _ in pairs]
    truth = [ORDER.index(row["severity"]) for row in labelled]
    predicted = [ORDER.index(one) for _, one in pairs]
    low, high = interval(truth, predicted)
    result.metrics = {
        "kappa": kappa(truth, predicted),
        "kappa_low": low,
        "kappa_high": high,
        "macro_f1": macro_f1([row["severity"] for row in labelled], [one for _, one in pairs]),
    }
    return result


def kappa(truth: Sequence[int], predicted: Sequence[int]) -> float:
    """Return the agreement of two gradings, by places in `ORDER`."""
    return quadratic_kappa(truth, predicted, len(ORDER))


def interval(truth: Sequence[int], predicted: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of kappa over rows."""
    dice, pairs = random.Random(0), list(zip(truth, predicted, strict=True))
    values: list[float] = []
    for _ in range(_RESAMPLES):
        one, other = zip(*dice.choices(pairs, k=len(pairs)), strict=True)
        values.append(kappa(one, other))
    values.sort()
    return values[int(0.025 * _RESAMPLES)], values[int(0.975 * _RESAMPLES)]
