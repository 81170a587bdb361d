"""Serve: the few lessons that fit a task, logged before they are answered.

Every prompt section anybody gets comes from `get_lessons`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.learning import coin
from lessonbook.learning.document import Subjects
from lessonbook.learning.policy import (
    HOLDOUT_SHARE,
    POLICY_VERSION,
    Appraisal,
    Candidate,
    Chance,
    Delivery,
    assign,
    ranked,
)
from lessonbook.learning.ranking import estimate_tokens, fill
from lessonbook.models.lesson import Caller, Lesson
from lessonbook.models.loop import LessonQuery, Lessons, ServedLesson
from lessonbook.models.vocabulary import SHARED_AGENT
from lessonbook.refinery.subjects import subjects_of
from lessonbook.services import prompt_section
from lessonbook.services.measure import effect_of
from lessonbook.services.shelf import Fit, Shelf, asked_of
from lessonbook.services.workspace import Workspace, hash_of
from lessonbook.store import idempotency, runs, serving
from lessonbook.store import lessons as lesson_rows
from lessonbook.store.types import Row

TOOL: Final = "get_lessons"
KNOWN_MAX: Final = 5
NEAREST_AMONG: Final = 500
"""Names of agents in the project with which one that is not known is compared."""
EPOCH: Final = "1"
"""Another epoch tosses every coin anew."""
SHOW_ALL: Final = "show-all/1"
"""The policy of agents for whom no coin is tossed."""
_NOTHING: Final = "No lesson fits yet. Report issues of this run, and lessons will follow; run_id: {run_id}"


@dataclass(frozen=True, slots=True)
class _Pick:
    """What one call serves: lesson ids in order, how many the coin kept back, and how many more there were and why."""

    lesson_ids: list[str]
    withheld: int = 0
    more_available: int = 0
    hidden: dict[str, int] = field(default_factory=dict[str, int])
    held_out: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the fields as they are: `asdict` would copy each value, which takes longer than to store them."""
        return {
            "lesson_ids": self.lesson_ids,
            "withheld": self.withheld,
            "more_available": self.more_available,
            "hidden": self.hidden,
            "held_out": self.held_out,
        }


async def get_lessons(work: Workspace, caller: Caller, query: LessonQuery) -> Lessons:
    """Return the lessons for a task, after the run and its deliveries are committed.

    The same call in the same run answers the same, whatever has been learned meanwhile; only a lesson that may no
    longer be served is left out. Several agents may work in one run.
    """
    # Words and paths that somebody sends are gone through before the transaction, where they hold up nobody else.
    (agent_name, how), subjects = await anyio.to_thread.run_sync(
        lambda: (_agent_of(work, caller, query), subjects_of(query.task))
    )
    shelf = await _shelf(work, caller, agent_name)
    similar = await work.semantic.similar(caller.project, asked_of(query.task, query.files))
    run_id = query.run_id or work.new_run_id()
    fingerprint = hash_of({"agent": agent_name, "query": query.model_dump_json(exclude={"run_id"})})

    def transaction(connection: Connection) -> _Pick:
        now = work.now()
        shelf.refresh(connection)
        run, earlier = None, {}
        if query.run_id:
            if (given := _answered(connection, caller, run_id, fingerprint, now)) is not None:
                return given
            run = runs.find(connection, caller.project, run_id)
            earlier = runs.deliveries_of(connection, caller.project, run_id)
        call = _Serving(work, caller, shelf, query, run_id, run, earlier, now)
        return call.log(connection, *call.choose(similar, subjects), fingerprint)

    pick = await work.store.write_briefly(transaction)
    note = how
    if not work.roster.known(agent_name) and not shelf.has_own():
        note = await _nearest(work, caller, agent_name) or how
    return _answer(work, caller, shelf, query, run_id, pick, note)


