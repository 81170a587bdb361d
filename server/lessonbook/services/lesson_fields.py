"""The fields of a lesson in results."""

from typing import Any, TypeVar

from pydantic import BaseModel

from lessonbook.domain.lesson import Lesson

Result = TypeVar("Result", bound=BaseModel)


def result_of(kind: type[Result], lesson: Lesson, /, **others: Any) -> Result:
    """Return a `kind` whose fields have the lesson's values, or those of `others`, without validating them again."""
    known: dict[str, Any] = {
        "lesson_id": lesson.id,
        "text": lesson.lesson_text,
        "why": lesson.rationale,
        "severity": lesson.severity_name,
        **others,
    }
    values = {name: known[name] if name in known else getattr(lesson, name) for name in kind.model_fields}
    return kind.model_construct(**values)
