"""Fits `data/models/likeness.json`, by which issues are matched. `python -m bench.train_likeness --data DIR`.

Learns from `dedup_stream.jsonl`: observed examples of CWE (© The MITRE Corporation, royalty-free), ruff's messages on
open-source code (MIT), and duplicate bug reports of GitBugs (CC BY 4.0, arXiv 2504.09651). Each kind weighs the same.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from bench.evaluation import Row, read_rows
from bench.training import MODELS
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.dedup.likeness import FEATURES, Corpus, Likeness
from lessonbook.dedup.precedents import Precedents, words_of_catalogue

STRENGTH = 1.0
"""The inverse of the L2 penalty on standardised features."""

Example = tuple[list[float], bool, str]
"""Features of an issue and a group, whether they belong together, and the issue's label."""


def examples(rows: Sequence[Row], words: Corpus) -> Iterator[Example]:
    """Yield what each issue of a stream and the groups most like it teach, the stream rightly grouped so far."""
    precedents = Precedents(words)
    for row in rows:
        for group, _, features in precedents.compared(row["text"]):
            yield features, group == row["label"], row["label"]
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


def main(data: Annotated[Path, typer.Option(help="folder of dedup_stream.jsonl")]) -> None:
    """Fit the model on every kind of the stream and write it where the package finds it."""
    words = words_of_catalogue(load_catalogue())
    rows = read_rows(data, "dedup_stream")
    kinds = sorted({row["kind"] for row in rows})
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
