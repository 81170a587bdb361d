"""Serve: the few lessons that fit a task, logged before they are answered."""

from lessonbook.services.serve.delivery import get_lessons
from lessonbook.services.serve.explanation import explain_lessons

__all__ = ["explain_lessons", "get_lessons"]
