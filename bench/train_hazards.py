"""Trains `data/models/hazards.json`, what tasks need: `python -m bench.train_hazards --data DIR`.

DIR holds `everyday_tasks.jsonl`, `tasks.jsonl` (CyberSecEval and BaxBench, MIT; chatter, CC0) and `cwe_relations.json`.
`data/own_tasks.jsonl` has tasks that two authors labelled who had seen neither those files nor the catalogue's tasks.
Without DIR the model is fitted to these alone: enough to see it run.

The figures printed are of models that have not seen the source told of, nor the language of a task of CyberSecEval,
nor the scenario of one of BaxBench.
"""

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from bench.evaluation import Row, read_rows
from bench.tasks import credit_of, everyday_figures, file_for
from bench.training import MODELS
from lessonbook.classify.catalogue import load_catalogue
from lessonbook.classify.task_rules import hazard_of
from lessonbook.search.context import Place
from lessonbook.search.hazard_model import Fit, HazardModel, Need, model_from
from lessonbook.search.hazards import Hazards, TaskMatches, fits_of, need_of, ordinary_tasks
from lessonbook.search.task import read_task
from lessonbook.search.tokenizer import words_of

OWN: Final = Path(__file__).parent / "data"
WEAKNESS_SHIFT: Final = 1.2
"""So that a weakness of probability .05 reaches the threshold: of several weaknesses each is rare."""
NEED_STRENGTH: Final = 10.0
WEAKNESS_STRENGTH: Final = 10.0
WORDY: Final = 0.1
"""What a task of CyberSecEval counts beside another where it is about whether a task needs a lesson."""
BAD: Final = 6.0
BEST: Final = 2.0
SCENARIO: Final = 6.0
"""What a task of BaxBench counts where it is about weaknesses: there are few."""
LEAST_TASKS: Final = 3
LEAST_WEIGHT: Final = 0.2
FOLDS: Final = 6
RULE_SOURCES: Final = ("everyday", "author 1", "author 2")


@dataclass(frozen=True)
class Example:
    """A labelled task, read."""

    row: Row
    source: str
    group: str
    place: Place
    matches: TaskMatches

    @property
    def needs(self) -> bool:
        """Whether some lesson helps."""
        return bool(self.row.get("good") or self.row.get("relevant"))

    @property
    def served_by(self) -> str:
        """The kind of labels: rules or weaknesses."""
        return "weaknesses" if "relevant" in self.row else "rules"


RULES: Final = load_catalogue().rules
WEAKNESSES: Final = {rule.id: [key for key in rule.keys if key.startswith("CWE-")][:8] for rule in RULES}


def examples(data: Path | None) -> list[Example]:
    """Return all labelled tasks. Ordinary phrases of an author's own are not held against that author's tasks."""
    hazards = Hazards(map(hazard_of, RULES), ordinary_tasks())
    found: list[Example] = []
    own = read_rows(OWN, "own_tasks")
    for author in (1, 2):
        others = {row["task"] for row in own if row["author"] == author and row["kind"] != "task"}
        blind = Hazards(map(hazard_of, RULES), [phrase for phrase in ordinary_tasks() if phrase not in others])
        found += [_example(row, f"author {author}", blind) for row in own if row["author"] == author]
    if data is not None:
        found += [_example(row, "everyday", hazards) for row in read_rows(data, "everyday_tasks")]
        for row in read_rows(data, "tasks"):
            found.append(_example({**row, "files": [file_for(row)]}, row["set"], hazards))
    return found


def _example(row: Row, source: str, hazards: Hazards) -> Example:
    reading = read_task(row["task"], row["files"])
    row, place = {**row, "task": reading.task}, reading.place
    group = source
    if source == "cyberseceval":
        group = f"{source} {row['language']}"
    elif source == "baxbench":
        group = re.sub(r"using the .*? framework", "", row["task"])[:90]
    return Example(row, source, group, place, hazards.matches(row["task"], place))


def need_line(known: Sequence[Example]) -> dict[str, float]:
    """Fit whether a task needs a lesson."""
    features = [need_of(example.matches) for example in known]
    weights = [WORDY if example.source == "cyberseceval" else 1.0 for example in known]
    return _line(features, [example.needs for example in known], weights, Need._fields, NEED_STRENGTH)


def fit_line(known: Sequence[Example]) -> dict[str, float]:
    """Fit which rules a task needs, given that it needs some; sources count alike, rules called wrong count more."""
    labelled = [example for example in known if example.needs and example.served_by == "rules"]
    of_source = defaultdict(int)
    for example in labelled:
        of_source[example.source] += 1
    features: list[Fit] = []
    labels: list[bool] = []
    weights: list[float] = []
    for example in labelled:
        row = example.row
        fits = map(Fit._make, zip(*fits_of(example.matches), strict=True))
        for name, fit in zip(example.matches.names, fits, strict=True):
            features.append(fit)
            labels.append(name in row["good"])
            weight = BAD if name in row["bad"] else BEST if name in row["best"] else 1.0
            weights.append(weight / of_source[example.source])
    return _line(features, labels, weights, Fit._fields, 1.0)


def _line(
    features: Sequence[Sequence[float]],
    labels: Sequence[bool],
    weights: Sequence[float],
    names: Iterable[str],
    strength: float,
) -> dict[str, float]:
    matrix, weighed = np.array(features), np.array(weights)
    mean, spread = matrix.mean(axis=0), matrix.std(axis=0) + 1e-9
    model = LogisticRegression(C=strength, max_iter=2_000)
    model.fit((matrix - mean) / spread, labels, sample_weight=weighed / weighed.mean())
    slopes = model.coef_[0] / spread
    line = {name: round(float(slope), 3) for name, slope in zip(names, slopes, strict=True)}
    return line | {"bias": round(float(model.intercept_[0] - slopes @ mean), 3)}


