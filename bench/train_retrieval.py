"""Fits what search compares by: vectors of words (`meanings.json`) and the weights of a comparison (`relevance.json`).

    python -m bench.train_retrieval --data DIR --teacher FOLDER [--held-out] [--out DIR]

Vectors begin as a sentence encoder's own of single words, in fewer dimensions, and are fitted so that sums of them
compare as the encoder compares whole texts, and so that questions are near the lessons they belong to. Needs numpy,
scikit-learn, torch and sentence-transformers; most of the time is the encoder's. `--held-out` fits on half of the
lessons and asks for the other, in turn, and writes nothing.
"""

import json
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer
from sklearn.linear_model import LogisticRegression

from bench.retrieval import SETS, distractors_of
from bench.searching import Corpus, read_corpus, scored
from bench.training import MODELS
from lessonbook.learning.document import document_of, with_issue
from lessonbook.learning.fit import Compared, Fit
from lessonbook.learning.meanings import Meanings
from lessonbook.learning.relevance import RelevanceIndex
from lessonbook.learning.words import words_of

DIMENSIONS: Final = 64
STEPS: Final = 700
NEARNESS: Final = 20.0
"""How hard a word is pulled back to where the encoder had it."""
QUESTIONS: Final = 0.3
"""What questions and their lessons count beside the encoder's opinion."""
SOFTNESS: Final = 0.07
TEXT_MAX: Final = 400
FOLDS: Final = 2
THRESHOLD: Final = 0.05

Matrix = np.ndarray[Any, np.dtype[Any]]


def fold_of(row: dict[str, Any]) -> int:
    """Return the half a query belongs to: all queries of one lesson are in the same."""
    return zlib.crc32(min(row["relevant"], default="").encode()) % FOLDS


def texts_of(corpora: Sequence[Corpus], others: Sequence[str], leave_out: int | None) -> list[str]:
    """Return the different texts whose likeness is learned, without the queries of the half that is left out."""
    texts: dict[str, None] = {}
    for corpus in corpora:
        texts |= dict.fromkeys(text[:TEXT_MAX] for text in corpus.lessons.values())
        asked = (row for row in corpus.queries if leave_out is None or fold_of(row) != leave_out)
        texts |= dict.fromkeys(row["query"][:TEXT_MAX] for row in asked)
    return [*texts, *(text[:TEXT_MAX] for text in others)]


