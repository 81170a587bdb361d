"""Reviews, new lessons, merging and splitting."""

from lessonbook.services.lessons.forgetting import forget
from lessonbook.services.lessons.merge import merge_lessons, split_lesson
from lessonbook.services.lessons.review import add_lesson, add_starters, review_lesson, starters
from lessonbook.services.lessons.rollback import roll_back, undo_rollback

__all__ = [
    "add_lesson",
    "add_starters",
    "forget",
    "merge_lessons",
    "review_lesson",
    "roll_back",
    "split_lesson",
    "starters",
    "undo_rollback",
]
