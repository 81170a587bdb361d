"""How well severities are told from the words of advisories (`advisories.jsonl`)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from bench.evaluation import Evaluation, Goal, Row, macro_f1, read_rows
from bench.train_severity import ORDER, adjusted, besides, kappa, scored_elsewhere
from lessonbook.refinery.classify import severity_of
from lessonbook.refinery.text_model import load_score_model

GOALS: Final = {"kappa": Goal(least=0.58), "macro_f1": Goal(least=0.60)}
_FOLDS: Final = 5
_REPEATS: Final = 4
_RESAMPLES: Final = 2_000


def evaluate(data: Path) -> Evaluation:
    """Return the severity told of each advisory; where some are labelled, how they agree.

    `kappa` has quadratic weights and a bootstrap interval of 95 %. The packaged model has seen these labels. Figures
    that begin with `cv_` have it adjusted without the packages it is asked about, those with `row_cv_` without the
    rows; its general part never saw any.
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
        **cross_validated(labelled, scored_elsewhere(rows), apart="package", prefix="cv_"),
        **cross_validated(labelled, scored_elsewhere(rows), apart="id", prefix="row_cv_"),
    }
    return result


def cross_validated(rows: Sequence[Row], others: Sequence[Row], *, apart: str, prefix: str) -> dict[str, float]:
    """Return the figures over repeated folds that keep rows of the same `apart` together; `others` only train."""
    general = load_score_model("severity")
    truth = [ORDER.index(row["severity"]) for row in rows]
    figures: list[tuple[float, float, float, float]] = []
    for repeat in range(_REPEATS):
        folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=repeat)
        predicted = [0] * len(rows)
        for inner, outer in folds.split(np.zeros(len(rows)), truth, [row[apart] for row in rows]):
            asked = [rows[index] for index in outer]
            model = adjusted(general, [rows[index] for index in inner], besides(others, asked))
            for index in outer:
                predicted[index] = model.class_of(rows[index]["text"])
        score = macro_f1([ORDER[one] for one in truth], [ORDER[one] for one in predicted])
        figures.append((kappa(truth, predicted), *interval(truth, predicted), score))
    names = ("kappa", "kappa_low", "kappa_high", "macro_f1")
    return {f"{prefix}{name}": float(value) for name, value in zip(names, np.mean(figures, axis=0), strict=True)}


def interval(truth: Sequence[int], predicted: Sequence[int]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of kappa over rows."""
    random = np.random.default_rng(0)
    first, second = np.asarray(truth), np.asarray(predicted)
    drawn = (random.integers(0, len(first), len(first)) for _ in range(_RESAMPLES))
    values = [kappa(first[rows], second[rows]) for rows in drawn]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
