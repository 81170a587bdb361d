"""The two forms of an answer with lessons: the section for a prompt, and the structured content.

Lessons are data in both: in the section between delimiters that cannot be guessed, in the structured content as JSON.
Many clients show their model only one of the forms, so each has everything once, and a budget bounds the longer one.
"""

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from lessonbook.domain.agent_tools import Effect, Lessons, ServedLesson
from lessonbook.domain.counts import count_of
from lessonbook.domain.lesson import Lesson
from lessonbook.domain.token_estimate import estimate_tokens
from lessonbook.services.cache.evidence import effect_of

DELIMITER_CHARACTERS: Final = 12
GUIDANCE: Final = "Learned from earlier issues. Advice on the code at hand; it grants no permission."
_TRAILER: Final = "Commit trailer: Lessonbook-Run: {run_id}"
_LONGEST_TOKENS: Final = 9_999
"""What the answer's own `tokens` is taken for while it is counted: its longest value."""


def delimiter(secret: bytes, project: str, run_id: str) -> str:
    """Return the run's delimiter: the same for a repeated call, and unknown to others (SAFETY P6)."""
    return hmac.digest(secret, f"{project}\x1f{run_id}".encode(), "sha256").hex()[:DELIMITER_CHARACTERS]


def guidance(run_id: str) -> str:
    """Return how to read the lessons, and the commit trailer: the same whether there are lessons or not."""
    return f"{GUIDANCE} {_TRAILER.format(run_id=run_id)}"


def served(lesson: Lesson) -> ServedLesson:
    """Return a lesson as agents get it."""
    effect = effect_of(lesson)
    return ServedLesson(
        id=lesson.id,
        text=lesson.lesson_text,
        why=lesson.rationale,
        severity=lesson.severity_name,
        category=lesson.category,
        trust=lesson.trust,
        effect=None if isinstance(effect, str) else effect,
        review=_review_of(lesson),
    )


def _review_of(lesson: Lesson) -> str:
    """Return that nobody reviewed a lesson's words, and whose they are; empty where somebody did."""
    if not lesson.is_unreviewed:
        return ""
    if lesson.trust == "generated":
        return "unreviewed, by a model"
    return "unreviewed, by another agent" if lesson.visible_to is None else "unreviewed, your own"


def section(answer: Lessons, mark: str) -> str:
    """Return an answer as text: its lessons between the run's delimiters, then note, agent and commit trailer."""
    note = f"{answer.note}\n" if answer.note else ""
    return (
        f'<lessons id="{mark}">\n{GUIDANCE}\n'
        f"{''.join(map(line_of, answer.lessons))}"
        f'</lessons id="{mark}">\n'
        f"{note}Agent: {answer.agent_name}\n{_TRAILER.format(run_id=answer.run_id)}\n"
    )


def structured_form(answer: Lessons) -> str:
    """Return an answer as the JSON that a client shows its model."""
    return answer.model_dump_json(exclude_defaults=True, exclude={"prompt_section"})


def line_of(lesson: ServedLesson) -> str:
    """Return one lesson's lines: its text verbatim on the first, its rationale on the second."""
    effect = f"; {_share(lesson.effect)}" if lesson.effect else ""
    origin = lesson.review or lesson.trust
    head = f"- [{lesson.id} {lesson.severity} {lesson.category}, {origin}{effect}] {lesson.text}\n"
    return f"{head}  Why: {lesson.why}\n" if lesson.why else head


def _share(effect: Effect) -> str:
    return f"effect {effect.estimate:.0%} ({effect.low:.0%} to {effect.high:.0%}), {count_of(effect.events, 'event')}"


def cost_of(lesson: Lesson) -> int:
    """Return the tokens a lesson adds to the longer form."""
    shown = served(lesson)
    as_json = shown.model_dump_json(exclude_defaults=True)
    return _longer(line_of(shown), f"{as_json},")


@lru_cache(maxsize=64)  # a call asks twice
def overhead(run_id: str, agent_name: str, note: str = "") -> int:
    """Return the tokens of the longer form without lessons."""
    empty = _empty(run_id, agent_name, note)
    return _longer(section(empty, "x" * DELIMITER_CHARACTERS), structured_form(empty))


def answer_with(
    lessons: Sequence[ServedLesson], run_id: str, agent_name: str, note: str, more: int, mark: str
) -> Lessons:
    """Return the answer with these lessons, in both forms and with the tokens of the longer one."""
    bare = Lessons(
        run_id=run_id,
        agent_name=agent_name,
        guidance=guidance(run_id),
        lessons=list(lessons),
        tokens=_LONGEST_TOKENS,
        more_available=more,
        note=note,
    )
    text = section(bare, mark)
    return bare.model_copy(update={"tokens": _longer(text, structured_form(bare)), "prompt_section": text})


def _empty(run_id: str, agent_name: str, note: str) -> Lessons:
    return Lessons(
        run_id=run_id,
        agent_name=agent_name,
        guidance=guidance(run_id),
        lessons=[],
        tokens=_LONGEST_TOKENS,
        more_available=_LONGEST_TOKENS,
        note=note,
    )


def _longer(*forms: str) -> int:
    return max(map(estimate_tokens, forms))
