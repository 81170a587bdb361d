"""What search reads of a lesson, as one text with fields: its own words, then a record for each issue behind it.

Fields are parted by ASCII's own separators (ECMA-48, information separators one and two), which full-text search of
either database passes over like blanks.
"""

import re
from dataclasses import dataclass
from itertools import islice
from typing import Final

from lessonbook.learning.words import words_of

DOCUMENT_MAX: Final = 6_000
"""Characters of a lesson's document: its own words, then the issues behind it, as many as fit."""
LEAD_WORDS_MAX: Final = 14
_RECORD: Final = "\x1e"
_UNIT: Final = "\x1f"
_SEPARATORS: Final = str.maketrans({_RECORD: " ", _UNIT: " "})
_SENTENCE_END: Final = re.compile(r"(?<=[.:;!?])\s")


@dataclass(frozen=True, slots=True)
class Fields:
    """The index terms of a document: those of the lesson's first words, all of its own, and those of each issue."""

    lead: list[str]
    own: list[str]
    issues: list[list[str]]


def document_of(text: str, why: str, rule_key: str, category: str) -> str:
    """Return the document of a lesson before any issue is behind it."""
    return _UNIT.join(part.translate(_SEPARATORS) for part in (text, why, rule_key, category, _parts(text)))


def with_issue(body: str, lesson_text: str, description: str, file: str) -> str:
    """Return a lesson's document with one more issue behind it, or as it is when it is full or tells nothing new.

    Words of the lesson itself that the issue quotes are left out, so that what was served does not feed itself
    (SAFETY P8).
    """
    own = (description.replace(lesson_text, " ") if lesson_text else description).translate(_SEPARATORS).strip()
    file = file.translate(_SEPARATORS)
    if not own and not file:
        return body
    addition = f"{_RECORD}{own}{_UNIT}{file}{_UNIT}{_parts(own)}"
    if len(body) + len(addition) > DOCUMENT_MAX or (own in body and file in body):
        return body
    return body + addition


def fields_of(body: str) -> Fields:
    """Return the index terms of a document, field by field; one without separators is all the lesson's own words."""
    first, *records = body.split(_RECORD)
    text, *others = first.split(_UNIT)
    rest = [word for part in others[:-1] for word in words_of(part)]
    lead = list(islice(words_of(_SENTENCE_END.split(text, maxsplit=1)[0]), LEAD_WORDS_MAX))
    issues = [words_of(record.rpartition(_UNIT)[0].replace(_UNIT, " ")) for record in records]
    return Fields(lead, words_of(text) + rest, issues)


def plain_text(body: str) -> str:
    """Return a document as people read it: a lesson's text and rationale, then each issue, line by line."""
    first, *records = body.split(_RECORD)
    told = first.split(_UNIT)[:2] + [record.split(_UNIT)[0] for record in records]
    return "\n".join(filter(None, told))


def _parts(text: str) -> str:
    """Return the parts of the identifiers in `text`, which a database's own tokenizer leaves whole."""
    whole = set(text.lower().split())
    return " ".join(dict.fromkeys(word for word in words_of(text) if word not in whole))
