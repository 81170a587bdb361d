"""How well severities are told by a model that was adjusted without the rows asked about. Needs the extra `bench`."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from bench.evaluation import Row, macro_f1
from bench.severity import ORDER, interval, kappa
from bench.train_severity import adjusted, besides, scored_elsewhere
from lessonbook.classify.text_model import load_score_model

_FOLDS: Final = 5
_REPEATS: Final = 4


def validated(rows: Sequence[Row]) -> dict[str, float]:
    """Return figures with whole packages left out (`cv_`) and with single rows left out (`row_cv_`)."""
    labelled, others = [row for row in rows if row.get("severity")], scored_elsewhere(rows)
    return {
        **cross_validated(labelled, others, apart="package", prefix="cv_"),
        **cross_validated(labelled, others, apart="id", prefix="row_cv_"),
    }


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
