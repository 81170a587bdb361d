"""Examples of a group of issues: the latest that differ, for people and models who decide on the whole group."""

from collections.abc import Sequence
from typing import Final

from lessonbook.domain.lesson_names import general_words
from lessonbook.store.issues import IssueRow

LOOKED_AT: Final = 12
"""The latest issues of a group among which its examples are chosen."""


def differing(rows: Sequence[IssueRow], most: int) -> list[IssueRow]:
    """Return at most `most` issues in their order: those in different words first, then the others."""
    different = {general_words(row.description): row for row in reversed(rows)}
    chosen = {row.id for row in different.values()}
    ranked = sorted(rows, key=lambda row: row.id not in chosen)
    return sorted(ranked[:most], key=rows.index)