async def _shelf(work: Workspace, caller: Caller, agent_name: str) -> Shelf:
    """Return the agent's shelf, filled, with what the evidence says read within the last minute."""
    shelf = work.shelves.get(caller.project, agent_name)
    if shelf is None:
        shelf = await work.store.read(lambda connection: work.shelves.fill(connection, caller.project, agent_name))
    now = work.now()
    if shelf.measure.is_stale(now):
        await work.store.read(lambda connection: shelf.refresh_measure(connection, now))
    return shelf


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


@dataclass(frozen=True, slots=True)
class _Serving:
    """One call that is not a repeated one: which lessons it gets, and what is logged of that."""

    work: Workspace
    caller: Caller
    shelf: Shelf
    query: LessonQuery
    run_id: str
    run: Row | None
    earlier: Mapping[str, Row]
    now: datetime

    def choose(self, similar: Mapping[str, float], subjects: Subjects) -> tuple[_Pick, list[Row]]:
        """Return what to serve, and the deliveries to log for it.

        `similar` is what an embedding model says of the task, `subjects` what it is about.
        """
        query, shelf = self.query, self.shelf
        fitting = shelf.fitting(query.task, query.files, query.categories, similar, subjects)
        fits = {fit.lesson.id: fit for fit in fitting}
        held_out = self._is_held_out() or bool(shelf.measure.stop)
        chances = {name: self._chance(fit.lesson, held_out=held_out) for name, fit in fits.items()}
        candidates = [Candidate(name, fit.relevance, shelf.cost_of(fit.lesson)) for name, fit in fits.items()]
        if shelf.measure.tosses and not held_out:
            candidates = ranked(candidates, {name: self._appraisal(fit.lesson) for name, fit in fits.items()})
        assigned = assign(
            candidates,
            chances,
            self._uniform,
            query.max_tokens - prompt_section.overhead(self.run_id),
            most=query.max_lessons,
            given={lesson_id: row["shown"] for lesson_id, row in self.earlier.items()},
        )
        shown = [delivery.lesson_id for delivery in assigned if delivery.shown]
        withheld = len(assigned) - len(shown)
        served = shelf.count(query.categories)
        hidden = {"no_room": len(fits) - len(assigned), "other_subject": served - len(fits), "withheld": withheld}
        rows = [self._row(place, delivery, fits) for place, delivery in enumerate(assigned)]
        return (
            _Pick(
                lesson_ids=shown,
                withheld=withheld,
                more_available=served - len(assigned),
                hidden={reason: count for reason, count in hidden.items() if count},
                held_out=held_out,
            ),
            [row for row in rows if row["lesson_id"] not in self.earlier],
        )

    def _is_held_out(self) -> bool:
        """Return whether the whole run gets no lessons but the exempt ones: decided by its first call."""
        if self.run is not None:
            return bool(self.run["holdout"])
        return self._p_holdout() > coin.toss_run(self.work.secret, self.caller.project, self.run_id, EPOCH)

    def _p_holdout(self) -> float:
        return HOLDOUT_SHARE if self.shelf.measure.tosses and not self.shelf.measure.stop else 0.0

    def _chance(self, lesson: Lesson, *, held_out: bool) -> Chance:
        return self.shelf.measure.chance(lesson, exempt=self.shelf.is_always_shown(lesson), held_out=held_out)

    def _appraisal(self, lesson: Lesson) -> Appraisal:
        return self.shelf.measure.appraisal(lesson, exempt=self.shelf.is_always_shown(lesson))

    def _uniform(self, lesson_id: str) -> float:
        version = self.shelf.lessons[lesson_id].version
        return coin.toss(self.work.secret, self.caller.project, self.run_id, lesson_id, f"{EPOCH}.{version}")

    def _row(self, place: int, delivery: Delivery, fits: Mapping[str, Fit]) -> Row:
        lesson = fits[delivery.lesson_id].lesson
        return {
            "project": self.caller.project,
            "run_id": self.run_id,
            "lesson_id": lesson.id,
            "agent_name": self.shelf.agent_name,
            "eligible": True,
            "shown": delivery.shown,
            "p_show": delivery.p_show,
            "exempt": delivery.exempt,
            "policy_version": POLICY_VERSION if self.shelf.measure.tosses else SHOW_ALL,
            "position": place,
            "lesson_version": lesson.version,
            "tokens": self.shelf.cost_of(lesson),
            "delivered_at": self.now,
        }

    def log(self, connection: Connection, pick: _Pick, rows: Sequence[Row], fingerprint: str) -> _Pick:
        """Write the run, its deliveries and the answer: they are in the database before the caller sees a lesson."""
        run: Row = {
            "project": self.caller.project,
            "run_id": self.run_id,
            "agent_name": self.shelf.agent_name,
            "principal": self.caller.principal,
            "holdout": pick.held_out and not self.shelf.measure.stop,
            "p_holdout": self._p_holdout(),
            "task_hash": hashlib.sha256(self.query.task.encode()).hexdigest()[:32],
            "started_at": self.now,
        }
        key = _key(self.run_id, fingerprint)
        document = pick.to_document()
        answered = idempotency.kept(run["project"], run["principal"], TOOL, key, fingerprint, document, self.now)
        serving.log(connection, run, rows, answered, is_new=self.run is None)
        return pick


