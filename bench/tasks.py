"""What `get_lessons` serves for coding tasks: what they need, and nothing where nothing is needed."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import anyio
from sqlalchemy import Connection

from bench.evaluation import Evaluation, Goal, Row, read_rows
from lessonbook.classify.catalogue import CatalogueRule
from lessonbook.config.settings import load_settings
from lessonbook.domain.agent_tools import LessonQuery, Lessons, Report
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import catalogue_name
from lessonbook.services.lessons.review import add_starters
from lessonbook.services.opening import open_workspace
from lessonbook.services.report.refinement import report_issues
from lessonbook.services.serve.delivery import get_lessons
from lessonbook.services.workspace import Workspace
from lessonbook.store import lessons as lesson_rows

AGENT: Final = "BackendDevelopmentAgent"
PROJECT: Final = "bench"
NAMES_MAX: Final = 8
"""The CWE names of a served lesson that count."""
RELATIVES_MAX: Final = 12
"""A class of weaknesses with more relatives than this links no lesson to a weakness."""
STARTERS: Final = 300
_AT_ONCE: Final = 50
_CATALOGUE: Final = catalogue_name("")
_EXTENSIONS: Final = {
    "c": "c",
    "cpp": "cpp",
    "csharp": "cs",
    "go": "go",
    "java": "java",
    "javascript": "js",
    "php": "php",
    "python": "py",
    "ruby": "rb",
    "rust": "rs",
    "typescript": "ts",
}
TASK_GOALS: Final = {
    "cold_macro": Goal(least=0.40),
    "history": Goal(least=0.90),
    "history_first": Goal(least=0.60),
    "chatter": Goal(least=0.95),
    "served": Goal(most=3.5),
}
EVERYDAY_GOALS: Final = {
    "good": Goal(least=0.80),
    "precision": Goal(least=0.45),
    "bad": Goal(most=0.10),
    "other languages, good": Goal(least=0.60),
    "ordinary, served": Goal(most=0.5),
    "chatter left alone": Goal(least=0.95),
}


@dataclass
class Shelf:
    """One agent's lessons in a database of their own."""

    work: Workspace

    @property
    def caller(self) -> Caller:
        """The agent who asks."""
        return Caller(project=PROJECT, principal="bench", agent_name=AGENT)

    async def start_with(self, rules: Sequence[CatalogueRule]) -> None:
        """Give the agent catalogue lessons, as `lessonbook lessons starter` does."""
        await add_starters(self.work, Caller(PROJECT, "bench", person=True), AGENT, rules)

    async def report(self, rows: Sequence[Row]) -> None:
        """Report findings as a scanner does."""
        for start in range(0, len(rows), _AT_ONCE):
            issues = [
                {name: row[name] for name in ("description", "rule_id", "file")} for row in rows[start:][:_AT_ONCE]
            ]
            report = Report.model_validate({"issues": issues, "agent_name": AGENT, "source": "scanner"})
            await report_issues(self.work, Caller(PROJECT, "scanner"), report)

    async def ask(self, task: str, files: Sequence[str]) -> Lessons:
        """Return what the agent is served for a task, with the defaults of `get_lessons`."""
        query = LessonQuery.model_validate({"task": task, "files": list(files), "agent_name": AGENT})
        return await get_lessons(self.work, self.caller, query)

    async def weaknesses(self) -> dict[str, list[str]]:
        """Return the CWE names that each lesson answers to, the most characteristic first."""
        return await self.work.store.read(self._weaknesses)

    def _weaknesses(self, connection: Connection) -> dict[str, list[str]]:
        names: dict[str, list[str]] = {}
        own = lesson_rows.names_of(connection, PROJECT)
        for lesson_id, lesson in lesson_rows.all_of(connection, PROJECT).items():
            rule = self.work.catalogue.find(lesson.rule_key or "")
            keys = [lesson.rule_key or "", *(rule.keys if rule else ()), *own.get(lesson_id, [])]
            spelt = [key.removeprefix("rule:").upper() for key in keys]
            names[lesson_id] = list(dict.fromkeys(key for key in spelt if key.startswith("CWE-")))
        return names

    async def rules(self) -> dict[str, str]:
        """Return the catalogue id of each lesson that has one."""
        names = await self.work.store.read(lambda connection: lesson_rows.names_of(connection, PROJECT))
        return {
            lesson_id: name.removeprefix(_CATALOGUE)
            for lesson_id, known in names.items()
            for name in known
            if name.startswith(_CATALOGUE)
        }


@asynccontextmanager
async def opened_shelf() -> AsyncIterator[Shelf]:
    """Give a shelf on a new SQLite database."""
    with TemporaryDirectory() as folder:
        given: dict[str, Any] = {"database": {"url": f"sqlite:///{folder}/lessons.db"}, "project": PROJECT}
        work = await open_workspace(load_settings(given))
        try:
            yield Shelf(work)
        finally:
            await work.store.close()


def credit(names: Sequence[str], weakness: str, near: Mapping[str, Sequence[str]]) -> float:
    """Return how well a lesson that answers to `names` serves against a weakness: 1 for it, ½ for a near one."""
    first = names[:NAMES_MAX]
    if weakness in first:
        return 1.0
    close = [name for name in near.get(weakness, ()) if len(near.get(name, ())) <= RELATIVES_MAX]
    close = close if len(near.get(weakness, ())) <= RELATIVES_MAX else []
    return 0.5 if set(close) & set(first) else 0.0


def credit_of(served: Sequence[Sequence[str]], relevant: Sequence[str], near: Mapping[str, Sequence[str]]) -> float:
    """Return the mean over a row's weaknesses of the best credit among the served lessons."""
    return sum(max((credit(names, one, near) for names in served), default=0.0) for one in relevant) / len(relevant)


