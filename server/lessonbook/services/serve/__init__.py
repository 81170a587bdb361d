"""Serve: the few lessons that fit a task, logged before they are answered."""

from lessonbook.services.serve.delivery import get_lessons

__all__ = ["get_lessons"]
