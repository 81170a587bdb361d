"""How well lessons are found for what agents and operators ask: five sets, two more where they are there."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import anyio

from bench.evaluation import Evaluation, Goal, Row, read_rows
from bench.searching import Corpus, Gateway, opened_gateway, plain_full_text, read_corpus, scored

SETS: Final = ("cwe", "ruff", "kube", "owasp_sheets", "asvs")
MORE: Final = {"rspec": "", "semgrep_messages": "cwe"}
"""Further sets, each with the set whose lessons it is asked against, if not its own."""
UNSCORED_CATEGORY: Final = {"ruff": "style"}
GOALS: Final = {
    "hit@5": Goal(least=0.76),
    "MRR@10": Goal(least=0.64),
    "sets below FTS5": Goal(most=0),
}
LEARNING_GOALS: Final = {"hit@5": Goal(least=0.80)}
SCALE_GOALS: Final = {
    "loss of hit@5, all lessons": Goal(most=0.03),
    "loss of hit@5, distractors": Goal(most=0.03),
    "p95 ms, distractors": Goal(most=50),
}


def corpora(data: Path, evaluation: Evaluation) -> list[Corpus]:
    """Return the sets that are there, and note the files that are not."""
    found: list[Corpus] = []
    for name, lessons_of in {**dict.fromkeys(SETS, ""), **MORE}.items():
        corpus = read_corpus(data, name, lessons_of=lessons_of, leave_out=UNSCORED_CATEGORY.get(name, ""))
        evaluation.missing += [file for file in corpus.missing if file not in evaluation.missing]
        if not corpus.missing:
            found.append(corpus)
    return found


def evaluate(data: Path, semantic: Path | None = None) -> Evaluation:
    """Ask each set's queries against its lessons, after the issues of its history were reported."""
    evaluation = Evaluation("retrieval", goals=GOALS)
    anyio.run(_ask_each, corpora(data, evaluation), evaluation, semantic)
    _summarise(evaluation)
    return evaluation


async def _ask_each(sets: Sequence[Corpus], evaluation: Evaluation, semantic: Path | None) -> None:
    async with opened_gateway(semantic) as gateway:
        for corpus in sets:
            await gateway.store(corpus.name, corpus.lessons)
            await gateway.report(corpus.name, corpus.history)
            ranked = await asked(gateway, corpus.name, corpus)
            _note(evaluation, corpus, ranked)


async def asked(gateway: Gateway, project: str, corpus: Corpus) -> list[list[str]]:
    """Return the ranked lessons for each query of a set."""
    await gateway.embed(project)
    return [await gateway.ask(project, row["query"]) for row in corpus.queries]


def predictions(name: str, queries: Sequence[Row], ranked: Sequence[Sequence[str]]) -> list[Row]:
    """Return a line for each query."""
    return [{"set": name, "id": row["id"], "ranked": names} for row, names in zip(queries, ranked, strict=True)]


def _note(evaluation: Evaluation, corpus: Corpus, ranked: Sequence[Sequence[str]]) -> None:
    evaluation.predictions += predictions(corpus.name, corpus.queries, ranked)
    figures = scored(corpus, ranked)
    plain = scored(corpus, plain_full_text(corpus)) if figures else {}
    if figures:
        evaluation.sets[corpus.name] = figures | {f"FTS5 {name}": value for name, value in plain.items()}


def _summarise(evaluation: Evaluation) -> None:
    five = [figures for name, figures in evaluation.sets.items() if name in SETS]
    if five:
        evaluation.metrics = {name: sum(figures[name] for figures in five) / len(five) for name in five[0]}
        below = sum(figures["hit@5"] < figures["FTS5 hit@5"] for figures in evaluation.sets.values())
        evaluation.metrics["sets below FTS5"] = below
    if len(evaluation.sets) > len(five):
        every = list(evaluation.sets.values())
        evaluation.metrics["hit@5, all sets"] = sum(figures["hit@5"] for figures in every) / len(every)


def evaluate_learning(data: Path, semantic: Path | None = None) -> Evaluation:
    """Ask CWE's later issues, with and without the earlier ones behind their lessons."""
    evaluation = Evaluation("learning-retrieval", goals=LEARNING_GOALS)
    corpus = read_corpus(data, "cwe")
    evaluation.missing += corpus.missing
    if not corpus.missing:
        anyio.run(_learn, corpus, evaluation, semantic)
    return evaluation


async def _learn(corpus: Corpus, evaluation: Evaluation, semantic: Path | None) -> None:
    async with opened_gateway(semantic) as gateway:
        await gateway.store("cwe", corpus.lessons)
        before = scored(corpus, await asked(gateway, "cwe", corpus))
        joined = await gateway.report("cwe", corpus.history)
        ranked = await asked(gateway, "cwe", corpus)
    evaluation.predictions = predictions("cwe", corpus.queries, ranked)
    after = scored(corpus, ranked)
    evaluation.metrics = dict(after)
    if after:
        evaluation.metrics |= {f"{name}, lesson text alone": value for name, value in before.items()}
        evaluation.metrics["gain of hit@5"] = after["hit@5"] - before["hit@5"]
        evaluation.metrics["issues behind lessons"] = joined