def file_for(row: Row) -> str:
    """Return the new file in which a task's code is written."""
    return f"src/new_part.{_EXTENSIONS.get(row.get('language', ''), 'txt')}"


def evaluate(data: Path) -> Evaluation:
    """Ask coding tasks of a shelf with the whole catalogue, then of one with a history of findings."""
    evaluation = Evaluation("tasks", goals=TASK_GOALS)
    relations = data / "cwe_relations.json"
    near = json.loads(relations.read_text(encoding="utf-8"))["near"] if relations.is_file() else {}
    anyio.run(_cold, data, near, evaluation)
    anyio.run(_history, data, near, evaluation)
    return evaluation


async def _cold(data: Path, near: Mapping[str, Sequence[str]], evaluation: Evaluation) -> None:
    rows = read_rows(data, "tasks")
    if not rows:
        evaluation.missing.append("tasks.jsonl")
        return
    earned: dict[str, list[float]] = {}
    counts: list[int] = []
    tokens: list[int] = []
    alone: list[bool] = []
    async with opened_shelf() as shelf:
        await shelf.start_with(shelf.work.catalogue.rules)
        names = await shelf.weaknesses()
        for row in rows:
            lessons = await shelf.ask(row["task"], [file_for(row)])
            served = [names[lesson.id] for lesson in lessons.lessons]
            evaluation.predictions.append(
                {"id": row["id"], "setting": "cold", "served": served, "tokens": lessons.tokens}
            )
            if row.get("set") == "chatter":
                alone.append(not served)
            elif row.get("relevant"):
                earned.setdefault(row["set"], []).append(credit_of(served, row["relevant"], near))
                counts.append(len(served))
                tokens.append(lessons.tokens)
    for name, values in earned.items():
        evaluation.sets[name] = {"credit": sum(values) / len(values)}
    if earned:
        evaluation.metrics["cold_macro"] = sum(one["credit"] for one in evaluation.sets.values()) / len(evaluation.sets)
        evaluation.metrics["served"] = sum(counts) / len(counts)
        evaluation.metrics["tokens"] = sum(tokens) / len(tokens)
    if alone:
        evaluation.metrics["chatter"] = sum(alone) / len(alone)


async def _history(data: Path, near: Mapping[str, Sequence[str]], evaluation: Evaluation) -> None:
    rows = read_rows(data, "tasks_history")
    if not rows:
        evaluation.missing.append("tasks_history.jsonl")
        return
    among: list[float] = []
    first: list[float] = []
    async with opened_shelf() as shelf:
        rules = sorted(shelf.work.catalogue.rules, key=lambda rule: rule.id)
        await shelf.start_with(rules[::3][:STARTERS])
        await shelf.report([row for row in rows if row["phase"] == "history"])
        names = await shelf.weaknesses()
        for row in rows:
            if row["phase"] != "query":
                continue
            lessons = await shelf.ask(row["task"], [row["file"]])
            served = [names[lesson.id] for lesson in lessons.lessons]
            evaluation.predictions.append({"id": row["id"], "setting": "history", "served": served})
            if row.get("relevant"):
                among.append(credit_of(served[:3], row["relevant"], near))
                first.append(credit_of(served[:1], row["relevant"], near))
    if among:
        evaluation.metrics["history"] = sum(among) / len(among)
        evaluation.metrics["history_first"] = sum(first) / len(first)


def evaluate_everyday(data: Path) -> Evaluation:
    """Ask developers' tasks, ordinary ones and chatter of a shelf with the whole catalogue."""
    evaluation = Evaluation("everyday", goals=EVERYDAY_GOALS)
    anyio.run(_everyday, read_rows(data, "everyday_tasks"), evaluation)
    if not evaluation.predictions:
        evaluation.missing.append("everyday_tasks.jsonl")
    return evaluation


async def _everyday(rows: Sequence[Row], evaluation: Evaluation) -> None:
    async with opened_shelf() as shelf:
        await shelf.start_with(shelf.work.catalogue.rules)
        rules = await shelf.rules()
        for row in rows:
            lessons = (await shelf.ask(row["task"], row["files"])).lessons
            served = [rules[lesson.id] for lesson in lessons]
            evaluation.predictions.append({"id": row["id"], "served": [[name] for name in served]})
    evaluation.metrics = everyday_figures(rows, [[one[0] for one in line["served"]] for line in evaluation.predictions])


def everyday_figures(rows: Sequence[Row], served: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the figures of labelled rows, given the catalogue rules served for each; empty without labels."""
    asked = [(row, names) for row, names in zip(rows, served, strict=True) if row.get("good")]
    if not asked:
        return {}

    def share(kind: str, rows: Sequence[tuple[Row, Sequence[str]]] = asked) -> float:
        return sum(bool(set(row[kind]) & set(names)) for row, names in rows) / max(1, len(rows))

    given = sum(len(names) for _, names in asked)
    figures = {
        "best": share("best"),
        "good": share("good"),
        "precision": sum(name in row["good"] for row, names in asked for name in names) / max(1, given),
        "bad": share("bad"),
        "served": given / len(asked),
        "other languages, good": share("good", [pair for pair in asked if pair[0]["language"] != "en"]),
    }
    for kind in ("ordinary", "chatter"):
        counts = [len(names) for row, names in zip(rows, served, strict=True) if row.get("kind") == kind]
        if counts:
            figures[f"{kind}, served"] = sum(counts) / len(counts)
            figures[f"{kind} left alone"] = counts.count(0) / len(counts)
    return figures