def vocabulary(texts: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Return each index term with the word it is mostly written as, and in how many texts it stands (at least two)."""
    written: dict[str, Counter[str]] = {}
    frequency: Counter[str] = Counter()
    for text in texts:
        frequency.update(set(words_of(text)))
        for word in text.split():
            for term in words_of(word):
                written.setdefault(term, Counter())[word.strip(".,;:()`'\"").lower()] += 1
    return {term: (written[term].most_common(1)[0][0], count) for term, count in frequency.items() if count > 1}


class Trainer:
    """Vectors of a vocabulary, fitted to an encoder and to questions."""

    def __init__(self, teacher: Path, texts: Sequence[str], dimensions: int) -> None:
        import torch  # noqa: PLC0415  # heavy, and not part of any extra
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415  # the same

        self.torch: Any = torch
        torch.manual_seed(0)
        self._encoder: Any = SentenceTransformer(str(teacher), device="cpu", local_files_only=True)
        self.texts = texts
        terms = vocabulary(texts)
        self.words = list(terms)
        self._places = {word: place for place, word in enumerate(self.words)}
        told = self._encoded([form for form, _ in terms.values()])
        basis = torch.linalg.svd(told[:6000], full_matrices=False)[2][:dimensions]
        self._start = torch.nn.functional.normalize(told @ basis.T, dim=1)
        frequency = torch.tensor([float(count) for _, count in terms.values()])
        rarity = torch.log(1 + len(texts) / (frequency + 3))
        self._gain_start = torch.log(rarity / rarity.mean())

    def _encoded(self, texts: Sequence[str]) -> Any:
        told = self.torch.tensor(np.asarray(self._encoder.encode(list(texts), batch_size=128)))
        return self.torch.nn.functional.normalize(told - told.mean(0), dim=1)

    def _bag(self, text: str) -> list[int]:
        return list(dict.fromkeys(self._places[word] for word in words_of(text) if word in self._places))

    def fitted(self, pairs: Sequence[tuple[str, str]], steps: int = STEPS) -> Matrix:
        """Return a vector for each of `words`, as long as the word tells; `pairs` are questions and their lessons."""
        torch, functional = self.torch, self.torch.nn.functional
        vectors = torch.nn.Parameter(self._start.clone())
        gains = torch.nn.Parameter(self._gain_start.clone())
        bags = [self._bag(text) for text in self.texts]
        useful = np.array([place for place, bag in enumerate(bags) if len(bag) > 1])
        told = self._encoded(self.texts)
        asked = [(one, other) for one, other in ((self._bag(a), self._bag(b)) for a, b in pairs) if one and other]

        def summed(parts: Sequence[list[int]]) -> Any:
            flat = torch.tensor([place for part in parts for place in part])
            starts = torch.tensor(np.cumsum([0, *(len(part) for part in parts[:-1])]))
            weights = torch.exp(gains)[flat]
            return functional.normalize(
                functional.embedding_bag(flat, vectors, starts, mode="sum", per_sample_weights=weights), dim=1
            )

        draw = np.random.default_rng(0)
        optimiser = torch.optim.Adam([vectors, gains], lr=0.01)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
            loss = NEARNESS * ((vectors - self._start) ** 2).sum(1).mean()
            loss = loss + 0.1 * NEARNESS * ((gains - self._gain_start) ** 2).mean()
            chosen = draw.choice(useful, min(384, len(useful)), replace=False)
            mine, theirs = summed([bags[place] for place in chosen]), told[chosen]
            likeness, wanted = mine @ mine.T, theirs @ theirs.T
            itself = torch.eye(len(chosen)).bool()
            loss = loss + 20 * ((likeness - wanted) ** 2 * ~itself).mean()
            nearest = functional.softmax((wanted / 0.1).masked_fill(itself, -1e9), 1)
            guessed = functional.log_softmax((likeness / 0.1).masked_fill(itself, -1e9), 1)
            loss = loss - 0.3 * (nearest * guessed).sum(1).mean()
            if asked:
                few = draw.choice(len(asked), min(128, len(asked)), replace=False)
                ones, others = summed([asked[at][0] for at in few]), summed([asked[at][1] for at in few])
                right = functional.log_softmax(ones @ others.T / SOFTNESS, 1).diagonal()
                loss = loss - QUESTIONS * right.mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return np.asarray(vectors.detach()) * np.exp(np.asarray(gains.detach()))[:, None]


def packed(matrix: Matrix) -> Matrix:
    """Return vectors as signed bytes, on one scale."""
    return np.clip(np.round(matrix * (127 / np.quantile(np.abs(matrix), 0.9999))), -127, 127).astype(np.int8)


def index_of(corpus: Corpus, meanings: Meanings, fit: Fit) -> RelevanceIndex[str]:
    """Return an index of a set's lessons, with the issues seen before behind them."""
    bodies = {name: document_of(text, "", "", "other") for name, text in corpus.lessons.items()}
    for row in corpus.history:
        if row["lesson"] in bodies:
            body, text = bodies[row["lesson"]], corpus.lessons[row["lesson"]]
            bodies[row["lesson"]] = with_issue(body, text, row["query"], "")
    index: RelevanceIndex[str] = RelevanceIndex(meanings, fit)
    for name, body in bodies.items():
        index.put(name, body)
    return index


class Comparisons:
    """How queries compare with the lessons found for them, and which of those are relevant."""

    def __init__(self) -> None:
        self.rows: list[Compared] = []
        self.relevant: list[bool] = []
        self.weights: list[float] = []

    def add(self, corpora: Sequence[Corpus], meanings: Meanings, half: int) -> None:
        """Compare the queries of a half by vectors that were fitted without it."""
        even = Fit(Compared(8.0, 2.0, 5.0), -5.0, THRESHOLD)
        for corpus in corpora:
            index = index_of(corpus, meanings, even)
            asked = [row for row in corpus.queries if fold_of(row) == half]
            for row in asked:
                best = sorted(index.compared(row["query"]), key=lambda one: -even.probability(one[1]))[:10]
                self.rows += [compared for _, compared in best]
                self.relevant += [name in row["relevant"] for name, _ in best]
                self.weights += [1 / len(asked)] * len(best)

    def fit(self) -> Fit:
        """Return the weights under which relevant lessons stand out."""
        model = LogisticRegression(C=1e4)
        model.fit(np.array(self.rows)[:, :3], self.relevant, sample_weight=np.array(self.weights))
        words, pairs, meaning = (round(float(weight), 3) for weight in model.coef_[0])
        return Fit(Compared(words, pairs, meaning), round(float(model.intercept_[0]), 3), THRESHOLD)


def questions(corpora: Sequence[Corpus], leave_out: int | None) -> list[tuple[str, str]]:
    """Return queries and issues, each with a lesson it belongs to."""
    found: list[tuple[str, str]] = []
    for corpus in corpora:
        for row in corpus.queries:
            if leave_out is None or fold_of(row) != leave_out:
                found += [(row["query"], corpus.lessons[name]) for name in row["relevant"] if name in corpus.lessons]
    return found


def main(
    data: Annotated[Path, typer.Option(help="folder of the labelled rows")],
    teacher: Annotated[Path, typer.Option(help="folder of a sentence-transformers model")],
    out: Annotated[Path, typer.Option(help="folder to write to")] = MODELS,
    dimensions: Annotated[int, typer.Option(min=8, help="numbers a word")] = DIMENSIONS,
    steps: Annotated[int, typer.Option(min=1, help="steps of the fit")] = STEPS,
    most_texts: Annotated[int, typer.Option(min=100, help="leave out further texts of no set, to be quicker")] = 15_000,
    *,
    held_out: Annotated[bool, typer.Option("--held-out", help="measure on lessons left out; write nothing")] = False,
) -> None:
    """Fit vectors and weights, and write them; or tell how well those fitted to one half do on the other."""
    corpora = [read_corpus(data, name, leave_out="style" if name == "ruff" else "") for name in SETS]
    others = list(distractors_of(data, _Nothing()).values())[:most_texts]
    without: list[Meanings] = []
    compared: list[Comparisons] = []
    for half in range(FOLDS):
        _, _, meanings = _vectors(teacher, corpora, others, half, dimensions, steps)
        without.append(meanings)
        compared.append(Comparisons())
        compared[half].add(corpora, meanings, half)
    if held_out:
        for half in range(FOLDS):
            _tell(corpora, without[half], compared[1 - half].fit(), half)
        return
    both = Comparisons()
    for half, meanings in enumerate(without):
        both.add(corpora, meanings, half)
    words, vectors, _ = _vectors(teacher, corpora, others, None, dimensions, steps)
    _write(out, words, vectors, both.fit(), teacher)


def _vectors(
    teacher: Path, corpora: Sequence[Corpus], others: Sequence[str], half: int | None, dimensions: int, steps: int
) -> tuple[list[str], Matrix, Meanings]:
    """Return words and their vectors, fitted without the questions of a half."""
    trainer = Trainer(teacher, texts_of(corpora, others, half), dimensions)
    vectors = packed(trainer.fitted(questions(corpora, half), steps))
    rows = (vector.tobytes() for vector in vectors)
    return trainer.words, vectors, Meanings(dict(zip(trainer.words, rows, strict=True)), dimensions)


class _Nothing:
    """What is missing does not matter here."""

    def __init__(self) -> None:
        self.missing: list[str] = []


def _tell(corpora: Sequence[Corpus], meanings: Meanings, fit: Fit, half: int) -> None:
    hits: list[float] = []
    for corpus in corpora:
        left = Corpus(corpus.name, corpus.lessons, corpus.history, [r for r in corpus.queries if fold_of(r) == half])
        index = index_of(corpus, meanings, fit)
        figures = scored(left, [list(index.scores(row["query"]))[:10] for row in left.queries])
        hits.append(figures["hit@5"])
        print(half, corpus.name, {name: round(value, 3) for name, value in figures.items()}, flush=True)
    print(half, "macro hit@5", round(sum(hits) / len(hits), 3), fit, flush=True)


def _write(out: Path, words: Sequence[str], vectors: Matrix, fit: Fit, teacher: Path) -> None:
    content = {
        "version": 1,
        "trained_on": [teacher.name, "texts of the benchmark's public data"],
        "dimensions": vectors.shape[1],
        "words": " ".join(words),
        "vectors": b64encode(vectors.tobytes()).decode(),
    }
    (out / "meanings.json").write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    weights = {name: getattr(fit.weights, name) for name in ("words", "pairs", "meaning")}
    relevance = {
        "version": 1,
        "weights": weights,
        "bias": fit.bias,
        "threshold": fit.threshold,
        "embedded_weights": {**weights, "similar": 3.5},
        "embedded_bias": round(fit.bias - 1.2, 3),
    }
    (out / "relevance.json").write_text(json.dumps(relevance, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
