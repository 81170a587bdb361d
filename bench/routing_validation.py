"""How well commits are routed by models that have not seen them, or not their project. Needs the extra `bench`."""

import json
from collections.abc import Sequence
from typing import Final

from sklearn.model_selection import StratifiedKFold

from bench.evaluation import Row, macro_f1
from bench.routing import areas_of
from bench.train_routing import ELSEWHERE, train
from lessonbook.classify.text_model import text_model_of

_FOLDS: Final = 5


def validated(rows: Sequence[Row]) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return figures over all labelled rows, and for each project those of a model without it."""
    truth = [row["agent"] for row in rows]
    strange = areas_of(rows, text_model_of(json.loads(ELSEWHERE.read_text(encoding="utf-8"))))
    pairwise = _by_project(rows, truth, _pairwise(rows))
    crossed = _by_project(rows, truth, strange)
    figures = {
        "cross_project_macro_f1": sum(crossed.values()) / len(crossed),
        "pairwise_macro_f1": sum(pairwise.values()) / len(pairwise),
        "cv_macro_f1": macro_f1(truth, _cross_validated(rows)),
    }
    return figures, {f"without {project}": {"macro_f1": value} for project, value in crossed.items()}


def _by_project(rows: Sequence[Row], truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for project in sorted({row["project"] for row in rows}):
        places = [place for place, row in enumerate(rows) if row["project"] == project]
        found[project] = macro_f1([truth[place] for place in places], [predicted[place] for place in places])
    return found


def _pairwise(rows: Sequence[Row]) -> list[str]:
    predicted = [""] * len(rows)
    for project in sorted({row["project"] for row in rows}):
        model = train([row for row in rows if row["project"] != project], [])
        places = [place for place, row in enumerate(rows) if row["project"] == project]
        for place, area in zip(places, areas_of([rows[place] for place in places], model), strict=True):
            predicted[place] = area
    return predicted


def _cross_validated(rows: Sequence[Row]) -> list[str]:
    predicted = [""] * len(rows)
    strata = [f"{row['project']} {row['agent']}" for row in rows]
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    for inner, outer in folds.split(strata, strata):
        model = train([rows[index] for index in inner], [])
        for index, area in zip(outer, areas_of([rows[index] for index in outer], model), strict=True):
            predicted[index] = area
    return predicted
