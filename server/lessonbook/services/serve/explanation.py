"""Explain: why which lessons would be served for a task. Nothing is logged, and no coin is tossed."""

from collections.abc import Iterable
from typing import Final, Literal

from sqlalchemy import Connection

from lessonbook.classify.task_rules import hazards_of
from lessonbook.domain.agent_tools import LessonQuery
from lessonbook.domain.lesson import Caller
from lessonbook.domain.lesson_reviews import ExplainedLesson, Explanation, TaskExplanation
from lessonbook.experiment.lesson_value import fill
from lessonbook.search.hazard_model import THRESHOLD
from lessonbook.search.task import TaskReading
from lessonbook.services import prompt_section
from lessonbook.services.cache.shelf import RankedLesson, Shelf
from lessonbook.services.lesson_fields import result_of
from lessonbook.services.queries import page_size
from lessonbook.services.queries.cursors import encode, offset_of
from lessonbook.services.serve.delivery import AskedFor, find_rules, read_query, shelf_for
from lessonbook.services.workspace import Workspace

Verdict = Literal["served", "unlikely", "says the same", "no room"]
_PHRASED: Final = {
    "words": "Its words and those of its issues fit.",
    "history": "Its issue came often in code of this language here.",
    "pinned": "A person pinned it.",
}


async def explain_lessons(
    work: Workspace, caller: Caller, asked: TaskExplanation, *, room: int | None = None
) -> Explanation:
    """Return the lessons that a task makes likely, the likeliest first, each with why it would be served or not.

    A coin may still withhold what is said to be served. `room` bounds the answer in tokens.

    Raises:
        Unavailable: the database does not answer.
        InvalidInput: the cursor is not valid.
    """
    begin = offset_of(asked.cursor)
    query = LessonQuery(agent_name=asked.agent_name, task=asked.task, files=asked.files)
    place, reading = await read_query(work, caller, query)
    shelf = await shelf_for(work, caller, place)
    await find_rules(reading, shelf)
    similar = await work.semantic.similar(caller.project, reading.query)

    def probable(fit: RankedLesson) -> tuple[float, float, str]:
        rule = shelf.rule_of(fit.lesson.id)
        return -fit.relevance, -reading.likely.considered.get(rule, 0.0), fit.lesson.id

    def look(connection: Connection) -> tuple[list[RankedLesson], list[RankedLesson]]:
        shelf.refresh(connection)
        likely = sorted(shelf.likely(reading, similar, least=0.0, principal=caller.principal).values(), key=probable)
        return likely, shelf.fitting(reading, (), similar, place.agent_name, caller.principal)

    likely, fitting = await work.store.read(look)
    served = {fit.lesson.id for fit in _within_budget(shelf, fitting, query, place)}
    offered = {fit.lesson.id for fit in fitting}
    found = [*fitting, *(fit for fit in likely if fit.lesson.id not in offered)][begin:]
    lines = [_line(work, shelf, reading, fit, _verdict(fit, served, offered)) for fit in found[: asked.limit]]
    shown = page_size.fitting(lines, None if room is None else room - page_size.FRAME_TOKENS)
    return Explanation(
        agent_name=place.agent_name,
        languages=sorted(reading.place.languages),
        need=round(reading.likely.need, 3),
        threshold=THRESHOLD,
        lessons=shown,
        note=place.note,
        next_cursor=encode([begin + len(shown)]) if len(shown) < len(found) else "",
    )


def _within_budget(
    shelf: Shelf, fitting: Iterable[RankedLesson], query: LessonQuery, place: AskedFor
) -> list[RankedLesson]:
    overhead = prompt_section.overhead("r" * 26, place.agent_name, place.note)
    return fill(
        fitting,
        most=query.max_lessons,
        max_tokens=query.max_tokens,
        overhead=overhead,
        cost=lambda fit: shelf.cost_of(fit.lesson),
    )


def _verdict(fit: RankedLesson, served: set[str], offered: set[str]) -> Verdict:
    if fit.lesson.id in served:
        return "served"
    if fit.lesson.id in offered:
        return "no room"
    return "unlikely" if fit.relevance < THRESHOLD else "says the same"


def _line(work: Workspace, shelf: Shelf, reading: TaskReading, fit: RankedLesson, verdict: Verdict) -> ExplainedLesson:
    because, probability = _PHRASED.get(fit.by, ""), fit.relevance
    if fit.by == "task":
        rule = shelf.rule_of(fit.lesson.id)
        phrase = hazards_of(work.catalogue).nearest_phrase(rule, reading.task)
        because = f"Such tasks raise its issue: {phrase!r}." if phrase else "Code for such tasks shows its weakness."
        probability = max(probability, reading.likely.considered.get(rule, 0.0))
        if verdict == "unlikely" and probability >= THRESHOLD:
            because += " Others are much likelier."
    told = {"probability": round(probability, 3), "because": because, "verdict": verdict}
    return result_of(ExplainedLesson, fit.lesson, **told)
