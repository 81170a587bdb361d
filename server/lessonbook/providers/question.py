"""The question to a language model, and the form of its answer."""

import json
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, Field

from lessonbook.domain.vocabulary import Category, Severity


class WordedLesson(BaseModel):
    """A general rule in the model's words, and the issues it would have avoided."""

    issues: Annotated[list[int], Field(description="numbers of the issues")]
    lesson: Annotated[str, Field(description="what to do and when")]
    why: Annotated[str, Field(description="what goes wrong otherwise")] = ""
    severity: Severity | None = None
    category: Category | None = None


class FittingLesson(BaseModel):
    """An existing lesson that would have avoided some of the issues."""

    lesson_id: str
    issues: Annotated[list[int], Field(description="numbers of the issues")]


class Abstraction(BaseModel):
    """What to do with each issue."""

    lessons: list[WordedLesson] = []
    fits: list[FittingLesson] = []
    declined: Annotated[list[int], Field(description="numbers of issues without a general rule")] = []


@dataclass(frozen=True, slots=True)
class Question:
    """Instructions without any data, and the data between marks."""

    instructions: str
    data: str

    @property
    def size_bytes(self) -> int:
        """The length in UTF-8 bytes, with the schema of the answer."""
        return len(self.instructions.encode()) + len(self.data.encode()) + len(SCHEMA)


SCHEMA: Final = json.dumps(Abstraction.model_json_schema(), sort_keys=True)
