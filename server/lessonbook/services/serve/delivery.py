"""Serve: the few lessons that fit a task, logged before they are answered.

Every prompt section anybody gets comes from `get_lessons`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

import anyio.to_thread
from sqlalchemy import Connection

from lessonbook.classify.task_rules import hazards_of, is_loaded
from lessonbook.domain.agent_tools import LessonQuery, Lessons
from lessonbook.domain.lesson import Caller, Lesson
from lessonbook.experiment import coin
from lessonbook.experiment.lesson_value import fill
from lessonbook.experiment.serving_policy import (
    HOLDOUT_SHARE,
    POLICY_VERSION,
    Appraisal,
    Delivery,
    ServingCandidate,
    assign,
    ranked,
)
from lessonbook.search.task import TaskReading, read_task
from lessonbook.services import prompt_section
from lessonbook.services.agent_names import Named, give_name
from lessonbook.services.agent_names import named as meaning_of_name
from lessonbook.services.cache.evidence import Measure
from lessonbook.services.cache.shelf import ALL_AGENTS, RankedLesson, Shelf
from lessonbook.services.workspace import Workspace, hash_of
from lessonbook.store import idempotency, runs, serving
from lessonbook.store.runs import DeliveryRow, RunRow
from lessonbook.store.types import Row

TOOL: Final = "get_lessons"
SHOW_ALL: Final = "show-all/1"
"""The policy of agents for whom no coin is tossed."""
READ_HERE_MAX: Final = 1_000
"""Characters of a task with its paths that are read without a change of thread, which costs a third of the reading."""
_NOTHING: Final = "There is no lesson for this run."
_NO_ROOM: Final = "There is no lesson for this run within max_tokens."


@dataclass(frozen=True, slots=True)
class _Pick:
    """What one call serves: lesson ids in order, and how many more fit the task.

    `no_room`: lessons fit the task, and none the budget, so that no coin was looked at.
    """

    lesson_ids: list[str]
    more_available: int = 0
    no_room: bool = False
    held_out: bool = False

    @classmethod
    def from_document(cls, stored: Mapping[str, Any]) -> "_Pick":
        """Return what `to_document` made, perhaps by an earlier version, which also stored other fields."""
        return cls(**{name: value for name, value in stored.items() if name in cls.__slots__})

    def to_document(self) -> dict[str, Any]:
        """Return the fields as they are: `asdict` would copy each value, which takes longer than to store them."""
        return {name: getattr(self, name) for name in self.__slots__}


async def get_lessons(work: Workspace, caller: Caller, query: LessonQuery, *, only_new: bool = False) -> Lessons:
    """Return the lessons for a task, after the run and its deliveries are committed.

    The same call in the same run answers the same, whatever has been learned meanwhile; only a lesson that may no
    longer be served is left out. Several agents may work in one run. A query that names no run is of the caller's.

    With `only_new` lessons that this run has had an assignment of, shown or withheld, are left out, and a repeated call
    answers nothing: a hook that adds to a session's context says nothing twice.

    Raises:
        Unavailable: the database does not answer; then nothing is logged and nothing served.
        InvalidInput: by the gateway, before this is called: `run_id` holds a secret.
    """
    if caller.run_id and not query.run_id:
        query = query.model_copy(update={"run_id": caller.run_id})
    place, reading = await read_query(work, caller, query)
    shelf = await shelf_for(work, caller, place)
    await find_rules(reading, shelf)
    similar = await work.semantic.similar(caller.project, reading.query)
    run_id = query.run_id or work.new_run_id()
    asked = {"agent": place.agent_name, "query": query.model_dump_json(exclude={"run_id"})}
    fingerprint = hash_of({**asked, "only_new": True} if only_new else asked)

    def transaction(connection: Connection) -> _Pick:
        now = work.now()
        shelf.refresh(connection)
        if place.is_new:
            give_name(work, connection, caller.project, place.agent_name, "a server")
        run, earlier = None, {}
        if query.run_id:
            if (given := _answered(connection, caller, run_id, fingerprint, now)) is not None:
                return _Pick([]) if only_new else given
            run = runs.find(connection, caller.project, run_id)
            earlier = runs.deliveries_of(connection, run) if run else {}
        call = _Serving(work, caller, place, shelf, query, run_id, run, earlier, now, only_new)
        return call.log(connection, *call.choose(reading, similar), fingerprint)

    pick = await work.store.write_briefly(transaction)
    if place.is_new:
        work.met.add((caller.project, place.agent_name))
    return _answer(work, caller, place, shelf, query, run_id, pick)


@dataclass(frozen=True, slots=True)
class AskedFor:
    """For whom a run counts, whose lessons are searched for it, and what the caller calls itself otherwise.

    `is_new` marks a name that this server was given and that is to be noted as an agent's.
    """

    agent_name: str
    searched: str
    label: str = ""
    note: str = ""
    is_new: bool = False


async def read_query(work: Workspace, caller: Caller, query: LessonQuery) -> tuple[AskedFor, TaskReading]:
    """Return the place of the agent named, else of the connection's, else of all agents' lessons; and the task, read.

    A name that is no agent is kept as a label, and the agent found as if none had been named.
    """
    named = await meaning_of_name(work, caller, query.agent_name) if query.agent_name else Named()
    own = work.roster.resolve(caller.agent_name) if caller.agent_name else ""
    agent_name = named.agent_name or own

    def read() -> tuple[str | None, TaskReading]:
        responsible = None if agent_name else work.roster.responsible(query.task, query.files)
        return responsible, read_task(query.task, query.files, partial(hazards_of, work.catalogue))

    # Words and paths that somebody sends are read before the transaction, where they hold up nobody else. Where the
    # shelf is filled, the models that reading needs are loaded.
    is_short = len(query.task) + sum(map(len, query.files)) <= READ_HERE_MAX
    if is_short and work.shelves.get(caller.project, agent_name or ALL_AGENTS) is not None:
        responsible, reading = read()
    else:
        responsible, reading = await anyio.to_thread.run_sync(read)
    if agent_name:
        is_given = agent_name == own and not work.roster.known(own)
        is_new = is_given and _is_new(work, caller, own)
        return AskedFor(agent_name, agent_name, named.label, _told(named), is_new), reading
    agent_name = responsible or work.settings.refiner.default_agent
    return AskedFor(agent_name, ALL_AGENTS, named.label, _told(named)), reading


async def find_rules(reading: TaskReading, shelf: Shelf) -> None:
    """Find, before the transaction, which rules the task is likely to break, if that decides about any lesson."""
    if not shelf.needs_rules:
        return
    if len(reading.query) <= READ_HERE_MAX and is_loaded():
        _ = reading.likely
    else:
        await anyio.to_thread.run_sync(lambda: reading.likely)


def _is_new(work: Workspace, caller: Caller, agent_name: str) -> bool:
    return (caller.project, agent_name) not in work.met


def _told(named: Named) -> str:
    """Return that a name is no agent, and which ones are like it; empty where it is one."""
    if not named.label:
        return ""
    nearest = f" (nearest: {', '.join(named.nearest)})" if named.nearest else ""
    return f"{named.label!r} is not an agent here{nearest}: the lessons of all agents were searched."


async def shelf_for(work: Workspace, caller: Caller, place: AskedFor) -> Shelf:
    """Return the shelf to search, filled, with what the evidence says read within the last minute."""
    shelf = work.shelves.get(caller.project, place.searched)
    if shelf is None:
        shelf = await work.store.read(lambda connection: work.shelves.fill(connection, caller.project, place.searched))
    now = work.now()
    if stale := shelf.stale_measures(place.agent_name, now):
        await work.store.read(lambda connection: shelf.refresh_measures(connection, stale, now))
    return shelf


def _answered(connection: Connection, caller: Caller, run_id: str, fingerprint: str, now: datetime) -> _Pick | None:
    stored = idempotency.answer(
        connection, caller.project, caller.principal, TOOL, _key(run_id, fingerprint), fingerprint, now
    )
    return _Pick.from_document(stored) if stored is not None else None


def _key(run_id: str, fingerprint: str) -> str:
    return f"{run_id}#{fingerprint}"


@dataclass(frozen=True, slots=True)
class _Serving:
    """One call that is not a repeated one: which lessons it gets, and what is logged of that."""

    work: Workspace
    caller: Caller
    place: AskedFor
    shelf: Shelf
    query: LessonQuery
    run_id: str
    run: RunRow | None
    earlier: Mapping[str, DeliveryRow]
    now: datetime
    only_new: bool = False

    def choose(self, reading: TaskReading, similar: Mapping[str, float]) -> tuple[_Pick, list[Row]]:
        """Return what to serve, and the deliveries to log for it; `similar` is what an embedding model says."""
        query, shelf = self.query, self.shelf
        fitting = shelf.fitting(reading, query.categories, similar, self.place.agent_name, self.caller.principal)
        repeated = frozenset(self.earlier if self.only_new else ())
        fits = {fit.lesson.id: fit for fit in fitting if fit.lesson.id not in repeated}
        held_out = self._is_held_out() or bool(self._measure.stop)
        measures = {name: self._measure_of(fit.lesson) for name, fit in fits.items()}
        chances = {
            name: measures[name].chance(fit.lesson, exempt=shelf.is_always_shown(fit.lesson), held_out=held_out)
            for name, fit in fits.items()
        }
        candidates = [ServingCandidate(name, fit.relevance, shelf.cost_of(fit.lesson)) for name, fit in fits.items()]
        if not held_out and any(measure.tosses for measure in {*measures.values()}):
            candidates = ranked(candidates, {name: self._appraisal(fit.lesson) for name, fit in fits.items()})
            # A stable sort: words that nobody reviewed never take a reviewed lesson's place, whatever they seem worth.
            candidates.sort(key=lambda candidate: fits[candidate.lesson_id].lesson.is_unreviewed)
        assigned = assign(
            candidates,
            chances,
            self._uniform,
            query.max_tokens - prompt_section.overhead(self.run_id, self.place.agent_name, self._note),
            most=query.max_lessons,
            given={lesson_id: row.shown for lesson_id, row in self.earlier.items()},
        )
        shown = [delivery.lesson_id for delivery in assigned if delivery.shown]
        rows = [self._row(place, delivery, fits) for place, delivery in enumerate(assigned)]
        return (
            _Pick(
                lesson_ids=shown,
                # By rank alone: what the coin decides must not show in the answer.
                more_available=max(0, len(fits) - query.max_lessons),
                no_room=bool(fits) and not assigned,
                held_out=held_out,
            ),
            [row for row in rows if row["lesson_id"] not in self.earlier],
        )

    @property
    def _note(self) -> str:
        return _note(self.caller, self.place, self._measure)

    @property
    def _measure(self) -> Measure:
        """What is known of the agent that the run counts for."""
        return self.shelf.measure_of_agent(self.place.agent_name)

    def _measure_of(self, lesson: Lesson) -> Measure:
        """Return what is known of the agent whose lesson it is."""
        return self.shelf.measure_of_agent(self.shelf.owner_of(lesson))

    def _is_held_out(self) -> bool:
        """Return whether the whole run gets no lessons but the exempt ones: decided by its first call."""
        if self.run is not None and self.run.principal:
            return self.run.holdout
        share = self._p_holdout()
        return share > 0 and share > coin.toss_run(self.work.secret, self.caller.project, self._unit, self._epoch)

    def _p_holdout(self) -> float:
        return HOLDOUT_SHARE if self._measure.tosses and not self._measure.stop else 0.0

    def _appraisal(self, lesson: Lesson) -> Appraisal:
        return self._measure_of(lesson).appraisal(lesson, exempt=self.shelf.is_always_shown(lesson))

    def _uniform(self, lesson_id: str) -> float:
        epoch = f"{self._epoch}.{self.shelf.lessons[lesson_id].version}"
        return coin.toss(self.work.secret, self.caller.project, self._unit, lesson_id, epoch)

    @property
    def _unit(self) -> str:
        """What coins are tossed for: the change, so that asking again in another run of it gains nothing."""
        return self.caller.change or self.run_id

    @property
    def _epoch(self) -> str:
        """Another epoch, which a person begins, tosses every coin anew."""
        return str(self._measure.epoch)

    def _row(self, place: int, delivery: Delivery, fits: Mapping[str, RankedLesson]) -> Row:
        lesson = fits[delivery.lesson_id].lesson
        return {
            "project": self.caller.project,
            "run_id": self.run_id,
            "lesson_id": lesson.id,
            "agent_name": self.shelf.owner_of(lesson),
            "shown": delivery.shown,
            "p_show": delivery.p_show,
            "exempt": delivery.exempt,
            "policy_version": POLICY_VERSION if self._measure_of(lesson).tosses else SHOW_ALL,
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
            "agent_name": self.place.agent_name,
            "principal": self.caller.principal,
            "holdout": pick.held_out and not self._measure.stop,
            "p_holdout": self._p_holdout(),
            "task_hash": hashlib.sha256(self.query.task.encode()).hexdigest()[:32],
            "started_at": self.now,
            "label": self.place.label,
            "routed": self.place.searched == ALL_AGENTS,
            "change": self.caller.change,
        }
        key = _key(self.run_id, fingerprint)
        document = pick.to_document()
        answered = idempotency.kept(run["project"], run["principal"], TOOL, key, fingerprint, document, self.now)
        began_at = self.now
        if self.run is not None and not self.run.principal:
            runs.fetch(connection, run)
        elif self.run is not None:
            began_at = self.run.started_at
        serving.log(connection, run, rows, answered, is_new=self.run is None, began_at=began_at)
        return pick


def _note(caller: Caller, place: AskedFor, measure: Measure) -> str:
    """Return what the answer says beside its lessons, whatever these are."""
    stopped = f"Serving is stopped: {measure.stop}" if measure.stop else ""
    return " ".join(filter(None, [caller.project_note, place.note, stopped]))


def _answer(
    work: Workspace, caller: Caller, place: AskedFor, shelf: Shelf, query: LessonQuery, run_id: str, pick: _Pick
) -> Lessons:
    known = [lesson for lesson_id in pick.lesson_ids if (lesson := shelf.lessons.get(lesson_id)) is not None]
    note = _note(caller, place, shelf.measure_of_agent(place.agent_name))
    # A lesson may have been reworded since it was picked, and a budget is a budget.
    lessons = fill(
        known,
        most=query.max_lessons,
        max_tokens=query.max_tokens,
        overhead=prompt_section.overhead(run_id, place.agent_name, note),
        cost=shelf.cost_of,
    )
    if not lessons:
        note = f"{note} {_NO_ROOM if pick.no_room else _NOTHING}".strip()
    mark = prompt_section.delimiter(work.secret, caller.project, run_id)
    shown = [*map(shelf.as_served, lessons)]
    return prompt_section.answer_with(shown, run_id, place.agent_name, note, pick.more_available, mark)
