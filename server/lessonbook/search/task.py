"""A task as search reads it: once, before the lessons of any agent are looked at."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from lessonbook.search.context import Place, place_of
from lessonbook.search.document import Subjects
from lessonbook.search.hazards import NOTHING_LIKELY, NOWHERE, Hazards, LikelyRules
from lessonbook.search.subjects import subjects_of
from lessonbook.search.tokenizer import READ_MAX
from lessonbook.search.translation import english_of

_END_SHARE: Final = 4
"""Of a long task the last quarter of what is read is its end, where people say what they want."""


@dataclass(frozen=True)
class TaskReading:
    """What a task says: its words, where it takes place, what it is about, which rules it is likely to break."""

    task: str = ""
    """The beginning and the end of it, with the English of words in other languages."""
    files: tuple[str, ...] = ()
    place: Place = NOWHERE
    subjects: Subjects = field(default_factory=dict[str, float])
    hazards: Callable[[], Hazards] | None = field(default=None, repr=False, compare=False)
    """What knows which tasks break which rules; without it no rule is likely."""

    @cached_property
    def likely(self) -> LikelyRules:
        """The rules that the task is likely to break, found when first asked for: that is half of reading a task."""
        return self.hazards().likely(self.task, self.place) if self.hazards else NOTHING_LIKELY

    @property
    def query(self) -> str:
        """The task and then the paths, as one text."""
        return "\n".join((self.task, *self.files)).strip()


def read_task(task: str, files: Collection[str], hazards: Callable[[], Hazards] | None = None) -> TaskReading:
    """Return what a task says; without `hazards` no rule is likely."""
    text = excerpt(task)
    if english := english_of(text):
        text = f"{text}\n{' '.join(english)}"
    place = place_of(text, files)
    return TaskReading(text, tuple(files), place, subjects_of(text), hazards)


def excerpt(text: str) -> str:
    """Return `text`, or the beginning and the end of one that is longer than `READ_MAX` characters."""
    text = text.strip()
    if len(text) <= READ_MAX:
        return text
    end = READ_MAX // _END_SHARE
    return f"{text[: READ_MAX - end - 1]}\n{text[-end:]}"
