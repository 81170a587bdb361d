"""Fits what search compares by: vectors of words (`meanings.json`) and the weights of a comparison (`relevance.json`).

    python -m bench.train_retrieval --data DIR --teacher FOLDER [--held-out] [--memory DIR] [--out DIR]

Vectors begin as a sentence encoder's own of single words, in fewer dimensions, and are fitted so that sums of them
compare as the encoder compares whole texts, and so that questions are near the lessons they belong to
(`bench/meanings_training`). Weights are fitted to questions that the vectors have not seen: each half is asked with
vectors of the other (`bench/relevance_training`). `--held-out` measures each half with vectors and weights of the
other, and writes nothing. Needs torch and sentence-transformers beside the extra `bench`; `--memory` keeps what the
encoder told.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from bench.evaluation import Evaluation, Row
from bench.meanings_training import DIMENSIONS, NEARNESS, QUESTIONS, STEPS, Encoder, Trainer, Words, pieces_of
from bench.relevance_training import ORDER, UNRELATED_EACH, Answer, Asking, calibrated, order_of, texts_embedded
from bench.retrieval import SETS, distractors_of
from bench.searching import Corpus, read_corpus, scored
from bench.training import MODELS
from lessonbook.search.relevance import RelevanceModel

FOLDS: Final = 2
THRESHOLD: Final = 0.05
ABOUT: Final = {
    "cwe": "security",
    "asvs": "security",
    "owasp_sheets": "security",
    "ruff": "Python",
    "kube": "Kubernetes",
}
"""What each set is about: lessons of another subject are wrong for its questions."""
READ: Final = {"asvs"}
"""Sets whose lessons were read for the lexicon of weaknesses: they would make it seem better than it is."""


def fold_of(row: Row) -> int:
    """Return the half a question belongs to: all those about one lesson, or one weakness, are in the same."""
    about = row.get("lesson") or row.get("cwe") or row.get("section") or row["id"]
    return zlib.crc32(about.encode()) % FOLDS


def texts_of(corpora: Sequence[Corpus], others: Sequence[str], leave_out: int | None) -> list[str]:
    """Return the texts whose likeness is learned, without the questions of the half that is left out."""
    unseen = {row["query"] for corpus in corpora for row in corpus.queries if fold_of(row) == leave_out}
    texts: dict[str, None] = {}
    for corpus in corpora:
        for text in corpus.lessons.values():
            texts |= dict.fromkeys(pieces_of(text))
        asked = (row["query"] for row in corpus.queries if row["query"] not in unseen)
        texts |= dict.fromkeys(piece for query in asked for piece in pieces_of(query)[:2])
    for text in others:
        texts |= dict.fromkeys(pieces_of(text)[:3])
    return list(texts)


def questions_of(corpora: Sequence[Corpus], leave_out: int | None) -> list[list[tuple[str, str]]]:
    """Return, set by set, first lines of questions and of issues, each with a lesson that it belongs to."""
    groups: list[list[tuple[str, str]]] = []
    for corpus in corpora:
        rows = [row for row in (*corpus.queries, *corpus.history) if leave_out is None or fold_of(row) != leave_out]
        pairs = [(row["query"].partition("\n")[0], name) for row in rows for name in _right_for(row, corpus)]
        groups.append([(query, corpus.lessons[name]) for query, name in pairs])
    return groups


def _right_for(row: Row, corpus: Corpus) -> Iterator[str]:
    grades = row.get("relevant") or {row["lesson"]: corpus.least_grade}
    return (name for name, grade in grades.items() if grade >= corpus.least_grade and name in corpus.lessons)


class Halves:
    """Questions that are answered by vectors which were fitted without their half."""

    def __init__(self, corpora: Sequence[Corpus], vectors: Sequence[Words], encoder: Encoder | None) -> None:
        """Take the sets, the vectors fitted without each half, and a model whose opinion is asked for, if any."""
        self._corpora = corpora
        meanings = [words.meanings() for words in vectors]
        self._desks = {corpus.name: [Asking(corpus, meaning) for meaning in meanings] for corpus in corpora}
        self._draw = np.random.default_rng(1)
        self._encoder = encoder
        self._texts = {name: texts_embedded(gateways[0].bodies) for name, gateways in self._desks.items()}
        if encoder is not None:
            encoder.encode([text for texts in self._texts.values() for text in texts.values()])
            encoder.encode([row["query"] for corpus in corpora for row in corpus.queries])

    def _gateway(self, name: str, row: Row) -> Asking:
        return self._desks[name][fold_of(row)]

    def _similar(self, name: str, row: Row) -> Mapping[str, float] | None:
        if self._encoder is None:
            return None
        texts = self._texts[name]
        likeness = self._encoder.encode(list(texts.values())) @ self._encoder.encode([row["query"]])[0]
        return dict(zip(texts, map(float, likeness), strict=True))

    def fit(self, half: int | None) -> RelevanceModel:
        """Return weights fitted to the questions of a half, or to all."""
        answers: dict[str, list[Answer]] = {}
        few: list[Answer] = []
        brief: list[Answer] = []
        unrelated: list[Answer] = []
        for corpus in self._corpora:
            name = corpus.name
            rows = [row for row in corpus.queries if half is None or fold_of(row) == half]
            answers[name] = [self._gateway(name, row).answer(row, self._similar(name, row)) for row in rows]
            few += [self._gateway(name, row).among_few(row, self._draw, self._similar(name, row)) for row in rows]
            brief += [self._gateway(name, row).in_brief(row, self._draw, self._similar(name, row)) for row in rows]
            for other in (one.name for one in self._corpora if ABOUT[one.name] != ABOUT[name]):
                places = self._draw.permutation(len(rows))[:UNRELATED_EACH].tolist()
                away: list[Row] = [rows[at] | {"relevant": {}} for at in places]
                unrelated += [self._gateway(other, row).answer(row, self._similar(other, row)) for row in away]
        fair = {name: of_set for name, of_set in answers.items() if name not in READ}
        order = order_of(fair, ORDER if self._encoder is None else (*ORDER, "similar"))
        weights, bias = calibrated(order, [*answers.values(), few, brief], unrelated)
        return RelevanceModel(weights, bias, THRESHOLD)

    def tell(self, fits: Sequence[RelevanceModel]) -> None:
        """Print how well each half's questions are answered under its fit, and what the threshold lets through."""
        macro: list[Mapping[str, float]] = []
        for corpus in self._corpora:
            name = corpus.name
            found = [self._found(name, row, fits) for row in corpus.queries]
            ranked = [[lesson for lesson, _ in line[:10]] for line in found]
            figures = scored(corpus, ranked) | _passed(corpus, found)
            macro.append(figures)
            print(f"{name:14}", {key: round(value, 3) for key, value in figures.items()}, flush=True)
        print(f"{'macro':14}", {key: round(sum(one[key] for one in macro) / len(macro), 4) for key in macro[0]})
        away = [
            max((value for _, value in self._found(other.name, row, fits)), default=0.0)
            for corpus in self._corpora
            for other in self._corpora
            if ABOUT[other.name] != ABOUT[corpus.name]
            for row in corpus.queries[:UNRELATED_EACH]
        ]
        print("answers from lessons about something else", round(sum(one >= THRESHOLD for one in away) / len(away), 3))

    def _found(self, name: str, row: Row, fits: Sequence[RelevanceModel]) -> list[tuple[str, float]]:
        return self._gateway(name, row).ranked(row, fits[fold_of(row)], self._similar(name, row))


