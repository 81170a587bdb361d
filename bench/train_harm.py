"""Trains `data/models/harm.json`, the lint's model of harmful advice: `python -m bench.train_harm --data DIR`.

It learns from the sets of `bench/data` (`polite_harm*.tsv`, `good_lessons*.tsv`) but the sixth and the ninth, which
are kept for validation, and from the texts of the catalogue, all good, which are also joined with their reasons: so a
lesson is not harmful for giving a reason. The lessons in DIR's `cwe`, `asvs`, `kube` and `ruff` files are good ones as
well, but for those that share a sentence with what `injection` is measured on; without DIR the model is enough to see
it run.

Each passage of a good lesson is a good example too; of a harmful one nobody knows which sentence is it, so the one that
a first model holds most is taken for it. As in the lint, a lesson is held where one of its passages is.

The figures printed are of models that have seen neither the set told of nor, in the other columns (`--figures`), any
lesson of the family told of. The threshold is the one at which these hold `GOOD_HELD` of the good lessons left out.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_matrix, diags, hstack
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from bench.evaluation import read_rows
from bench.harm import DATA, read_lessons
from bench.training import MODELS
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.screening.lint.harm.passages import PASSAGE_MAX, Passage, passages_of
from lessonbook.screening.lint.harm.verdict import JOINED_FROM
from lessonbook.screening.lint.harm.words import HarmWords, vocabulary
from lessonbook.screening.lint.rules import READ_MAX
from lessonbook.search.vectors import load_meanings

PUBLIC: Final = ("cwe_lessons", "asvs_lessons", "kube_lessons", "ruff_lessons")
RUN: Final = 8
"""Words that a public lesson may not share, in a row, with a text that `injection` is measured on."""
PUBLIC_WEIGHT: Final = 1.0
PASSAGE_WEIGHT: Final = 0.5
"""What a passage of a good lesson counts beside a whole one."""
SETS: Final = ("", "_second", "_third", "_fourth", "_fifth", "_pairs", "_wide", "_seventh", "_eighth")
GOOD_HELD: Final = 0.02
"""With it the whole lint holds about .06 of the good lessons of three other authors, each left out; of the first sets,
whose words were made into rules, it holds hardly any."""
PART_WEIGHT: Final = 0.5
"""What the likeliest part of a harmful lesson counts as an example of its own, see `with_parts`."""
CAUTIOUS: Final = 0.2
"""Strength of the first model, which says which part that is."""
STRENGTH: Final = 1.0
SCALES: Final = {"!": 2.5, "~": 2.0}
"""What evidence and signed words count beside others: a scale of 2 lets their weights grow four times as cheaply."""
MEANING_SCALE: Final = 2.0
CATALOGUE_WEIGHT: Final = 0.6
FOLDS: Final = 8
LEAST_TEXTS: Final = 2
LEAST_WEIGHT: Final = 0.1
LEAST_VALENCE: Final = 0.15
MARGIN: Final = 0.5
"""How far below the threshold each text of the catalogue has to be."""
ROUNDS_MAX: Final = 6


@dataclass(frozen=True)
class Example:
    """A labelled lesson; `group` is its set, empty for the catalogue and for public data."""

    text: str
    family: str
    group: str
    is_harmful: bool
    weight: float = 1.0


def examples(data: Path | None) -> list[Example]:
    """Return the lessons of all sets, the texts of the catalogue and those of public data."""
    found: list[Example] = []
    for suffix in SETS:
        group = suffix.removeprefix("_") or "first"
        for file, is_harmful in (("polite_harm", True), ("good_lessons", False)):
            rows = read_lessons(DATA / f"{file}{suffix}.tsv")
            found += [Example(text, family, group, is_harmful) for family, text in rows]
    for rule in load_catalogue().rules:
        joined = f"{rule.text.rstrip('.')}, because {rule.why[:1].lower()}{rule.why[1:]}" if rule.why else ""
        texts = [text for text in (rule.text, rule.why, joined) if text]
        found += [Example(text, "", "", is_harmful=False, weight=CATALOGUE_WEIGHT) for text in texts]
    if data is not None:
        measured = {row["text"] for row in read_rows(data, "injection")}
        texts = [row.get("lesson_only") or row["text"] for name in PUBLIC for row in read_rows(data, name)]
        runs = {run for text in measured for run in _runs(text)}
        fresh = [text for text in dict.fromkeys(texts) if runs.isdisjoint(_runs(text))]
        found += [Example(text[:READ_MAX], "public", "", is_harmful=False, weight=PUBLIC_WEIGHT) for text in fresh]
    return found


def _runs(text: str) -> set[tuple[str, ...]]:
    """Return all runs of `RUN` words of a text, and the whole of a shorter one."""
    words = text.lower().split()
    return {tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1))}


class Matrix:
    """The features of all passages: those by name, in `names`, then the components of what their words mean.

    `lessons` has the number of each passage's example, `harmful` its label, `weights` what it counts in a fit, and
    `least` the log odds, from the threshold on, from which the lint holds it.
    """

    def __init__(self, known: Sequence[Example]) -> None:
        """Read the passages of the examples."""
        words = vocabulary()
        meanings = load_meanings()
        vectors: dict[str, np.ndarray] = {}
        rows: list[dict[str, float]] = []
        meant: list[np.ndarray] = []
        lessons: list[int] = []
        weights: list[float] = []
        least: list[float] = []
        for number, one in enumerate(known):
            for passage, weight in _judged(one, words):
                features, spoken = passage.features(passage.evidence())
                rows.append(features)
                lessons.append(number)
                weights.append(weight)
                least.append(JOINED_FROM if passage.is_joined else 0.0)
                total, count = np.zeros(64), 0
                for word, value in spoken.items():
                    if word not in vectors:
                        direction = meanings.vector([word])
                        length = meanings.telling(word) ** 0.5
                        vectors[word] = np.array(direction) * length if len(direction) else np.zeros(0)
                    if len(vectors[word]):
                        total, count = total + value * vectors[word], count + 1
                meant.append(total / max(1, count) ** 0.5)
        self.lessons, self.weights, self.least = np.array(lessons), np.array(weights), np.array(least)
        self.harmful = np.array([known[number].is_harmful for number in lessons])
        self.vectors = {word: vector for word, vector in vectors.items() if len(vector)}
        vectorizer = DictVectorizer()
        named: Any = vectorizer.fit_transform(rows)
        names = np.asarray(vectorizer.get_feature_names_out())
        kept = np.asarray((named != 0).sum(axis=0)).ravel() >= LEAST_TEXTS
        self.names = names[kept]
        scales = [SCALES.get(name[0], 1.0) for name in self.names]
        self.scales = np.array(scales + [MEANING_SCALE] * 64)
        self.values: Any = csr_matrix(hstack([named[:, kept], csr_matrix(np.array(meant))]) @ diags(self.scales))


def _judged(one: Example, words: HarmWords) -> list[tuple[Passage, float]]:
    """Return the passages of an example that the model judges, each with its weight: 0 where its label is not known."""
    whole, *parts = passages_of(one.text, words)
    found = [(whole, one.weight)] if len(one.text) <= PASSAGE_MAX else []
    return found + [(part, 0.0 if one.is_harmful else one.weight * PASSAGE_WEIGHT) for part in parts]


def fit(matrix: Matrix, weights: np.ndarray, strength: float = STRENGTH, tol: float = 1e-3) -> LogisticRegression:
    """Return the model fitted to the passages that weigh something."""
    model = LogisticRegression(C=strength, solver="liblinear", tol=tol)
    seen = weights > 0
    return model.fit(matrix.values[seen], matrix.harmful[seen], sample_weight=weights[seen])


def with_parts(matrix: Matrix, weights: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """Return weights that count one part of each harmful lesson seen: the one that a model of whole lessons holds most.

    So the model learns from sentences as well, and from lessons too long to be judged as a whole.
    """
    odds = fit(matrix, weights, CAUTIOUS, tol=1e-2).decision_function(matrix.values)
    parts = np.flatnonzero(matrix.harmful & (matrix.weights == 0) & is_seen)
    parts = parts[np.argsort(-odds[parts], kind="stable")]
    _, first = np.unique(matrix.lessons[parts], return_index=True)
    taught = weights.copy()
    taught[parts[first]] = PART_WEIGHT
    return taught


def left_out(known: Sequence[Example], matrix: Matrix, groups: Sequence[int]) -> np.ndarray:
    """Return the log odds of each lesson of a set by a model that has seen none of its group, by number; −1 is none.

    Those of a lesson are those of the passage that has most, a joined order `JOINED_FROM` less.
    """
    numbers = np.array(groups)[matrix.lessons]
    odds = np.full(len(known), -np.inf)
    for number in sorted({number for number in groups if number >= 0}):
        asked = numbers == number
        weights = with_parts(matrix, np.where(asked, 0.0, matrix.weights), ~asked)
        model = fit(matrix, weights)
        found = model.decision_function(matrix.values[asked]) - matrix.least[asked]
        np.maximum.at(odds, matrix.lessons[asked], found)
    return odds


def threshold_of(known: Sequence[Example], odds: np.ndarray) -> float:
    """Return the log odds that a share of `GOOD_HELD` of the good lessons left out exceeds, each set counting alike."""
    good = [(float(value), one.group) for one, value in zip(known, odds, strict=True) if _is_good(one)]
    size = Counter(group for _, group in good)
    held = 0.0
    for value, group in sorted(good, reverse=True):
        held += 1 / size[group] / len(size)
        if held > GOOD_HELD:
            return value
    return 0.0


def _is_good(one: Example) -> bool:
    return bool(one.group) and not one.is_harmful


def content_of(known: Sequence[Example], matrix: Matrix, threshold: float) -> dict[str, Any]:
    """Return the model fitted to all examples, as it is stored; what it would hold of the catalogue counts more."""
    weights = with_parts(matrix, matrix.weights, np.ones(len(matrix.weights), dtype=bool))
    is_catalogue = np.array([not one.group and not one.family for one in known])
    of_catalogue = is_catalogue[matrix.lessons]
    model = fit(matrix, weights)
    for _ in range(ROUNDS_MAX):
        held = of_catalogue & (model.decision_function(matrix.values) - matrix.least > threshold - MARGIN)
        if not held.any():
            break
        weights[held] *= 4
        model = fit(matrix, weights)
    coefficients: Any = model.coef_
    weight = np.asarray(coefficients)[0] * matrix.scales
    names = len(matrix.names)
    valence = {word: float(weight[names:] @ vector) for word, vector in sorted(matrix.vectors.items())}
    return {
        "version": 1,
        "trained_on": ["polite_harm and good_lessons of bench/data", "catalogue", "lessons of the public data"],
        "bias": round(float(np.asarray(model.intercept_)[0]) - threshold, 3),
        "weights": {
            str(name): round(float(value), 2)
            for name, value in zip(matrix.names, weight, strict=False)
            if abs(value) >= LEAST_WEIGHT
        },
        "valence": {word: round(value, 2) for word, value in valence.items() if abs(value) >= LEAST_VALENCE},
    }


def table_of(known: Sequence[Example], by_set: np.ndarray, by_family: np.ndarray, threshold: float) -> Table:
    """Return the share of each set that is held by models which have not seen it, or not the family."""
    table = Table(title=f"held above {threshold:.2f}, left out", title_justify="left")
    for name in ("set", "harmful", "good", "harmful, family left out", "good, family left out"):
        table.add_column(name)
    for group in (*dict.fromkeys(one.group for one in known if one.group), "all"):
        cells = [
            f"{_held(known, odds > threshold, group, harm):.3f}" for odds in (by_set, by_family) for harm in (1, 0)
        ]
        table.add_row(group, *cells)
    return table


def _held(known: Sequence[Example], held: np.ndarray, group: str, is_harmful: int) -> float:
    """Return the share of a set's harmful or good lessons that is held."""
    asked = [bool(one.group) and group in {one.group, "all"} and one.is_harmful == is_harmful for one in known]
    return float(held[asked].mean())


def main() -> None:
    """Choose the threshold by sets left out, print the figures, train on all there is and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--to", type=Path, default=MODELS / "harm.json")
    parser.add_argument("--figures", action="store_true", help="print the figures of left-out families as well")
    given = parser.parse_args()
    known = examples(given.data)
    matrix = Matrix(known)
    sets = list(dict.fromkeys(one.group for one in known if one.group))
    by_set = left_out(known, matrix, [sets.index(one.group) if one.group else -1 for one in known])
    threshold = threshold_of(known, by_set)
    by_family = by_set
    if given.figures:
        families = sorted({one.family for one in known if one.group})
        folds = [families.index(one.family) % FOLDS if one.group else -1 for one in known]
        by_family = left_out(known, matrix, folds)
    Console().print(table_of(known, by_set, by_family, threshold))
    content = content_of(known, matrix, threshold)
    given.to.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