def evaluate_scale(data: Path) -> Evaluation:
    """Ask every set against the lessons of all, then with advisories, bugs and commits between them.

    `loss` is the macro hit@5 against the set's own lessons less that against more.
    """
    evaluation = Evaluation("scale", goals=SCALE_GOALS)
    sets = [corpus for corpus in corpora(data, evaluation) if corpus.name in {*SETS, "rspec"}]
    distractors = distractors_of(data, evaluation)
    anyio.run(_grow, sets, distractors, evaluation)
    return evaluation


def distractors_of(data: Path, evaluation: Evaluation) -> dict[str, str]:
    """Return advisories, bugs and commit messages as if they were lessons, by id."""
    texts: dict[str, str] = {}
    for name in ("advisories", "bugs", "routing_commits"):
        file = data / f"{name}.jsonl"
        if not file.is_file():
            evaluation.missing.append(file.name)
            continue
        for row in read_rows(data, name):
            words = [row.get("title", ""), row.get("text") or row.get("query", "")]
            texts[row["id"]] = " ".join(filter(None, words))[:4_000]
    return texts


async def _grow(sets: Sequence[Corpus], distractors: dict[str, str], evaluation: Evaluation) -> None:
    async with opened_gateway() as gateway:
        for corpus in sets:
            await gateway.store(corpus.name, corpus.lessons)
            await gateway.report(corpus.name, corpus.history)
        own = await _stage(gateway, sets, {corpus.name: corpus.name for corpus in sets}, "own lessons", evaluation)
        for corpus in sets:
            await gateway.store("union", corpus.lessons)
        for corpus in sets:
            await gateway.report("union", corpus.history)
        union = dict.fromkeys((corpus.name for corpus in sets), "union")
        everyone = await _stage(gateway, sets, union, "all lessons", evaluation)
        await gateway.store("union", distractors)
        most = await _stage(gateway, sets, union, "distractors", evaluation)
    evaluation.metrics["lessons"] = sum(len(corpus.lessons) for corpus in sets)
    evaluation.metrics["lessons with distractors"] = evaluation.metrics["lessons"] + len(distractors)
    evaluation.metrics["loss of hit@5, all lessons"] = own - everyone
    evaluation.metrics["loss of hit@5, distractors"] = own - most
    evaluation.metrics["loss of hit@5, all lessons, FTS5"] = _plain(sets, alone=True) - _plain(sets, alone=False)


def _plain(sets: Sequence[Corpus], *, alone: bool) -> float:
    """Return FTS5's macro hit@5 against each set's own lessons, or those of all."""
    lessons = {name: text for corpus in sets for name, text in corpus.lessons.items()}
    history = [row for corpus in sets for row in corpus.history]
    asked = [corpus if alone else replace(corpus, lessons=lessons, history=history) for corpus in sets]
    hits = [scored(corpus, plain_full_text(corpus)).get("hit@5", 0.0) for corpus in asked]
    return sum(hits) / max(1, len(hits))


def _with_weakness(corpus: Corpus) -> Corpus:
    """Return a set in which the lesson on the weakness that a question names, in whichever set, is right, too."""
    grade = corpus.least_grade
    queries = [
        row | {"relevant": row["relevant"] | ({row["cwe"]: grade} if row.get("cwe") else {})} for row in corpus.queries
    ]
    return replace(corpus, queries=queries)


async def _stage(
    gateway: Gateway, sets: Sequence[Corpus], projects: dict[str, str], stage: str, evaluation: Evaluation
) -> float:
    """Ask all sets in their projects, note figures and predictions, and return the macro hit@5."""
    gateway.seconds.clear()
    hits: list[float] = []
    for corpus in sets:
        ranked = await asked(gateway, projects[corpus.name], corpus)
        lines = predictions(corpus.name, corpus.queries, ranked)
        evaluation.predictions += [{**line, "among": stage} for line in lines]
        if figures := scored(corpus, ranked):
            told = evaluation.sets.setdefault(corpus.name, {})
            told[f"hit@5, {stage}"] = figures["hit@5"]
            told[f"hit@5, {stage}, or its weakness"] = scored(_with_weakness(corpus), ranked)["hit@5"]
            hits.append(figures["hit@5"])
    evaluation.metrics[f"p95 ms, {stage}"] = 1_000 * sorted(gateway.seconds)[len(gateway.seconds) * 95 // 100]
    evaluation.metrics[f"hit@5, {stage}"] = macro = sum(hits) / max(1, len(hits))
    return macro