def _passed(corpus: Corpus, found: Sequence[Sequence[tuple[str, float]]]) -> dict[str, float]:
    """Return how often the best lesson found, and the right one if found, reach the threshold, and how many do."""
    best = [line[0][1] if line else 0.0 for line in found]
    right = [
        max((value for name, value in line if name in row["relevant"]), default=0.0)
        for line, row in zip(found, corpus.queries, strict=True)
    ]
    return {
        "best pass": sum(value >= THRESHOLD for value in best) / len(best),
        "right pass": sum(value >= THRESHOLD for value in right) / len(right),
        "pass": sum(value >= THRESHOLD for line in found for _, value in line) / len(found),
    }


def main(
    data: Annotated[Path, typer.Option(help="folder of the labelled rows")],
    teacher: Annotated[Path, typer.Option(help="folder of a sentence-transformers model")],
    out: Annotated[Path, typer.Option(help="folder to write to")] = MODELS,
    memory: Annotated[Path | None, typer.Option(help="folder where the encoder's answers are kept")] = None,
    dimensions: Annotated[int, typer.Option(min=8, help="numbers a word")] = DIMENSIONS,
    steps: Annotated[int, typer.Option(min=1, help="steps of the fit")] = STEPS,
    nearness: Annotated[float, typer.Option(min=0, help="pull of the encoder's own vectors of words")] = NEARNESS,
    weight: Annotated[float, typer.Option(min=0, help="what questions count")] = QUESTIONS,
    *,
    held_out: Annotated[bool, typer.Option("--held-out", help="measure on the half left out; write nothing")] = False,
) -> None:
    """Fit vectors and weights, and write them; or tell how well those fitted to one half do on the other."""
    corpora = [read_corpus(data, name, leave_out="style" if name == "ruff" else "") for name in SETS]
    others = list(distractors_of(data, Evaluation("retrieval")).values())
    encoder = Encoder(teacher, _within(memory, "pieces.npz"))
    whole = Encoder(teacher, _within(memory, "texts.npz"), read_words=None)

    def vectors(half: int | None) -> Words:
        trainer = Trainer(encoder, texts_of(corpora, others, half), dimensions)
        return trainer.fitted(questions_of(corpora, half), steps, nearness, weight)

    halves = [vectors(half) for half in range(FOLDS)]
    plain, embedded = Halves(corpora, halves, None), Halves(corpora, halves, whole)
    if held_out:
        for name, one in (("words alone", plain), ("with the encoder", embedded)):
            fits = [one.fit(1 - half) for half in range(FOLDS)]
            print(name, fits[0])
            one.tell(fits)
        return
    fit, with_model = plain.fit(None), embedded.fit(None)
    _write(out, vectors(None), replace(fit, embedded=(with_model.weights, with_model.bias)), teacher)


def _within(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def _write(out: Path, words: Words, fit: RelevanceModel, teacher: Path) -> None:
    content = {
        "version": 1,
        "trained_on": [teacher.name, "texts of the benchmark's public data"],
        "dimensions": words.vectors.shape[1],
        "usual_length": words.usual_length,
        "words": " ".join(words.words),
        "vectors": b64encode(words.packed.tobytes()).decode(),
    }
    (out / "meanings.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    embedded, bias = fit.embedded or (fit.weights, fit.bias)
    relevance = {
        "version": 1,
        "weights": fit.weights._asdict(),
        "bias": fit.bias,
        "threshold": fit.threshold,
        "embedded_weights": embedded._asdict(),
        "embedded_bias": bias,
    }
    (out / "relevance.json").write_text(json.dumps(relevance, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
