"""What the measurements of search share: lessons stored and asked for through the product's own services."""

import re
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import Connection

from bench.evaluation import Row, read_rows
from bench.faults import BenchError
from lessonbook.config.settings import load_settings
from lessonbook.domain.agent_tools import Report
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_names import rule_name
from lessonbook.domain.lesson_reviews import LessonListing
from lessonbook.screening.offer import Offer
from lessonbook.services.opening import open_workspace
from lessonbook.services.queries.listings import list_lessons
from lessonbook.services.report.refinement import report_issues
from lessonbook.services.workspace import Workspace
from lessonbook.services.writing.ledger import Ledger

AGENT: Final = "BackendDevelopmentAgent"
DEPTH: Final = 10
QUERY_MAX: Final = 2_000
_LESSONS_AT_ONCE: Final = 200
_ISSUES_AT_ONCE: Final = 100
_ISSUE_MAX: Final = 20_000
_SCANNER: Final = "bench"


@dataclass
class Corpus:
    """Lessons by id, the issues seen before, and what is asked."""

    name: str
    lessons: dict[str, str]
    history: list[Row]
    queries: list[Row]
    missing: list[str] = field(default_factory=list)

    @property
    def least_grade(self) -> int:
        """The grade from which a lesson counts as relevant: 2 where some query has one, else 1."""
        return 2 if any(2 in row.get("relevant", {}).values() for row in self.queries) else 1


def read_corpus(data: Path, name: str, *, lessons_of: str = "", leave_out: str = "") -> Corpus:
    """Return the set `name`, without the rows of category `leave_out`.

    Its lessons and queries have a file each; with `lessons_of` they are another set's, and the file `name` is asked.
    """
    lessons, queries = f"{lessons_of or name}_lessons", name if lessons_of else f"{name}_queries"
    corpus = Corpus(name, {}, [], [])
    for row in _kept(data, lessons, leave_out, corpus.missing):
        corpus.lessons[row["id"]] = f"{row['title']} {row['text']}"
    for row in _kept(data, queries, leave_out, corpus.missing):
        (corpus.history if row.get("phase") == "history" else corpus.queries).append(row)
    return corpus


def _kept(data: Path, name: str, leave_out: str, missing: list[str]) -> list[Row]:
    rows = read_rows(data, name)
    if not rows:
        missing.append(f"{name}.jsonl")
    return [row for row in rows if not leave_out or row.get("category") != leave_out]


class Gateway:
    """A workspace whose lessons go by the ids of the labelled rows, a project for each set."""

    def __init__(self, work: Workspace) -> None:
        self._work = work
        self._names: dict[str, str] = {}
        self.seconds: list[float] = []

    async def store(self, project: str, lessons: Mapping[str, str]) -> None:
        """Store lessons, each trusted as one that a person wrote, and known by a rule of its own."""
        caller, pairs = _person(project), list(lessons.items())
        for start in range(0, len(pairs), _LESSONS_AT_ONCE):
            part = pairs[start : start + _LESSONS_AT_ONCE]
            self._names |= await self._work.store.write(partial(self._stored, caller=caller, lessons=part))

    def _stored(self, connection: Connection, *, caller: Caller, lessons: Sequence[tuple[str, str]]) -> dict[str, str]:
        ledger = Ledger(self._work, caller, connection, self._work.now())
        ledger.hold([AGENT])
        names: dict[str, str] = {}
        for name, text in lessons:
            offer = Offer(text, "", "medium", "other", trust="approved", status="active")
            keys = (rule_name(f"{_SCANNER}:{name}"),)
            names[ledger.create(AGENT, offer, keys=keys, provenance={"imported_from": name})] = name
        ledger.write()
        return names

    async def report(self, project: str, issues: Sequence[Row]) -> int:
        """Report issues, each attached to its row's `lesson` by naming that rule; return how many joined it."""
        joined = 0
        for start in range(0, len(issues), _ISSUES_AT_ONCE):
            part = issues[start : start + _ISSUES_AT_ONCE]
            told = [
                {"description": row["query"][:_ISSUE_MAX], "rule_id": f"{_SCANNER}:{row['lesson']}"} for row in part
            ]
            report = Report.model_validate({"issues": told, "agent_name": AGENT})
            lines = (await report_issues(self._work, _person(project), report)).issues
            joined += sum(
                self._names.get(line.lesson_id or "") == row["lesson"] for line, row in zip(lines, part, strict=True)
            )
        return joined

    async def embed(self, project: str) -> None:
        """Let the embedding model, if there is one, take in what was stored and reported."""
        await self._work.semantic.embed_missing(project)

    async def ask(self, project: str, query: str) -> list[str]:
        """Return the names of the lessons that `list_lessons` gives first, and note how long it took."""
        listing = LessonListing.model_validate({"query": query[:QUERY_MAX], "limit": DEPTH})
        began = time.perf_counter()
        page = await list_lessons(self._work, _person(project), listing)
        self.seconds.append(time.perf_counter() - began)
        return [self._names[lesson.id] for lesson in page.lessons]


def _person(project: str) -> Caller:
    return Caller(project=project, principal="bench", person=True)


@asynccontextmanager
async def opened_gateway(semantic: Path | None = None) -> AsyncIterator[Gateway]:
    """Give a gateway on a new SQLite database, with the embedding model of the folder `semantic` where one is named."""
    with TemporaryDirectory() as folder:
        given = {"database": {"url": f"sqlite:///{folder}/lessons.db"}}
        if semantic is not None:
            given["semantic"] = {"model": str(semantic)}
        work = await open_workspace(load_settings(given))
        if trouble := await work.semantic.checked():
            raise BenchError(trouble)
        try:
            yield Gateway(work)
        finally:
            await work.store.close()


def plain_full_text(corpus: Corpus) -> list[list[str]]:
    """Return what FTS5 alone finds (Porter stems, any of the words, its own BM25): the baseline."""
    bodies = dict(corpus.lessons)
    for row in corpus.history:
        bodies[row["lesson"]] += f" {row['query']}"
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE lessons USING fts5(id UNINDEXED, body, tokenize='porter unicode61')")
    database.executemany("INSERT INTO lessons VALUES (?, ?)", bodies.items())
    statement = "SELECT id FROM lessons WHERE lessons MATCH ? ORDER BY bm25(lessons), id LIMIT ?"
    found: list[list[str]] = []
    for row in corpus.queries:
        words = dict.fromkeys(re.findall(r"\w+", row["query"].lower()))
        query = " OR ".join(f'"{word}"' for word in words)
        found.append([name for (name,) in database.execute(statement, (query, DEPTH))])
    database.close()
    return found


def scored(corpus: Corpus, ranked: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return hit@1, 5 and 10 and MRR@10 over the queries with labels; empty where there are none."""
    firsts: list[int] = []
    for row, names in zip(corpus.queries, ranked, strict=True):
        wanted = {name for name, grade in row.get("relevant", {}).items() if grade >= corpus.least_grade}
        if wanted:
            firsts.append(next((rank for rank, name in enumerate(names[:DEPTH], 1) if name in wanted), 0))
    if not firsts:
        return {}
    hits: dict[str, Any] = {f"hit@{k}": sum(0 < rank <= k for rank in firsts) / len(firsts) for k in (1, 5, 10)}
    return hits | {"MRR@10": sum(1 / rank for rank in firsts if rank) / len(firsts)}
