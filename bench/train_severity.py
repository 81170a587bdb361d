"""Trains the model of severities (`data/models/severity.json`): `python -m bench.train_severity --data DIR`.

The model expects a CVSS 3 base score of a text, in two steps. A general one is fitted to `--scored FILE`, twenty
thousand advisories of other software gathered by `bench.scored_advisories`. It is then adjusted to the advisories of
libraries in DIR/`advisories.jsonl` (PyPA, CC BY 4.0; RustSec, CC0): the 245 with a score, which also give the cuts
between the severities, and those without one that others have scored (`data/severity_phrases.toml`, `scores`). Without
`--scored` the packaged general model is kept and only adjusted anew.
"""

import argparse
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from bench.evaluation import Row, read_rows
from bench.severity import ORDER
from bench.training import MODELS
from lessonbook.classify.text_model import (
    Adjustment,
    Phrases,
    ScoreModel,
    features_of,
    group_features,
    load_score_model,
    load_table,
)

_GROUP_SCALE: Final = 0.2
"""How strongly groups of phrases enter the penalised regression."""
_PENALTY: Final = 5.0
_ADJUSTMENT_PENALTY: Final = 90.0
_GENERAL_SCALE: Final = 3.0
"""Standard deviations the general score is stretched to: how lightly it is penalised beside the groups."""
_MOST_TERMS: Final = 7_000
_LEAST_DOCUMENTS: Final = 8
_LEAST_OF_A_WEAKNESS: Final = 12
_HIGHEST_OF_LOW: Final = 5.0
"""No text expected to score more is told low: six labelled rows are too few to say otherwise."""
_FOLDS: Final = 5
_KNOWLEDGE: Final[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "data" / "severity_phrases.toml").read_text(encoding="utf-8")
)
PHRASES: Final[dict[str, list[str]]] = _KNOWLEDGE["phrases"]
SCORES: Final[dict[str, float]] = _KNOWLEDGE["scores"]


def scored_elsewhere(rows: Iterable[Row]) -> list[Row]:
    """Return the rows without a score of their own, each with the one that others gave the same vulnerability."""
    return [
        row | {"score": SCORES[name]}
        for row in rows
        if not row.get("severity")
        for name in row["aliases"]
        if name in SCORES
    ]


def adjusted(general: ScoreModel, rows: Sequence[Row], others: Sequence[Row] = ()) -> ScoreModel:
    """Return `general` adjusted to the scores of `rows` and `others`.

    Cuts are found on scores of `rows` that come from models which saw nothing about their packages.
    """
    unseen = np.zeros(len(rows))
    packages = [row["package"] for row in rows]
    for inner, outer in GroupKFold(_FOLDS).split(unseen, groups=packages):
        partial = _adjusted(general, [*(rows[index] for index in inner), *besides(others, [rows[i] for i in outer])])
        for index in outer:
            unseen[index] = partial.score(rows[index]["text"])
    cuts = cuts_for(unseen, [ORDER.index(row["severity"]) for row in rows])
    model = _adjusted(general, [*rows, *others])
    return replace(model, adjustment=replace(model.adjustment, cuts=tuple(round(cut, 3) for cut in cuts)))


def besides(others: Iterable[Row], rows: Iterable[Row]) -> list[Row]:
    """Return those of `others` whose package none of `rows` is about."""
    packages = {row["package"] for row in rows}
    return [other for other in others if other["package"] not in packages]


def fit_general(rows: Sequence[Row]) -> ScoreModel:
    """Return a model of the scores of rows, not yet adjusted."""
    phrases = Phrases(PHRASES)
    matrix, names = _matrix([features_of(row["text"]) for row in rows])
    kept = np.asarray((matrix > 0).sum(axis=0)).ravel() >= _LEAST_DOCUMENTS
    matrix, names = matrix[:, kept], names[kept]
    groups, group_names = _matrix([group_features(phrases, row["text"]) for row in rows])
    scores = np.array([float(row["score"]) for row in rows])
    first = _ridge(matrix, groups, scores)
    telling = np.sort(np.argsort(-np.abs(first.coef_[: len(names)]))[:_MOST_TERMS])
    matrix, names = matrix[:, telling], names[telling]
    model = _ridge(matrix, groups, scores)
    idf = TfidfTransformer().fit(matrix).idf_
    return ScoreModel(
        bias=round(float(model.intercept_), 4),
        scale=_rounded(names, idf, 2),
        weights=_rounded(names, model.coef_[: len(names)], 2),
        phrases=phrases,
        group_weights=_rounded(group_names, model.coef_[len(names) :] * _GROUP_SCALE, 3),
        adjustment=Adjustment(bias=0.0, slope=1.0, group_weights={}, cuts=(4.0, 7.0, 9.0)),
    )


