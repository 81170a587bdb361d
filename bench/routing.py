"""How well commits are routed to the area their files lie in, by their message alone (`routing_commits.jsonl`)."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final
from unittest.mock import patch

from sklearn.model_selection import StratifiedKFold

from bench.evaluation import Evaluation, Goal, Row, macro_f1, read_rows
from bench.train_routing import ELSEWHERE, train
from lessonbook.refinery import areas
from lessonbook.refinery.roster import load_roster
from lessonbook.refinery.text_model import TextModel, text_model_of

GOALS: Final = {"macro_f1": Goal(least=0.60), "cross_project_macro_f1": Goal(least=0.60)}
_FOLDS: Final = 5


def evaluate(data: Path) -> Evaluation:
    """Return the area each commit is routed to; where they are labelled, how well.

    The packaged model has seen these labels. `cross_project_macro_f1` is the mean over projects of a router trained on
    fifteen other projects and none of these, `pairwise_macro_f1` of one trained on the other project of this set only,
    `cv_macro_f1` of one trained on this set without the commits it is asked about.
    """
    result = Evaluation("routing", goals=GOALS)
    rows = read_rows(data, "routing_commits")
    if not rows:
        result.missing.append("routing_commits")
        return result
    told = areas_of(rows)
    result.predictions = [{"id": row["id"], "agent": one} for row, one in zip(rows, told, strict=True)]
    if not all(row.get("agent") for row in rows):
        return result
    truth = [row["agent"] for row in rows]
    strange = areas_of(rows, text_model_of(json.loads(ELSEWHERE.read_text(encoding="utf-8"))))
    pairwise = _by_project(rows, truth, _pairwise(rows))
    crossed = _by_project(rows, truth, strange)
    result.metrics = {
        "macro_f1": macro_f1(truth, told),
        "cross_project_macro_f1": sum(crossed.values()) / len(crossed),
        "pairwise_macro_f1": sum(pairwise.values()) / len(pairwise),
        "cv_macro_f1": macro_f1(truth, _cross_validated(rows)),
    }
    result.sets = {f"without {project}": {"macro_f1": value} for project, value in crossed.items()}
    result.sets |= {area: {"f1": f1_of(area, truth, told)} for area in sorted(set(truth))}
    return result


def areas_of(rows: Sequence[Row], model: TextModel | None = None) -> list[str]:
    """Return the area the router tells of each row's words, with another area model in place of the packaged one."""
    roster = load_roster()
    ask: Callable[[str], tuple[str, float] | None] = partial(roster.area_of, files=())
    if model is None:
        return [(ask(row["query"]) or ("", 0.0))[0] for row in rows]
    with patch.object(areas, "load_model", return_value=model):
        return [(ask(row["query"]) or ("", 0.0))[0] for row in rows]


def f1_of(label: str, truth: Sequence[str], predicted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of one label."""
    hits = sum(one == other == label for one, other in zip(truth, predicted, strict=True))
    return 2 * hits / (truth.count(label) + predicted.count(label))


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
