"""Views: listings, details and figures. Nothing here changes anything."""

from lessonbook.services.queries.audit_chains import check_audit
from lessonbook.services.queries.listings import (
    agents_with_lessons,
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
from lessonbook.services.queries.stats import by_agent, get_stats, unusual_reports

__all__ = [
    "agents_with_lessons",
    "by_agent",
    "check_audit",
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
    "unusual_reports",
]
