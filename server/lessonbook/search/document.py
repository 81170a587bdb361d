"""What search reads of a lesson, as one text with fields: its own words, then a record for each issue behind it.

Fields are parted by ASCII's own separators (ECMA-48, information separators one and two), which full-text search of
either database passes over like blanks.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from lessonbook.machine.patterns import lazy_pattern
from lessonbook.search.tokenizer import words_of

DOCUMENT_MAX: Final = 6_000
"""Characters of a lesson's document: its own words, then the issues behind it, as many as fit."""
LEAD_WORDS_MAX: Final = 14
SUBJECTS_MAX: Final = 12
Subjects = Mapping[str, float]
"""What a text is about, by names that everybody gives the same thing, each with how much, from 0 to 1."""
_GRADES: Final = "abcdefghijklmnopqrstu"
"""How much a text is about a subject, as a letter: no index term, since those are longer."""
_NOTHING: Final[Subjects] = {}
_LESSON_PARTS: Final = 4
"""Units of a lesson that hold its words; one of parts of identifiers follows, and one of subjects."""
_ISSUE_PARTS: Final = 2
"""Units of an issue that hold its words; the same two follow."""
_RECORD: Final = "\x1e"
_UNIT: Final = "\x1f"
_SEPARATORS: Final = str.maketrans({_RECORD: " ", _UNIT: " "})
_SENTENCE_END: Final = lazy_pattern(r"(?<=[.:;!?])\s")


@dataclass(frozen=True, slots=True)
class Fields:
    """The index terms of a document: those of the lesson's first words, all of its own, and those of each issue."""

    lead: list[str]
    own: list[str]
    issues: list[list[str]]
    subjects: dict[str, float] = field(default_factory=dict[str, float])
    """What the lesson and the issues are about: the most that any of them is."""


def document_of(text: str, why: str, rule_key: str, category: str, subjects: Subjects = _NOTHING) -> str:
    """Return the document of a lesson before any issue is behind it."""
    words = [part.translate(_SEPARATORS) for part in (text, why, rule_key, category, _parts(text))]
    return _UNIT.join([*words, _graded(subjects)])


def with_issue(body: str, lesson_text: str, description: str, file: str, subjects: Subjects = _NOTHING) -> str:
    """Return a lesson's document with one more issue behind it, or as it is when it is full or tells nothing new.

    Words of the lesson itself that the issue quotes are left out, so that what was served does not feed itself
    (SAFETY P8).
    """
    own = (description.replace(lesson_text, " ") if lesson_text else description).translate(_SEPARATORS).strip()
    file = file.translate(_SEPARATORS)
    is_known = own in body and file in body  # so are both where they are empty
    if is_known or len(body) + len(own) + len(file) > DOCUMENT_MAX:
        return body
    addition = f"{_RECORD}{own}{_UNIT}{file}{_UNIT}{_parts(own)}{_UNIT}{_graded(subjects)}"
    return body if len(body) + len(addition) > DOCUMENT_MAX else body + addition


def fields_of(body: str) -> Fields:
    """Return the index terms of a document, field by field; one without separators is all the lesson's own words."""
    first, *records = (record.split(_UNIT) for record in body.split(_RECORD))
    lead = list(islice(words_of(_SENTENCE_END.split(first[0], maxsplit=1)[0]), LEAD_WORDS_MAX))
    own = [word for part in first[:_LESSON_PARTS] for word in words_of(part)]
    issues = [words_of(" ".join(record[:_ISSUE_PARTS])) for record in records]
    subjects: dict[str, float] = {}
    for told in [first[_LESSON_PARTS + 1 :], *(record[_ISSUE_PARTS + 1 :] for record in records)]:
        for subject, grade in _grades_in(told):
            subjects[subject] = max(grade, subjects.get(subject, 0.0))
    return Fields(lead, own, issues, subjects)


def plain_text(body: str) -> str:
    """Return a document as people read it: a lesson's text and rationale, then each issue, line by line."""
    first, *records = body.split(_RECORD)
    told = first.split(_UNIT)[:2] + [record.split(_UNIT)[0] for record in records]
    return "\n".join(filter(None, told))


def _graded(subjects: Subjects) -> str:
    best = sorted(subjects.items(), key=lambda pair: (-pair[1], pair[0]))[:SUBJECTS_MAX]
    return " ".join(f"{subject} {_GRADES[round(much * (len(_GRADES) - 1))]}" for subject, much in best)


def _grades_in(told: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Give the subjects written in what follows a record's words, if anything does."""
    words = told[0].split() if told else ()
    for subject, grade in zip(words[::2], words[1::2], strict=False):
        yield subject, _GRADES.find(grade) / (len(_GRADES) - 1)


def _parts(text: str) -> str:
    """Return the parts of the identifiers in `text`, which a database's own tokenizer leaves whole."""
    whole = set(text.lower().split())
    return " ".join(dict.fromkeys(word for word in words_of(text) if word not in whole))
