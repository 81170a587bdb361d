"""Applications, verdicts and flags."""

from lessonbook.services.feedback.applications import flag_lesson, record_application

__all__ = ["flag_lesson", "record_application"]