def weakness_lines(known: Sequence[Example]) -> dict[str, Any]:
    """Fit which weaknesses code for a task shows, by words and language."""
    rows = [example for example in known if example.served_by == "weaknesses" or example.source != "chatter"]
    documents = [" ".join({*words_of(one.row["task"]), f"lang_{one.place.language}"}) for one in rows]
    vectorizer = TfidfVectorizer(analyzer=str.split, min_df=3)
    matrix: Any = vectorizer.fit_transform(documents)
    terms = vectorizer.get_feature_names_out()
    weights = [SCENARIO if one.source == "baxbench" else 1.0 for one in rows]
    told = [_weaknesses_of(one.row) for one in rows]
    names = sorted({name for one in rows for name in one.row.get("relevant", ())})
    kept: list[str] = []
    biases: list[float] = []
    by_term: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for name in names:
        labels = [name in weaknesses for weaknesses in told]
        if sum(labels) < LEAST_TASKS:
            continue
        model = LogisticRegression(C=WEAKNESS_STRENGTH, max_iter=1_000).fit(matrix, labels, sample_weight=weights)
        for term, weight in zip(terms, model.coef_[0], strict=True):
            if abs(weight) >= LEAST_WEIGHT:
                by_term[term].append((len(kept), round(float(weight), 2)))
        kept.append(name)
        biases.append(round(float(model.intercept_[0]), 3))
    idf = {term: round(float(value), 3) for term, value in zip(terms, vectorizer.idf_, strict=True)}
    return {"names": kept, "biases": biases, "idf": idf, "weights": dict(by_term)}


def _weaknesses_of(row: Row) -> set[str]:
    if "relevant" in row:
        return set(row["relevant"])
    return {name for rule in row["best"] for name in WEAKNESSES.get(rule, ())[:3]}


def content_of(known: Sequence[Example], weakness: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the model fitted to examples, as it is stored."""
    return {
        "version": 1,
        "need": need_line(known),
        "fit": fit_line(known),
        "weakness_shift": WEAKNESS_SHIFT,
        "weakness": weakness or weakness_lines(known),
    }


def served(example: Example, model: HazardModel, hazards: Hazards, most: int = 5) -> list[str]:
    """Return the rules that a model serves for a task."""
    likely = hazards.judged(example.matches, example.place, model).rules
    return sorted(likely, key=lambda name: -likely[name])[:most]


def left_out(known: Sequence[Example]) -> dict[int, list[str]]:
    """Return what is served for each example, by its number, by models that have not seen its source or group."""
    hazards = Hazards(map(hazard_of, RULES), ordinary_tasks())
    answers: dict[int, list[str]] = {}

    def answer(model: HazardModel, wanted: Callable[[Example], bool]) -> None:
        for number, example in enumerate(known):
            if wanted(example):
                answers[number] = served(example, model, hazards)

    weakness = weakness_lines(known)
    for source in RULE_SOURCES:
        others = [example for example in known if example.source != source]
        answer(model_from(content_of(others, weakness)), lambda example, source=source: example.source == source)
    groups = sorted({example.group for example in known if example.served_by == "weaknesses"})
    fold_of = {group: number % FOLDS for number, group in enumerate(groups)}
    for fold in range(FOLDS):
        rest = [example for example in known if fold_of.get(example.group, -1) != fold]
        fitted = [example for example in rest if example.source in (*RULE_SOURCES, "chatter")]
        model = model_from(content_of(fitted, weakness_lines(rest)))
        answer(model, lambda example, fold=fold: fold_of.get(example.group, -1) == fold)
    return answers


def table_of(known: Sequence[Example], answers: Mapping[int, list[str]], near: Mapping[str, Sequence[str]]) -> Table:
    """Return the figures of each source as a table."""
    table = Table(title="what is served, by models that have not seen the source", title_justify="left")
    for name in ("source", "figure", "value"):
        table.add_column(name)
    for source in dict.fromkeys(example.source for example in known):
        rows = [(example.row, answers[number]) for number, example in enumerate(known) if example.source == source]
        for name, value in _figures(rows, near).items():
            table.add_row(source, name, f"{value:.3f}")
    return table


def _figures(rows: Sequence[tuple[Row, list[str]]], near: Mapping[str, Sequence[str]]) -> dict[str, float]:
    if "relevant" not in rows[0][0]:
        return everyday_figures([row for row, _ in rows], [names for _, names in rows])
    counts = [len(names) for _, names in rows]
    if not rows[0][0]["relevant"]:
        return {"left alone": counts.count(0) / len(counts)}
    credits_ = [credit_of([WEAKNESSES[name] for name in names], row["relevant"], near) for row, names in rows]
    return {"credit": sum(credits_) / len(credits_), "served": sum(counts) / len(counts)}


def main() -> None:
    """Train on all there is, print the figures of models that have not seen what they are told on, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--to", type=Path, default=MODELS / "hazards.json")
    parser.add_argument("--figures", action="store_true", help="print the figures of left-out sources; takes minutes")
    given = parser.parse_args()
    known = examples(given.data)
    if given.figures:
        near = json.loads((given.data / "cwe_relations.json").read_text(encoding="utf-8"))["near"]
        Console().print(table_of(known, left_out(known), near))
    content = content_of(known)
    given.to.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
