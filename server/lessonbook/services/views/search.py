"""Search over the lessons of all agents: the database finds candidates, the scorer that serving uses orders them."""

from collections.abc import Callable, Mapping
from heapq import nlargest
from typing import Final

from sqlalchemy import Connection

from lessonbook.domain.lesson import Lesson
from lessonbook.search.index import SIMILAR, DocumentFrequencies, RelevanceIndex, asked_words
from lessonbook.search.subjects import subjects_of
from lessonbook.store import lessons as lesson_rows

FOUND_MAX: Final = 1_000
COMPARED_MAX: Final = 100
"""Lessons that are compared with the query in full: reading and indexing one takes a tenth of a millisecond."""
MATCHED_MAX: Final = 4_000
"""Documents the database may have to rank: a query's rarest words are looked up until they stand in so many."""
LEAST_WORDS: Final = 4
_READ_AT_ONCE: Final = 150


def search(
    connection: Connection,
    project: str,
    query: str,
    wanted: Callable[[Lesson], bool],
    least: int,
    similar: Mapping[str, float] | None = None,
) -> list[Lesson]:
    """Return lessons that are `wanted` and share a telling word with `query` or are `similar`, most relevant first.

    There are at least `least` of them where the database finds so many among `FOUND_MAX`.
    """
    subjects = subjects_of(query)
    words = [*asked_words(query), *subjects]
    size, frequency = lesson_rows.frequencies(connection, project, words)
    found = list(lesson_rows.search(connection, project, _telling(frequency), FOUND_MAX))
    if similar:
        found = list(dict.fromkeys([*nlargest(SIMILAR, similar, key=similar.__getitem__), *found]))
    kept: dict[str, Lesson] = {}
    for start in range(0, len(found), _READ_AT_ONCE):
        part = found[start : start + _READ_AT_ONCE]
        lessons = lesson_rows.find(connection, project, part)
        kept |= {lesson_id: lessons[lesson_id] for lesson_id in part if wanted(lessons[lesson_id])}
        if len(kept) >= max(least, COMPARED_MAX):
            break
    index: RelevanceIndex[str] = RelevanceIndex(only=words)
    for lesson_id, body in lesson_rows.documents(connection, project, list(kept)[:COMPARED_MAX]).items():
        index.put(lesson_id, body)
    ranked = index.scores(query, DocumentFrequencies(size, frequency), similar=similar, subjects=subjects)
    return [kept[lesson_id] for lesson_id in dict.fromkeys([*ranked, *kept])]


def _telling(frequency: Mapping[str, int]) -> list[str]:
    """Return the rarest words that are there at all, as many as `MATCHED_MAX` allows, at least `LEAST_WORDS`."""
    telling: list[str] = []
    matched = 0
    for word in sorted(filter(frequency.get, frequency), key=lambda word: (frequency[word], word)):
        matched += frequency[word]
        if matched > MATCHED_MAX and len(telling) >= LEAST_WORDS:
            break
        telling.append(word)
    return telling
