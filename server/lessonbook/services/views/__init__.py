"""Views: listings, details and figures. Nothing here changes anything."""

from lessonbook.services.views.listings import (
    complete,
    get_audit,
    get_lesson,
    get_served_lesson,
    issues_of_run,
    lessons_by_category,
    list_flagged,
    list_lessons,
    list_pending_issues,
)
from lessonbook.services.views.stats import by_agent, get_stats

__all__ = [
    "by_agent",
    "complete",
    "get_audit",
    "get_lesson",
    "get_served_lesson",
    "get_stats",
    "issues_of_run",
    "lessons_by_category",
    "list_flagged",
    "list_lessons",
    "list_pending_issues",
]
