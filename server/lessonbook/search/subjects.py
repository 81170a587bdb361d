"""What lessons, issues and queries are about in the field's own terms, so that they meet though they share no word.

Subjects are weaknesses (CWE) and, weaker, the broader ones that they are cases of.
"""

from collections.abc import Iterable
from typing import Final

from lessonbook.search import document
from lessonbook.search.document import Subjects
from lessonbook.search.lexicon.weaknesses import Mention, broader, guarded_against, weaknesses_in
from lessonbook.search.tokenizer import READ_MAX

BROADER: Final = 0.7
"""What a broader weakness counts beside the one that is told."""


def subjects_of(text: str) -> Subjects:
    """Return the subjects an issue or a query is about, each with how much; empty for most that is not of security."""
    return _subjects(weaknesses_in(text[:READ_MAX]))


def subjects_of_lesson(text: str) -> Subjects:
    """Return the subjects a lesson is about, also those that it names by what averts them alone."""
    return _subjects(guarded_against(text[:READ_MAX]))


def _subjects(mentions: Iterable[Mention]) -> Subjects:
    subjects: dict[str, float] = {}
    for mention in mentions:
        _add(subjects, mention.cwe, mention.strength)
        for broad in broader(mention.cwe):
            _add(subjects, broad, BROADER * mention.strength)
    return subjects


def _add(subjects: dict[str, float], cwe: str, strength: float) -> None:
    name = cwe.replace("-", "").lower()
    subjects[name] = max(strength, subjects.get(name, 0.0))


def document_of(text: str, why: str, rule_key: str, category: str) -> str:
    """Return the document by which search finds a lesson, before any issue is behind it."""
    return document.document_of(text, why, rule_key, category, subjects_of_lesson(f"{rule_key}\n\n{text}\n{why}"))


def with_issue(body: str, lesson_text: str, description: str, file: str, subjects: Subjects | None = None) -> str:
    """Return a lesson's document with one more issue behind it, as `search/document` has it.

    `subjects` are those of the issue, where they are known already.
    """
    about = subjects_of(description) if subjects is None else subjects
    return document.with_issue(body, lesson_text, description, file, about)
