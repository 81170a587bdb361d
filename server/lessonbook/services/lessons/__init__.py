"""Reviews, new lessons, merging and splitting."""

from lessonbook.services.lessons.merge import merge_lessons, split_lesson
from lessonbook.services.lessons.review import (
    NEEDS_PERSON,
    TAKES_AWAY,
    add_lesson,
    add_starters,
    review_lesson,
    starters,
)

__all__ = [
    "NEEDS_PERSON",
    "TAKES_AWAY",
    "add_lesson",
    "add_starters",
    "merge_lessons",
    "review_lesson",
    "split_lesson",
    "starters",
]
