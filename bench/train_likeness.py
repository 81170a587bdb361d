"""Fits `data/models/likeness.json`, by which issues are matched. `python -m bench.train_likeness --data DIR`.

With `--left-out` nothing is written: each label's issues are matched by a model that has seen no example of the label,
neither as the issue's nor as the group's.

Learns from `dedup_stream.jsonl`: observed examples of CWE (© The MITRE Corporation, royalty-free), ruff's messages on
open-source code (MIT), and duplicate bug reports of GitBugs (CC BY 4.0, arXiv 2504.09651). Each kind weighs the same.
"""

import json
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.dedup import scored
from bench.evaluation import Row, read_rows
from bench.training import MODELS
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.dedup.known_groups import Precedents, words_of_catalogue
from lessonbook.dedup.likeness import FEATURES, Corpus, Likeness

STRENGTH = 1.0
"""The inverse of the L2 penalty on standardised features."""

FOLDS = 5

Example = tuple[list[float], bool, str, str]
"""Features of an issue and a group, whether they belong together, the issue's label, and the group's."""


def examples(rows: Sequence[Row], words: Corpus) -> Iterator[Example]:
    """Yield what each issue of a stream and the groups most like it teach, the stream rightly grouped so far."""
    precedents = Precedents(words)
    for row in rows:
        for group, _, features in precedents.compared(row["text"]):
            yield features, group == row["label"], row["label"], group
        precedents.put(row["id"], row["label"], row["text"])


def fit(kinds: Sequence[Sequence[Example]]) -> Likeness:
    """Return a model of examples of several kinds, each kind weighing the same."""
    features = np.array([example[0] for kind in kinds for example in kind])
    together = np.array([example[1] for kind in kinds for example in kind])
    weights: Any = np.concatenate([np.full(len(kind), 1 / len(kind)) for kind in kinds if kind])
    scaler = StandardScaler().fit(features)
    model = LogisticRegression(C=STRENGTH, max_iter=3_000)
    model.fit(scaler.transform(features), together, sample_weight=weights / weights.mean())
    slopes = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - (slopes * scaler.mean_).sum())
    return Likeness(bias, tuple(float(slope) for slope in slopes))


def left_out(streams: Mapping[str, Sequence[Row]], words: Corpus) -> dict[str, dict[str, float]]:
    """Return by kind how a stream, rightly grouped so far, is matched by models that have not seen the label."""
    learned = {kind: list(examples(rows, words)) for kind, rows in streams.items()}
    fold_of = {
        label: at % FOLDS
        for rows in streams.values()
        for at, label in enumerate(shuffled({row["label"] for row in rows}))
    }
    models = [
        fit([[one for one in kind if fold not in {fold_of[one[2]], fold_of[one[3]]}] for kind in learned.values()])
        for fold in range(FOLDS)
    ]
    return {kind: scored(rows, list(_predicted(rows, words, models, fold_of))) for kind, rows in streams.items()}


def shuffled(labels: Collection[str]) -> list[str]:
    """Return labels in an order that is always the same."""
    order = sorted(labels)
    random.Random(0).shuffle(order)
    return order


def _predicted(
    rows: Sequence[Row], words: Corpus, models: Sequence[Likeness], fold_of: Mapping[str, int]
) -> Iterator[Row]:
    precedents = Precedents(words)
    for row in rows:
        best = next(iter(precedents.matches(row["text"], models[fold_of[row["label"]]])), None)
        yield {"id": row["id"], "merged_into": best.member if best is not None and best.is_sure else None}
        precedents.put(row["id"], row["label"], row["text"])


def main(
    data: Annotated[Path, typer.Option(help="folder of dedup_stream.jsonl")],
    measured: Annotated[bool, typer.Option("--left-out", help="print figures with labels left out")] = False,
) -> None:
    """Fit the model on every kind of the stream and write it where the package finds it."""
    words = words_of_catalogue(load_catalogue())
    rows = read_rows(data, "dedup_stream")
    kinds = sorted({row["kind"] for row in rows})
    if measured:
        print(json.dumps(left_out({kind: [row for row in rows if row["kind"] == kind] for kind in kinds}, words)))
        return
    model = fit([list(examples([row for row in rows if row["kind"] == kind], words)) for kind in kinds])
    content = {
        "version": 1,
        "trained_on": "observed examples of CWE, messages of ruff, duplicate reports of GitBugs",
        "bias": round(model.bias, 4),
        "weights": {name: round(weight, 4) for name, weight in zip(FEATURES, model.weights, strict=True)},
    }
    file = MODELS / "likeness.json"
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{file}: {content}")


if __name__ == "__main__":
    typer.run(main)