def _fitting(lessons: Iterable[Lesson], shelf: Shelf, query: LessonQuery, run_id: str) -> list[Lesson]:
    """Return which of `lessons` fit the budget, in order."""
    return fill(
        lessons,
        most=query.max_lessons,
        max_tokens=query.max_tokens,
        overhead=prompt_section.overhead(run_id),
        cost=shelf.cost_of,
    )


async def _nearest(work: Workspace, caller: Caller, agent_name: str) -> str:
    names = await work.store.read(lambda connection: lesson_rows.agent_names(connection, caller.project))
    if agent_name in names:
        return ""
    known = [name for name in names if name != SHARED_AGENT and name.isidentifier()]  # a name is shown: no sentences
    if nearest := await anyio.to_thread.run_sync(work.roster.nearest, agent_name, known[:NEAREST_AMONG]):
        return f"No lessons for an agent {agent_name!r}. Nearest known: {', '.join(nearest)}."
    return f"No lessons for an agent {agent_name!r}. Known here: {', '.join(known[:KNOWN_MAX]) or 'none yet'}."


def _answer(
    work: Workspace, caller: Caller, shelf: Shelf, query: LessonQuery, run_id: str, pick: _Pick, note: str
) -> Lessons:
    known = [lesson for lesson_id in pick.lesson_ids if (lesson := shelf.lessons.get(lesson_id)) is not None]
    # A lesson may have been reworded since it was picked, and a budget is a budget.
    lessons = _fitting(known, shelf, query, run_id)
    mark = prompt_section.delimiter(work.secret, caller.project, run_id)
    text = prompt_section.section(run_id, mark, lessons)
    notes = [
        note,
        "" if lessons or pick.withheld else _nothing(shelf, run_id, pick),
        f"Serving is stopped: {shelf.measure.stop}" if shelf.measure.stop else "",
        _withheld(run_id, pick) if pick.withheld and not shelf.measure.stop else "",
    ]
    return Lessons(
        run_id=run_id,
        agent_name=shelf.agent_name,
        lessons=[_served(lesson) for lesson in lessons],
        prompt_section=text,
        tokens=estimate_tokens(text),
        withheld=pick.withheld,
        more_available=pick.more_available,
        hidden=pick.hidden,
        note=" ".join(filter(None, notes)),
    )


def _withheld(run_id: str, pick: _Pick) -> str:
    """Return that something was withheld, never what."""
    if pick.lesson_ids:
        return "Something was withheld, to measure it."
    return f"What would fit was withheld in this run, to measure what it does. run_id: {run_id}"


def _nothing(shelf: Shelf, run_id: str, pick: _Pick) -> str:
    """Return what to say instead of lessons."""
    if others := pick.hidden.get("other_subject", 0):
        return f"No lesson fits this task; {others} of {shelf.agent_name} are about other things. run_id: {run_id}"
    if pick.hidden.get("no_room", 0):
        return f"No lesson that fits the task fits max_tokens: raise it. run_id: {run_id}"
    return _NOTHING.format(run_id=run_id)


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