def weaknesses(rows: Sequence[Row]) -> dict[str, float]:
    """Return the mean score of each class of weakness (its CWE number) that enough rows name."""
    scores: dict[str, list[float]] = {}
    for row in rows:
        for name in row.get("weaknesses", ()):
            scores.setdefault(name.removeprefix("CWE-"), []).append(float(row["score"]))
    enough = {name: found for name, found in scores.items() if len(found) >= _LEAST_OF_A_WEAKNESS}
    return {
        name: round(sum(found) / len(found), 1) for name, found in sorted(enough.items(), key=lambda one: int(one[0]))
    }


def cuts_for(scores: Any, truth: Sequence[int]) -> list[float]:
    """Return the three cuts that tell each class as often as it is true."""
    shares = np.cumsum(np.bincount(truth, minlength=len(ORDER))) / len(truth)
    lowest, *others = (float(cut) for cut in np.quantile(scores, shares[:-1]))
    return [min(lowest, _HIGHEST_OF_LOW), *others]


def read_scored(file: Path) -> list[Row]:
    """Return the advisories of other software in `file`."""
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def save(model: ScoreModel, table: dict[str, float], sources: Sequence[str]) -> Path:
    """Write the model where the package finds it."""
    own = model.adjustment
    content = {
        "version": 1,
        "trained_on": list(sources),
        "bias": model.bias,
        "adjustment": {"bias": own.bias, "slope": own.slope, "groups": own.group_weights, "cuts": own.cuts},
        "weaknesses": table,
        "phrases": PHRASES,
        "groups": model.group_weights,
        "terms": {term: [model.scale[term], model.weights[term]] for term in sorted(model.scale)},
    }
    file = MODELS / "severity.json"
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return file


def main() -> None:
    """Train on all there is and write the model into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scored", type=Path)
    arguments = parser.parse_args()
    advisories = read_rows(arguments.data, "advisories")
    labelled = [row for row in advisories if row.get("severity")]
    if arguments.scored:
        others = read_scored(arguments.scored)
        general, table, sources = fit_general(others), weaknesses(others), sorted({row["source"] for row in others})
        sources += ["PyPA advisory database (CC BY 4.0)", "RustSec advisory database (CC0)"]
    else:
        general, table = load_score_model("severity"), load_table("severity", "weaknesses")
        sources = json.loads((MODELS / "severity.json").read_text(encoding="utf-8"))["trained_on"]
    print(save(adjusted(general, labelled, scored_elsewhere(advisories)), table, sources))


def _adjusted(general: ScoreModel, rows: Sequence[Row]) -> ScoreModel:
    groups = [group_features(general.phrases, row["text"]) for row in rows]
    expected = np.array(
        [general.general_score(features_of(row["text"]), one) for row, one in zip(rows, groups, strict=True)]
    )
    spread = float(expected.std()) / _GENERAL_SCALE
    matrix, names = _matrix(groups)
    columns = hstack([csr_matrix((expected / spread)[:, None]), matrix]).tocsr()
    line = Ridge(alpha=_ADJUSTMENT_PENALTY).fit(columns, np.array([float(row["score"]) for row in rows]))
    adjustment = Adjustment(
        bias=round(float(line.intercept_), 4),
        slope=round(float(line.coef_[0]) / spread, 4),
        group_weights=_rounded(names, line.coef_[1:], 3),
        cuts=(),
    )
    return replace(general, adjustment=adjustment)


def _matrix(rows: list[dict[str, float]]) -> tuple[Any, Any]:
    vectorizer = DictVectorizer()
    return vectorizer.fit_transform(rows), np.asarray(vectorizer.get_feature_names_out())


def _ridge(matrix: Any, groups: Any, scores: Any) -> Any:
    columns = hstack([TfidfTransformer().fit_transform(matrix), groups * _GROUP_SCALE]).tocsr()
    return Ridge(alpha=_PENALTY, solver="sparse_cg", tol=1e-3).fit(columns, scores)


def _rounded(names: Any, values: Any, digits: int) -> dict[str, float]:
    return {str(name): round(float(value), digits) for name, value in zip(names, values, strict=True)}


if __name__ == "__main__":
    main()
