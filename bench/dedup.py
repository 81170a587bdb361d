"""Is an issue an instance of a lesson we have? A stream of issues, reported one by one, as the product takes them."""

import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from bench.evaluation import Evaluation, Goal, Row, read_rows
from lessonbook.config.settings import Settings, load_settings
from lessonbook.domain.agent_tools import Report
from lessonbook.domain.lesson import Caller
from lessonbook.domain.pending_issues import Authoring
from lessonbook.services.opening import open_workspace
from lessonbook.services.report.refinement import report_issues
from lessonbook.services.triage.authoring import refine_issues
from lessonbook.services.workspace import Workspace

AGENT: Final = "BackendDevelopmentAgent"
GOALS: Final = {"cve repeats merged": Goal(least=0.45), "lint repeats merged": Goal(least=0.75)}
_LONGEST: Final = 20_000
_NEAREST = re.compile(r"likeness to issue (I\w+)")


def evaluate(data: Path) -> Evaluation:
    """Report `dedup_stream` in order, each kind as a project of its own, and tell what was taken for a repeat.

    An author words a lesson for each issue that waits, at once; its text says nothing of the issue, so that issues are
    matched by the issues before them and by what the catalogue knows.
    """
    evaluation = Evaluation("dedup", goals=GOALS)
    rows = read_rows(data, "dedup_stream")
    if not rows:
        evaluation.missing.append("dedup_stream.jsonl")
    for kind in dict.fromkeys(row["kind"] for row in rows):
        stream = [row for row in rows if row["kind"] == kind]
        with TemporaryDirectory() as folder:
            settings = load_settings({"database": {"url": f"sqlite:///{folder}/dedup.db"}})
            predictions = anyio.run(merged, stream, settings)
        evaluation.predictions += predictions
        if all("label" in row for row in stream):
            figures = scored(stream, predictions)
            evaluation.sets[kind] = figures | learning_curve(stream, predictions)
            evaluation.metrics |= {f"{kind} {name}": value for name, value in figures.items()}
    return evaluation


async def merged(stream: Sequence[Row], settings: Settings) -> list[Row]:
    """Return for each issue the earlier one it was merged with, if any, and how sure that was."""
    work = await open_workspace(settings)
    caller = Caller(project="dedup", principal="bench", person=True)
    founders: dict[str, str] = {}
    rows_of: dict[str, str] = {}
    predictions: list[Row] = []
    try:
        for row in stream:
            description = row["text"][:_LONGEST]
            report = Report.model_validate({"issues": [{"description": description}], "agent_name": AGENT})
            (line,) = (await report_issues(work, caller, report)).issues
            into = None
            if line.action == "merged" and line.lesson_id:
                nearest = _NEAREST.search(line.reason)
                into = rows_of[nearest[1]] if nearest else founders[line.lesson_id]
            lesson_id = line.lesson_id or await _worded(work, caller, line.issue_id, row["id"])
            founders.setdefault(lesson_id, row["id"])
            rows_of[line.issue_id] = row["id"]
            predictions.append({"id": row["id"], "merged_into": into, "score": _score(line.reason) if into else 0.0})
    finally:
        await work.store.close()
    return predictions


async def _worded(work: Workspace, caller: Caller, issue_id: str, name: str) -> str:
    lesson = {"issue_ids": [issue_id], "lesson": f"Heed what the team decided in case {name}."}
    (line,) = (await refine_issues(work, caller, Authoring.model_validate({"lessons": [lesson]}))).issues
    return str(line.lesson_id)


def _score(reason: str) -> float:
    told = re.search(r"\((0\.\d+|1\.0+)\)", reason)
    return float(told[1]) if told else 1.0


def scored(stream: Sequence[Row], predictions: Sequence[Row]) -> dict[str, float]:
    """Return the share of repeats merged with one of their label, of new items merged with anything, and of mix-ups."""
    labels = {row["id"]: row["label"] for row in stream}
    seen: set[str] = set()
    repeats = right = astray = new = wrong = 0
    for row, prediction in zip(stream, predictions, strict=True):
        into = prediction["merged_into"]
        if row["label"] in seen:
            repeats += 1
            right += into is not None and labels[into] == row["label"]
            astray += into is not None and labels[into] != row["label"]
        else:
            new += 1
            wrong += into is not None
        seen.add(row["label"])
    return {
        "repeats merged": right / max(1, repeats),
        "new wrongly merged": wrong / max(1, new),
        "repeats merged astray": astray / max(1, repeats),
    }


def learning_curve(stream: Sequence[Row], predictions: Sequence[Row], parts: int = 4) -> dict[str, float]:
    """Return the share of repeats merged rightly in each part of the stream, as issues accumulate."""
    labels = {row["id"]: row["label"] for row in stream}
    seen: set[str] = set()
    hits: list[list[bool]] = [[] for _ in range(parts)]
    for at, (row, prediction) in enumerate(zip(stream, predictions, strict=True)):
        if row["label"] in seen:
            into = prediction["merged_into"]
            hits[at * parts // len(stream)].append(into is not None and labels[into] == row["label"])
        seen.add(row["label"])
    return {
        f"repeats merged, part {number} of {parts}": sum(hit) / max(1, len(hit)) for number, hit in enumerate(hits, 1)
    }
