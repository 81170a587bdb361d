"""What lessons, issues and queries are about in the field's own terms, so that they meet though they share no word.

Subjects are weaknesses (CWE) and, weaker, the broader ones that they are cases of.
"""

from typing import Final

from lessonbook.learning import document
from lessonbook.learning.document import Subjects
from lessonbook.refinery.weaknesses import broader, weaknesses_in

BROADER: Final = 0.7
"""What a broader weakness counts beside the one that is told."""
READ_MAX: Final = 4_000
"""Characters of a text that are looked at."""


def subjects_of(text: str) -> Subjects:
    """Return the subjects `text` is about, each with how much; empty for most text that is not about security."""
    subjects: dict[str, float] = {}
    for sighting in weaknesses_in(text[:READ_MAX]):
        _add(subjects, sighting.cwe, sighting.strength)
        for broad in broader(sighting.cwe):
            _add(subjects, broad, BROADER * sighting.strength)
    return subjects


def _add(subjects: dict[str, float], cwe: str, strength: float) -> None:
    name = cwe.replace("-", "").lower()
    subjects[name] = max(strength, subjects.get(name, 0.0))


def document_of(text: str, why: str, rule_key: str, category: str) -> str:
    """Return the document by which search finds a lesson, before any issue is behind it."""
    return document.document_of(text, why, rule_key, category, subjects_of(f"{text}\n{why}"))


def with_issue(body: str, lesson_text: str, description: str, file: str) -> str:
    """Return a lesson's document with one more issue behind it, as `learning/document` has it."""
    return document.with_issue(body, lesson_text, description, file, subjects_of(description))
