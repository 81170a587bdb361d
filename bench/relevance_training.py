"""Fitting the weights by which search compares (`learning/fit`), and from where on a lesson counts as relevant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from bench.searching import Corpus
from lessonbook.search.document import plain_text
from lessonbook.search.index import RelevanceIndex
from lessonbook.search.relevance import Compared, RelevanceModel
from lessonbook.search.subjects import document_of, subjects_of, with_issue
from lessonbook.search.vectors import Meanings

ORDER: Final = ("words", "pairs", "meaning", "subjects", "lead", "issues")
"""What decides the order of lessons; `similar` does, too, where a model is configured."""
WRONG_EACH: Final = 60
"""Wrong lessons that each right one is set against."""
RIGHT_EACH: Final = 3
TOP: Final = 10
SMALL: Final = 12
"""Lessons of a small collection."""
BRIEF: Final = (3, 9)
"""Words of a brief query: from so many, to fewer than so many."""
UNRELATED_EACH: Final = 100
_EVEN: Final = RelevanceModel(Compared(6.0, 2.0, 5.0, 4.0, 2.5), -5.0, 0.05)

Matrix = np.ndarray[Any, np.dtype[Any]]
Similar = Mapping[str, float]


@dataclass(frozen=True)
class Answer:
    """How a query's candidates compare with it, and which of them are right."""

    compared: Matrix
    """A row a candidate, in the order of `Compared`'s fields."""
    right: Matrix


class Asking:
    """The queries of a set, asked with given meanings."""

    def __init__(self, corpus: Corpus, meanings: Meanings) -> None:
        self.corpus = corpus
        self._meanings = meanings
        self.bodies = bodies_of(corpus)
        self._whole = self._index(list(self.bodies))

    def _index(self, names: Sequence[str]) -> RelevanceIndex[str]:
        index: RelevanceIndex[str] = RelevanceIndex(self._meanings, _EVEN)
        for name in names:
            index.put(name, self.bodies[name])
        return index

    def answer(self, row: dict[str, Any], similar: Similar | None = None) -> Answer:
        """Return what a query finds among all lessons of the set."""
        return self._answered(self._whole, row, similar)

    def among_few(self, row: dict[str, Any], draw: np.random.Generator, similar: Similar | None) -> Answer:
        """Return what a query finds among `SMALL` lessons, drawn, a right one of which is there half of the time."""
        names = list(draw.choice(list(self.bodies), min(SMALL, len(self.bodies)), replace=False))
        right = [name for name in row["relevant"] if name in self.bodies]
        if right and draw.random() < 0.5:  # half of the time
            names = [*names[1:], right[0]]
        return self._answered(self._index(list(dict.fromkeys(names))), row, similar)

    def in_brief(self, row: dict[str, Any], draw: np.random.Generator, similar: Similar | None) -> Answer:
        """Return what the first few words of a query find: tasks are often no longer."""
        words = row["query"].split()
        return self._answered(self._whole, row | {"query": " ".join(words[: draw.integers(*BRIEF)])}, similar)

    def _answered(self, index: RelevanceIndex[str], row: dict[str, Any], similar: Similar | None) -> Answer:
        query = row["query"]
        found = index.compared(query, subjects=subjects_of(query), similar=similar)
        wanted = {name for name, grade in row["relevant"].items() if grade >= self.corpus.least_grade}
        return Answer(
            np.array([compared for _, compared in found], dtype=float).reshape(len(found), len(Compared._fields)),
            np.array([name in wanted for name, _ in found], dtype=bool),
        )

    def ranked(self, row: dict[str, Any], fit: RelevanceModel, similar: Similar | None) -> list[tuple[str, float]]:
        """Return the names of the lessons found, each with how probably it is relevant, the most probable first."""
        found = self._whole.compared(row["query"], subjects=subjects_of(row["query"]), similar=similar)
        return sorted(((name, fit.probability(compared)) for name, compared in found), key=lambda pair: -pair[1])


def bodies_of(corpus: Corpus) -> dict[str, str]:
    """Return each lesson's document, with the issues of the history behind it."""
    bodies = {name: document_of(text, "", "", "other") for name, text in corpus.lessons.items()}
    for row in corpus.history:
        name = row["lesson"]
        if name in bodies:
            bodies[name] = with_issue(bodies[name], corpus.lessons[name], row["query"], "")
    return bodies


def texts_embedded(bodies: Mapping[str, str]) -> dict[str, str]:
    """Return what of each document a model embeds."""
    return {name: plain_text(body) for name, body in bodies.items()}


def order_of(answers: Mapping[str, Sequence[Answer]], fields: Sequence[str]) -> dict[str, float]:
    """Return weights of `fields` under which right lessons go before wrong ones, each set of answers counting the same.

    Logistic regression on differences (RankNet without a net: Burges et al. 2005).
    """
    columns = [Compared._fields.index(name) for name in fields]
    rows: list[Matrix] = []
    weights: list[float] = []
    draw = np.random.default_rng(0)
    for of_set in answers.values():
        differences = [row for answer in of_set for row in _differences(answer, columns, draw)]
        rows += differences
        weights += [1 / len(differences)] * len(differences)
    told = np.array(rows)
    model: Any = LogisticRegression(C=1e3, fit_intercept=False, max_iter=1_000)
    model.fit(
        np.vstack([told, -told]),
        np.repeat([1, 0], len(told)),
        sample_weight=np.tile(weights, 2) * len(told) / len(answers),
    )
    return {name: float(weight) for name, weight in zip(fields, model.coef_[0], strict=True)}


def _differences(answer: Answer, columns: Sequence[int], draw: np.random.Generator) -> Iterator[Matrix]:
    right, wrong = np.flatnonzero(answer.right)[:RIGHT_EACH], np.flatnonzero(~answer.right)
    if not len(wrong):
        return
    for one in right:
        for other in draw.choice(wrong, min(WRONG_EACH, len(wrong)), replace=False):
            yield answer.compared[one, columns] - answer.compared[other, columns]


def calibrated(
    order: Mapping[str, float], related: Sequence[Sequence[Answer]], unrelated: Sequence[Answer]
) -> tuple[Compared, float]:
    """Return weights and bias of a probability that keeps an order (Platt 1999), a query's own weight beside it.

    `related` are sets of answers to queries that something there may fit, `unrelated` answers from lessons about
    something else; all of these count as much as all of those.
    """
    weights = np.array([order.get(name, 0.0) for name in Compared._fields])
    whole = Compared._fields.index("whole")
    rows: list[tuple[float, float]] = []
    right: list[bool] = []
    counts: list[float] = []
    for share, of_set in [*((1 / len(related), one) for one in related), (1.0, unrelated)]:
        for answer in of_set:
            scores = answer.compared @ weights
            best = np.argsort(-scores)[:TOP]
            rows += [(float(scores[at]), float(answer.compared[at, whole])) for at in best]
            right += [bool(answer.right[at]) for at in best]
            counts += [share / len(of_set) / TOP] * len(best)
    model: Any = LogisticRegression(C=1e4, max_iter=1_000)
    model.fit(np.array(rows), right, sample_weight=np.array(counts) * len(rows) / sum(counts))
    scale, of_whole = (float(value) for value in model.coef_[0])
    told = {name: round(scale * value, 3) for name, value in order.items()}
    return Compared(**{"words": 0.0, "pairs": 0.0, "meaning": 0.0} | told, whole=round(of_whole, 3)), round(
        float(model.intercept_[0]), 3
    )
