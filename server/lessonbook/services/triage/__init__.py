"""Triage: what becomes of pending issues, decided by an author, a model, or the rules of today."""

from lessonbook.services.triage.authoring import refine_issues
from lessonbook.services.triage.backlog import Wanted, check_extra, refine_backlog

__all__ = ["Wanted", "check_extra", "refine_backlog", "refine_issues"]
