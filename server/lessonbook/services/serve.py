"""Serve: the few lessons that fit a task, logged before they are answered.

Every prompt section anybody gets comes from `get_lessons`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from lessonbook.learning import policy
from lessonbook.learning.effect import EVENTS_MIN
from lessonbook.learning.ranking import estimate_tokens, fill
from lessonbook.models.lesson import Caller, Lesson
from lessonbook.models.loop import Effect, LessonQuery, Lessons, NotEnough, ServedLesson
from lessonbook.models.vocabulary import SHARED_AGENT
from lessonbook.services import prompt_section
from lessonbook.services.shelf import Shelf
from lessonbook.services.workspace import Workspace, hash_of, request_hash
from lessonbook.store import idempotency, runs
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.engine import Retry
from lessonbook.store.types import Row

TOOL = "get_lessons"
KNOWN_MAX = 5
_NOTHING = "No lesson fits yet. Report issues of this run, and lessons will follow; run_id: {run_id}"


@dataclass(frozen=True, slots=True)
class _Pick:
    """What one call serves: lesson ids in order, and how many more there were."""

    lesson_ids: list[str]
    withheld: int
    more_available: int


async def get_lessons(work: Workspace, caller: Caller, query: LessonQuery) -> Lessons:
    """Return the lessons for a task, after the run and its deliveries are committed.

    The same call in the same run answers the same, whatever has been learned meanwhile; only a lesson that may no
    longer be served is left out. Several agents may work in one run.
    """
    agent_name, how = _agent_of(work, caller, query)
    shelf = work.shelves.get(caller.project, agent_name)
    if shelf is None:
        shelf = await work.store.read(lambda connection: work.shelves.fill(connection, caller.project, agent_name))
    run_id = query.run_id or work.new_run_id()
    fingerprint = hash_of({"agent": agent_name, "query": request_hash(query, "run_id")})

    def transaction(connection: Connection) -> _Pick:
        now = work.now()
        shelf.refresh(connection)
        deliveries: Mapping[str, Row] = {}
        if query.run_id:
            if (given := _answered(connection, caller, run_id, fingerprint, now)) is not None:
                return given
            deliveries = runs.deliveries_of(connection, caller.project, run_id)
        pick, rows = _choose(shelf, query, caller, run_id, deliveries, now)
        _log(connection, caller, query, run_id, agent_name, pick, rows, fingerprint=fingerprint, now=now)
        return pick

    pick = await work.store.write(transaction)
    note = how
    if not work.roster.known(agent_name) and not shelf.has_own():
        note = await _nearest(work, caller, agent_name) or how
    return _answer(work, caller, shelf, query, run_id, pick, note)


def _agent_of(work: Workspace, caller: Caller, query: LessonQuery) -> tuple[str, str]:
    """Return the agent to serve, and a note on how it was found where it was not named."""
    if named := query.agent_name or caller.agent_name:
        return work.roster.resolve(named), ""
    responsible = work.roster.responsible(query.task, query.files)
    if responsible is None:
        return work.settings.refiner.default_agent, "No agent named and none recognised: lessons shared by all agents."
    return responsible, f"No agent named: taken for {responsible} by the task and files."


def _answered(connection: Connection, caller: Caller, run_id: str, fingerprint: str, now: datetime) -> _Pick | None:
    stored = idempotency.answer(
        connection, caller.project, caller.principal, TOOL, _key(run_id, fingerprint), fingerprint, now
    )
    return _Pick(**stored) if stored is not None else None


def _key(run_id: str, fingerprint: str) -> str:
    return f"{run_id}#{fingerprint}"


def _choose(
    shelf: Shelf, query: LessonQuery, caller: Caller, run_id: str, deliveries: Mapping[str, Row], now: datetime
) -> tuple[_Pick, list[Row]]:
    """Return what to serve, and the deliveries to log for it."""
    text = " ".join((query.task, *query.files)).strip()
    chosen = _fitting(shelf.ranked(text, query.categories), query, run_id)
    shown: list[str] = []
    rows: list[Row] = []
    for position, lesson in enumerate(chosen):
        if (first := deliveries.get(lesson.id)) is not None:
            if first["shown"]:
                shown.append(lesson.id)
            continue
        decision = policy.decide()
        if decision.shown:
            shown.append(lesson.id)
        rows.append(
            {
                "project": caller.project,
                "run_id": run_id,
                "lesson_id": lesson.id,
                "agent_name": shelf.agent_name,
                "eligible": True,
                "shown": decision.shown,
                "p_show": decision.p_show,
                "exempt": decision.exempt,
                "policy_version": decision.policy_version,
                "position": position,
                "delivered_at": now,
            }
        )
    return _Pick(shown, len(chosen) - len(shown), shelf.count(query.categories) - len(chosen)), rows


def _fitting(lessons: Iterable[Lesson], query: LessonQuery, run_id: str) -> list[Lesson]:
    """Return which of `lessons` fit the budget, in order."""
    return fill(
        lessons,
        most=query.max_lessons,
        max_tokens=query.max_tokens,
        overhead=prompt_section.overhead(run_id),
        cost=prompt_section.cost_of,
    )


def _log(
    connection: Connection,
    caller: Caller,
    query: LessonQuery,
    run_id: str,
    agent_name: str,
    pick: _Pick,
    rows: Sequence[Row],
    *,
    fingerprint: str,
    now: datetime,
) -> None:
    """Write the run, its deliveries and the answer. They are in the database before the caller sees a lesson."""
    run: Row = {
        "project": caller.project,
        "run_id": run_id,
        "agent_name": agent_name,
        "principal": caller.principal,
        "holdout": False,
        "task_hash": hashlib.sha256(query.task.encode()).hexdigest()[:32],
        "started_at": now,
    }
    runs.add(connection, run)
    if runs.add_deliveries(connection, rows) != len(rows):
        raise Retry  # another call of this run was first: its assignments win
    idempotency.remember(
        connection,
        caller.project,
        caller.principal,
        TOOL,
        _key(run_id, fingerprint),
        fingerprint,
        {"lesson_ids": pick.lesson_ids, "withheld": pick.withheld, "more_available": pick.more_available},
        now,
    )


async def _nearest(work: Workspace, caller: Caller, agent_name: str) -> str:
    names = await work.store.read(lambda connection: lesson_rows.agent_names(connection, caller.project))
    if agent_name in names:
        return ""
    known = [name for name in names if name != SHARED_AGENT and name.isidentifier()]  # a name is shown: no sentences
    if nearest := work.roster.nearest(agent_name, also=known):
        return f"No lessons for an agent {agent_name!r}. Nearest known: {', '.join(nearest)}."
    return f"No lessons for an agent {agent_name!r}. Known here: {', '.join(known[:KNOWN_MAX]) or 'none yet'}."


def _answer(
    work: Workspace, caller: Caller, shelf: Shelf, query: LessonQuery, run_id: str, pick: _Pick, note: str
) -> Lessons:
    known = [lesson for lesson_id in pick.lesson_ids if (lesson := shelf.lessons.get(lesson_id)) is not None]
    # A lesson may have been reworded since it was picked, and a budget is a budget.
    lessons = _fitting(known, query, run_id)
    mark = prompt_section.delimiter(work.secret, caller.project, run_id)
    text = prompt_section.section(run_id, mark, lessons)
    notes = [
        note,
        "" if lessons else _NOTHING.format(run_id=run_id),
        "Something was withheld, to measure it." if pick.withheld else "",
    ]
    return Lessons(
        run_id=run_id,
        agent_name=shelf.agent_name,
        lessons=[_served(lesson) for lesson in lessons],
        prompt_section=text,
        tokens=estimate_tokens(text),
        withheld=pick.withheld,
        more_available=pick.more_available,
        note=" ".join(filter(None, notes)),
    )


def _served(lesson: Lesson) -> ServedLesson:
    return ServedLesson(
        id=lesson.id,
        text=lesson.lesson_text,
        why=lesson.rationale,
        severity=lesson.severity_name,
        category=lesson.category,
        trust=lesson.trust,
        effect=effect_of(lesson),
    )


def effect_of(lesson: Lesson) -> Effect | NotEnough:
    """Return a lesson's effect with its interval, or that there are too few events to tell."""
    if lesson.events < EVENTS_MIN:
        return "not enough data"
    return Effect(
        estimate=round(lesson.effectiveness_score, 3),
        low=round(lesson.effect_low, 3),
        high=round(lesson.effect_high, 3),
        events=lesson.events,
    )
