"""Fitting the small text models that ship as data (`lessonbook.classify.text_model`). Needs the extra `bench`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from lessonbook.classify.text_model import TextModel, features_of

MODELS = Path(__file__).parent.parent / "server" / "lessonbook" / "data" / "models"


def fit(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    strength: float = 10.0,
    least_documents: int = 2,
    most_terms: int = 8_000,
    weights: Sequence[float] | None = None,
    balanced: bool = True,
) -> TextModel:
    """Return a model of `labels` given `texts`, by logistic regression with an L2 penalty of 1/`strength`.

    Terms in fewer than `least_documents` texts are left out; of the others, those of the largest weights are kept.
    """
    vectorizer = DictVectorizer()
    matrix: Any = vectorizer.fit_transform([features_of(text) for text in texts])
    names = np.asarray(vectorizer.get_feature_names_out())
    kept = np.asarray((matrix > 0).sum(axis=0)).ravel() >= least_documents
    matrix, names = matrix[:, kept], names[kept]
    model = _fitted(matrix, labels, strength, weights, balanced=balanced)
    if len(names) > most_terms:
        telling = np.sort(np.argsort(-np.abs(model.coef_).max(axis=0))[:most_terms])
        matrix, names = matrix[:, telling], names[telling]
        model = _fitted(matrix, labels, strength, weights, balanced=balanced)
    scale = TfidfTransformer().fit(matrix).idf_
    coefficients, bias = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coefficients, bias = np.vstack([-coefficients, coefficients]) / 2, np.concatenate([-bias, bias]) / 2
    return TextModel(
        labels=tuple(str(label) for label in model.classes_),
        bias=tuple(round(float(value), 4) for value in bias),
        scale={str(name): round(float(value), 3) for name, value in zip(names, scale, strict=True)},
        weights={
            str(name): tuple(round(float(value), 3) for value in column)
            for name, column in zip(names, coefficients.T, strict=True)
        },
    )


def _fitted(matrix: Any, labels: Sequence[str], strength: float, weights: Any, *, balanced: bool) -> Any:
    scaled = TfidfTransformer().fit_transform(matrix)
    model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=2_000)
    return model.fit(scaled, labels, sample_weight=weights)


def save(model: TextModel, name: str, trained_on: Sequence[str], folder: Path = MODELS) -> Path:
    """Write the model where the package finds it, with the sources it was trained on; returns the file."""
    content = {
        "version": 1,
        "trained_on": list(trained_on),
        "labels": model.labels,
        "bias": model.bias,
        "terms": {term: [model.scale[term], *model.weights[term]] for term in sorted(model.scale)},
    }
    file = folder / f"{name}.json"
    file.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")
    return file
