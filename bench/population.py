"""Fills a migrated database with many agents' lessons, written by SQL, as years of use would leave them."""

import hashlib
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, Table, insert

from bench.databases import PROJECT
from bench.lesson_texts import LessonText, lesson_texts
from bench.workload import AGENT
from lessonbook.domain.lesson_names import content_hash, rule_name, text_name
from lessonbook.domain.token_estimate import estimate_lesson_tokens
from lessonbook.domain.vocabulary import SEVERITY_RANK
from lessonbook.search.document import document_of, with_issue
from lessonbook.store import tables
from lessonbook.store.engine import connect
from lessonbook.store.types import Row
from lessonbook.store.urls import parse_address

AGENTS: Final = (
    AGENT,
    *(
        f"{role}Agent"
        for role in (
            "FrontendDevelopment", "APIDevelopment", "InfrastructureDevelopment", "Database", "MachineLearning", "RAG",
            "DataScience", "LLMOps", "NLP", "PromptEngineering", "ComputerVision", "DocumentIntelligence", "Dashboard",
            "TimeSeries", "RL", "Recommender", "GraphAnalytics", "Multimodal", "Speech", "APITest", "MobileTest",
            "Observability", "DataMigration", "CodeProtection",
        )
    ),
)  # fmt: skip
TRUSTS: Final = ("approved", "scanner", "imported", "offered", "generated")
NOW: Final = datetime(2026, 6, 1, tzinfo=UTC)
ROWS_PER_STATEMENT: Final = 1_000
TOLD_FROM_EVENTS: Final = 10


async def fill(url: str, lessons_per_agent: int) -> int:
    """Write `lessons_per_agent` lessons for each roster agent; return how many were written.

    The same number always gives the same rows. PostgreSQL is vacuumed and analysed afterwards, as it would do itself
    within a minute, so that it does not do so while calls are timed.
    """
    store = connect(parse_address(url))
    try:
        for number, agent in enumerate(AGENTS):
            await store.write(partial(_fill_agent, agent=agent, count=lessons_per_agent, draw=random.Random(number)))
    finally:
        await store.close()
    if store.dialect == "postgresql":
        await tidy(url)
    return len(AGENTS) * lessons_per_agent


async def fill_agents(url: str, counts: Mapping[str, int]) -> None:
    """Write so many lessons for each agent; the same agent and number always give the same rows."""
    store = connect(parse_address(url))
    try:
        for agent, count in counts.items():
            await store.write(partial(_fill_agent, agent=agent, count=count, draw=random.Random(agent)))
    finally:
        await store.close()


async def tidy(url: str) -> None:
    """Vacuum and analyse a PostgreSQL, as it would do itself before long."""
    untyped: Any = asyncpg
    connection = await untyped.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


def _fill_agent(connection: Connection, agent: str, count: int, draw: random.Random) -> None:
    texts = lesson_texts(count, draw)
    lessons = [_lesson_row(agent, number, lesson, draw) for number, lesson in enumerate(texts, 1)]
    _write(connection, tables.lessons, lessons)
    _write(connection, tables.lesson_versions, [_version_row(lesson) for lesson in lessons])
    pairs = list(zip(lessons, texts, strict=True))
    _write(connection, tables.lesson_keys, _key_rows(pairs))
    _write(connection, tables.lesson_documents, [_document_row(row, lesson) for row, lesson in pairs])
    _write(connection, tables.revisions, [{"project": PROJECT, "agent_name": agent, "revision": count}])


def _write(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        connection.execute(insert(table), rows[start : start + ROWS_PER_STATEMENT])


def _lesson_row(agent: str, number: int, lesson: LessonText, draw: random.Random) -> Row:
    created_at = NOW - timedelta(hours=draw.randrange(1, 9_000))
    applied = draw.randrange(40)
    verified = draw.randint(0, applied)
    return {
        "project": PROJECT,
        "id": hashlib.sha256(f"{agent}/{number}".encode()).hexdigest()[:26],
        "agent_name": agent,
        "lesson_text": lesson.text,
        "rationale": lesson.why,
        "severity": SEVERITY_RANK[lesson.severity],
        "category": lesson.category,
        "rule_key": lesson.keys[0] if lesson.keys else "",
        "status": draw.choice(("probation", "active")),
        "is_active": True,
        "trust": "curated" if lesson.keys else draw.choice(TRUSTS),
        "author": "bench",
        "provenance": {"from": "bench"},
        "issue_count": draw.randrange(1, 60),
        "times_applied": applied,
        "times_verified": verified,
        "times_prevented": draw.randint(0, verified),
        **_effect(draw),
        "last_seen_at": NOW - timedelta(hours=draw.randrange(1, 2_000)),
        "last_applied_at": NOW if applied else None,
        "content_hash": content_hash(lesson.text),
        "token_count": estimate_lesson_tokens(lesson.text, lesson.why),
        "revision": number,
        "created_at": created_at,
        "updated_at": created_at,
    }


def _effect(draw: random.Random) -> Row:
    score = draw.betavariate(4, 3)
    events = draw.randrange(3 * TOLD_FROM_EVENTS)
    margin = 1.5 / (1 + events) ** 0.5
    return {
        "effectiveness_score": score,
        "effect_low": score - margin,
        "effect_high": min(1.0, score + margin),
        "events": events,
    }


def _version_row(lesson: Row) -> Row:
    return {
        **{name: lesson[name] for name in ("project", "status", "lesson_text", "rationale", "severity", "category")},
        "lesson_id": lesson["id"],
        "change": 1,
        "version": 1,
        "action": "created",
        "principal": "bench",
        "reason": "population of a benchmark",
        "numbers": {},
        "changed_at": lesson["created_at"],
    }


def _key_rows(pairs: Sequence[tuple[Row, LessonText]]) -> list[Row]:
    """Return a row for each name a lesson is matched by; of two lessons that answer to one name, the first has it."""
    rows: dict[str, Row] = {}
    for row, lesson in pairs:
        for key in (text_name(lesson.text), *map(rule_name, lesson.keys)):
            named = {"project": PROJECT, "agent_name": row["agent_name"], "key": key, "lesson_id": row["id"]}
            rows.setdefault(key, named)
    return list(rows.values())


def _document_row(row: Row, lesson: LessonText) -> Row:
    body = document_of(lesson.text, lesson.why, " ".join(lesson.keys), lesson.category)
    for problem in lesson.problems:
        body = with_issue(body, lesson.text, problem, "")
    return {"project": PROJECT, "lesson_id": row["id"], "body": body}
