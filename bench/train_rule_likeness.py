"""Fits the packaged model of how much a text reads like a rule: `python -m bench.train_rule_likeness DIR`.

It learns from public attacks and prompts on one side, and from rules, security guidance, advisories, commit messages
and bug reports on the other, with the packaged catalogue. With `--leave-out` it first tells how much it would have
stopped of each collection had it never seen it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from bench.evaluation import Row, read_rows
from bench.training import MODELS
from lessonbook.refinery.catalogue import load_catalogue
from lessonbook.refinery.rule_likeness import LIKENESS_MIN, NAME, Likeness, features_of
from lessonbook.refinery.screen import one_line, visible

SOFTWARE: Final = ("benign-lesson", "benign-advisory", "benign-bug-report", "benign-commit-message", "hard-benign-")
"""How the families of texts about software begin; other benign texts are prompts to a chatbot."""

SOURCES: Final = (
    "the packaged catalogue",
    "OWASP ASVS and Cheat Sheets (CC BY-SA 4.0)",
    "CWE, copyright The MITRE Corporation",
    "PyPA advisories (CC BY 4.0) and RustSec (CC0)",
    "GitBugs (CC BY 4.0)",
    "commit messages of Prefect and warehouse (Apache-2.0)",
    "rules of ruff (MIT), kubescape and kube-linter (Apache-2.0)",
    "BIPIA, NotInject/PIGuard, AgentDojo (MIT), garak (Apache-2.0), WildGuard (ODC-BY)",
)
TERMS_MAX: Final = 6_000
STRENGTH: Final = 30.0
RULE_MAX: Final = 600

Labelled = Sequence[tuple[str, bool]]


def fit(texts: Labelled) -> Likeness:
    """Return a model of texts with whether each is about software; terms of the smallest weights are left out."""
    labels = [about for _, about in texts]
    vectorizer = DictVectorizer()
    matrix: Any = vectorizer.fit_transform([features_of(text) for text, _ in texts])
    names = np.asarray(vectorizer.get_feature_names_out())
    kept = np.asarray((matrix > 0).sum(axis=0)).ravel() > 1
    matrix, names = matrix[:, kept], names[kept]
    weights = _regression(matrix, labels).coef_[0]
    telling = np.sort(np.argsort(-np.abs(weights))[:TERMS_MAX])
    matrix, names = matrix[:, telling], names[telling]
    model = _regression(matrix, labels)
    rarities = TfidfTransformer().fit(matrix).idf_
    terms = {
        str(name): (round(float(rarity), 2), round(float(weight), 2))
        for name, rarity, weight in zip(names, rarities, model.coef_[0], strict=True)
    }
    return Likeness(round(float(model.intercept_[0]), 3), terms)


def _regression(matrix: Any, labels: Sequence[bool]) -> Any:
    model = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=2_000)
    return model.fit(TfidfTransformer().fit_transform(matrix), labels)


def labelled(rows: Iterable[Row]) -> Labelled:
    """Return what stands alone in `rows`: attacks and prompts against texts about software."""
    return [
        (one_line(visible(row["text"])), not row["label"] and row["family"].startswith(SOFTWARE))
        for row in rows
        if row["form"] == "bare"
    ]


def rules(data: Path) -> Labelled:
    """Return rules that come with no attack: the catalogue's, and those of linters where they are there."""
    catalogue = [text for rule in load_catalogue().rules for text in (rule.text, rule.why)]
    linters = [row["text"][:300] for name in ("ruff_lessons", "kube_lessons") for row in read_rows(data, name)]
    return [(text, True) for text in (*catalogue, *linters)]


def stopped_unseen(data: Path) -> dict[str, float]:
    """Return for each collection the share of its short texts that a model which never saw it would stop."""
    rows, others = read_rows(data, "injection"), rules(data)
    collections: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        collections[_collection(row)].append(row)
    shares: dict[str, float] = {}
    for name, part in sorted(collections.items()):
        model = fit([*labelled(row for row in rows if _collection(row) != name), *others])
        scores = [model.of(one_line(row["text"])) for row in part if len(row["text"]) <= RULE_MAX]
        shares[name] = sum(score < LIKENESS_MIN for score in scores) / max(1, len(scores))
    return shares


def _collection(row: Row) -> str:
    name = row["family"].partition("/")[0]
    return name if name.startswith(SOFTWARE) else name.partition("-")[0]


def main(
    data: Annotated[Path, typer.Argument(help="folder of the labelled data")],
    *,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="first tell what it does to what it never saw")
    ] = False,
) -> None:
    """Fit the model and write it where the package finds it."""
    if leave_out:
        for name, share in stopped_unseen(data).items():
            print(f"{name}: {share:.3f} stopped unseen")
    model = fit([*labelled(read_rows(data, "injection")), *rules(data)])
    content = {"version": 1, "trained_on": SOURCES, "bias": model.bias, "terms": dict(sorted(model.terms.items()))}
    file = MODELS / f"{NAME}.json"
    file.write_text(json.dumps(content, separators=(",", ":"), ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(model.terms)} terms")


if __name__ == "__main__":
    typer.run(main)
